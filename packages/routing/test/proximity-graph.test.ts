import {
  encodePingwave,
  graphId,
  NodeHealth,
  type PingwaveFields,
  PingwaveView,
  SocketAddress,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  type GraphVerdict,
  isAvailable,
  PingwaveNeighbor,
  ProximityGraph,
  RoutingError,
} from "../src/index.ts";

const SELF = 0x1122334455667788n;
const Y = 0xaaaa_0000_0000_0001n;
const Z = 0xbbbb_0000_0000_0002n;
const WALL_US = 1_700_000_000_000_000;

const z = (): PingwaveNeighbor => new PingwaveNeighbor(Z, SocketAddress.parse("10.0.0.2:9002"), {}, 0);
const y = (): PingwaveNeighbor => new PingwaveNeighbor(Y, SocketAddress.parse("10.0.0.1:9001"), {}, 0);

function pingwave(origin: bigint, fields: Partial<Omit<PingwaveFields, "originId">> = {}): PingwaveView {
  const bytes = encodePingwave({
    originId: graphId(origin),
    sequence: 1n,
    ttl: 3,
    hopCount: 0,
    timestampUs: BigInt(WALL_US),
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
  return new PingwaveView().wrap(bytes);
}

function tell(graph: ProximityGraph, wave: PingwaveView, from: PingwaveNeighbor, nowMs = 0): GraphVerdict {
  return graph.onPingwave(wave, from, 2, nowMs, WALL_US);
}

describe("pingwaves", () => {
  it("make a node a hop away known, once, and again with the next sequence", () => {
    const graph = new ProximityGraph(SELF);
    const from = y();
    expect(tell(graph, pingwave(Y), from)).toBe("forward");
    expect(graph.node(Y)).toMatchObject({ hops: 1, lastSequence: 1, address: from.address });
    expect(tell(graph, pingwave(Y), from)).toBe("duplicate");
    expect(tell(graph, pingwave(Y, { sequence: 2n }), from)).toBe("forward");
    expect(graph.node(Y)?.lastSequence).toBe(2);
    expect(graph.nodeCount).toBe(1);
  });

  it("of this node itself are not stored", () => {
    const graph = new ProximityGraph(SELF);
    expect(tell(graph, pingwave(SELF), y())).toBe("own");
    expect(graph.nodeCount).toBe(0);
  });

  it("are forwarded three times with ttl 3, and processed by the fourth node", () => {
    const wave = pingwave(Y);
    const verdicts = [1n, 2n, 3n, 4n].map((id) => tell(new ProximityGraph(id), wave, y()));
    expect(verdicts).toEqual(["forward", "forward", "forward", "accepted"]);
    expect([wave.ttl, wave.hopCount]).toEqual([0, 3]);
  });

  it("of 255 hops stay at 255, in the packet and in the graph", () => {
    const graph = new ProximityGraph(SELF);
    const wave = pingwave(Y, { hopCount: 255, ttl: 9 });
    tell(graph, wave, z());
    expect([wave.hopCount, graph.node(Y)?.hops]).toEqual([255, 255]);
  });

  it("of a newer sequence over a longer path advance the sequence and leave the path", () => {
    const graph = new ProximityGraph(SELF);
    const near = y();
    tell(graph, pingwave(Y), near);
    tell(graph, pingwave(Y, { sequence: 2n, hopCount: 6 }), z());
    expect(graph.node(Y)).toMatchObject({ lastSequence: 2, hops: 1, address: near.address });
  });

  it("over a longer path replace one that was not confirmed for ten seconds (W8)", () => {
    const graph = new ProximityGraph(SELF);
    const far = z();
    tell(graph, pingwave(Y), y(), 0);
    tell(graph, pingwave(Y, { sequence: 2n, hopCount: 1 }), far, 10_000);
    expect(graph.node(Y)?.hops).toBe(1);
    tell(graph, pingwave(Y, { sequence: 3n, hopCount: 1 }), far, 10_001);
    expect(graph.node(Y)).toMatchObject({ hops: 2, address: far.address });
  });

  it("whose copies keep coming over the best path keep it, though another path is faster", () => {
    const graph = new ProximityGraph(SELF);
    const [near, far] = [y(), z()];
    tell(graph, pingwave(Y), near, 0);
    for (let i = 2; i < 9; i++) {
      const sequence = BigInt(i);
      tell(graph, pingwave(Y, { sequence, hopCount: 3 }), far, i * 5_000);
      const copy = pingwave(Y, { sequence });
      expect(tell(graph, copy, near, i * 5_000)).toBe("duplicate");
      expect(graph.confirmsPath(copy, near, i * 5_000)).toBe(true);
      expect(graph.confirmsPath(copy, near, i * 5_000)).toBe(false);
    }
    expect(graph.node(Y)).toMatchObject({ hops: 1, address: near.address });
    expect(graph.confirmsPath(pingwave(99n), near, 0)).toBe(false);
  });

  it("that are older than the newest change nothing, unless their origin has been silent", () => {
    const graph = new ProximityGraph(SELF);
    const from = y();
    tell(graph, pingwave(Y, { sequence: 100n, capabilityVersion: 5 }), from, 0);
    expect(tell(graph, pingwave(Y, { sequence: 99n, load: 77 }), from, 9_999)).toBe("stale");
    expect(graph.node(Y)).toMatchObject({ lastSequence: 100, load: 0, lastSeenMs: 0 });
    expect(tell(graph, pingwave(Y, { sequence: 1n, load: 77, capabilityVersion: 1 }), from, 10_000)).toBe(
      "forward",
    );
    expect(graph.node(Y)).toMatchObject({ lastSequence: 1, load: 77, capabilities: { version: 1 } });
  });

  it("of a restarted origin are news again after a cleanup", () => {
    const graph = new ProximityGraph(SELF);
    const from = y();
    tell(graph, pingwave(Y), from, 0);
    expect(graph.cleanup(30_000)).toEqual({ nodes: 0, pingwaves: 1 });
    expect(graph.cleanup(30_001)).toEqual({ nodes: 1, pingwaves: 0 });
    expect(from.introduced).toBe(0);
    expect(tell(graph, pingwave(Y), from, 30_001)).toBe("forward");
  });

  it("carry capabilities that count when their version is higher", () => {
    const graph = new ProximityGraph(SELF);
    const from = y();
    tell(
      graph,
      pingwave(Y, { capabilityVersion: 2, hasGpu: true, modelSlots: 3, memoryTier: 4, tools: 5 }),
      from,
    );
    tell(graph, pingwave(Y, { sequence: 2n, capabilityVersion: 1, hasGpu: false }), from);
    expect(graph.node(Y)?.capabilities).toEqual({
      hash: 0n,
      version: 2,
      hasGpu: true,
      modelSlots: 3,
      memoryTier: 4,
      tools: 5,
      flags: 0,
    });
    expect(graph.stats().capabilityUpdates).toBe(1);
  });

  it("from a clock that is ahead have no latency rather than a negative one", () => {
    const graph = new ProximityGraph(SELF);
    tell(graph, pingwave(Y, { timestampUs: 2n ** 63n }), y());
    expect(graph.node(Y)?.latencyUs).toBe(0);
  });
});

describe("own pingwaves", () => {
  it("count up, and carry what this node was told about itself", () => {
    const graph = new ProximityGraph(SELF, { radius: 5, firstSequence: 1_000 });
    graph.setLocalLoad(9);
    graph.setLocalCapabilities({ hash: 7n, hasGpu: true, modelSlots: 1, memoryTier: 2, tools: 3, flags: 4 });
    const bytes = new Uint8Array(80);
    graph.createPingwave(bytes, 8, NodeHealth.DEGRADED, WALL_US + 0.7);
    graph.createPingwave(bytes, 8, NodeHealth.DEGRADED, WALL_US + 0.7);
    const view = new PingwaveView().wrap(bytes, 8);
    expect(view.origin).toBe(SELF);
    expect(view.hasNodeId).toBe(true);
    expect([view.sequenceLo, view.ttl, view.hopCount, view.timestampUs]).toEqual([1_001, 5, 0, WALL_US]);
    expect([view.load, view.health, view.capabilityVersion]).toEqual([9, NodeHealth.DEGRADED, 1]);
    expect([view.capabilityHashLo, view.capabilityHashHi, view.capabilityFlags]).toEqual([7, 0, 4]);
    expect([view.hasGpu, view.modelSlots, view.memoryTier, view.tools]).toEqual([true, 1, 2, 3]);
  });

  it("say nothing that does not fit", () => {
    const graph = new ProximityGraph(SELF);
    const wide = { hash: 7n, hasGpu: true, modelSlots: 256, memoryTier: 2, tools: 3, flags: 4 };
    expect(() => graph.setLocalCapabilities(wide)).toThrow("modelSlots");
    expect(() => graph.setLocalLoad(256)).toThrow("load");
    const bytes = new Uint8Array(72);
    graph.createPingwave(bytes, 0, NodeHealth.HEALTHY, 0);
    expect(new PingwaveView().wrap(bytes)).toMatchObject({ load: 0, capabilityVersion: 0, sequenceLo: 1 });
  });

  it("use up no sequence when they cannot be written", () => {
    const graph = new ProximityGraph(SELF);
    expect(() => graph.createPingwave(new Uint8Array(71), 0, NodeHealth.HEALTHY, 0)).toThrow();
    const bytes = new Uint8Array(72);
    graph.createPingwave(bytes, 0, NodeHealth.HEALTHY, 0);
    expect(new PingwaveView().wrap(bytes).sequenceLo).toBe(1);
  });
});

describe("paths", () => {
  it("lead over the neighbour that told, until the edges are swept", () => {
    const graph = new ProximityGraph(SELF);
    tell(graph, pingwave(Y, { hopCount: 1 }), z(), 0);
    expect(graph.pathTo(Y)).toEqual([SELF, Z, Y]);
    expect(graph.pathTo(SELF)).toEqual([SELF]);
    expect(graph.sweepStaleEdges(100, 100)).toBe(0);
    expect(graph.sweepStaleEdges(100, 101)).toBe(2);
    expect(graph.pathTo(Y)).toBeUndefined();
  });

  it("lead nowhere from a node whose only neighbour has gone", () => {
    const graph = new ProximityGraph(SELF);
    const neighbor = z();
    tell(graph, pingwave(Y, { hopCount: 1 }), neighbor);
    graph.removeNeighbor(neighbor);
    expect(graph.pathTo(Y)).toBeUndefined();
  });

  it("are the shortest there are", () => {
    const graph = new ProximityGraph(SELF);
    const [near, far] = [y(), z()];
    tell(graph, pingwave(77n, { hopCount: 2 }), far);
    tell(graph, pingwave(Y), near);
    tell(graph, pingwave(Z, { hopCount: 1 }), near);
    expect(graph.pathTo(77n)).toEqual([SELF, Z, 77n]);
    graph.removeNeighbor(far);
    expect(graph.pathTo(77n)).toEqual([SELF, Y, Z, 77n]);
    graph.removeNeighbor(far);
    expect(graph.pathTo(Y)).toEqual([SELF, Y]);
  });

  it("have latencies that move towards new samples without reaching them", () => {
    const graph = new ProximityGraph(SELF);
    const from = z();
    tell(graph, pingwave(Y, { hopCount: 1, timestampUs: BigInt(WALL_US - 10_000) }), from);
    for (let i = 2; i < 6; i++) {
      const sequence = BigInt(i);
      tell(graph, pingwave(Y, { sequence, hopCount: 1, timestampUs: BigInt(WALL_US - 50_000) }), from);
    }
    expect(graph.edgeLatencyUs(Z, Y)).toBeGreaterThan(25_000);
    expect(graph.edgeLatencyUs(Z, Y)).toBeLessThan(50_000);
  });

  it("take round trips for the latency to a neighbour (W10)", () => {
    const graph = new ProximityGraph(SELF);
    const from = y();
    graph.recordRoundTrip(from, 2_001, 0);
    expect(graph.edgeLatencyUs(SELF, Y)).toBe(1_000);
    expect(graph.edgeLatencyUs(Y, SELF)).toBeUndefined();
  });
});

describe("bounds", () => {
  it("share the last quarter of the room equally among the neighbours", () => {
    const graph = new ProximityGraph(SELF, { maxNodes: 100 });
    const [greedy, modest] = [y(), z()];
    const verdicts: GraphVerdict[] = [];
    for (let id = 1n; id <= 200n; id++) verdicts.push(tell(graph, pingwave(id), greedy));
    expect(verdicts.filter((each) => each !== "full")).toHaveLength(75);
    for (let id = 201n; id <= 300n; id++) tell(graph, pingwave(id), modest);
    expect([greedy.introduced, modest.introduced]).toEqual([75, 25]);
    expect(graph.stats()).toMatchObject({ nodes: 100, refused: 125 + 75 });
  });

  it("hold for edges, too", () => {
    const graph = new ProximityGraph(SELF, { maxEdges: 3 });
    for (let id = 1n; id <= 9n; id++) tell(graph, pingwave(id, { hopCount: 1 }), z());
    expect(graph.stats()).toMatchObject({ nodes: 9, edges: 3, edgesRefused: 7 });
  });

  it("hold for the memory of pingwaves, where the oldest goes first", () => {
    const graph = new ProximityGraph(SELF, { maxSeen: 100 });
    const from = y();
    for (let i = 1n; i <= 300n; i++) expect(tell(graph, pingwave(i), from)).toBe("forward");
    expect(graph.stats().seen).toBe(100);
    expect(tell(graph, pingwave(300n), from)).toBe("duplicate");
    expect(tell(graph, pingwave(201n), from)).toBe("duplicate");
    expect(graph.cleanup(10_001).pingwaves).toBe(100);
  });

  it("must make sense", () => {
    for (const options of [
      { radius: 16 },
      { radius: -1 },
      { maxNodes: 0 },
      { nodeTimeoutMs: -1 },
      { maxSeen: 0.5 },
    ]) {
      expect(() => new ProximityGraph(SELF, options)).toThrow(RoutingError);
    }
  });
});

describe("queries", () => {
  function graphOf(): ProximityGraph {
    const graph = new ProximityGraph(SELF);
    const from = z();
    const node = (id: bigint, latencyUs: number, fields: Parameters<typeof pingwave>[1] = {}): void => {
      tell(
        graph,
        pingwave(id, { timestampUs: BigInt(WALL_US - latencyUs), capabilityVersion: 1, ...fields }),
        from,
      );
    };
    node(1n, 30_000, { hasGpu: true });
    node(2n, 10_000, { health: NodeHealth.DEGRADED });
    node(3n, 1_000, { health: NodeHealth.UNHEALTHY, hasGpu: true });
    node(4n, 20_000, { hopCount: 2 });
    node(5n, 20_000, { hopCount: 2 });
    return graph;
  }

  it("find the nodes that can take work, best first", () => {
    const graph = graphOf();
    expect(graph.findBest(9).map(({ id }) => id)).toEqual([4n, 5n, 1n, 2n]);
    expect(graph.findBest(1, { requiresGpu: true }).map(({ id }) => id)).toEqual([1n]);
    expect(graph.nodes().filter(isAvailable)).toHaveLength(4);
  });

  it("find near nodes", () => {
    const graph = graphOf();
    expect(graph.nodesWithinHops(1)).toHaveLength(3);
    expect(graph.nearestLatencyUs((node) => node.capabilities.hasGpu)).toBe(1_000);
    expect(graph.nearestLatencyUs(() => false)).toBeUndefined();
    expect(graph.has(1, 0)).toBe(true);
    expect(graph.node(99n)).toBeUndefined();
  });

  it("tell how far nodes are, and how long they have been silent", () => {
    const graph = graphOf();
    const hops: number[] = [];
    graph.forEachHops((each) => hops.push(each));
    expect(hops.sort()).toEqual([1, 1, 1, 3, 3]);
    expect(graph.silenceMs(1, 0, 500)).toBe(500);
    expect(graph.silenceMs(99, 0, 500)).toBe(Number.POSITIVE_INFINITY);
  });
});
