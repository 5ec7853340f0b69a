import { SeededRandom } from "@netmesh/mesh/testing";
import { drawPairs, type Pair, reachable, stretch, walk } from "./routes.ts";
import type { TrafficKind } from "./simulated-aead.ts";
import { type FloodMode, type SimulatedNode, Simulation } from "./simulation.ts";
import { makeTopology, type TopologyName } from "./topology.ts";

/** Shares of the nodes that are killed, one after the other, and waited for. */
export const KILLED: readonly number[] = [0.01, 0.1, 0.3];
/** Pause between two announcements of a node at default settings, in seconds. */
const RENEWAL_S = 150;
/** Default pause between heartbeats, in milliseconds. */
const HEARTBEAT_MS = 5_000;
/** Pairs of nodes that are looked at: up to four hops apart, which is as far as pingwaves come, and any. */
const NEAR_PAIRS = 300;
const NEAR_HOPS = 4;
const FAR_PAIRS = 60;
/** Farthest that a handshake, and so a lookup, comes. */
const FAR_HOPS = 16;
/** From this size on a figure a node is worth having, and one round of pingwaves enough. */
const MANY_NODES = 100;
const VERY_MANY_NODES = 5_000;
const LOOKUP_PAUSE_MS = 20;
/** A mesh has converged, or healed, when so many of the near pairs have found a way. */
const ENOUGH = 0.99;
const STEP_MS = 500;
/** Longest wait for that. */
const LIMIT_MS = 60_000;
/** How long the two halves of a mesh do not hear each other. */
const PARTITION_MS = 40_000;

/** What to simulate. */
export interface ExperimentOptions {
  readonly topology: TopologyName;
  readonly nodes: number;
  readonly mode: FloodMode;
  readonly seed: number;
  /** Nodes that floods reach; default that of the engine. */
  readonly floodNodes?: number;
  /** Whether nodes are killed and the mesh is parted as well. */
  readonly withFailures: boolean;
}

/** What lookups of far nodes cost, on average. */
export interface LookupResult {
  /** Share of the pairs between which packets had a way without a lookup, and with one. */
  readonly reachableBefore: number;
  readonly reachableAfter: number;
  /** Bytes that all nodes together have sent for one. */
  readonly bytes: number;
  readonly milliseconds: number;
  /** Hops found over those of the shortest way. */
  readonly stretch: number | null;
}

/** What was measured; times in seconds, `null` where it took longer than a minute. */
export interface ExperimentResult extends ExperimentOptions {
  readonly links: number;
  /** From the last handshake until 99 % of the pairs up to four hops apart had a way. */
  readonly convergenceS: number | null;
  /** Bytes a node sends a second with nothing to carry, in all and by purpose. */
  readonly controlBytes: number;
  readonly controlBytesBy: Readonly<Record<TrafficKind, number>>;
  /** Bytes that all nodes together send for one announcement. */
  readonly bytesPerAnnouncement: number;
  readonly nearStretch: number | null;
  readonly far: LookupResult | null;
  readonly memoryBytesPerNode: number | null;
  /** Mean and most nodes that one knows by pingwaves and by announcements. */
  readonly knownByPingwave: number;
  readonly knownByAnnouncement: number;
  /** By the share of nodes killed. */
  readonly healing: readonly { readonly killed: number; readonly healedS: number | null }[];
  /** From the end of the partition until ways across were there again. */
  readonly mergeS: number | null;
  /** Time that the simulation has taken, which is no result and differs from run to run. */
  readonly realS: number;
}

/** Reads how much memory is in use after a collection; undefined where that cannot be had. */
export type MemoryGauge = () => number | undefined;

/** Simulates one mesh. */
export function runExperiment(options: ExperimentOptions, memory: MemoryGauge): ExperimentResult {
  const startedMs = performance.now();
  const { nodes, seed, mode } = options;
  const before = memory();
  const topology = makeTopology(options.topology, nodes, new SeededRandom(seed));
  const simulation = new Simulation(topology, mode, seed, options.floodNodes);
  simulation.connect();
  const convergenceS = wait(simulation, drawPairs(simulation, NEAR_PAIRS, 2, NEAR_HOPS));
  const quiet = measureQuiet(simulation);
  const announced = measureAnnouncements(simulation);
  const after = memory();
  const isKnown = before !== undefined && after !== undefined;
  const near = drawPairs(simulation, NEAR_PAIRS, 2, NEAR_HOPS);
  const nearStretch = stretch(simulation, near) ?? null;
  const far = measureFar(simulation, mode);
  const announcementBytes = announced.bytes / RENEWAL_S;
  return {
    ...options,
    links: [...topology.links()].length,
    convergenceS,
    controlBytes: quiet.total + announcementBytes,
    controlBytesBy: { ...quiet.by, announcement: announcementBytes },
    bytesPerAnnouncement: announced.bytes,
    nearStretch,
    far,
    memoryBytesPerNode: isKnown && nodes >= MANY_NODES ? (after - before) / nodes : null,
    knownByPingwave: mean(simulation.nodes.map(({ node }) => node.core.discovery.graph.nodes)),
    knownByAnnouncement: mean(simulation.nodes.map(({ node }) => node.core.capabilities.size)),
    mergeS: options.withFailures ? measureMerge(simulation) : null,
    healing: options.withFailures ? KILLED.map((killed) => measureHealing(simulation, killed)) : [],
    realS: (performance.now() - startedMs) / 1_000,
  };
}

/** Seconds until nearly all of the pairs have a way. */
function wait(simulation: Simulation, pairs: readonly Pair[]): number | null {
  for (let waitedMs = 0; waitedMs <= LIMIT_MS; waitedMs += STEP_MS) {
    if (reachable(simulation, pairs) >= ENOUGH) return waitedMs / 1_000;
    simulation.clock.advance(STEP_MS);
  }
  return null;
}

/** Bytes a node and second while nobody announces anything, over two pingwaves of every node. */
function measureQuiet(simulation: Simulation): { total: number; by: Record<TrafficKind, number> } {
  const { nodes, aead } = simulation;
  const seconds = ((nodes.length < VERY_MANY_NODES ? 2 : 1) * HEARTBEAT_MS) / 1_000;
  const before = { ...aead.traffic };
  const bytes = simulation.bytesSent;
  simulation.clock.advance(1_000 * seconds);
  const rate = (kind: TrafficKind) => (aead.traffic[kind] - before[kind]) / nodes.length / seconds;
  return {
    total: (simulation.bytesSent - bytes) / nodes.length / seconds,
    by: {
      heartbeat: rate("heartbeat"),
      pingwave: rate("pingwave"),
      announcement: 0,
      lookup: rate("lookup"),
      other: rate("other"),
    },
  };
}

/** What one announcement costs the mesh: every node has announced itself before where that changes the cost. */
function measureAnnouncements(simulation: Simulation): { bytes: number } {
  const { nodes, aead, clock, random, mode } = simulation;
  // The first announcements go far, as nobody knows yet how many nodes are near; the second do not.
  for (let round = 0; mode === "scoped" && round < 2; round++) {
    for (let i = 0; i < nodes.length; i++) {
      simulation.announce(nodes[i] as SimulatedNode);
      if (i % Math.ceil(nodes.length / 50) === 0) clock.advance(100);
    }
    clock.advance(1_000);
  }
  const count = Math.min(nodes.length, mode === "scoped" ? 50 : 10);
  const before = aead.traffic.announcement;
  for (let i = 0; i < count; i++) {
    simulation.announce(nodes[random.below(nodes.length)] as SimulatedNode);
    clock.advance(100);
  }
  clock.advance(1_000);
  return { bytes: (aead.traffic.announcement - before) / count };
}

/** How nodes of any distance reach each other, by announcements or by looking for each other. */
function measureFar(simulation: Simulation, mode: FloodMode): LookupResult | null {
  if (mode === "flood") return null;
  const { aead, clock } = simulation;
  const pairs = drawPairs(simulation, FAR_PAIRS, NEAR_HOPS + 1, FAR_HOPS);
  if (pairs.length === 0) return null;
  const reachableBefore = reachable(simulation, pairs);
  const bytesBefore = aead.traffic.lookup;
  const pending = new Map<string, number>();
  let totalMs = 0;
  const stop = simulation.listen((event, { index }) => {
    if (event.type !== "node-found" && event.type !== "node-not-found") return;
    const key = `${index} ${event.nodeId}`;
    totalMs += clock.now() - (pending.get(key) ?? clock.now());
    pending.delete(key);
  });
  for (const { from, to } of pairs) {
    pending.set(`${from.index} ${to.nodeId}`, clock.now());
    from.node.core.lookUp(to.nodeId);
    from.node.touch();
    clock.advance(LOOKUP_PAUSE_MS);
  }
  clock.advanceUntil(() => pending.size === 0, LIMIT_MS);
  stop();
  const found = pairs.filter(({ from, to }) => walk(simulation, from, to) !== undefined);
  return {
    reachableBefore,
    reachableAfter: found.length / pairs.length,
    bytes: (aead.traffic.lookup - bytesBefore) / pairs.length,
    milliseconds: totalMs / pairs.length,
    stretch: stretch(simulation, found) ?? null,
  };
}

/** Cuts the mesh in halves of neighbouring nodes, and waits for ways across after it is whole again. */
function measureMerge(simulation: Simulation): number | null {
  const { topology, clock } = simulation;
  const hops = topology.distances(0, () => true);
  const order = [...hops.keys()].sort((a, b) => (hops[a] as number) - (hops[b] as number));
  const left = new Set(order.slice(0, topology.size >> 1));
  simulation.partition(({ index }) => left.has(index));
  clock.advance(PARTITION_MS);
  simulation.partition();
  const pairs = drawPairs(simulation, 4 * NEAR_PAIRS, 2, NEAR_HOPS);
  const across = pairs.filter(({ from, to }) => left.has(from.index) !== left.has(to.index));
  return wait(simulation, across);
}

/** Kills nodes, and waits for ways between the others that still have one. */
function measureHealing(simulation: Simulation, killed: number): ExperimentResult["healing"][number] {
  const { living, random, nodes } = simulation;
  const count = Math.max(1, Math.round(killed * nodes.length));
  const victims = new Set<SimulatedNode>();
  while (victims.size < Math.min(count, living.length - 2)) {
    victims.add(living[random.below(living.length)] as SimulatedNode);
  }
  simulation.kill([...victims]);
  return { killed, healedS: wait(simulation, drawPairs(simulation, NEAR_PAIRS, 2, NEAR_HOPS)) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
