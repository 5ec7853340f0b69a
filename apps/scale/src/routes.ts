import type { SimulatedNode, Simulation } from "./simulation.ts";

/** Hops after which a packet is taken to go round in a circle. */
const MAX_WALK = 64;

/** Two nodes, and how far they are apart. */
export interface Pair {
  readonly from: SimulatedNode;
  readonly to: SimulatedNode;
  /** Hops of the shortest way. */
  readonly distance: number;
}

/**
 * Hops that a packet would take by the routing tables of the nodes on its way; undefined when it would get lost on a node that
 * has no route, is gone, or has been passed before.
 */
export function walk(simulation: Simulation, from: SimulatedNode, to: SimulatedNode): number | undefined {
  let at = from;
  for (let hops = 0; hops < MAX_WALK; hops++) {
    if (at === to) return hops;
    const address = at.node.core.route(to.nodeId);
    const next = address && simulation.atAddress(address);
    if (next?.isUp !== true || !simulation.topology.of(at.index).has(next.index)) return undefined;
    at = next;
  }
  return undefined;
}

/**
 * Pairs of living nodes that living nodes connect, `least` to `most` hops apart, drawn at random; fewer than `count` where
 * there are few.
 */
export function drawPairs(simulation: Simulation, count: number, least: number, most: number): Pair[] {
  const { random, topology, living } = simulation;
  const isUp = (node: number) => simulation.at(node).isUp;
  const pairs: Pair[] = [];
  for (let i = 0; i < 4 * count && pairs.length < count; i++) {
    const from = living[random.below(living.length)] as SimulatedNode;
    const hops = topology.distances(from.index, isUp, most);
    const reached: number[] = [];
    hops.forEach((distance, node) => {
      if (distance >= least && distance <= most) reached.push(node);
    });
    if (reached.length === 0) continue;
    const index = reached[random.below(reached.length)] as number;
    pairs.push({ from, to: simulation.at(index), distance: hops[index] as number });
  }
  return pairs;
}

/** Share of the pairs that packets would find the way between. */
export function reachable(simulation: Simulation, pairs: readonly Pair[]): number {
  if (pairs.length === 0) return 1;
  let count = 0;
  for (const { from, to } of pairs) if (walk(simulation, from, to) !== undefined) count++;
  return count / pairs.length;
}

/** Length of the ways that packets would take, over that of the shortest: the mean of the pairs that have one. */
export function stretch(simulation: Simulation, pairs: readonly Pair[]): number | undefined {
  let sum = 0;
  let count = 0;
  for (const { from, to, distance } of pairs) {
    const hops = walk(simulation, from, to);
    if (hops === undefined) continue;
    sum += hops / distance;
    count++;
  }
  return count === 0 ? undefined : sum / count;
}
