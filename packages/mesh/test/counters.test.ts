import { handshakePrologue, NoiseInitiator } from "@netmesh/crypto";
import {
  SocketAddress as Address,
  copyBytes,
  encodeEventFrames,
  encodeHandshakePayload,
  encodePacketPart,
  encodePathProbe,
  encodePathProbeAnswer,
  encodeRekey,
  encodeStreamNack,
  encodeStreamReset,
  encodeStreamWindow,
  HEADER_SIZE,
  low32,
  NETMESH_CONTROL,
  PacketFlags,
  RekeyKind,
  type SocketAddress,
  Subprotocol,
  writeRoutingHeader,
  writeU64,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { Counters } from "../src/core/counters.ts";
import { handshakeDatagram } from "../src/handshake/handshake-datagram.ts";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { numbered, RELIABLE, UNORDERED } from "./traffic.ts";

/** Two nodes with a session, and what it takes to forge traffic between them. */
interface Scene {
  readonly network: TestNetwork;
  /** The node whose counters are looked at. */
  readonly b: TestNode;
  readonly a: TestNode;
  /** Puts a datagram in front of b. */
  inject(bytes: Uint8Array, from?: SocketAddress): void;
  /** A packet of a's session with b. */
  seal(fields: Partial<Fields>, ...events: Uint8Array[]): Uint8Array;
  /** A genuine packet of a with one plain event. */
  genuine(): Uint8Array;
}

interface Fields {
  stream: number;
  sequence: number;
  flags: number;
  subprotocol: number;
}

const ELSEWHERE = Address.parse("192.0.2.1:1");

/** Counters of traffic, which grow with nearly everything. */
const TRAFFIC: ReadonlySet<string> = new Set([
  "datagramsReceived",
  "bytesReceived",
  "datagramsSent",
  "bytesSent",
  "opened",
  "grantsSent",
  "pingwavesSent",
  "pingwaveTaken",
  "pathPingsSent",
  "pathPingsAnswered",
]);

function scene(): Scene {
  const network = createTestNetwork(2);
  const [a, b] = network.nodes as [TestNode, TestNode];
  a.connect(b);
  network.advance(100);
  const session = a.core.peer(b.nodeId)?.session;
  if (session === undefined) throw new Error("no session");
  const seal = (fields: Partial<Fields>, ...events: Uint8Array[]) => {
    const bytes = new Uint8Array(2_000);
    const length = session.builder.buildInto(
      bytes,
      0,
      {
        streamIdLo: fields.stream ?? 50,
        streamIdHi: 0,
        sequenceLo: fields.sequence ?? 0,
        sequenceHi: 0,
        flags: fields.flags ?? 0,
        subprotocolId: fields.subprotocol ?? 0,
        channelHash: 0,
        originHashLo: 0,
        originHashHi: 0,
      },
      events,
      0,
      events.length,
    );
    return bytes.slice(0, length);
  };
  return {
    network,
    a,
    b,
    inject: (bytes, from = a.transport.localAddress) => {
      network.net.inject(bytes, from, b.transport.localAddress);
      network.advance(0);
    },
    seal,
    genuine: () => seal({}, new Uint8Array(100)),
  };
}

function changed(bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array {
  const copy = copyBytes(bytes);
  change(copy);
  return copy;
}

function heartbeat(s: Scene): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + 16);
  s.a.core.peer(s.b.nodeId)?.session?.builder.heartbeatInto(bytes, 0);
  return bytes;
}

function routed(s: Scene, destination: bigint, ttl: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(18 + payload.length);
  writeRoutingHeader(bytes, 0, ttl, 0, low32(s.a.nodeId), 0, 0);
  writeU64(bytes, 10, destination);
  bytes.set(payload, 18);
  return bytes;
}

/** A valid first message of a stranger that claims one id in the routing header and another inside. */
function handshake(s: Scene, sourceId: bigint, claimed: bigint): Uint8Array {
  const noise = new NoiseInitiator({
    psk: s.network.psk,
    responderPublicKey: s.b.keys.publicKey,
    prologue: handshakePrologue(sourceId, s.b.nodeId),
    random: s.network.random,
  });
  const message = noise.writeMessage1(encodeHandshakePayload({ nodeId: claimed }));
  return handshakeDatagram(message, { from: sourceId, to: s.b.nodeId });
}

/** A packet of stream 50. */
const PART = { streamIdLo: 50, streamIdHi: 0, sequenceLo: 0, sequenceHi: 0, flags: 0, eventCount: 1 };

const grant = (stream: number) =>
  encodeStreamWindow({ streamId: BigInt(stream), totalConsumed: 0n, ackSequence: 0n });

/** Each cause, and by how much it moves which counters; all others stay as they are, those of traffic apart. */
const CAUSES: readonly [string, (s: Scene) => void, Partial<Record<keyof Counters, number>>][] = [
  [
    "a datagram of a blocked address",
    (s) => {
      s.b.core.block(s.a.transport.localAddress);
      s.inject(s.genuine());
    },
    { blockedSource: 1 },
  ],
  [
    "sending to a blocked address",
    (s) => {
      s.b.core.block(s.a.transport.localAddress);
      s.b.call((core) => core.send(s.a.nodeId, 1n, numbered(1)));
      s.network.advance(1);
    },
    { blockedDestination: 1 },
  ],
  ["a datagram of an unknown kind", (s) => s.inject(new Uint8Array(100).fill(9)), { unknownPrefix: 1 }],
  ["an empty datagram", (s) => s.inject(new Uint8Array(0)), { unknownPrefix: 1 }],
  ["a packet without a whole header", (s) => s.inject(s.genuine().subarray(0, 67)), { short: 1 }],
  [
    "a packet of another version",
    (s) => s.inject(changed(s.genuine(), (p) => p.fill(2, 2, 3))),
    { badVersion: 1 },
  ],
  [
    "a packet that claims too long a payload",
    (s) => s.inject(changed(s.genuine(), (p) => p.fill(255, 64, 66))),
    { payloadLengthTooLarge: 1 },
  ],
  [
    "a packet that claims too many events",
    (s) => s.inject(changed(s.genuine(), (p) => p.fill(255, 66, 68))),
    { eventCountTooLarge: 1 },
  ],
  [
    "a keep-alive",
    (s) => s.inject(changed(new Uint8Array(14), (p) => p.set([0x50, 0x48]))),
    { keepAliveIgnored: 1 },
  ],
  ["a pingwave", (s) => s.inject(new Uint8Array(72)), { pingwaveForged: 1 }],
  ["a routed packet without life", (s) => s.inject(routed(s, 9n, 0, s.genuine())), { routedExpired: 1 }],
  ["a routed packet without a route", (s) => s.inject(routed(s, 9n, 5, s.genuine())), { routedNoRoute: 1 }],
  [
    "a routed packet of a stranger",
    (s) => s.inject(routed(s, 9n, 5, s.genuine()), ELSEWHERE),
    { routedStranger: 1 },
  ],
  [
    "a routed packet that would go back",
    (s) => s.inject(routed(s, s.a.nodeId, 5, s.genuine())),
    { routedBounce: 1 },
  ],
  [
    "a routed packet that goes on",
    (s) => {
      s.b.core.addRoute(9n, ELSEWHERE);
      s.inject(routed(s, 9n, 5, new Uint8Array(100)));
    },
    { forwarded: 1, bytesForwarded: 118 },
  ],
  [
    "a routing header in another",
    (s) => s.inject(routed(s, s.b.nodeId, 5, routed(s, s.b.nodeId, 5, s.genuine()))),
    { routedNested: 1 },
  ],
  [
    "a direct handshake that nobody awaits",
    (s) => s.inject(handshakeDatagram(new Uint8Array(60), undefined)),
    { handshakeUnsolicited: 1 },
  ],
  [
    "a handshake that cannot be read",
    (s) => s.inject(handshakeDatagram(new Uint8Array(60), { from: 5n, to: s.b.nodeId })),
    { handshakeBad: 1 },
  ],
  [
    "a handshake too short to be one",
    (s) => s.inject(handshakeDatagram(new Uint8Array(31), { from: 5n, to: s.b.nodeId })),
    { handshakeBad: 1 },
  ],
  [
    "a handshake for another id than its route",
    (s) => s.inject(handshake(s, 5n, 6n)),
    { handshakeIdMismatch: 1 },
  ],
  [
    "a handshake of this node's own id",
    (s) => s.inject(handshake(s, BigInt(low32(s.b.nodeId)), s.b.nodeId)),
    { handshakeIdMismatch: 1 },
  ],
  ["a handshake of a new node", (s) => s.inject(handshake(s, 5n, 5n)), { handshakesCompleted: 1 }],
  [
    "a handshake of a new node whose id has a high half",
    (s) => s.inject(handshake(s, 5n, (7n << 32n) | 5n)),
    { handshakesCompleted: 1 },
  ],
  [
    "a handshake that comes again",
    (s) => {
      const message = handshake(s, 5n, 5n);
      s.inject(message);
      s.network.advance(100);
      s.inject(message);
    },
    { handshakesCompleted: 1, handshakeReplay: 1 },
  ],
  [
    "a handshake that comes again at once",
    (s) => {
      const message = handshake(s, 5n, 5n);
      s.inject(message);
      s.inject(message);
    },
    { handshakesCompleted: 1, handshakeRepeatLimited: 1 },
  ],
  [
    "a cookie for a handshake that nobody has begun",
    (s) => s.inject(handshakeDatagram(new Uint8Array(), { from: 5n, to: s.b.nodeId })),
    { handshakeCookieBad: 1 },
  ],
  [
    "more handshakes of one source than a second allows",
    (s) => {
      s.network.advance(1_000);
      for (let i = 0; i < 70; i++)
        s.inject(handshakeDatagram(new Uint8Array(60), { from: 5n, to: s.b.nodeId }));
    },
    { handshakeBad: 32, handshakePaced: 38 },
  ],
  [
    "a packet of an unknown session",
    (s) => s.inject(changed(s.genuine(), (p) => p.fill(1, 24, 60))),
    { noSession: 1 },
  ],
  [
    "a heartbeat of a wrong length",
    (s) => s.inject(changed(s.genuine(), (p) => p.fill(PacketFlags.HEARTBEAT, 3, 4))),
    { heartbeatLength: 1 },
  ],
  ["a forged heartbeat", (s) => s.inject(changed(heartbeat(s), (p) => p.fill(0, 70))), { heartbeatAuth: 1 }],
  [
    "a repeated heartbeat",
    (s) => {
      const bytes = heartbeat(s);
      s.inject(bytes);
      s.inject(bytes);
    },
    { heartbeatReplay: 1 },
  ],
  ["a packet cut off behind its header", (s) => s.inject(s.genuine().subarray(0, 100)), { badLength: 1 }],
  ["a changed packet", (s) => s.inject(changed(s.genuine(), (p) => p.fill(0, 80, 90))), { authFailed: 1 }],
  [
    "a repeated packet",
    (s) => {
      const bytes = s.genuine();
      s.inject(bytes);
      s.inject(bytes);
    },
    { replay: 1 },
  ],
  [
    "a packet of keys that nobody has agreed on",
    (s) => s.inject(changed(s.genuine(), (p) => p.fill(1, 20, 21))),
    { epochUnknown: 1 },
  ],
  [
    "a heartbeat of keys that nobody has agreed on",
    (s) => s.inject(changed(heartbeat(s), (p) => p.fill(1, 20, 21))),
    { epochUnknown: 1 },
  ],
  [
    "a malformed message about keys",
    (s) => s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, new Uint8Array(36))),
    { controlMalformed: 1 },
  ],
  [
    "messages about keys that fit nothing, in one packet",
    (s) => {
      const request = encodeRekey({ kind: RekeyKind.REQUEST, epoch: 1 });
      s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, request, request));
    },
    { rekeyIgnored: 2 },
  ],
  [
    "a proposal of new keys",
    (s) => {
      const publicKey = new Uint8Array(32).fill(9);
      s.inject(
        s.seal(
          { subprotocol: NETMESH_CONTROL },
          encodeRekey({ kind: RekeyKind.PROPOSE, epoch: 1, publicKey }),
        ),
      );
    },
    {},
  ],
  [
    "a malformed control event",
    (s) => s.inject(s.seal({ subprotocol: 0x0b00 }, new Uint8Array(23))),
    { controlMalformed: 1 },
  ],
  [
    "a malformed report",
    (s) => s.inject(s.seal({ subprotocol: 0x0b01 }, new Uint8Array(23))),
    { controlMalformed: 1 },
  ],
  [
    "a malformed reset",
    (s) => s.inject(s.seal({ subprotocol: 0x0b02 }, new Uint8Array(9))),
    { controlMalformed: 1 },
  ],
  [
    "a grant for no stream",
    (s) => s.inject(s.seal({ subprotocol: 0x0b00 }, grant(9))),
    { controlUnknownStream: 1 },
  ],
  [
    "a report for no stream",
    (s) =>
      s.inject(
        s.seal(
          { subprotocol: 0x0b01 },
          encodeStreamNack({ streamId: 9n, nextExpected: 0n, missingBitmap: 0n }),
        ),
      ),
    { controlUnknownStream: 1 },
  ],
  [
    "a reset for no stream",
    (s) => s.inject(s.seal({ subprotocol: 0x0b02 }, encodeStreamReset({ streamId: 9n }))),
    { controlUnknownStream: 1 },
  ],
  [
    "a malformed control event between good ones",
    (s) => s.inject(s.seal({ subprotocol: 0x0b00 }, grant(9), new Uint8Array(3), grant(9))),
    { controlUnknownStream: 2, controlMalformed: 1 },
  ],
  [
    "a grant for a stream that was just closed",
    (s) => {
      const { session, stream } = s.b.core.openStream(s.a.nodeId, 9n, {});
      s.b.core.closeStream(session, stream, false);
      s.inject(s.seal({ subprotocol: 0x0b00 }, grant(9)));
      s.network.advance(2_001);
      s.inject(s.seal({ subprotocol: 0x0b00 }, grant(9)));
    },
    { controlQuarantined: 1, controlUnknownStream: 1 },
  ],
  [
    "a reset of a live stream",
    (s) => {
      s.b.core.openStream(s.a.nodeId, 9n, {});
      s.inject(s.seal({ subprotocol: 0x0b02 }, encodeStreamReset({ streamId: 9n })));
    },
    { streamResetReceived: 1 },
  ],
  [
    "an answer to a probe that was never sent",
    (s) => s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, encodePathProbeAnswer(1_000, 1_300))),
    { pathProbeIgnored: 1 },
  ],
  [
    "a probe",
    (s) => s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, encodePathProbe(7, 1_400, false))),
    { pathProbesAnswered: 1 },
  ],
  [
    "a probe that says another size than it has",
    (s) => s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, encodePathProbe(7, 1_400, false).subarray(1))),
    { controlMalformed: 1 },
  ],
  [
    "a packet that arrives in parts, twice",
    (s) => {
      const packet = { ...PART, flags: PacketFlags.RELIABLE };
      for (let i = 0; i < 4; i++) {
        const part = encodePacketPart(packet, encodeEventFrames([new Uint8Array(1_500)]), i % 2);
        s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, part));
      }
    },
    // Each part of a packet that has arrived is a duplicate.
    { packetsAssembled: 1, reliableDuplicate: 2 },
  ],
  [
    "a part that is none",
    (s) => s.inject(s.seal({ subprotocol: NETMESH_CONTROL }, Uint8Array.of(6, 1, 1))),
    { controlMalformed: 1 },
  ],
  [
    "a subprotocol that nobody handles",
    (s) => s.inject(s.seal({ subprotocol: Subprotocol.FOLD }, new Uint8Array(5))),
    { handlerMissing: 1 },
  ],
  [
    "a message about a daemon where nobody runs any",
    (s) => s.inject(s.seal({ subprotocol: Subprotocol.MIGRATION }, new Uint8Array(9))),
    { daemonMessagesUnwanted: 1 },
  ],
  [
    "one that is nothing to answer",
    (s) => s.inject(s.seal({ subprotocol: Subprotocol.MIGRATION }, new Uint8Array(5))),
    { daemonMessagesUnwanted: 1 },
  ],
  [
    "a sealed-anew packet of a reliable stream",
    (s) => {
      s.inject(s.seal({ flags: PacketFlags.RELIABLE }, new Uint8Array(5)));
      s.inject(s.seal({ flags: PacketFlags.RELIABLE }, new Uint8Array(5)));
    },
    { reliableDuplicate: 1 },
  ],
  [
    "a reliable packet far ahead of a gap",
    (s) => {
      s.b.core.openStream(s.a.nodeId, 50n, UNORDERED);
      s.inject(s.seal({ flags: PacketFlags.RELIABLE, sequence: 20_000 }, new Uint8Array(5)));
    },
    { reliableOutOfWindow: 1 },
  ],
  [
    "a packet of a finished use of its stream",
    (s) => {
      s.inject(s.seal({ flags: PacketFlags.RELIABLE }, new Uint8Array(5)));
      const { session, stream } = s.b.core.openStream(s.a.nodeId, 50n, RELIABLE);
      s.b.core.closeStream(session, stream, false);
      s.inject(s.seal({ flags: PacketFlags.RELIABLE }, new Uint8Array(5)));
      // The answer finds no stream at the other side, which is none of b's business.
    },
    { reliableDuplicate: 1 },
  ],
  [
    "a write that finds no room",
    (s) => {
      const { session, stream } = s.b.core.openStream(s.a.nodeId, 9n, { windowBytes: 300 });
      s.b.core.write(session, stream, [new Uint8Array(200), new Uint8Array(200)]);
    },
    { backpressureCredit: 1 },
  ],
];

describe("the counters", () => {
  it.each(CAUSES)("tell of %s", (_, cause, expected) => {
    const s = scene();
    const before = { ...s.b.core.counters };
    cause(s);
    const moved: Record<string, number> = {};
    for (const [name, value] of Object.entries(s.b.core.counters)) {
      const by = value - (before[name as keyof Counters] as number);
      if (by !== 0 && !TRAFFIC.has(name)) moved[name] = by;
    }
    expect(moved).toEqual(expected);
    expect(s.b.errors).toEqual([]);
  });

  it("tell of datagrams and bytes in both directions", () => {
    const s = scene();
    const before = { ...s.b.core.counters };
    const bytes = s.genuine();
    s.inject(bytes);
    s.network.advance(5);
    const now = s.b.core.counters;
    expect(now.datagramsReceived - before.datagramsReceived).toBe(1);
    expect(now.bytesReceived - before.bytesReceived).toBe(bytes.length);
    expect(now.opened - before.opened).toBe(1);
    // One grant.
    expect(now.datagramsSent - before.datagramsSent).toBe(1);
    expect(now.grantsSent - before.grantsSent).toBe(1);
    expect(now.bytesSent - before.bytesSent).toBe(HEADER_SIZE + 16 + 4 + 24);
  });

  it("tell of a first message that looks like a handshake but is flagged as one only", () => {
    const s = scene();
    s.inject(changed(s.genuine(), (p) => p.fill(PacketFlags.HANDSHAKE, 3, 4)));
    expect(s.b.core.counters.handshakeUnsolicited).toBe(1);
  });
});
