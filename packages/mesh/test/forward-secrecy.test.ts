import {
  defaultCurve,
  deriveForwardSecretKeys,
  deriveSessionKeys,
  handshakePrologue,
  PacketCipher,
  type SessionKeys,
} from "@netmesh/crypto";
import { PacketBuilder, packetFields, SealingKey } from "@netmesh/pool";
import { copyBytes, HEADER_SIZE, high32, low32, PACKET_OVERHEAD, PeerFeature } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { SecurityMode } from "../src/handshake/security.ts";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { eavesdropRandom, type Knowledge, type Recorded, Recorder, recompute } from "./recorder.ts";
import { codeOf, numbered, RELIABLE, Receiving, range, Sending, until } from "./traffic.ts";

/** Two nodes, and a relay when they meet through one, each with its mode. */
function nodes(modes: readonly [SecurityMode, SecurityMode], viaRelay = false) {
  const network = createTestNetwork(0, { conditions: { delayMs: 10 } });
  const [a, b] = modes.map((security) => network.add({ security })) as [TestNode, TestNode];
  const relay = viaRelay ? network.add() : undefined;
  if (relay !== undefined) for (const node of [a, b]) node.connect(relay);
  return { network, a, b, relay };
}

function securityOf(node: TestNode, of: TestNode) {
  return node.core.peer(of.nodeId)?.session?.security;
}

/** Both directions of a reliable stream, every event once and in order. */
function exchange(network: TestNetwork, a: TestNode, b: TestNode, streamId = 77n): void {
  const atB = new Receiving(b, a, streamId, RELIABLE);
  const atA = new Receiving(a, b, streamId, RELIABLE);
  new Sending(a, b, streamId, RELIABLE).write(...numbered(20)).finish();
  new Sending(b, a, streamId, RELIABLE).write(...numbered(30)).finish();
  until(network, () => atB.events.length >= 20 && atA.events.length >= 30);
  expect(atB.numbers).toEqual(range(20));
  expect(atA.numbers).toEqual(range(30));
}

/** Whether a key opens the packet; the session id of the nonce prefix is the one on the wire. */
function opens(key: Uint8Array, { bytes, header }: Recorded): boolean {
  const copy = copyBytes(bytes);
  return new PacketCipher(key, header.sessionId).openPacket(copy, 0, copy.length) >= 0;
}

/** A recording of a handshake and the traffic after it, and what a member of the mesh knows about it. */
function recorded(modes: readonly [SecurityMode, SecurityMode], viaRelay = false) {
  const { network, a, b, relay } = nodes(modes, viaRelay);
  const recorder = new Recorder(network);
  const drawn = eavesdropRandom(network);
  a.connect(b, relay);
  exchange(network, a, b);
  const known: Knowledge = {
    prologue: handshakePrologue(a.nodeId, b.nodeId),
    responderPublicKey: b.keys.publicKey,
    psk: network.psk,
    message1: recorder.messages(a)[0] as Uint8Array,
    message2: recorder.messages(b)[0] as Uint8Array,
  };
  const sessionId = a.core.peer(b.nodeId)?.session?.id;
  const own = ({ header }: Recorded) => header.sessionId === sessionId;
  const packets = [...recorder.sealed(a).filter(own), ...recorder.sealed(b).filter(own)];
  expect(packets.length).toBeGreaterThan(4);
  const [initiator, responder] = drawn as [Uint8Array, Uint8Array];
  return { network, a, b, known, packets, initiator, responder };
}

/** Every key that a schedule can give from these values. */
function keysFrom(handshakeHash: Uint8Array, chainingKeys: readonly Uint8Array[]): Uint8Array[] {
  const schedules: SessionKeys[] = [deriveSessionKeys(handshakeHash, "initiator")];
  for (const chainingKey of [...chainingKeys, handshakeHash]) {
    schedules.push(deriveForwardSecretKeys({ handshakeHash, chainingKey }, "initiator"));
    schedules.push(deriveForwardSecretKeys({ handshakeHash: chainingKey, chainingKey }, "initiator"));
    // Net's schedule, misapplied to the chaining key.
    schedules.push(deriveSessionKeys(chainingKey, "initiator"));
  }
  return schedules.flatMap(({ txKey, rxKey, chainSecret }) => [txKey, rxKey, chainSecret ?? txKey]);
}

describe("a member of the mesh that has recorded everything", () => {
  it.each([false, true])("reads an interop session (through a relay: %s)", (viaRelay) => {
    const { known, packets } = recorded(["interop", "prefer"], viaRelay);
    const { handshakeHash } = recompute(known);
    const keys = deriveSessionKeys(handshakeHash, "initiator");
    for (const packet of packets) {
      expect(packet.header.sessionId).toBe(keys.sessionId);
      expect(opens(keys.txKey, packet) !== opens(keys.rxKey, packet)).toBe(true);
    }
  });

  it.each([false, true])("reads no forward-secret session (through a relay: %s)", (viaRelay) => {
    const { known, packets, initiator } = recorded(["prefer", "prefer"], viaRelay);
    const guesses = [undefined, new Uint8Array(32), known.psk, known.responderPublicKey];
    const keys: Uint8Array[] = [];
    for (const es of guesses) {
      for (const ee of guesses) {
        const guess = { ...known, ...(es === undefined ? {} : { es }), ...(ee === undefined ? {} : { ee }) };
        const { handshakeHash, chainingKeys } = recompute(guess);
        keys.push(...keysFrom(handshakeHash, chainingKeys));
      }
    }
    expect(packets.some((packet) => keys.some((key) => opens(key, packet)))).toBe(false);
    // The session id on the wire is none of those that can be computed either.
    const { handshakeHash } = recompute(known);
    expect(packets[0]?.header.sessionId).not.toBe(deriveSessionKeys(handshakeHash, "initiator").sessionId);
    // The attempt is a real one: with a private ephemeral key of either side, the same steps give the keys.
    const es = defaultCurve.sharedSecret(initiator, known.responderPublicKey);
    const ee = defaultCurve.sharedSecret(initiator, copyBytes(known.message2, 0, 32));
    const all = recompute({ ...known, es, ee });
    const right = keysFrom(all.handshakeHash, all.chainingKeys);
    for (const packet of packets) expect(right.some((key) => opens(key, packet))).toBe(true);
  });

  it("reads none with the responder's private key either, captured later", () => {
    const { b, known, packets, responder } = recorded(["prefer", "require"]);
    const [ei, er] = [copyBytes(known.message1, 0, 32), copyBytes(known.message2, 0, 32)];
    const es = defaultCurve.sharedSecret(b.keys.privateKey, ei);
    const se = defaultCurve.sharedSecret(b.keys.privateKey, er);
    const keys: Uint8Array[] = [];
    for (const ee of [undefined, new Uint8Array(32), es, se]) {
      const { handshakeHash, chainingKeys } = recompute({
        ...known,
        es,
        ...(ee === undefined ? {} : { ee }),
      });
      keys.push(...keysFrom(handshakeHash, chainingKeys));
    }
    expect(packets.some((packet) => keys.some((key) => opens(key, packet)))).toBe(false);
    // What it takes besides is the other private key, which was wiped.
    const all = recompute({ ...known, es, ee: defaultCurve.sharedSecret(responder, ei) });
    const right = keysFrom(all.handshakeHash, all.chainingKeys);
    for (const packet of packets) expect(right.some((key) => opens(key, packet))).toBe(true);
  });
});

describe("the mode of two nodes", () => {
  it.each<[SecurityMode, SecurityMode, "forward-secret" | "interop"]>([
    ["prefer", "prefer", "forward-secret"],
    ["prefer", "require", "forward-secret"],
    ["require", "prefer", "forward-secret"],
    ["require", "require", "forward-secret"],
    ["prefer", "interop", "interop"],
    ["interop", "prefer", "interop"],
    ["interop", "interop", "interop"],
  ])("%s dialling %s makes a session that both call %s", (from, to, expected) => {
    for (const viaRelay of [false, true]) {
      const { network, a, b, relay } = nodes([from, to], viaRelay);
      a.connect(b, relay);
      exchange(network, a, b);
      expect([securityOf(a, b), securityOf(b, a)]).toEqual([expected, expected]);
    }
  });

  it("require fails at once with insecure-peer when the peer it dials is interop only", () => {
    for (const viaRelay of [false, true]) {
      const { network, a, b, relay } = nodes(["require", "interop"], viaRelay);
      const startMs = network.clock.now();
      // The relay of a strict node is a peer too; it offers forward secrecy.
      expect(codeOf(() => a.connect(b, relay))).toBe("insecure-peer");
      expect(network.clock.now() - startMs).toBeLessThan(100);
      expect(a.core.counters.handshakeInsecure).toBe(1);
      expect(a.core.peer(b.nodeId)).toBeUndefined();
      // What the peer has made of it is gone as soon as nobody has shown its keys.
      network.advance(60_000);
      expect(b.core.peer(a.nodeId)).toBeUndefined();
      expect(b.eventsOf("peer-connected").filter(({ peer }) => peer.nodeId === a.nodeId)).toEqual([]);
    }
  });

  it("require does not answer an interop initiator, and keeps nothing of it", () => {
    for (const viaRelay of [false, true]) {
      const { a, b, relay } = nodes(["interop", "require"], viaRelay);
      const before = { sent: b.core.counters.datagramsSent, peers: b.core.peerCount };
      expect(codeOf(() => a.connect(b, relay))).toBe("handshake-timeout");
      expect(b.core.counters.handshakeInsecure).toBeGreaterThanOrEqual(3);
      expect(b.core.counters.handshakesCompleted).toBe(before.peers);
      expect(b.core.peer(a.nodeId)).toBeUndefined();
      if (!viaRelay) expect(b.core.counters.datagramsSent).toBe(before.sent);
    }
  });

  it("require refuses a direct handshake without it, and goes on waiting", () => {
    const { network, a, b } = nodes(["interop", "require"]);
    const stranger = network.add();
    b.call((core) => {
      core.expect(a.nodeId);
      core.expect(stranger.nodeId);
    });
    const dial = (node: TestNode) =>
      node.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "direct"));
    dial(a);
    dial(stranger);
    network.advance(20_000);
    expect(a.eventsOf("connect-failed")[0]?.error.code).toBe("handshake-timeout");
    expect(b.core.counters.handshakeInsecure).toBeGreaterThan(0);
    expect(b.eventsOf("accepted").map(({ peer }) => peer.nodeId)).toEqual([stranger.nodeId]);
    expect(securityOf(b, stranger)).toBe("forward-secret");
  });

  it("require dialled and dialling at once with an interop node ends without a session on either side", () => {
    for (let seed = 1; seed <= 4; seed++) {
      const network = createTestNetwork(0, { seed, conditions: { delayMs: 10 } });
      const a = network.add({ security: "require" });
      const b = network.add({ security: "interop" });
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        from.call((core) => core.connect(to.nodeId, to.keys.publicKey, to.transport.localAddress, "routed"));
      }
      network.advance(120_000);
      expect(a.eventsOf("connect-failed").length).toBe(1);
      for (const node of [a, b]) {
        expect(node.eventsOf("peer-connected")).toEqual([]);
        expect(node.core.peerCount).toBe(0);
      }
    }
  });

  it("prefer dialled and dialling at once makes one forward-secret session", () => {
    for (let seed = 1; seed <= 6; seed++) {
      const conditions = { delayMs: 10, loss: seed > 3 ? 0.3 : 0 };
      const network = createTestNetwork(2, { seed, conditions });
      const [a, b] = network.nodes as [TestNode, TestNode];
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        from.call((core) => core.connect(to.nodeId, to.keys.publicKey, to.transport.localAddress, "routed"));
      }
      network.advance(30_000);
      network.net.conditions = {};
      network.advance(20_000);
      expect(a.core.peer(b.nodeId)?.session?.id).toBe(b.core.peer(a.nodeId)?.session?.id);
      expect([securityOf(a, b), securityOf(b, a)]).toEqual(["forward-secret", "forward-secret"]);
    }
  });

  it("is the same after the answer was lost and repeated from memory", () => {
    const { network, a, b } = nodes(["prefer", "prefer"]);
    let lost = 0;
    network.net.tap = (_, from) => !(from.equals(b.transport.localAddress) && lost++ < 2);
    a.connect(b);
    network.net.tap = undefined;
    exchange(network, a, b);
    expect(b.core.counters.handshakeReplay).toBe(2);
    expect([securityOf(a, b), securityOf(b, a)]).toEqual(["forward-secret", "forward-secret"]);
  });

  it("of an unknown name is refused, and so is require without the feature", () => {
    const network = createTestNetwork(0);
    for (const options of [
      { security: "strict" as SecurityMode },
      { security: "require", features: 7 } as const,
    ]) {
      expect(codeOf(() => network.add(options))).toBe("config");
    }
  });

  it("announces renewal of keys only where the keys are forward secret", () => {
    const network = createTestNetwork(0);
    const a = network.add();
    const b = network.add({ features: PeerFeature.REKEY | PeerFeature.STREAM_FIN });
    a.connect(b);
    expect(a.core.peer(b.nodeId)?.session?.features).toBe(PeerFeature.STREAM_FIN);
  });
});

describe("a node of the reference", () => {
  it.each([true, false])(
    "gets the bytes that Net's rules give, and nothing of ours (it dials: %s)",
    (dials) => {
      const network = createTestNetwork(0, { conditions: { delayMs: 10 } });
      const reference = network.add({ features: 0 });
      const ours = network.add();
      const recorder = new Recorder(network);
      const [a, b] = dials ? [reference, ours] : [ours, reference];
      a.connect(b);
      exchange(network, a, b);
      expect([securityOf(a, b), securityOf(b, a)]).toEqual(["interop", "interop"]);
      // Node id, and nothing behind it.
      expect(recorder.messages(reference)[0]?.length).toBe(32 + 8 + 16);
      const { handshakeHash } = recompute({
        prologue: handshakePrologue(a.nodeId, b.nodeId),
        responderPublicKey: b.keys.publicKey,
        psk: network.psk,
        message1: recorder.messages(a)[0] as Uint8Array,
        message2: recorder.messages(b)[0] as Uint8Array,
      });
      const keys = deriveSessionKeys(handshakeHash, "initiator");
      for (const [node, key] of [
        [a, keys.txKey],
        [b, keys.rxKey],
      ] as const) {
        const builder = new PacketBuilder(new SealingKey(key, keys.sessionId));
        const cipher = new PacketCipher(key, keys.sessionId);
        const packets = recorder.sealed(node);
        expect(packets.map(({ header }) => header.counter)).toEqual(packets.map((_, i) => BigInt(i)));
        for (const { bytes, header } of packets)
          expect(rebuilt(builder, cipher, bytes, header)).toEqual(bytes);
      }
    },
  );
});

/** The packet built anew from what it says, by the builder of a session with Net's keys. */
function rebuilt(
  builder: PacketBuilder,
  cipher: PacketCipher,
  bytes: Uint8Array,
  header: Recorded["header"],
): Uint8Array {
  const opened = copyBytes(bytes);
  const length = cipher.openPacket(opened, 0, opened.length);
  expect(length).toBeGreaterThanOrEqual(0);
  if (bytes.length === PACKET_OVERHEAD && header.eventCount === 0 && header.streamId === 0n) {
    return builder.buildHeartbeat();
  }
  const events: Uint8Array[] = [];
  const view = new DataView(opened.buffer);
  for (let at = HEADER_SIZE; at < HEADER_SIZE + length; ) {
    const size = view.getUint32(at, true);
    events.push(opened.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  const target = new Uint8Array(bytes.length);
  const fields = {
    ...packetFields(),
    streamIdLo: low32(header.streamId),
    streamIdHi: high32(header.streamId),
    sequenceLo: low32(header.sequence),
    sequenceHi: high32(header.sequence),
    flags: header.flags,
    subprotocolId: header.subprotocolId,
  };
  builder.buildInto(target, 0, fields, events, 0, events.length);
  return target;
}

describe("a session id that is in use", () => {
  /** Random bytes that are the same for every handshake, as of a generator that has failed. */
  function stuck(network: TestNetwork): void {
    network.random.fill = (bytes) => {
      bytes.fill(7);
    };
  }

  it("makes no session at the node that dials, and leaves the one that has it alone", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    stuck(network);
    a.connect(b);
    exchange(network, a, b);
    const session = a.core.peer(b.nodeId)?.session;
    expect(codeOf(() => a.connect(b))).toBe("handshake-timeout");
    expect(a.core.counters.handshakeSessionId).toBe(3);
    expect(a.core.peer(b.nodeId)?.session).toBe(session);
    exchange(network, b, a, 78n);
  });

  it("makes no session at the node that is dialled either", () => {
    const network = createTestNetwork(2, { node: { heartbeatMs: 3_600_000, sessionTimeoutMs: 7_200_000 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    stuck(network);
    a.connect(b);
    network.advance(1_000);
    const session = b.core.peer(a.nodeId)?.session;
    // By then it no longer remembers that it has answered this message.
    network.advance(25 * 3_600_000);
    const sent = b.core.counters.handshakesCompleted;
    expect(codeOf(() => a.connect(b))).toBe("handshake-timeout");
    expect(b.core.counters.handshakeSessionId).toBeGreaterThan(2);
    expect(b.core.counters.handshakesCompleted).toBe(sent);
    expect(b.core.peer(a.nodeId)?.session).toBe(session);
    expect(b.core.peer(a.nodeId)?.candidate).toBeUndefined();
  });
});
