import {
  graphId,
  high32,
  joinU64,
  low32,
  MAX_PINGWAVE_HOPS,
  NodeHealth,
  PINGWAVE_SIZE,
  PINGWAVE_TTL,
  type PingwaveView,
  type SocketAddress,
  U64Map,
  u64ToNumber,
  writePingwave,
} from "@netmesh/wire";
import { type CapabilitySummary, isAvailable, nodeScore, type ProximityNode } from "./node-score.ts";
import { PathGraph } from "./path-graph.ts";
import type { PingwaveNeighbor } from "./pingwave-neighbor.ts";
import { requireCount, requireLimit } from "./routing-error.ts";
import { SeenPingwaves } from "./seen-pingwaves.ts";

/** An edge that was refreshed this recently is left alone, in milliseconds (routing §8.1). */
const EDGE_REFRESH_MS = 1_000;

/** Parameters of a {@link ProximityGraph}. */
export interface ProximityGraphOptions {
  /** Hops that own pingwaves make after the first, 0..15; default 3. */
  readonly radius?: number;
  /** Silence after which a node is forgotten, in milliseconds; default 30 000. */
  readonly nodeTimeoutMs?: number;
  /** How long a pingwave is remembered as seen, in milliseconds; default 10 000. */
  readonly dedupTimeoutMs?: number;
  /** How long a path may go unconfirmed before a longer one replaces it, in milliseconds; default 10 000. */
  readonly pathTimeoutMs?: number;
  /** Whether scores count latency, or hops; default true. */
  readonly preferLowLatency?: boolean;
  /** Nodes known; default 10 000. */
  readonly maxNodes?: number;
  /** Edges known; default 4 × `maxNodes`. */
  readonly maxEdges?: number;
  /** Pingwaves remembered; default 262 144. */
  readonly maxSeen?: number;
  /** Sequence of the first own pingwave; default 1. Unix milliseconds make a restarted node heard at once. */
  readonly firstSequence?: number;
  /** 32 random bits, against ids chosen to collide; default 0. */
  readonly hashSeed?: number;
}

/** What became of a pingwave in the graph. */
export type GraphVerdict =
  /** News, rewritten in place for the next hop. */
  | "forward"
  /** News that has gone far enough. */
  | "accepted"
  /** A copy of a pingwave that was there before. */
  | "duplicate"
  /** Older than what the origin sent since. */
  | "stale"
  /** This node's own. */
  | "own"
  /** Of a node that there is no room for. */
  | "full";

/** Plain counters of a {@link ProximityGraph}. */
export interface ProximityGraphStats {
  readonly nodes: number;
  readonly edges: number;
  readonly seen: number;
  readonly sent: number;
  readonly received: number;
  readonly forwarded: number;
  readonly duplicates: number;
  readonly stale: number;
  /** Pingwaves of nodes that there was no room for. */
  readonly refused: number;
  readonly discovered: number;
  readonly expired: number;
  readonly capabilityUpdates: number;
  /** Edges that there was no room for. */
  readonly edgesRefused: number;
}

/**
 * Which nodes there are, how far away, and over whom: what pingwaves tell (routing §8.1).
 *
 * Nothing is believed before the copy was told from earlier ones: only the first copy of a newer
 * sequence changes a node; newer than any, or than what the neighbour on the best path told, so that
 * nobody silences a path with invented sequences. An origin whose sequence went back is listened to again when it has said
 * nothing new for `dedupTimeoutMs`: it restarted. A path that nobody confirms gives way to a longer one.
 *
 * Bounds: `maxNodes`, emptied by `nodeTimeoutMs`; beyond it, and beyond a neighbour's equal share of
 * the last quarter, nodes are refused. `maxEdges`, emptied by {@link ProximityGraph.sweepStaleEdges}.
 * `maxSeen`, where the oldest goes first. Pingwaves are not authenticated: nothing here proves anything.
 *
 * `nowMs` is a monotonic clock; wall-clock times are microseconds since the Unix epoch.
 */
export class ProximityGraph {
  readonly localId: bigint;
  readonly #localLo: number;
  readonly #localHi: number;
  readonly #radius: number;
  readonly #nodeTimeoutMs: number;
  readonly #dedupTimeoutMs: number;
  readonly #pathTimeoutMs: number;
  readonly #preferLowLatency: boolean;
  readonly #maxNodes: number;
  readonly #nodes: U64Map<Node>;
  readonly #edges: PathGraph;
  readonly #seen: SeenPingwaves;
  #nextSequence: number;
  #capabilities: CapabilitySummary = NO_CAPABILITIES;
  #load = 0;
  readonly #counters = {
    sent: 0,
    received: 0,
    forwarded: 0,
    duplicates: 0,
    stale: 0,
    refused: 0,
    discovered: 0,
    expired: 0,
    capabilityUpdates: 0,
  };

  /** @throws RoutingError `invalid-limit` */
  constructor(localId: bigint, options: ProximityGraphOptions = {}) {
    const { radius = PINGWAVE_TTL, nodeTimeoutMs = 30_000, dedupTimeoutMs = 10_000 } = options;
    const { pathTimeoutMs = 10_000, preferLowLatency = true, maxNodes = 10_000 } = options;
    const { maxEdges = 4 * maxNodes, maxSeen = 262_144, firstSequence = 1, hashSeed = 0 } = options;
    requireLimit("radius", radius);
    requireLimit("radius below 16", MAX_PINGWAVE_HOPS - 1 - radius);
    requireLimit("nodeTimeoutMs", nodeTimeoutMs);
    requireLimit("dedupTimeoutMs", dedupTimeoutMs);
    requireLimit("pathTimeoutMs", pathTimeoutMs);
    requireCount("maxNodes", maxNodes);
    requireCount("maxEdges", maxEdges);
    requireCount("firstSequence", firstSequence);
    this.localId = localId;
    this.#localLo = low32(localId);
    this.#localHi = high32(localId);
    this.#radius = radius;
    this.#nodeTimeoutMs = nodeTimeoutMs;
    this.#dedupTimeoutMs = dedupTimeoutMs;
    this.#pathTimeoutMs = pathTimeoutMs;
    this.#preferLowLatency = preferLowLatency;
    this.#maxNodes = maxNodes;
    this.#nodes = new U64Map(hashSeed);
    this.#edges = new PathGraph(maxEdges, hashSeed);
    this.#seen = new SeenPingwaves(maxSeen, hashSeed);
    this.#nextSequence = firstSequence;
  }

  /** Nodes known. */
  get nodeCount(): number {
    return this.#nodes.size;
  }

  /** Plain counters. */
  stats(): ProximityGraphStats {
    return {
      nodes: this.#nodes.size,
      edges: this.#edges.edgeCount,
      seen: this.#seen.size,
      edgesRefused: this.#edges.refused,
      ...this.#counters,
    };
  }

  /**
   * What own pingwaves say about this node from now on; the version counts up.
   * @throws WireError `invalid-argument` when a number does not fit its field.
   */
  setLocalCapabilities(capabilities: Omit<CapabilitySummary, "version">): void {
    const next = { ...capabilities, version: (this.#capabilities.version + 1) >>> 0 };
    this.#write(new Uint8Array(PINGWAVE_SIZE), 0, next, this.#load, NodeHealth.HEALTHY, 0);
    this.#capabilities = next;
  }

  /**
   * What own pingwaves say about this node's load, 0..255.
   * @throws WireError `invalid-argument`
   */
  setLocalLoad(load: number): void {
    this.#write(new Uint8Array(PINGWAVE_SIZE), 0, this.#capabilities, load, NodeHealth.HEALTHY, 0);
    this.#load = load;
  }

  /**
   * Writes this node's next pingwave into the 72 bytes at `offset`.
   * @throws WireError `invalid-argument` when the time is negative, `buffer-too-small`; no sequence is used up.
   */
  createPingwave(target: Uint8Array, offset: number, health: NodeHealth, wallClockUs: number): void {
    this.#write(target, offset, this.#capabilities, this.#load, health, wallClockUs);
    this.#nextSequence += 1;
    this.#counters.sent += 1;
  }

  /** Whether the node with these halves is known. */
  has(lo: number, hi: number): boolean {
    return this.#nodes.has(lo, hi);
  }

  /**
   * Takes a pingwave that a neighbour handed over. On `forward` its ttl and hop count are rewritten in
   * place; nothing else is ever changed. Never throws.
   *
   * @param neighborCount neighbours there are, which share the room
   */
  onPingwave(
    pingwave: PingwaveView,
    from: PingwaveNeighbor,
    neighborCount: number,
    nowMs: number,
    wallClockUs: number,
  ): GraphVerdict {
    const counters = this.#counters;
    counters.received += 1;
    const { originLo, originHi, sequenceLo, sequenceHi } = pingwave;
    if (originLo === this.#localLo && originHi === this.#localHi) return "own";
    if (this.#seen.has(originLo, originHi, sequenceLo, sequenceHi)) {
      counters.duplicates += 1;
      return "duplicate";
    }
    const known = this.#nodes.get(originLo, originHi);
    const sequence = u64ToNumber(sequenceLo, sequenceHi);
    if (known !== undefined && sequence <= known.lastSequence && !isNewsOnPath(known, from, sequence)) {
      if (nowMs - known.lastSeenMs < this.#dedupTimeoutMs) {
        counters.stale += 1;
        return "stale";
      }
      known.capabilityVersion = -1;
    }
    if (known === undefined && !this.#hasRoomFor(from, neighborCount)) {
      counters.refused += 1;
      return "full";
    }
    this.#seen.add(originLo, originHi, sequenceLo, sequenceHi, nowMs);
    const latencyUs = Math.max(0, wallClockUs - pingwave.timestampUs);
    const node = known ?? this.#discover(originLo, originHi, from);
    this.#update(node, pingwave, sequence, from, latencyUs, nowMs);
    this.#edges.refresh(this.#localLo, this.#localHi, from.lo, from.hi, 0, EDGE_REFRESH_MS, nowMs);
    if (from.lo !== originLo || from.hi !== originHi) {
      this.#edges.refresh(from.lo, from.hi, originLo, originHi, latencyUs, 0, nowMs);
    }
    if (!pingwave.forward()) return "accepted";
    counters.forwarded += 1;
    return "forward";
  }

  /**
   * Whether a copy of a pingwave tells of a path to its origin that is alive: the copy is of the newest
   * one, or newer than all that the neighbour on the best path has told, which it then confirms.
   */
  confirmsPath(pingwave: PingwaveView, from: PingwaveNeighbor, nowMs: number): boolean {
    const node = this.#nodes.get(pingwave.originLo, pingwave.originHi);
    if (node === undefined) return false;
    const sequence = u64ToNumber(pingwave.sequenceLo, pingwave.sequenceHi);
    if (node.pathFrom !== from) return sequence === node.lastSequence;
    if (sequence <= node.pathSequence) return false;
    node.pathSequence = sequence;
    // A longer way round than the path it stands for does not confirm it.
    if (pingwave.hopCount < node.hops) node.pathAtMs = nowMs;
    return true;
  }

  /** A measured round trip to a neighbour: a better latency of that edge than clocks can tell. */
  recordRoundTrip(neighbor: PingwaveNeighbor, roundTripUs: number, nowMs: number): void {
    this.#edges.refresh(this.#localLo, this.#localHi, neighbor.lo, neighbor.hi, roundTripUs / 2, 0, nowMs);
  }

  /** Forgets the edge to a peer that is none any more; what it told stays until it times out. */
  removeNeighbor(neighbor: PingwaveNeighbor): void {
    this.#edges.remove(this.#localLo, this.#localHi, neighbor.lo, neighbor.hi);
  }

  /** Removes the edges older than `maxAgeMs`; returns how many. */
  sweepStaleEdges(maxAgeMs: number, nowMs: number): number {
    return this.#edges.sweep(maxAgeMs, nowMs);
  }

  /** Forgets nodes and pingwaves that have timed out; call it every few seconds. */
  cleanup(nowMs: number): { readonly nodes: number; readonly pingwaves: number } {
    const nodes = this.#nodes.removeIf((node) => {
      if (nowMs - node.lastSeenMs <= this.#nodeTimeoutMs) return false;
      node.introducedBy.introduced -= 1;
      return true;
    });
    this.#counters.expired += nodes;
    return { nodes, pingwaves: this.#seen.expire(this.#dedupTimeoutMs, nowMs) };
  }

  /** Calls `visit` with the hops to every node, in no particular order. */
  forEachHops(visit: (hops: number) => void): void {
    this.#nodes.forEach((node) => {
      visit(node.hops);
    });
  }

  /** Milliseconds since the node was last heard of, over whatever path; `Infinity` for one that is not known. */
  silenceMs(lo: number, hi: number, nowMs: number): number {
    const node = this.#nodes.get(lo, hi);
    return node === undefined ? Number.POSITIVE_INFINITY : nowMs - node.lastSeenMs;
  }

  /** The shortest path by hops, from this node to `destination`, both included; `undefined` when there is none. */
  pathTo(destination: bigint): bigint[] | undefined {
    return this.#edges.path(this.localId, destination);
  }

  /** Latency of the edge, `undefined` when there is none. */
  edgeLatencyUs(from: bigint, to: bigint): number | undefined {
    return this.#edges.latencyUs(from, to);
  }

  /** A copy of what is known about a node. */
  node(id: bigint): ProximityNode | undefined {
    const node = this.#nodes.getId(id);
    return node && copyOf(node);
  }

  /** A copy of every node, in no particular order. */
  nodes(): ProximityNode[] {
    return Array.from(this.#nodes, copyOf);
  }

  /** Nodes at most that many hops away. */
  nodesWithinHops(hops: number): ProximityNode[] {
    return this.nodes().filter((node) => node.hops <= hops);
  }

  /** Nodes that can take work, with a GPU when one is required. */
  findMatching(filter: { readonly requiresGpu?: boolean } = {}): ProximityNode[] {
    return this.nodes().filter(
      (node) => isAvailable(node) && (filter.requiresGpu !== true || node.capabilities.hasGpu),
    );
  }

  /** The `k` matching nodes with the lowest score, best first; equal scores by id. */
  findBest(k: number, filter: { readonly requiresGpu?: boolean } = {}): ProximityNode[] {
    const score = (node: ProximityNode): number => nodeScore(node, this.#preferLowLatency);
    return this.findMatching(filter)
      .sort((a, b) => score(a) - score(b) || (a.id < b.id ? -1 : 1))
      .slice(0, k);
  }

  /** The lowest latency among the nodes that the predicate holds for, in microseconds. */
  nearestLatencyUs(predicate: (node: ProximityNode) => boolean): number | undefined {
    const latencies = this.nodes()
      .filter(predicate)
      .map((node) => node.latencyUs);
    return latencies.length === 0 ? undefined : latencies.reduce((a, b) => Math.min(a, b));
  }

  #write(
    target: Uint8Array,
    offset: number,
    { hash, version, hasGpu, modelSlots, memoryTier, tools, flags }: CapabilitySummary,
    load: number,
    health: NodeHealth,
    wallClockUs: number,
  ): void {
    writePingwave(target, offset, {
      originId: graphId(this.localId),
      sequence: BigInt(this.#nextSequence),
      ttl: this.#radius,
      hopCount: 0,
      timestampUs: BigInt(Math.trunc(wallClockUs)),
      capabilityHash: hash,
      capabilityVersion: version,
      load,
      health,
      hasGpu,
      modelSlots,
      memoryTier,
      tools,
      capabilityFlags: flags,
    });
  }

  #hasRoomFor(from: PingwaveNeighbor, neighborCount: number): boolean {
    const { size } = this.#nodes;
    if (size >= this.#maxNodes) return false;
    return size < this.#maxNodes * 0.75 || from.introduced < this.#maxNodes / Math.max(1, neighborCount);
  }

  #discover(lo: number, hi: number, from: PingwaveNeighbor): Node {
    const node = new Node(lo, hi, from);
    from.introduced += 1;
    this.#nodes.set(lo, hi, node);
    this.#counters.discovered += 1;
    return node;
  }

  #update(
    node: Node,
    pingwave: PingwaveView,
    sequence: number,
    from: PingwaveNeighbor,
    latencyUs: number,
    nowMs: number,
  ): void {
    const hops = Math.min(0xff, pingwave.hopCount + 1);
    // Older on its own path only: others may invent newer sequences, and must not silence this one with them.
    if (from !== node.pathFrom || sequence <= node.pathSequence) node.lastSequence = sequence;
    else node.lastSequence = Math.max(node.lastSequence, sequence);
    if (from === node.pathFrom) node.pathSequence = sequence;
    if (hops <= node.hops || nowMs - node.pathAtMs > this.#pathTimeoutMs) {
      node.pathFrom = from;
      node.pathSequence = sequence;
      node.address = from.address;
      node.hops = hops;
      node.latencyUs = latencyUs;
      node.pathAtMs = nowMs;
    }
    node.load = pingwave.load;
    node.health = pingwave.health;
    node.lastSeenMs = nowMs;
    const { capabilityVersion } = pingwave;
    if (capabilityVersion <= node.capabilityVersion) return;
    // Version 0, which says nothing, is no update of a new node.
    if (capabilityVersion > 0) this.#counters.capabilityUpdates += 1;
    node.capabilityVersion = capabilityVersion;
    node.capabilityHashLo = pingwave.capabilityHashLo;
    node.capabilityHashHi = pingwave.capabilityHashHi;
    node.hasGpu = pingwave.hasGpu;
    node.modelSlots = pingwave.modelSlots;
    node.memoryTier = pingwave.memoryTier;
    node.tools = pingwave.tools;
    node.capabilityFlags = pingwave.capabilityFlags;
  }
}

const NO_CAPABILITIES: CapabilitySummary = {
  hash: 0n,
  version: 0,
  hasGpu: false,
  modelSlots: 0,
  memoryTier: 0,
  tools: 0,
  flags: 0,
};

class Node {
  readonly lo: number;
  readonly hi: number;
  readonly introducedBy: PingwaveNeighbor;
  address: SocketAddress;
  hops = 0xff;
  latencyUs = 0;
  lastSequence = 0;
  lastSeenMs = 0;
  /** The neighbour on the best path, and the newest sequence that it told. */
  pathFrom: PingwaveNeighbor;
  pathSequence = 0;
  /** When the path was last confirmed. */
  pathAtMs: number = Number.NEGATIVE_INFINITY;
  load = 0;
  health: NodeHealth = NodeHealth.UNKNOWN;
  capabilityVersion = -1;
  capabilityHashLo = 0;
  capabilityHashHi = 0;
  hasGpu = false;
  modelSlots = 0;
  memoryTier = 0;
  tools = 0;
  capabilityFlags = 0;

  constructor(lo: number, hi: number, introducedBy: PingwaveNeighbor) {
    this.lo = lo;
    this.hi = hi;
    this.introducedBy = introducedBy;
    this.pathFrom = introducedBy;
    this.address = introducedBy.address;
  }
}

/** Whether the neighbour on the node's best path tells something newer than it did before. */
function isNewsOnPath(node: Node, from: PingwaveNeighbor, sequence: number): boolean {
  return node.pathFrom === from && sequence > node.pathSequence;
}

function copyOf(node: Node): ProximityNode {
  return {
    id: joinU64(node.lo, node.hi),
    address: node.address,
    hops: node.hops,
    latencyUs: node.latencyUs,
    lastSequence: node.lastSequence,
    lastSeenMs: node.lastSeenMs,
    load: node.load,
    health: node.health,
    capabilities: {
      hash: joinU64(node.capabilityHashLo, node.capabilityHashHi),
      version: node.capabilityVersion,
      hasGpu: node.hasGpu,
      modelSlots: node.modelSlots,
      memoryTier: node.memoryTier,
      tools: node.tools,
      flags: node.capabilityFlags,
    },
  };
}
