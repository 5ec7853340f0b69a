import {
  type AdCapabilities,
  type BasicPingwave,
  decodeCapabilityAd,
  encodeCapabilityAd,
  SocketAddress,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { LocalGraph } from "../src/index.ts";

const A = SocketAddress.parse("10.0.0.1:9001");
const B = SocketAddress.parse("10.0.0.2:9002");

function pingwave(origin: bigint, sequence: bigint, hopCount = 0): BasicPingwave {
  return { origin, sequence, ttl: 3, hopCount };
}

const NOTHING: AdCapabilities = { hasGpu: false, memoryGb: 0, modelSlots: 0, tools: [], tags: [] };

describe("local graph", () => {
  it("ignores 15 after 20, and takes the new address with 1001 after 1000", () => {
    const graph = new LocalGraph(1n);
    graph.onPingwave(pingwave(2n, 20n), A, 0);
    graph.onPingwave(pingwave(2n, 15n), B, 1);
    expect(graph.node(2n)).toMatchObject({ lastSequence: 20n, address: A, lastSeenMs: 0 });
    graph.onPingwave(pingwave(3n, 1000n), A, 0);
    graph.onPingwave(pingwave(3n, 1001n), B, 1);
    expect(graph.node(3n)).toMatchObject({ lastSequence: 1001n, address: B });
  });

  it("takes what looks like a restart for a sign of life and no more", () => {
    const graph = new LocalGraph(1n);
    graph.onPingwave(pingwave(2n, 1000n), A, 0);
    graph.onPingwave(pingwave(2n, 3n), B, 7);
    expect(graph.node(2n)).toMatchObject({ lastSequence: 1000n, address: A, lastSeenMs: 7 });
  });

  it("does not let an old sequence over a shorter path change anything", () => {
    const graph = new LocalGraph(1n);
    graph.onPingwave(pingwave(2n, 20n, 5), A, 0);
    graph.onPingwave(pingwave(2n, 19n, 0), B, 1);
    expect(graph.node(2n)).toMatchObject({ lastSequence: 20n, address: A, hops: 6 });
  });

  it("knows so many nodes, and keeps updating those", () => {
    const graph = new LocalGraph(1n, { maxNodes: 2 });
    for (const origin of [2n, 3n, 4n]) graph.onPingwave(pingwave(origin, 1n), A, 0);
    graph.onPingwave(pingwave(2n, 2n), B, 0);
    expect(graph.stats()).toMatchObject({ nodes: 2, refused: 1 });
    expect(graph.node(2n)?.address).toBe(B);
    expect(graph.onCapability({ nodeId: 9n, version: 1, capabilities: NOTHING }, A, 0)).toBe(false);
  });

  it("neither follows nor forwards more pingwaves than it can remember, until a cleanup", () => {
    const graph = new LocalGraph(1n, { maxSeen: 2 });
    graph.onPingwave(pingwave(2n, 1n), A, 0);
    graph.onPingwave(pingwave(2n, 2n), A, 0);
    expect(graph.onPingwave(pingwave(2n, 3n), A, 0)).toBeUndefined();
    expect(graph.node(2n)?.lastSequence).toBe(2n);
    graph.cleanup(10_001);
    expect(graph.onPingwave(pingwave(2n, 3n), A, 10_001)).toBeDefined();
  });

  it("learns of a node by its ad, and takes only newer ones", () => {
    const graph = new LocalGraph(1n);
    const gpu = { ...NOTHING, hasGpu: true, tools: ["grep"], tags: ["blue"] };
    expect(graph.onCapability({ nodeId: 2n, version: 1, capabilities: gpu }, A, 0)).toBe(true);
    expect(graph.onCapability({ nodeId: 2n, version: 1, capabilities: NOTHING }, A, 0)).toBe(false);
    graph.onPingwave(pingwave(3n, 1n, 4), A, 0);
    const ids = [graph.withTool("grep"), graph.withTag("blue"), graph.withGpu(), graph.withinHops(3)];
    expect(ids.map((nodes) => nodes.map(({ id }) => id))).toEqual([[2n], [2n], [2n], [2n]]);
    expect(graph.withTag("red")).toEqual([]);
    expect(graph.node(2n)?.hops).toBe(0);
    expect(graph.node(99n)).toBeUndefined();
  });

  it("smooths latencies of its edges and forgets them with the nodes", () => {
    const graph = new LocalGraph(1n);
    graph.addEdge(1n, 2n, 100, 0);
    graph.addEdge(1n, 2n, 100, 1);
    expect(graph.pathTo(2n)).toEqual([1n, 2n]);
    graph.cleanup(30_002);
    expect(graph.stats().edges).toBe(0);
    expect(graph.pathTo(2n)).toBeUndefined();
  });
});

describe("capability ads", () => {
  it("cut strings to 255 bytes and are refused when cut short", () => {
    const ad = { nodeId: 2n, version: 1, capabilities: { ...NOTHING, tools: ["x".repeat(300)] } };
    const bytes = encodeCapabilityAd(ad);
    expect(decodeCapabilityAd(bytes)?.capabilities.tools[0]).toHaveLength(255);
    for (let length = 0; length < bytes.length; length += 13) {
      expect(decodeCapabilityAd(bytes.subarray(0, length))).toBeUndefined();
    }
  });
});
