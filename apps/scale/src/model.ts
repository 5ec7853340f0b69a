import type { FloodMode } from "./simulation.ts";
import type { Topology } from "./topology.ts";

/** Bytes of the datagrams that a mesh consists of when nothing is carried: header, tag, and what is between. */
const HEARTBEAT_BYTES = 84;
const PINGWAVE_BYTES = 161;
/** Heartbeats come every five seconds, pingwaves after 0.8 to 1 times that. */
const HEARTBEAT_S = 5;
const PINGWAVE_S = 4.5;
const RENEWAL_S = 150;
/** Hops over which pingwaves are passed on, and announcements. */
const PINGWAVE_HOPS = 3;
const ANNOUNCEMENT_HOPS = 15;
const FLOOD_NODES = 256;

/** What a node sends on average with nothing to carry, in bytes a second. */
export interface ModelledTraffic {
  readonly heartbeat: number;
  readonly pingwave: number;
  readonly announcement: number;
}

/**
 * Control traffic by counting the copies that the rules of floods make, for meshes that are too large to be simulated: a node sends
 * what it is the origin of to every neighbour, and passes on what comes from within its radius to every neighbour but one.
 *
 * @param announcementBytes - size of the datagram that carries one
 * @param sample - nodes that are looked at, at even distances
 */
export function modelTraffic(
  topology: Topology,
  mode: FloodMode,
  announcementBytes: number,
  sample = 200,
): ModelledTraffic {
  const count = Math.min(sample, topology.size);
  let links = 0;
  let pingwaves = 0;
  let announcements = 0;
  for (let i = 0; i < count; i++) {
    const node = Math.floor((i * topology.size) / count);
    const degree = topology.of(node).size;
    const population = populationByHops(topology, node);
    const radius = mode === "flood" ? ANNOUNCEMENT_HOPS : radiusOf(population);
    links += degree;
    pingwaves += degree + (degree - 1) * within(population, Math.min(PINGWAVE_HOPS, radius));
    announcements += degree + (degree - 1) * within(population, Math.min(ANNOUNCEMENT_HOPS, radius));
  }
  return {
    heartbeat: ((links / count) * HEARTBEAT_BYTES) / HEARTBEAT_S,
    pingwave: ((pingwaves / count) * PINGWAVE_BYTES) / PINGWAVE_S,
    announcement: ((announcements / count) * announcementBytes) / RENEWAL_S,
  };
}

/** Nodes by their hops from a node, 1 to 16. */
function populationByHops(topology: Topology, node: number): number[] {
  const population = Array<number>(ANNOUNCEMENT_HOPS + 2).fill(0);
  for (const hops of topology.distances(node, () => true, ANNOUNCEMENT_HOPS + 1)) {
    if (hops > 0) population[hops] = (population[hops] as number) + 1;
  }
  return population;
}

function radiusOf(population: readonly number[]): number {
  let radius = 1;
  while (radius < ANNOUNCEMENT_HOPS && within(population, radius + 1) <= FLOOD_NODES) radius++;
  return radius;
}

function within(population: readonly number[], hops: number): number {
  let nodes = 0;
  for (let i = 1; i <= hops; i++) nodes += population[i] as number;
  return nodes;
}
