import { graphId, NodeHealth, PeerFeature, PINGWAVE_SIZE, SocketAddress, writePingwave } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { OWN_FEATURES } from "../src/core/config.ts";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { codeOf } from "./traffic.ts";

const UNSEALED = OWN_FEATURES & ~PeerFeature.LIVENESS;

function pingwave(
  origin: bigint,
  fields: { sequence?: bigint; hopCount?: number; ttl?: number } = {},
): Uint8Array {
  const bytes = new Uint8Array(PINGWAVE_SIZE);
  writePingwave(bytes, 0, {
    originId: graphId(origin),
    sequence: 1n,
    ttl: 3,
    hopCount: 0,
    timestampUs: 1_790_000_000_000_000n,
    capabilityHash: 0n,
    capabilityVersion: 0,
    load: 0,
    health: NodeHealth.HEALTHY,
    hasGpu: false,
    modelSlots: 0,
    memoryTier: 0,
    tools: 0,
    capabilityFlags: 0,
    ...fields,
  });
  return bytes;
}

/** Nodes in a row, each connected to the next. */
function row(count: number, seed = 1): { network: TestNetwork; nodes: TestNode[] } {
  const network = createTestNetwork(count, { seed, conditions: { delayMs: 2, jitterMs: 1 } });
  const nodes = [...network.nodes];
  for (let i = 1; i < count; i++) nodes[i - 1]?.connect(nodes[i] as TestNode);
  return { network, nodes };
}

/** What the node knows of the others: hops by node id. */
function known(node: TestNode): Map<bigint, number> {
  return new Map(node.core.discoveredNodes.map(({ id, hops }) => [id, hops]));
}

/** A node that listens to plain pingwaves, as it does of nodes of the reference, and one that sends them. */
function listening(): {
  network: TestNetwork;
  node: TestNode;
  other: TestNode;
  tell: (bytes: Uint8Array, from?: SocketAddress) => void;
} {
  const network = createTestNetwork(1);
  const [node] = network.nodes as [TestNode];
  const other = network.add({ features: UNSEALED });
  other.connect(node);
  network.advance(6_000);
  return {
    network,
    node,
    other,
    tell: (bytes, from = other.transport.localAddress) => {
      network.net.inject(bytes, from, node.transport.localAddress);
      network.advance(1);
    },
  };
}

describe("nodes in a row", () => {
  it("are discovered by those up to four hops away, with the way to them", () => {
    const { network, nodes } = row(6);
    network.advance(11_000);
    const [first] = nodes as [TestNode];
    expect([...known(first)]).toEqual([1, 2, 3, 4].map((hops) => [nodes[hops]?.nodeId, hops]));
    for (const hops of [2, 3, 4]) {
      const id = (nodes[hops] as TestNode).nodeId;
      expect(first.core.route(id)?.key).toBe(nodes[1]?.transport.localAddress.key);
    }
    expect(first.core.route((nodes[5] as TestNode).nodeId)).toBeUndefined();
  });

  it("can be reached over the ways that were discovered", () => {
    const { network, nodes } = row(5);
    network.advance(11_000);
    const [first, second] = nodes as [TestNode, TestNode];
    first.connect(nodes[4] as TestNode, second);
    expect(first.core.peer((nodes[4] as TestNode).nodeId)?.session?.path.routed).toBe(true);
  });

  it("are forgotten, with routes, when they are heard no more", () => {
    const { network, nodes } = row(3);
    network.advance(11_000);
    const [first, , last] = nodes as [TestNode, TestNode, TestNode];
    expect(first.core.route(last.nodeId)).toBeDefined();
    last.kill();
    network.advance(45_000);
    expect(known(first).has(last.nodeId)).toBe(false);
    network.advance(400_000);
    expect(first.core.route(last.nodeId)).toBeUndefined();
    expect(first.core.discovery.destinations).toBe(1);
    expect(first.core.discovery.graph.expired).toBe(1);
  });

  it("are known again at once when they have restarted", () => {
    const { network, nodes } = row(3);
    network.advance(60_000);
    const [first, second, last] = nodes as [TestNode, TestNode, TestNode];
    last.kill();
    const { identity, transport } = last;
    const restarted = network.add({ identity, address: transport.localAddress });
    second.connect(restarted);
    const before = first.core.discoveredNodes.find(({ id }) => id === last.nodeId)?.lastSeenMs ?? 0;
    network.advance(6_000);
    const after = first.core.discoveredNodes.find(({ id }) => id === last.nodeId)?.lastSeenMs ?? 0;
    expect(after).toBeGreaterThan(before);
  });

  it("measure how far they are, and never by more than a clock's error", () => {
    const { network, nodes } = row(3);
    network.advance(20_000);
    const last = nodes[2] as TestNode;
    const found = nodes[0]?.core.discoveredNodes.find(({ id }) => id === last.nodeId);
    expect(found?.latencyUs).toBeGreaterThanOrEqual(4_000);
    expect(found?.latencyUs).toBeLessThanOrEqual(7_000);
  });
});

describe("pingwaves in a ring", () => {
  it("are told to every node and come to an end", () => {
    const { network, nodes } = row(6);
    (nodes[5] as TestNode).connect(nodes[0] as TestNode);
    network.advance(60_000);
    for (const node of nodes) expect(known(node).size).toBe(5);
    const sent = () => nodes.reduce((sum, { core }) => sum + core.counters.pingwavesSent, 0);
    const before = sent();
    network.advance(100_000);
    // Of each node about 22 waves, which cross each of the six links twice at most.
    expect(sent() - before).toBeLessThan(6 * 26 * 6 * 2);
  });
});

describe("how far pingwaves go", () => {
  it("is what the node says they do", () => {
    const network = createTestNetwork(3, { node: { discoveryHops: 0 } });
    const [a, b, c] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(b);
    b.connect(c);
    network.advance(12_000);
    expect([...known(a)]).toEqual([[b.nodeId, 1]]);
    expect(known(c).has(a.nodeId)).toBe(false);
  });

  it("is refused when they could not make so many hops", () => {
    const network = createTestNetwork(0);
    for (const discoveryHops of [-1, 16, 1.5, Number.NaN]) {
      expect(codeOf(() => network.add({ discoveryHops }))).toBe("config");
    }
  });
});

describe("a plain pingwave", () => {
  it("of a neighbour that sends no others is taken, with the route", () => {
    const { node, other, tell } = listening();
    const { pingwaveTaken } = node.core.counters;
    tell(pingwave(77n, { hopCount: 1 }));
    expect(node.core.counters.pingwaveTaken).toBe(pingwaveTaken + 1);
    expect(known(node).get(77n)).toBe(2);
    expect(node.core.route(77n)?.key).toBe(other.transport.localAddress.key);
  });

  it("from anywhere else is dropped", () => {
    const { node, tell } = listening();
    tell(pingwave(77n), SocketAddress.parse("192.0.2.1:7"));
    expect(known(node).has(77n)).toBe(false);
    expect(node.core.counters.pingwaveDropped).toBe(1);
    expect(node.core.discovery.pingwaves.unregistered).toBe(1);
  });

  it("that somebody sends from the address of a netmesh neighbour changes nothing", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    network.advance(6_000);
    const before = { ...b.core.discovery };
    network.net.inject(pingwave(77n), a.transport.localAddress, b.transport.localAddress);
    network.net.inject(
      pingwave(a.nodeId, { sequence: 2n ** 60n }),
      a.transport.localAddress,
      b.transport.localAddress,
    );
    network.advance(1);
    expect(b.core.counters.pingwaveForged).toBe(2);
    expect(b.core.discovery).toEqual(before);
    expect(b.core.route(77n)).toBeUndefined();
  });

  it("counts once, and not again when it is repeated", () => {
    const { node, tell } = listening();
    tell(pingwave(77n));
    const { graph } = node.core.discovery;
    for (let i = 0; i < 5; i++) tell(pingwave(77n));
    expect(node.core.discovery.graph).toEqual({
      ...graph,
      duplicates: graph.duplicates + 5,
      received: graph.received + 5,
    });
  });

  it("of this node itself, of one that went too far, and of no health is dropped", () => {
    const { node, tell } = listening();
    const sick = pingwave(78n);
    sick[63] = 9;
    for (const bytes of [pingwave(node.nodeId), pingwave(77n, { hopCount: 16 }), sick]) tell(bytes);
    expect(node.core.counters.pingwaveDropped + node.core.counters.unknownPrefix).toBe(3);
    expect(known(node).size).toBe(1);
  });

  it("never takes the place of the route of a session", () => {
    const { network, node, tell } = listening();
    const third = network.add();
    third.connect(node);
    tell(pingwave(third.nodeId, { sequence: 2n ** 60n }));
    expect(node.core.route(third.nodeId)?.key).toBe(third.transport.localAddress.key);
  });

  it("is one of a thousand a second that a neighbour may send", () => {
    const { node, network, other, tell } = listening();
    for (let i = 0; i < 6_000; i++) {
      network.net.inject(
        pingwave(77n, { sequence: BigInt(i + 1) }),
        other.transport.localAddress,
        node.transport.localAddress,
      );
    }
    tell(pingwave(78n));
    expect(node.core.discovery.pingwaves["rate-limited"]).toBeGreaterThan(1_900);
    expect(known(node).has(78n)).toBe(false);
    network.advance(1_000);
    tell(pingwave(78n));
    expect(known(node).has(78n)).toBe(true);
  });
});

describe("the application's own routes", () => {
  it("do not grow old, and sessions' do not while the peer is heard", () => {
    const { network, nodes } = row(2);
    const [a, b] = nodes as [TestNode, TestNode];
    a.core.addRoute(42n, b.transport.localAddress);
    network.advance(1_000_000);
    expect(a.core.route(42n)?.key).toBe(b.transport.localAddress.key);
    expect(a.core.route(b.nodeId)?.key).toBe(b.transport.localAddress.key);
  });
});

describe("a blocked neighbour", () => {
  it("is told nothing, and nothing is taken from it", () => {
    const { network, nodes } = row(3);
    const [a, b] = nodes as [TestNode, TestNode, TestNode];
    network.advance(6_000);
    b.core.block(a.transport.localAddress);
    const before = b.core.counters.blockedSource;
    const heard = a.core.counters.pingwaveTaken;
    network.advance(20_000);
    expect(a.core.counters.pingwaveTaken).toBe(heard);
    expect(b.core.counters.blockedSource).toBeGreaterThan(before);
  });
});
