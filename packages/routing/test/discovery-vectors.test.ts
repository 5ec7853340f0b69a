import {
  decodeBasicPingwave,
  encodeBasicPingwave,
  NodeHealth as Health,
  high32,
  low32,
  type NodeHealth,
  PINGWAVE_SIZE,
  PingwaveView,
  SocketAddress,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { LocalGraph, nodeScore, PingwaveNeighbor, ProximityGraph, type ProximityNode } from "../src/index.ts";
import { fromHex, toHex } from "./hex.ts";
import vectors from "./vectors/routing.json" with { type: "json" };

/** Node id of a graph id: its low 8 bytes. */
function idOf(graphId: string): bigint {
  return BigInt(`0x${graphId.slice(0, 16).match(/../g)?.reverse().join("")}`);
}

interface GraphAfter {
  readonly nodes: {
    node_id: string;
    addr: string;
    hops: number;
    latency_us: number;
    last_seq: number;
    capability_version: number;
    capability_hash: string;
    load_level: number;
    health: number;
    routing_score_latency: number;
    routing_score_hops: number;
  }[];
  readonly edges: { from: string; to: string; latency_us: number }[];
  readonly stats: Record<string, number>;
}

interface GraphStep {
  readonly op: string;
  readonly now_us?: string;
  readonly bytes?: string;
  readonly ms?: number;
  readonly pingwave?: string;
  readonly from_node?: string;
  readonly from_addr?: string;
  readonly forward?: string | null;
  readonly dest?: string;
  readonly path?: string[] | null;
  readonly removed?: number;
  readonly removed_nodes?: number;
  readonly removed_pingwaves?: number;
  readonly after?: GraphAfter;
}

describe("reference proximity graph", () => {
  const [run] = vectors.proximity_graph as unknown as { my_id: string; steps: GraphStep[] }[];
  const { my_id, steps } = run as { my_id: string; steps: GraphStep[] };
  const ownId = idOf(my_id);

  // The reference takes any 32 bytes for a graph id, here 09 × 32; ours is a node id, the rest zero.
  const asNodeId = (pingwave: string): string => pingwave.slice(0, 16) + "0".repeat(48) + pingwave.slice(64);

  it("agrees step by step, on node ids", () => {
    const graph = new ProximityGraph(ownId);
    const neighbors = new Map<bigint, PingwaveNeighbor>();
    let nowMs = 0;
    for (const [index, step] of steps.entries()) {
      const at = `step ${index}: ${step.op}`;
      const health: NodeHealth = step.op.includes("Degraded") ? Health.DEGRADED : Health.HEALTHY;
      if (step.op.includes("create_pingwave")) {
        if (step.op.includes("set_local_load")) graph.setLocalLoad(200);
        const bytes = new Uint8Array(PINGWAVE_SIZE);
        graph.createPingwave(bytes, 0, health, Number(step.now_us));
        expect(toHex(bytes), at).toBe(asNodeId(step.bytes as string));
      } else if (step.op === "advance_ms") {
        nowMs += step.ms as number;
      } else if (step.op === "on_pingwave_from") {
        const id = idOf(step.from_node as string);
        const address = SocketAddress.parse(step.from_addr as string);
        const neighbor = neighbors.get(id) ?? new PingwaveNeighbor(id, address, {}, 0);
        neighbors.set(id, neighbor);
        const bytes = fromHex(step.pingwave as string);
        const view = new PingwaveView().wrap(bytes);
        const verdict = graph.onPingwave(view, neighbor, neighbors.size, nowMs, Number(step.now_us));
        expect(verdict === "forward" ? toHex(bytes) : null, at).toBe(step.forward);
      } else if (step.op === "path_to") {
        expect(graph.pathTo(idOf(step.dest as string)) ?? null, at).toEqual(step.path?.map(idOf) ?? null);
      } else if (step.op === "cleanup") {
        expect(graph.cleanup(nowMs), at).toEqual({
          nodes: step.removed_nodes,
          pingwaves: step.removed_pingwaves,
        });
      } else {
        expect(graph.sweepStaleEdges(step.ms as number, nowMs), at).toBe(step.removed);
      }
      if (step.after !== undefined) expectAfter(graph, step.after, at);
    }
  });

  function expectAfter(graph: ProximityGraph, after: GraphAfter, at: string): void {
    const shown = after.nodes.map((node) => {
      const found = graph.node(idOf(node.node_id)) as ProximityNode;
      expect(nodeScore(found, true), at).toBeCloseTo(node.routing_score_latency, 9);
      expect(nodeScore(found, false), at).toBeCloseTo(node.routing_score_hops, 9);
      return {
        node_id: node.node_id,
        addr: found.address.key,
        hops: found.hops,
        latency_us: found.latencyUs,
        last_seq: found.lastSequence,
        capability_version: found.capabilities.version,
        capability_hash: `${found.capabilities.hash}`,
        load_level: found.load,
        health: found.health as number,
        routing_score_latency: node.routing_score_latency,
        routing_score_hops: node.routing_score_hops,
      };
    });
    expect(shown, at).toEqual(after.nodes);
    for (const { from, to, latency_us } of after.edges) {
      expect(graph.edgeLatencyUs(idOf(from), idOf(to)), at).toBe(latency_us);
    }
    const stats = graph.stats();
    expect(
      {
        nodes: stats.nodes,
        edges: stats.edges,
        sent: stats.sent,
        received: stats.received,
        forwarded: stats.forwarded,
        dropped: stats.duplicates,
        discovered: stats.discovered,
        expired: stats.expired,
        dedup_cache: stats.seen,
      },
      at,
    ).toEqual({ nodes: after.nodes.length, edges: after.edges.length, ...after.stats });
  }
});

interface LocalNodeShown {
  readonly node_id: number;
  readonly addr: string;
  readonly hops: number;
  readonly last_seq: number;
  readonly age_ms: number;
}

interface LocalStep {
  readonly op: string;
  readonly bytes?: string;
  readonly origin_id?: number;
  readonly seq?: number;
  readonly ttl?: number;
  readonly hop_count?: number;
  readonly from?: string;
  readonly forward?: { bytes: string } | null;
  readonly nodes?: LocalNodeShown[];
  readonly ms?: number;
  readonly removed_nodes?: number;
  readonly removed_pingwaves?: number;
  readonly pingwave_cache_size?: number;
  readonly edges?: [number, number][];
  readonly dest?: number;
  readonly path?: number[] | null;
}

describe("reference local graph", () => {
  const [run] = vectors.local_graph as unknown as { my_id: number; radius: number; steps: LocalStep[] }[];
  const { my_id, radius, steps } = run as { my_id: number; radius: number; steps: LocalStep[] };

  it("agrees step by step", () => {
    const graph = new LocalGraph(BigInt(my_id), { radius });
    let nowMs = 0;
    for (const [index, step] of steps.entries()) {
      const at = `step ${index}: ${step.op}`;
      if (step.op === "create_pingwave") {
        expect(toHex(encodeBasicPingwave(graph.createPingwave())), at).toBe(step.bytes);
      } else if (step.op === "on_pingwave") {
        const forward = graph.onPingwave(
          {
            origin: BigInt(step.origin_id as number),
            sequence: BigInt(step.seq as number),
            ttl: step.ttl as number,
            hopCount: step.hop_count as number,
          },
          SocketAddress.parse(step.from as string),
          nowMs,
        );
        expect(forward && toHex(encodeBasicPingwave(forward)), at).toBe(step.forward?.bytes);
      } else if (step.op === "advance_ms") {
        nowMs += step.ms as number;
      } else if (step.op === "cleanup") {
        expect(graph.cleanup(nowMs), at).toEqual({
          nodes: step.removed_nodes,
          pingwaves: step.removed_pingwaves,
        });
        expect(graph.stats().seen, at).toBe(step.pingwave_cache_size);
      } else {
        const paths = new LocalGraph(BigInt(my_id));
        for (const [from, to] of step.edges ?? []) paths.addEdge(BigInt(from), BigInt(to), 1, 0);
        expect(paths.pathTo(BigInt(step.dest as number))?.map(Number) ?? null, at).toEqual(step.path);
      }
      if (step.nodes !== undefined) expect(shownNodes(graph, nowMs), at).toEqual(step.nodes);
    }
  });

  function shownNodes(graph: LocalGraph, nowMs: number): LocalNodeShown[] {
    return graph
      .nodes()
      .sort((a, b) => Number(a.id - b.id))
      .map((node) => ({
        node_id: Number(node.id),
        addr: node.address.key,
        hops: node.hops,
        last_seq: Number(node.lastSequence),
        age_ms: nowMs - node.lastSeenMs,
      }));
  }

  it("forwards what decodes to the ttl and hop count of the vectors", () => {
    const forwards = steps.flatMap((step) => (step.forward ? [step.forward] : []));
    for (const forward of forwards as { ttl: number; hop_count: number; bytes: string }[]) {
      expect(decodeBasicPingwave(fromHex(forward.bytes))).toMatchObject({
        ttl: forward.ttl,
        hopCount: forward.hop_count,
      });
    }
    expect(forwards.length).toBeGreaterThan(0);
  });
});

it("splits node ids into the halves that pingwaves carry", () => {
  const id = 0x1122334455667788n;
  const neighbor = new PingwaveNeighbor(id, SocketAddress.parse("10.0.0.1:9001"), {}, 0);
  expect([neighbor.lo, neighbor.hi]).toEqual([low32(id), high32(id)]);
});
