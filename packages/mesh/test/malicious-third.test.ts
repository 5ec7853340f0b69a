import {
  encodeSealedPingwave,
  graphId,
  isRoutingHeader,
  NodeHealth,
  PINGWAVE_SIZE,
  writePingwave,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { SeededRandom, TestNetwork, type TestNode } from "../src/testing/index.ts";
import { tell } from "./control-event.ts";
import { numbered, RELIABLE, Receiving, range, Sending, withSeeds } from "./traffic.ts";

const NODES = 15;
const DEGREE = 6;
/** Where a routing header counts its hops. */
const HOP_COUNT = 3;

interface Mesh {
  readonly network: TestNetwork;
  readonly honest: TestNode[];
  readonly malicious: Set<TestNode>;
  readonly neighbors: Map<TestNode, TestNode[]>;
  readonly random: SeededRandom;
}

/** A random mesh in which every third node is malicious, and the honest ones hang together. */
function makeMesh(seed: number): Mesh {
  const network = new TestNetwork({ seed, conditions: { delayMs: 5, jitterMs: 5 } });
  const random = new SeededRandom(seed ^ 0xbad);
  for (let i = 0; i < NODES; i++) network.add();
  const { nodes } = network;
  const malicious = new Set(nodes.filter((_, i) => i % 3 === 2));
  const honest = nodes.filter((node) => !malicious.has(node));
  const neighbors = new Map<TestNode, TestNode[]>(nodes.map((node) => [node, []]));
  const link = (a: TestNode, b: TestNode) => {
    if (a === b || neighbors.get(a)?.includes(b)) return;
    a.connect(b);
    neighbors.get(a)?.push(b);
    neighbors.get(b)?.push(a);
  };
  honest.forEach((node, i) => {
    link(node, honest[(i + 1) % honest.length] as TestNode);
  });
  for (const node of nodes) {
    while ((neighbors.get(node)?.length ?? 0) < DEGREE) {
      link(node, nodes[random.below(NODES)] as TestNode);
    }
  }
  return { network, honest, malicious, neighbors, random };
}

/** What malicious relays do to the packets of others: drop, flip bits of, repeat, or send back to where nobody wants them. */
function misbehave({ network, malicious, random }: Mesh): void {
  const bad = new Map([...malicious].map((node) => [node.transport.localAddress.key, node]));
  network.net.tap = (bytes, from, to) => {
    const node = bad.get(from.key);
    // Its own packets are in its interest.
    if (node === undefined || !isRoutingHeader(bytes, 0, bytes.length) || bytes[HOP_COUNT] === 0)
      return undefined;
    switch (random.below(4)) {
      case 0:
        return false;
      case 1:
        flip(bytes, random.below(8 * bytes.length));
        return undefined;
      case 2: {
        const copy = bytes.slice();
        // Not through the tap again: its source is nobody's whom the tap knows.
        network.clock.after(50, () => network.net.inject(copy, network.net.bind().localAddress, to));
        return undefined;
      }
      default:
        return false;
    }
  };
}

/** What malicious nodes tell their neighbours: to be next to everybody, in the far future, and about nodes that do not exist. */
function lie({ network, honest, malicious, neighbors, random }: Mesh): void {
  for (const liar of malicious) {
    for (const neighbor of neighbors.get(liar) ?? []) {
      for (let i = 0; i < 12; i++) {
        const isInvented = i % 2 === 0;
        const origin = isInvented
          ? BigInt(random.uint32()) + 1n
          : (honest[random.below(honest.length)] as TestNode).nodeId;
        tell(
          network,
          liar,
          neighbor,
          encodeSealedPingwave(pingwave(origin, i % 3 === 0 ? 2n ** 63n : 1n), 0),
        );
      }
    }
  }
}

function pingwave(origin: bigint, sequence: bigint): Uint8Array {
  const bytes = new Uint8Array(PINGWAVE_SIZE);
  writePingwave(bytes, 0, {
    originId: graphId(origin),
    sequence,
    ttl: 255,
    hopCount: 0,
    timestampUs: 2n ** 62n,
    capabilityHash: 0n,
    capabilityVersion: 0,
    load: 0,
    health: NodeHealth.HEALTHY,
    hasGpu: false,
    modelSlots: 0,
    memoryTier: 0,
    tools: 0,
    capabilityFlags: 0,
  });
  return bytes;
}

/** Flips one bit. */
function flip(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
}

/** Honest nodes that are no neighbours, and an honest neighbour of both: `count` of them. */
function drawPaths(
  { honest, neighbors, malicious, random }: Mesh,
  count: number,
): [TestNode, TestNode, TestNode][] {
  const paths: [TestNode, TestNode, TestNode][] = [];
  for (let i = 0; i < 500 && paths.length < count; i++) {
    const from = honest[random.below(honest.length)] as TestNode;
    const relay = neighbors.get(from)?.[random.below(DEGREE)] as TestNode;
    const to = neighbors.get(relay)?.[random.below(DEGREE)] as TestNode;
    if (malicious.has(relay) || malicious.has(to) || to === from) continue;
    if (neighbors.get(from)?.includes(to) !== true) paths.push([from, relay, to]);
  }
  return paths;
}

describe("a mesh of which a third is malicious", () => {
  it("carries what honest nodes send each other over honest relays, and its memory and routes stay within bounds", () => {
    withSeeds([1], (seed) => {
      const mesh = makeMesh(seed);
      const { network, honest } = mesh;
      network.advance(11_000);
      misbehave(mesh);
      for (let round = 0; round < 3; round++) {
        lie(mesh);
        network.advance(5_000);
      }
      const paths = drawPaths(mesh, 5);
      expect(paths).toHaveLength(5);
      for (const [from, relay, to] of paths) {
        from.connect(to, relay);
        const receiving = new Receiving(to, from, 77n, RELIABLE);
        new Sending(from, to, 77n, RELIABLE).write(...numbered(20));
        network.advance(5_000);
        expect(receiving.numbers, `from ${honest.indexOf(from)} to ${honest.indexOf(to)}`).toEqual(range(20));
      }
      for (const node of honest) {
        const { graph, destinations, pingwaves } = node.core.discovery;
        expect(graph.nodes).toBeLessThan(10_000);
        expect(destinations).toBeLessThanOrEqual(16_384);
        expect(node.errors).toEqual([]);
        // Neighbours keep their own routes, whoever says to be nearer.
        for (const neighbor of mesh.neighbors.get(node) ?? []) {
          if (mesh.malicious.has(neighbor)) continue;
          expect(node.core.route(neighbor.nodeId)?.key).toBe(neighbor.transport.localAddress.key);
        }
        expect(pingwaves.stale + pingwaves["origin-limited"] + pingwaves.accepted).toBeGreaterThan(0);
      }
      const dropped = honest.reduce((sum, node) => sum + node.core.discovery.pingwaves.stale, 0);
      expect(dropped).toBeGreaterThan(0);
    });
  });
});
