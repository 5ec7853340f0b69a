import type { SeededRandom } from "@netmesh/mesh/testing";

/** Shapes of a mesh. All but the stars have at most four links a node on average, whatever their size. */
export const TOPOLOGIES = ["ring", "small-world", "random", "stars"] as const;
export type TopologyName = (typeof TOPOLOGIES)[number];

/** Share of the far links of a small world that lead somewhere else. */
const REWIRED = 0.1;

/** Who is linked with whom: the neighbours of every node, by number. */
export class Topology {
  readonly name: TopologyName;
  readonly neighbors: readonly Set<number>[];

  constructor(name: TopologyName, size: number) {
    this.name = name;
    this.neighbors = Array.from({ length: size }, () => new Set<number>());
  }

  get size(): number {
    return this.neighbors.length;
  }

  /** Links two nodes; false when they are one, or linked already. */
  link(a: number, b: number): boolean {
    if (a === b || this.of(a).has(b)) return false;
    this.of(a).add(b);
    this.of(b).add(a);
    return true;
  }

  /** The neighbours of a node. */
  of(node: number): Set<number> {
    return this.neighbors[node] as Set<number>;
  }

  /** Every link once, the lower number first. */
  *links(): Iterable<[number, number]> {
    for (let a = 0; a < this.size; a++) for (const b of this.of(a)) if (a < b) yield [a, b];
  }

  /** Hops from a node to all others over nodes for which `isUp` holds, up to `limit`; -1 for those it does not reach. */
  distances(from: number, isUp: (node: number) => boolean, limit: number = this.size): Int32Array {
    const hops = new Int32Array(this.size).fill(-1);
    hops[from] = 0;
    const queue = [from];
    for (const node of queue) {
      const next = (hops[node] as number) + 1;
      if (next > limit) break;
      for (const neighbor of this.of(node)) {
        if ((hops[neighbor] as number) >= 0 || !isUp(neighbor)) continue;
        hops[neighbor] = next;
        queue.push(neighbor);
      }
    }
    return hops;
  }
}

/** A connected mesh of that shape; the same one for the same state of `random`. */
export function makeTopology(name: TopologyName, size: number, random: SeededRandom): Topology {
  const topology = new Topology(name, size);
  switch (name) {
    case "ring":
      linkRound(topology, [...Array(size).keys()]);
      break;
    case "random":
      linkRound(topology, shuffled(size, random));
      linkRound(topology, shuffled(size, random));
      break;
    case "small-world":
      linkRound(topology, [...Array(size).keys()]);
      for (let i = 0; i < size; i++) {
        const isFar = random.chance(REWIRED);
        const there = isFar ? random.below(size) : (i + 2) % size;
        if (!topology.link(i, there)) topology.link(i, (i + 2) % size);
      }
      break;
    case "stars": {
      const hubs = Math.max(1, Math.round(Math.sqrt(size)) - 1);
      for (let i = 1; i < size; i++) topology.link(i, i <= hubs ? 0 : 1 + (i % hubs));
    }
  }
  return topology;
}

function linkRound(topology: Topology, order: readonly number[]): void {
  order.forEach((node, i) => {
    topology.link(node, order[(i + 1) % order.length] as number);
  });
}

function shuffled(size: number, random: SeededRandom): number[] {
  const order = [...Array(size).keys()];
  for (let i = size - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}
