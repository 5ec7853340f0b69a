import {
  HEADER_SIZE,
  low32,
  ROUTING_HEADER_SIZE,
  SocketAddress,
  writeRoutingHeader,
  writeU64,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { TestNetwork, TestNode, TestNodeOptions } from "../src/testing/index.ts";
import { createTestNetwork } from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, range, relayed, Sending, until } from "./traffic.ts";

const STRANGER = SocketAddress.parse("192.0.2.7:7");

/** A routed datagram with a payload that nobody can open. */
function routed(source: TestNode, destination: bigint, ttl: number, length = 150): Uint8Array {
  const bytes = new Uint8Array(length).fill(0x11);
  writeRoutingHeader(bytes, 0, ttl, 0, low32(source.nodeId), low32(destination), Number(destination >> 32n));
  return bytes;
}

/** Two nodes with sessions to a third one, the relay, but none with each other. */
function triangle(options: TestNodeOptions = {}): {
  network: TestNetwork;
  a: TestNode;
  b: TestNode;
  relay: TestNode;
} {
  const network = createTestNetwork(2);
  const [a, b] = network.nodes as [TestNode, TestNode];
  const relay = network.add(options);
  a.connect(relay);
  b.connect(relay);
  network.advance(100);
  return { network, a, b, relay };
}

function inject(network: TestNetwork, bytes: Uint8Array, from: SocketAddress, to: TestNode): Uint8Array[] {
  const out: Uint8Array[] = [];
  network.net.tap = (sent, source) => {
    if (source.equals(to.transport.localAddress)) out.push(sent.slice());
    return true;
  };
  network.net.inject(bytes, from, to.transport.localAddress);
  network.advance(1);
  network.net.tap = undefined;
  return out;
}

describe("a relay", () => {
  it("passes the packets of peers on with one hop less to live, all else unchanged", () => {
    const { network, a, b, relay } = triangle();
    const bytes = routed(a, b.nodeId, 9);
    const [sent] = inject(network, bytes, a.transport.localAddress, relay);
    const expected = bytes.slice();
    expected[2] = 8;
    expected[3] = 1;
    expect(sent).toEqual(expected);
    expect(relay.core.counters.forwarded).toBe(1);
    expect(relay.core.counters.bytesForwarded).toBe(150);
  });

  it("sends nothing on for strangers", () => {
    const { network, a, b, relay } = triangle();
    expect(inject(network, routed(a, b.nodeId, 9), STRANGER, relay)).toEqual([]);
    expect(relay.core.counters.routedStranger).toBe(1);
  });

  it("sends packets of anybody on when told to", () => {
    const { network, a, b, relay } = triangle({ relay: "anyone" });
    expect(inject(network, routed(a, b.nodeId, 9), STRANGER, relay).length).toBe(1);
  });

  it("sends nothing on when switched off", () => {
    const { network, a, b, relay } = triangle({ relay: "off" });
    expect(inject(network, routed(a, b.nodeId, 9), a.transport.localAddress, relay)).toEqual([]);
    expect(relay.core.counters.routedStranger).toBe(1);
  });

  it("sends a packet with ttl 1 on with 0, and drops one with 0", () => {
    const { network, a, b, relay } = triangle();
    expect(inject(network, routed(a, b.nodeId, 1), a.transport.localAddress, relay)[0]?.[2]).toBe(0);
    expect(inject(network, routed(a, b.nodeId, 0), a.transport.localAddress, relay)).toEqual([]);
    expect(relay.core.counters.routedExpired).toBe(1);
  });

  it("drops packets for nodes that it knows no way to", () => {
    const { network, a, relay } = triangle();
    expect(inject(network, routed(a, 1n, 9), a.transport.localAddress, relay)).toEqual([]);
    expect(relay.core.counters.routedNoRoute).toBe(1);
  });

  it("sends nothing back to where it came from", () => {
    const { network, a, b, relay } = triangle();
    expect(inject(network, routed(a, b.nodeId, 9), b.transport.localAddress, relay)).toEqual([]);
    expect(relay.core.counters.routedBounce).toBe(1);
  });

  it("lets a packet go round a circle of routes no more often than it has hops to make", () => {
    const network = createTestNetwork(4);
    const [a, ...circle] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
    a.connect(circle[0]);
    circle.forEach((node, i) => {
      const next = circle[(i + 1) % circle.length] as TestNode;
      node.connect(next);
      node.core.addRoute(42n, next.transport.localAddress);
    });
    network.net.inject(routed(a, 42n, 8), a.transport.localAddress, circle[0].transport.localAddress);
    network.advance(1_000);
    const sum = (name: "forwarded" | "routedExpired") =>
      circle.reduce((total, { core }) => total + core.counters[name], 0);
    expect([sum("forwarded"), sum("routedExpired")]).toEqual([8, 1]);
  });

  it("sends nothing to a blocked next hop until it is unblocked", () => {
    const { network, a, b, relay } = triangle();
    relay.core.block(b.transport.localAddress);
    expect(inject(network, routed(a, b.nodeId, 9), a.transport.localAddress, relay)).toEqual([]);
    expect(relay.core.counters.blockedDestination).toBe(1);
    relay.core.unblock(b.transport.localAddress);
    expect(inject(network, routed(a, b.nodeId, 9), a.transport.localAddress, relay).length).toBe(1);
  });

  it("follows routes set by hand, and forgets removed ones", () => {
    const { network, a, b, relay } = triangle();
    relay.core.addRoute(42n, b.transport.localAddress);
    expect(inject(network, routed(a, 42n, 9), a.transport.localAddress, relay).length).toBe(1);
    expect(relay.core.removeRoute(42n)).toBe(true);
    expect(relay.core.removeRoute(42n)).toBe(false);
    expect(inject(network, routed(a, 42n, 9), a.transport.localAddress, relay)).toEqual([]);
  });

  it("forwards the smallest and the largest packets, and drops what is too short for one", () => {
    const { network, a, b, relay } = triangle();
    const from = a.transport.localAddress;
    expect(inject(network, routed(a, b.nodeId, 9, 86), from, relay).length).toBe(1);
    expect(inject(network, routed(a, b.nodeId, 9, 8_210), from, relay)[0]?.length).toBe(8_210);
    expect(inject(network, routed(a, b.nodeId, 9, 85), from, relay)).toEqual([]);
    expect(relay.core.counters.unknownPrefix).toBe(1);
  });

  it("does not look into what it forwards", () => {
    const { network, a, b, relay } = relayed({ node: { auditRelay: true } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(50, 1_000)).finish();
    until(network, () => to.ends > 0);
    const { counters } = relay.core;
    expect(counters.relayAudited).toBe(counters.forwarded);
    expect(counters.relayAudited).toBeGreaterThan(50);
    expect(counters.relayOpened).toBe(0);
    expect(relay.eventsOf("data")).toEqual([]);
    expect(relay.eventsOf("stream-opened")).toEqual([]);
  });
});

describe("the destination of a routed packet", () => {
  it("accepts it with a ttl of 0", () => {
    const { network, a, b, relay } = relayed();
    const to = new Receiving(b, a, 7n, RELIABLE);
    network.net.tap = (bytes, from) => {
      if (from.equals(a.transport.localAddress)) bytes[2] = 1;
      if (from.equals(relay.transport.localAddress) && bytes[3] === 1) expect(bytes[2]).toBe(0);
      return true;
    };
    new Sending(a, b, 7n, RELIABLE).write(...numbered(3)).finish();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(3));
  });

  it("drops it when the relay has changed one byte, and gets it when it is sent again", () => {
    const { network, a, b, relay } = relayed({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    let flips = 0;
    network.net.tap = (bytes, from, target) => {
      const passes = from.equals(relay.transport.localAddress) && target.equals(b.transport.localAddress);
      if (passes && bytes.length > 200 && flips++ < 5) {
        const at = ROUTING_HEADER_SIZE + HEADER_SIZE + flips;
        bytes[at] = (bytes[at] as number) ^ 0x40;
      }
      return true;
    };
    new Sending(a, b, 7n, RELIABLE).write(...numbered(20, 1_000)).finish();
    until(network, () => to.ends > 0);
    expect(b.core.counters.authFailed).toBe(5);
    expect(to.numbers).toEqual(range(20));
  });

  it("does not unpack a routing header inside another", () => {
    const { network, a, relay } = triangle();
    const bytes = routed(a, relay.nodeId, 9, 168);
    bytes.set(routed(a, relay.nodeId, 9, 150), ROUTING_HEADER_SIZE);
    inject(network, bytes, a.transport.localAddress, relay);
    expect(relay.core.counters.routedNested).toBe(1);
  });

  it("takes the routed heartbeat of a peer that never announced any for a mistake", () => {
    const network = createTestNetwork(1);
    const [ours] = network.nodes as [TestNode];
    const reference = network.add({ features: 0, heartbeatMs: 1_000 });
    reference.connect(ours);
    network.net.tap = (bytes, from, to) => {
      if (!from.equals(reference.transport.localAddress) || bytes[0] !== 0x45) return true;
      const wrapped = new Uint8Array(bytes.length + ROUTING_HEADER_SIZE);
      writeRoutingHeader(wrapped, 0, 9, 0, low32(reference.nodeId), 0, 0);
      writeU64(wrapped, 10, ours.nodeId);
      wrapped.set(bytes, ROUTING_HEADER_SIZE);
      network.net.inject(wrapped, from, to);
      return false;
    };
    network.advance(3_000);
    expect(ours.core.counters.routedHeartbeat).toBeGreaterThan(1);
  });
});
