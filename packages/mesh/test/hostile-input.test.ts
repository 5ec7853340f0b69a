import { NETMESH_CONTROL, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { Counters } from "../src/core/counters.ts";
import { createTestNetwork, SeededRandom, type TestNode } from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, range, Sending, until } from "./traffic.ts";

/** Counters of which each dropped datagram moves exactly one. */
const DROPS: readonly (keyof Counters)[] = [
  "blockedSource",
  "unknownPrefix",
  "short",
  "badMagic",
  "badVersion",
  "payloadLengthTooLarge",
  "eventCountTooLarge",
  "keepAliveIgnored",
  "pingwaveDropped",
  "pingwaveForged",
  "routedExpired",
  "routedNoRoute",
  "routedStranger",
  "routedBounce",
  "routedNested",
  "routedHeartbeat",
  "handshakeUnsolicited",
  "handshakeBad",
  "handshakeReplay",
  "handshakeRefused",
  "handshakeIdMismatch",
  "handshakePaced",
  "handshakeStampedPaced",
  "handshakeProvenPaced",
  "handshakeRepeatLimited",
  "handshakeChallenged",
  "handshakeChallengeLimited",
  "handshakeQueueFull",
  "handshakeCookieTaken",
  "handshakeCookieBad",
  "handshakeCrossed",
  "handshakeInsecure",
  "handshakeSessionId",
  "noSession",
  "heartbeatLength",
  "heartbeatAuth",
  "heartbeatReplay",
  "badLength",
  "authFailed",
  "replay",
  "epochUnknown",
];

function mutate(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  let result = bytes.slice();
  for (let i = random.below(3); i >= 0; i--) {
    const at = random.below(Math.min(result.length, random.chance(0.7) ? 90 : result.length));
    switch (random.below(6)) {
      case 0:
        result[at] = (result[at] as number) ^ (1 << random.below(8));
        break;
      case 1:
        result[at] = random.below(256);
        break;
      case 2:
        result = result.slice(0, at);
        break;
      case 3: {
        const longer = new Uint8Array(result.length + 1 + random.below(40));
        longer.set(result);
        result = longer;
        break;
      }
      case 4:
        random.fill(result.subarray(at, at + 8));
        break;
      default:
        result.fill(255, at, at + 4);
    }
    if (result.length === 0) return random.bytes(random.below(30));
  }
  return result;
}

describe("a node under fire", () => {
  it.each([1, 2, 3])(
    "accounts for each of 40 000 random and mutated datagrams, and its transfers go on (seed %i)",
    (seed) => {
      const network = createTestNetwork(4, { seed, conditions: { delayMs: 2 } });
      const [a, b, c, relay] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
      const random = new SeededRandom(seed * 7_919);
      const captured: Uint8Array[] = [];
      // Traffic of every kind: handshakes, heartbeats, events, control packets, direct and relayed.
      network.net.tap = (bytes, _, to) => {
        if (to.equals(b.transport.localAddress) && captured.length < 3_000) captured.push(bytes.slice());
        return true;
      };
      a.connect(b);
      a.connect(relay);
      b.connect(relay);
      c.connect(relay);
      c.connect(b, relay);
      network.advance(20_000);
      const warm = new Receiving(b, a, 6n, RELIABLE);
      new Sending(a, b, 6n, RELIABLE).write(...numbered(50, 500)).finish();
      new Sending(b, a, 6n, RELIABLE).write(...numbered(50, 500)).finish();
      new Sending(c, b, 5n, RELIABLE).write(...numbered(20, 500)).finish();
      until(network, () => warm.ends > 0);
      network.advance(100);

      const to = new Receiving(b, a, 7n, RELIABLE);
      const from = new Sending(a, b, 7n, RELIABLE);
      const sources = [a, c, relay].map((node) => node.transport.localAddress);
      const sum = () => DROPS.reduce((total, name) => total + b.core.counters[name], 0);
      const accounted = () => {
        const { opened, forwarded, handshakesCompleted, blockedDestination } = b.core.counters;
        return sum() + opened + forwarded + handshakesCompleted + blockedDestination;
      };
      const before = accounted() - b.core.counters.datagramsReceived;
      for (let i = 0; i < 40_000; i++) {
        const kind = random.below(10);
        const bytes =
          kind === 0
            ? random.bytes(random.below(1_500))
            : mutate(captured[random.below(captured.length)] as Uint8Array, random);
        const source =
          random.chance(0.7) || i % 2 === 0
            ? (sources[random.below(sources.length)] as SocketAddress)
            : SocketAddress.parse(`203.0.113.${random.below(256)}:${1 + random.below(60_000)}`);
        network.net.inject(bytes, source, b.transport.localAddress);
        if (i % 40 === 0) {
          from.write(...numbered(1, 300, i / 40));
          network.advance(5);
        }
      }
      from.finish();
      until(network, () => to.ends > 0);
      expect(to.numbers, network.label).toEqual(range(1_000));
      for (const node of network.nodes) expect(node.errors).toEqual([]);
      expect(accounted() - b.core.counters.datagramsReceived, network.label).toBe(before);
      expect(b.core.peerCount).toBe(3);
      for (const peer of b.core.peers) {
        expect(peer.candidate).toBeUndefined();
        expect(peer.session?.streams.size).toBeLessThan(8);
        expect(peer.session?.closedStreams.size).toBe(0);
        expect(peer.session?.bufferedBytes).toBe(0);
      }
    },
    60_000,
  );

  it("never throws whatever a session partner seals", () => {
    const network = createTestNetwork(2, { seed: 12, node: { maxStreams: 64 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    network.advance(100);
    const random = new SeededRandom(99);
    const session = a.core.peer(b.nodeId)?.session;
    if (session === undefined) throw new Error("no session");
    const subprotocols = [0, 0, 0, 0x0b00, 0x0b01, 0x0b02, 0x0400, 0x0500, 0x0a00, 0x1234, NETMESH_CONTROL];
    for (let i = 0; i < 20_000; i++) {
      const packet = new Uint8Array(1_400);
      const events = Array.from({ length: random.below(4) }, () =>
        random.bytes(random.chance(0.5) ? 24 : random.below(200)),
      );
      // Half of the control events name one of a few streams.
      for (const event of events) if (event.length >= 8 && random.chance(0.8)) event.fill(0, 1, 8);
      const subprotocolId = subprotocols[random.below(subprotocols.length)] as number;
      if (subprotocolId === NETMESH_CONTROL && random.chance(0.5)) {
        // Proposals, acceptances and requests, for epochs that may come next.
        const message = random.bytes(random.chance(0.7) ? 37 : 5);
        message.set([1 + random.below(3), random.below(3), 0, 0, 0]);
        events.push(message);
      }
      const length = session.builder.buildInto(
        packet,
        0,
        {
          streamIdLo: random.below(100),
          streamIdHi: 0,
          sequenceLo: random.chance(0.8) ? random.below(300) : random.uint32(),
          sequenceHi: random.chance(0.9) ? 0 : random.uint32(),
          flags: random.below(16),
          subprotocolId,
          channelHash: 0,
          originHashLo: 0,
          originHashHi: 0,
        },
        events,
        0,
        events.length,
      );
      network.net.inject(packet.subarray(0, length), a.transport.localAddress, b.transport.localAddress);
      if (i % 50 === 0) network.advance(3);
    }
    network.advance(60_000);
    const other = b.core.peer(a.nodeId)?.session;
    expect(b.errors).toEqual([]);
    expect(b.core.counters.opened).toBeGreaterThan(20_000);
    expect(other?.streams.size).toBeLessThanOrEqual(64);
    expect(other?.closedStreams.size).toBeLessThanOrEqual(4_096);
    expect(other?.timedStreams.size).toBeLessThanOrEqual(64);
    let held = 0;
    for (const stream of other?.streams ?? []) held += stream.heldBytes;
    expect(other?.bufferedBytes).toBe(held);
    expect([...(other?.rx ?? [])].length).toBeLessThanOrEqual(3);
    expect(b.core.counters.rekeyIgnored).toBeGreaterThan(100);
  });

  it("holds a bounded memory of closed streams", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    const session = a.core.peer(b.nodeId)?.session;
    for (let i = 0n; i < 4_200n; i++) {
      const opened = a.core.openStream(b.nodeId, i, {});
      a.core.closeStream(opened.session, opened.stream, false);
    }
    expect(session?.closedStreams.size).toBe(4_096);
    expect(session?.streams.size).toBe(0);
  });
});
