import { readU32 } from "@netmesh/wire";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import {
  bytesToHex,
  defaultCurve,
  deriveForwardSecretKeys,
  deriveRekeyedKeys,
  deriveSessionKeys,
  handshakePrologue,
  keyedBlake2s,
  NoiseInitiator,
  NoiseResponder,
  noncePrefix,
  PacketCipher,
  StaticKeyPair,
} from "../src/index.ts";
import { curves } from "./support/implementations.ts";
import { hex } from "./support/vectors.ts";
import vectors from "./vectors/forward-secrecy.json" with { type: "json" };

// The vectors were computed by an independent program from docs/protocol/forward-secrecy.md.

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const HEARTBEAT = 84;

/** Both sides of a handshake with these private keys. */
function shake(keys: {
  psk: Uint8Array;
  responderStatic: Uint8Array;
  initiator: Uint8Array;
  responder: Uint8Array;
  payload1?: Uint8Array;
  payload2?: Uint8Array;
}) {
  const { handshake } = vectors;
  const prologue = handshakePrologue(
    BigInt(`0x${handshake.initiatorId}`),
    BigInt(`0x${handshake.responderId}`),
  );
  const staticKeyPair = StaticKeyPair.fromPrivateKey(keys.responderStatic);
  const { psk } = keys;
  const responderPublicKey = staticKeyPair.publicKey;
  const initiator = new NoiseInitiator({ psk, prologue, responderPublicKey, ephemeral: keys.initiator });
  const responder = new NoiseResponder({ psk, prologue, staticKeyPair, ephemeral: keys.responder });
  const message1 = initiator.writeMessage1(keys.payload1);
  responder.readMessage1(message1);
  const message2 = responder.writeMessage2(keys.payload2);
  initiator.readMessage2(message2);
  return { initiator: initiator.result, responder: responder.result, message1, message2 };
}

/** The keys by direction, in hex. */
function shown(keys: ReturnType<typeof deriveForwardSecretKeys>) {
  return {
    sessionId: keys.sessionId,
    toResponder: bytesToHex(keys.txKey),
    toInitiator: bytesToHex(keys.rxKey),
    chainSecret: bytesToHex(keys.chainSecret as Uint8Array),
  };
}

function swapped(keys: ReturnType<typeof shown>) {
  return { ...keys, toResponder: keys.toInitiator, toInitiator: keys.toResponder };
}

/** What was overwritten while `work` ran, in hex. */
function wipedBy(work: () => void): string[] {
  const wiped: string[] = [];
  const { fill } = Uint8Array.prototype;
  const spy = vi.spyOn(Uint8Array.prototype, "fill").mockImplementation(function (this: Uint8Array, ...args) {
    wiped.push(bytesToHex(this));
    return fill.apply(this, args);
  });
  work();
  spy.mockRestore();
  return wiped;
}

describe("the forward-secret schedule", () => {
  const { handshake } = vectors;
  const shaken = shake({
    psk: hex(handshake.psk),
    responderStatic: hex(handshake.responderStaticPrivate),
    initiator: hex(handshake.initiatorEphemeralPrivate),
    responder: hex(handshake.responderEphemeralPrivate),
    payload1: hex(handshake.payload1),
    payload2: hex(handshake.payload2),
  });

  test("gives the published vectors, byte for byte", () => {
    expect(bytesToHex(shaken.message1)).toBe(handshake.message1);
    expect(bytesToHex(shaken.message2)).toBe(handshake.message2);
    expect(bytesToHex(shaken.initiator.handshakeHash)).toBe(handshake.handshakeHash);
    expect(bytesToHex(shaken.initiator.chainingKey)).toBe(handshake.chainingKey);
    const keys = deriveForwardSecretKeys(shaken.initiator, "initiator");
    expect(shown(keys)).toEqual({
      sessionId: BigInt(`0x${handshake.sessionId}`),
      toResponder: handshake.toResponder,
      toInitiator: handshake.toInitiator,
      chainSecret: handshake.chainSecret,
    });
    expect(noncePrefix(keys.sessionId)).toBe(readU32(hex(handshake.noncePrefix), 0));
    const cipher = new PacketCipher(hex(handshake.toResponder), keys.sessionId);
    expect(cipher.openPacket(hex(handshake.initiatorHeartbeat), 0, HEARTBEAT)).toBe(0);
  });

  test("is KB over the chaining key and the handshake hash, and nothing else", () => {
    const label = new TextEncoder().encode("netmesh-fs-v1");
    const prk = keyedBlake2s(
      shaken.initiator.chainingKey,
      new Uint8Array([...label, ...shaken.initiator.handshakeHash]),
    );
    expect(bytesToHex(prk)).toBe(handshake.prk);
    expect(bytesToHex(keyedBlake2s(prk, "rekey-chain"))).toBe(handshake.chainSecret);
  });

  test("gives both sides the same session, mirrored, and never that of Net's schedule", () => {
    fc.assert(
      fc.property(bytes32, bytes32, bytes32, bytes32, (psk, responderStatic, initiator, responder) => {
        const both = shake({ psk, responderStatic, initiator, responder });
        const atInitiator = shown(deriveForwardSecretKeys(both.initiator, "initiator"));
        const atResponder = shown(deriveForwardSecretKeys(both.responder, "responder"));
        expect(atResponder).toEqual(swapped(atInitiator));
        const { toResponder, toInitiator, chainSecret } = atInitiator;
        const interop = deriveSessionKeys(both.initiator.handshakeHash, "initiator");
        expect(interop.sessionId).not.toBe(atInitiator.sessionId);
        const all = [
          toResponder,
          toInitiator,
          chainSecret,
          bytesToHex(interop.txKey),
          bytesToHex(interop.rxKey),
        ];
        expect(new Set(all).size).toBe(all.length);
      }),
      { numRuns: 25 },
    );
  });

  test("changes with either of its inputs", () => {
    fc.assert(
      fc.property(bytes32, bytes32, fc.nat(31), fc.integer({ min: 1, max: 255 }), (h, ck, at, change) => {
        const keys = shown(deriveForwardSecretKeys({ handshakeHash: h, chainingKey: ck }, "initiator"));
        for (const altered of [h, ck]) {
          altered[at] = (altered[at] as number) ^ change;
          const other = shown(deriveForwardSecretKeys({ handshakeHash: h, chainingKey: ck }, "initiator"));
          for (const name of ["sessionId", "toResponder", "toInitiator", "chainSecret"] as const) {
            expect(other[name]).not.toBe(keys[name]);
          }
          altered[at] = (altered[at] as number) ^ change;
        }
      }),
    );
  });

  test.each([0, 31, 33])("refuses inputs of %i bytes", (size) => {
    const [good, bad] = [new Uint8Array(32), new Uint8Array(size)];
    for (const [handshakeHash, chainingKey] of [
      [good, bad],
      [bad, good],
    ] as [Uint8Array, Uint8Array][]) {
      expect(() => deriveForwardSecretKeys({ handshakeHash, chainingKey }, "initiator")).toThrow("32 bytes");
    }
  });

  test("overwrites what all keys come from", () => {
    expect(wipedBy(() => deriveForwardSecretKeys(shaken.initiator, "initiator"))).toContain(handshake.prk);
  });

  test("leaves nothing of the keys behind once they are destroyed", () => {
    const keys = deriveForwardSecretKeys(shaken.initiator, "responder");
    keys.destroy();
    for (const bytes of [keys.txKey, keys.rxKey, keys.chainSecret]) expect(bytes).toEqual(new Uint8Array(32));
  });
});

describe("the keys of the next epoch", () => {
  const { handshake, rekey } = vectors;
  const sessionId = BigInt(`0x${handshake.sessionId}`);
  const inputs = {
    sessionId,
    epoch: rekey.epoch,
    chainSecret: hex(handshake.chainSecret),
    initiatorEphemeral: defaultCurve.publicKey(hex(rekey.initiatorPrivate)),
    responderEphemeral: defaultCurve.publicKey(hex(rekey.responderPrivate)),
    sharedSecret: hex(rekey.sharedSecret),
  };

  test("leave nothing of the shared secret behind, nor of what the keys come from", () => {
    const wiped = wipedBy(() => deriveRekeyedKeys(inputs, "initiator"));
    expect(wiped).toContain(rekey.prk);
    expect(wiped.some((bytes) => bytes.endsWith(rekey.sharedSecret))).toBe(true);
  });

  test.each(curves)("are those of the published vectors with %s", (_, implementation) => {
    const secret = implementation.sharedSecret(hex(rekey.initiatorPrivate), inputs.responderEphemeral);
    expect(bytesToHex(secret)).toBe(rekey.sharedSecret);
    expect(secret).toEqual(
      implementation.sharedSecret(hex(rekey.responderPrivate), inputs.initiatorEphemeral),
    );
    const expected = {
      sessionId,
      toResponder: rekey.toResponder,
      toInitiator: rekey.toInitiator,
      chainSecret: rekey.chainSecret,
    };
    expect(shown(deriveRekeyedKeys(inputs, "initiator"))).toEqual(expected);
    expect(shown(deriveRekeyedKeys(inputs, "responder"))).toEqual(swapped(expected));
    const cipher = new PacketCipher(hex(rekey.toResponder), sessionId);
    expect(cipher.openPacket(hex(rekey.initiatorHeartbeat), 0, HEARTBEAT)).toBe(0);
  });

  test("are others for every epoch, chain secret, ephemeral and shared secret", () => {
    const seen = new Set([shown(deriveRekeyedKeys(inputs, "initiator")).toResponder]);
    const other = new Uint8Array(32).fill(9);
    const variants = [
      { epoch: 2 },
      { chainSecret: other },
      { initiatorEphemeral: other },
      { responderEphemeral: other },
      { sharedSecret: other },
      { initiatorEphemeral: inputs.responderEphemeral, responderEphemeral: inputs.initiatorEphemeral },
    ];
    for (const variant of variants) {
      seen.add(shown(deriveRekeyedKeys({ ...inputs, ...variant }, "initiator")).toResponder);
    }
    expect(seen.size).toBe(variants.length + 1);
  });

  test("refuse inputs of a wrong size", () => {
    const short = new Uint8Array(31);
    for (const name of ["chainSecret", "initiatorEphemeral", "responderEphemeral", "sharedSecret"]) {
      expect(() => deriveRekeyedKeys({ ...inputs, [name]: short }, "initiator"), name).toThrow("32 bytes");
    }
  });
});
