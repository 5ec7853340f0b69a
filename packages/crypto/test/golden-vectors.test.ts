import { describe, expect, test } from "vitest";
import {
  bytesToHex,
  deriveKey,
  deriveSessionKeys,
  handshakePrologue,
  Identity,
  keyedBlake2s,
  NoiseInitiator,
  NoiseResponder,
  noncePrefix,
  PacketCipher,
  ReplayWindow,
  rawHandshakePrologue,
  sessionIdOf,
} from "../src/index.ts";
import { curves, schemes } from "./support/implementations.ts";
import { golden, halves, hex } from "./support/vectors.ts";

test("keyed BLAKE2s gives the reference's tags for keys of 1 to 32 bytes", () => {
  for (const { key, data, mac } of golden.blake2s_mac256) {
    expect(bytesToHex(keyedBlake2s(hex(key), hex(data)))).toBe(mac);
  }
});

test("keys derive as in the reference", () => {
  for (const { ikm, info, okm } of golden.derive_key) expect(bytesToHex(deriveKey(hex(ikm), info))).toBe(okm);
});

test("the prologue binds the routing ids of both nodes", () => {
  for (const vector of golden.handshake_prologue) {
    const ids = [BigInt(vector.src), BigInt(vector.dest)] as const;
    expect(bytesToHex(rawHandshakePrologue(...ids))).toBe(vector.prologue);
    expect(bytesToHex(handshakePrologue(...ids))).toBe(vector.mesh_prologue_uses_routing_ids);
  }
});

describe.each(curves)("with the %s curve", (_, curve) => {
  test("public keys and shared secrets are the reference's", () => {
    for (const vector of golden.x25519) {
      expect(bytesToHex(curve.publicKey(hex(vector.private_a)))).toBe(vector.public_a);
      expect(bytesToHex(curve.publicKey(hex(vector.private_b)))).toBe(vector.public_b);
      expect(bytesToHex(curve.sharedSecret(hex(vector.private_a), hex(vector.public_b)))).toBe(vector.shared);
      expect(bytesToHex(curve.sharedSecret(hex(vector.private_b), hex(vector.public_a)))).toBe(vector.shared);
    }
  });

  test("handshakes are the reference's, byte for byte, on both sides", () => {
    for (const vector of golden.noise_handshake) {
      const shared = { psk: hex(vector.psk), prologue: hex(vector.prologue), curve };
      const publicKey = hex(vector.responder_static_public);
      const initiator = new NoiseInitiator({
        ...shared,
        responderPublicKey: publicKey,
        ephemeral: hex(vector.initiator_ephemeral_private),
      });
      const responder = new NoiseResponder({
        ...shared,
        staticKeyPair: { publicKey, privateKey: hex(vector.responder_static_private) },
        ephemeral: hex(vector.responder_ephemeral_private),
      });
      const message1 = initiator.writeMessage1(hex(vector.payload1));
      expect(bytesToHex(message1)).toBe(vector.msg1);
      expect(bytesToHex(responder.readMessage1(message1))).toBe(vector.payload1);
      const message2 = responder.writeMessage2(hex(vector.payload2));
      expect(bytesToHex(message2)).toBe(vector.msg2);
      expect(bytesToHex(initiator.readMessage2(message2).payload)).toBe(vector.payload2);

      for (const [side, role, expected] of [
        [initiator, "initiator", vector.initiator],
        [responder, "responder", vector.responder],
      ] as const) {
        const { handshakeHash } = side.result;
        expect(bytesToHex(handshakeHash)).toBe(vector.handshake_hash);
        const keys = deriveSessionKeys(handshakeHash, role);
        expect(keys.sessionId).toBe(BigInt(expected.session_id));
        expect(sessionIdOf(handshakeHash)).toBe(keys.sessionId);
        expect(bytesToHex(keys.txKey)).toBe(expected.tx_key);
        expect(bytesToHex(keys.rxKey)).toBe(expected.rx_key);
      }
    }
  });

  test.each(golden.noise_msg1_reject)("message 1 is judged as the reference does: $name", (vector) => {
    const privateKey = hex(vector.responder_static_private);
    const responder = new NoiseResponder({
      psk: hex(vector.psk),
      prologue: hex(vector.prologue),
      staticKeyPair: { publicKey: curve.publicKey(privateKey), privateKey },
      curve,
    });
    const read = () => bytesToHex(responder.readMessage1(hex(vector.msg1)));
    if (vector.payload === null) expect(read).toThrow("handshake error: ");
    else expect(read()).toBe(vector.payload);
  });

  test("one initiator sorts every message 2 as the reference does, the good one last", () => {
    const context = golden.noise_msg2_reject_context;
    const initiator = new NoiseInitiator({
      psk: hex(context.psk),
      prologue: hex(context.prologue),
      responderPublicKey: hex(context.responder_static_public),
      ephemeral: hex(context.initiator_ephemeral_private),
      curve,
    });
    initiator.writeMessage1(hex(context.payload1));
    const good = golden.noise_msg2_reject.filter((vector) => vector.accepted);
    expect(good).toHaveLength(1);
    for (const vector of golden.noise_msg2_reject) {
      if (!vector.accepted)
        expect(() => initiator.readMessage2(hex(vector.msg2))).toThrow("handshake error: ");
    }
    for (const vector of good) expect(initiator.readMessage2(hex(vector.msg2)).payload).toHaveLength(0);
  });
});

test("packets are sealed and opened as in the reference", () => {
  for (const vector of golden.packet_cipher) {
    const sessionId = BigInt(vector.session_id);
    const cipher = new PacketCipher(hex(vector.key), sessionId);
    const counter = halves(BigInt(vector.counter));
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setUint32(0, noncePrefix(sessionId), true);
    new DataView(nonce.buffer).setBigUint64(4, BigInt(vector.counter), true);
    expect(bytesToHex(nonce)).toBe(vector.nonce);

    const { aad, plaintext, ciphertext_and_tag } = vector;
    if (BigInt(vector.counter) === 2n ** 64n - 1n) {
      expect(() => cipher.seal(...counter, hex(aad), hex(plaintext))).toThrow("encryption error: ");
    } else {
      expect(bytesToHex(cipher.seal(...counter, hex(aad), hex(plaintext)))).toBe(ciphertext_and_tag);
    }
    const opened = cipher.open(...counter, hex(aad), hex(ciphertext_and_tag));
    expect(opened && bytesToHex(opened)).toBe(plaintext);
  }
});

test("nonce prefixes are the reference's", () => {
  for (const { session_id, prefix } of golden.session_prefix) {
    expect(noncePrefix(BigInt(session_id))).toBe(new DataView(hex(prefix).buffer).getUint32(0, true));
  }
});

test.each(golden.replay_window)("the replay window decides as the reference's: $name", (vector) => {
  const window = new ReplayWindow();
  for (const step of vector.steps) {
    const [counter, isValid, commit, next] = Array.isArray(step)
      ? [...(step as [string, boolean, boolean]), undefined]
      : [step.counter, step.is_valid, step.commit, step.rx_counter];
    const [lo, hi] = halves(BigInt(counter));
    expect(window.isValid(lo, hi)).toBe(isValid);
    expect(window.commit(lo, hi)).toBe(commit);
    if (next !== undefined) expect(window.next).toBe(BigInt(next));
  }
  expect(window.next).toBe(BigInt(vector.final_rx_counter));
  const { words } = window;
  const pairs = vector.final_bitmap_words_le.map(
    (_, i) => (BigInt(words[2 * i + 1] as number) << 32n) | BigInt(words[2 * i] as number),
  );
  expect(pairs.map(String)).toEqual(vector.final_bitmap_words_le);
});

describe.each(schemes)("with %s signatures", (_, scheme) => {
  test("identities have the reference's ids and signatures", () => {
    for (const vector of golden.entity_keypair) {
      const identity = Identity.fromSeed(hex(vector.seed), scheme);
      expect(bytesToHex(identity.entityId)).toBe(vector.entity_id);
      expect(identity.originHash).toBe(BigInt(vector.origin_hash));
      expect(identity.nodeId).toBe(BigInt(vector.node_id));
      expect(bytesToHex(identity.sign(hex(vector.message)))).toBe(vector.signature);
      expect(Identity.verify(identity.entityId, hex(vector.message), hex(vector.signature), scheme)).toBe(
        true,
      );
    }
  });

  test.each(golden.entity_verify)("verification is as strict as the reference's: $name", (vector) => {
    const verdict = Identity.verify(
      hex(vector.entity_id),
      hex(vector.message),
      hex(vector.signature),
      scheme,
    );
    expect(verdict).toBe(vector.verify_strict);
  });
});
