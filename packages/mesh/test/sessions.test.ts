import { copyBytes, HEADER_SIZE, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { TestNode, TestNodeOptions } from "../src/testing/index.ts";
import { createTestNetwork } from "../src/testing/index.ts";
import { FIXED, numbered, pair, RELIABLE, Receiving, range, relayed, Sending, until } from "./traffic.ts";

const QUICK: TestNodeOptions = { heartbeatMs: 1_000, sessionTimeoutMs: 4_000 };

function sessionOf(node: TestNode, of: TestNode) {
  const session = node.core.peer(of.nodeId)?.session;
  if (session === undefined) throw new Error("no session");
  return session;
}

describe("a session", () => {
  it("is kept alive by heartbeats while nobody sends", () => {
    const { network, a, b } = pair({ node: { ...QUICK, ...FIXED }, conditions: { delayMs: 20 } });
    network.advance(60_000);
    for (const node of [a, b]) {
      expect(node.eventsOf("peer-lost")).toEqual([]);
      const { datagramsSent, pingwavesSent } = node.core.counters;
      expect(datagramsSent - pingwavesSent).toBeGreaterThan(50);
      expect(datagramsSent - pingwavesSent).toBeLessThan(85);
      expect(pingwavesSent).toBeGreaterThan(50);
      expect(pingwavesSent).toBeLessThan(85);
    }
  });

  it("is lost once when the peer is silent, and its streams with it", () => {
    const { network, a, b } = pair({ node: QUICK });
    const stream = new Sending(a, b, 7n, RELIABLE);
    const writing = new Sending(a, b, 8n, RELIABLE);
    b.kill();
    const killedMs = network.clock.now();
    writing.write(...numbered(3));
    until(network, () => stream.failure !== undefined);
    expect(network.clock.now() - killedMs).toBeLessThanOrEqual(4_001);
    expect(stream.failure?.code).toBe("peer-lost");
    expect(writing.failure?.code).toBe("peer-lost");
    network.advance(60_000);
    expect(a.eventsOf("peer-lost").length).toBe(1);
    expect(a.eventsOf("stream-failed").length).toBe(2);
  });

  it("recovers without a handshake when a partition is healed", () => {
    const { network, a, b } = pair({ node: QUICK });
    const before = sessionOf(a, b);
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    network.advance(20_000);
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    network.advance(3_000);
    for (const node of [a, b]) {
      expect(node.eventsOf("peer-lost").length).toBe(1);
      expect(node.eventsOf("peer-recovered").length).toBe(1);
      expect(node.core.counters.handshakesCompleted).toBe(1);
    }
    expect(sessionOf(a, b)).toBe(before);
    const to = new Receiving(b, a, 9n, RELIABLE);
    new Sending(a, b, 9n, RELIABLE).write(...numbered(10)).finish();
    until(network, () => to.ends > 0);
  });

  it("is removed with peer and route after thirty session time-outs of silence", () => {
    const { network, a, b } = pair({ node: QUICK });
    b.kill();
    network.advance(119_000);
    expect(a.core.peerCount).toBe(1);
    network.advance(3_000);
    expect(a.eventsOf("peer-removed").map((event) => event.peer.nodeId)).toEqual([b.nodeId]);
    expect(a.core.peerCount).toBe(0);
    expect(a.core.route(b.nodeId)).toBeUndefined();
    expect([...a.core.peers]).toEqual([]);
    const sent = a.core.counters.datagramsSent;
    network.advance(600_000);
    expect(a.core.counters.datagramsSent).toBe(sent);
  });

  it("is removed in time by a clock with fractions", () => {
    // Thirty time-outs and the last arrival have to lie on two sides of a power of two for their sum to lose a bit.
    for (let i = 0; i < 50; i++) {
      const network = createTestNetwork(2, { node: QUICK, seed: i });
      const [a, b] = network.nodes as [TestNode, TestNode];
      a.connect(b);
      network.advance(12_000 + i / 7);
      b.kill();
      network.advance(125_000);
      expect(a.core.peerCount).toBe(0);
    }
  });

  it("of an initiator that never shows its keys is dropped, without the application having seen it", () => {
    const network = createTestNetwork(2, { node: QUICK });
    const [a, b] = network.nodes as [TestNode, TestNode];
    let passed = 0;
    network.net.tap = (_, from) => !from.equals(a.transport.localAddress) || passed++ === 0;
    a.connect(b);
    expect(b.core.peerCount).toBe(1);
    network.advance(16_000);
    expect(b.core.peerCount).toBe(0);
    expect(b.events).toEqual([]);
  });

  it("is not kept alive by a forged packet that carries its id", () => {
    const { network, a, b } = pair({ node: QUICK });
    const captured: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      if (from.equals(b.transport.localAddress)) captured.push(bytes.slice());
      return true;
    };
    network.advance(3_000);
    b.kill();
    const heardMs = sessionOf(a, b).lastReceiveMs;
    const forged = copyBytes(captured[0] as Uint8Array);
    forged[forged.length - 1] = (forged[forged.length - 1] as number) ^ 1;
    for (let i = 0; i < 40; i++) {
      network.net.inject(forged, b.transport.localAddress, a.transport.localAddress);
      network.advance(100);
    }
    network.advance(2_000);
    expect(sessionOf(a, b).lastReceiveMs).toBe(heardMs);
    expect(a.core.counters.heartbeatAuth).toBe(40);
    expect(a.eventsOf("peer-lost").length).toBe(1);
  });

  it("ignores and counts repeated datagrams", () => {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    const captured: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      if (from.equals(a.transport.localAddress)) captured.push(bytes.slice());
      return true;
    };
    new Sending(a, b, 7n, RELIABLE).write(...numbered(10, 500));
    network.advance(20_000);
    network.net.tap = undefined;
    const { opened } = b.core.counters;
    const heard = sessionOf(b, a).lastReceiveMs;
    for (const bytes of captured) {
      network.net.inject(bytes, a.transport.localAddress, b.transport.localAddress);
    }
    network.advance(1);
    expect(b.core.counters.replay + b.core.counters.heartbeatReplay).toBe(captured.length);
    expect(b.core.counters.heartbeatReplay).toBeGreaterThan(1);
    expect(b.core.counters.opened).toBe(opened);
    expect(sessionOf(b, a).lastReceiveMs).toBe(heard);
    expect(to.numbers).toEqual(range(10));
  });
});

describe("a peer that moves", () => {
  it("is answered at its new address after three packets from there", () => {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    const moved = SocketAddress.parse("10.99.0.1:5000");
    const translate = (bytes: Uint8Array, source: SocketAddress, target: SocketAddress): boolean => {
      // A NAT in front of a that has forgotten the old mapping.
      if (source.equals(a.transport.localAddress)) {
        network.net.inject(bytes, moved, target);
        return false;
      }
      if (target.equals(moved)) {
        network.net.inject(bytes, source, a.transport.localAddress);
        return false;
      }
      return !target.equals(a.transport.localAddress) || isRedirected;
    };
    let isRedirected = false;
    network.net.tap = (bytes, source, target) => {
      if (target.equals(moved)) isRedirected = true;
      const pass = translate(bytes, source, target);
      if (target.equals(moved)) isRedirected = false;
      return pass;
    };
    from.write(...numbered(1));
    network.advance(10);
    expect(sessionOf(b, a).path.address.key).toBe(a.transport.localAddress.key);
    from.write(...numbered(40, 1_000, 1));
    until(network, () => from.drains > 0 && to.events.length === 41);
    expect(sessionOf(b, a).path.address.key).toBe(moved.key);
    expect(b.eventsOf("path-changed").length).toBe(1);
    expect(b.core.counters.addressMigrations).toBe(1);
    expect(b.core.route(a.nodeId)?.key).toBe(moved.key);
  });

  it("stays where it is while single packets come from elsewhere", () => {
    const { network, a, b } = pair();
    const elsewhere = SocketAddress.parse("10.99.0.1:5000");
    let count = 0;
    network.net.tap = (bytes, source, target) => {
      if (!source.equals(a.transport.localAddress) || count++ % 3 === 2) return true;
      network.net.inject(bytes, elsewhere, target);
      return false;
    };
    const from = new Sending(a, b, 7n, { windowBytes: 0 });
    for (let i = 0; i < 30; i++) {
      from.write(...numbered(1));
      network.advance(10);
    }
    expect(b.core.counters.addressMigrations).toBe(0);
    expect(sessionOf(b, a).path.address.key).toBe(a.transport.localAddress.key);
  });
});

describe("a session behind a relay", () => {
  it("is kept alive by routed heartbeats", () => {
    const { network, a, b, relay } = relayed({ node: QUICK, conditions: { delayMs: 10 } });
    const { forwarded } = relay.core.counters;
    network.advance(30_000);
    expect(relay.core.counters.forwarded - forwarded).toBeGreaterThan(50);
    expect(a.eventsOf("peer-lost").length + b.eventsOf("peer-lost").length).toBe(0);
  });

  it("notices that the relay was killed", () => {
    const { network, a, b, relay } = relayed({ node: QUICK, conditions: { delayMs: 10 } });
    relay.kill();
    network.advance(5_000);
    const lost = (node: TestNode) => new Set(node.eventsOf("peer-lost").map((event) => event.peer.nodeId));
    expect(lost(a)).toEqual(new Set([b.nodeId, relay.nodeId]));
    expect(lost(b)).toEqual(new Set([a.nodeId, relay.nodeId]));
  });

  it("goes on over another relay, without a new handshake", () => {
    const { network, a, b, relay } = relayed({ node: QUICK, conditions: { delayMs: 10 } });
    const other = network.add();
    a.connect(other);
    b.connect(other);
    network.advance(1_000);
    const { handshakesCompleted } = a.core.counters;
    relay.kill();
    network.advance(5_000);
    const to = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(10)).finish();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(10));
    expect(a.eventsOf("peer-lost").map(({ peer }) => peer.nodeId)).toEqual([relay.nodeId]);
    expect(a.core.counters.handshakesCompleted).toBe(handshakesCompleted);
  });
});

describe("heartbeats", () => {
  it("of a wrong length are dropped before any cryptography", () => {
    const { network, a, b } = pair();
    const captured: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      const isHeartbeat = bytes.length === HEADER_SIZE + 16;
      if (from.equals(b.transport.localAddress) && isHeartbeat) captured.push(bytes.slice());
      return true;
    };
    network.advance(6_000);
    const genuine = captured[0] as Uint8Array;
    for (const extra of [-16, -1, 1, 64]) {
      const bytes = new Uint8Array(genuine.length + extra);
      bytes.set(genuine.subarray(0, bytes.length));
      network.net.inject(bytes, b.transport.localAddress, a.transport.localAddress);
    }
    network.advance(1);
    expect(genuine.length).toBe(HEADER_SIZE + 16);
    expect(a.core.counters.heartbeatLength).toBe(4);
    expect(a.core.counters.heartbeatAuth).toBe(0);
  });
});
