import {
  type AdCapabilities,
  type BasicPingwave,
  type CapabilityAd,
  forwardBasicPingwave,
  high32,
  low32,
  type SocketAddress,
  U64Map,
} from "@netmesh/wire";
import { PathGraph } from "./path-graph.ts";
import { requireCount } from "./routing-error.ts";
import { SeenPingwaves } from "./seen-pingwaves.ts";

const NODE_TIMEOUT_MS = 30_000;
const DEDUP_TIMEOUT_MS = 10_000;

/** Limits of a {@link LocalGraph} (routing §9). */
export interface LocalGraphOptions {
  /** Hops that own pingwaves make after the first; default 3. */
  readonly radius?: number;
  /** Nodes known; default 65 536. */
  readonly maxNodes?: number;
  /** Pingwaves remembered; default 262 144. */
  readonly maxSeen?: number;
  /** Edges known; default 262 144. */
  readonly maxEdges?: number;
  /** 32 random bits, against ids chosen to collide; default 0. */
  readonly hashSeed?: number;
}

/** A copy of what a {@link LocalGraph} knows about a node. */
export interface LocalNode {
  readonly id: bigint;
  readonly address: SocketAddress;
  /** 0 for a node that only a capability ad told of. */
  readonly hops: number;
  readonly lastSequence: bigint;
  readonly lastSeenMs: number;
  /** 0 until an ad came. */
  readonly capabilityVersion: number;
  readonly capabilities: AdCapabilities | undefined;
}

/** Plain counters of a {@link LocalGraph}. */
export interface LocalGraphStats {
  readonly nodes: number;
  readonly seen: number;
  readonly edges: number;
  /** Pingwaves dropped because the memory of seen ones or the graph was full. */
  readonly refused: number;
}

/**
 * The graph of compact pingwaves and capability ads (routing §9). A library only: mesh nodes exchange
 * neither and use `ProximityGraph`.
 *
 * Bounds: `maxNodes` and `maxSeen`, beyond which new origins and pingwaves are ignored until
 * {@link LocalGraph.cleanup}; `maxEdges`. `nowMs` is a monotonic clock.
 */
export class LocalGraph {
  readonly localId: bigint;
  readonly #radius: number;
  readonly #maxNodes: number;
  readonly #nodes: U64Map<Node>;
  readonly #seen: SeenPingwaves;
  readonly #edges: PathGraph;
  #nextSequence = 1n;
  #refused = 0;

  /** @throws RoutingError `invalid-limit` */
  constructor(localId: bigint, options: LocalGraphOptions = {}) {
    const { radius = 3, maxNodes = 65_536, maxSeen = 262_144, maxEdges = 262_144, hashSeed = 0 } = options;
    requireCount("maxNodes", maxNodes);
    requireCount("maxEdges", maxEdges);
    this.localId = localId;
    this.#radius = radius;
    this.#maxNodes = maxNodes;
    this.#nodes = new U64Map(hashSeed);
    this.#seen = new SeenPingwaves(maxSeen, hashSeed);
    this.#edges = new PathGraph(maxEdges, hashSeed);
  }

  /** Plain counters. */
  stats(): LocalGraphStats {
    return {
      nodes: this.#nodes.size,
      seen: this.#seen.size,
      edges: this.#edges.edgeCount,
      refused: this.#refused,
    };
  }

  /** This node's next pingwave. */
  createPingwave(): BasicPingwave {
    const sequence = this.#nextSequence;
    this.#nextSequence += 1n;
    return { origin: this.localId, sequence, ttl: this.#radius, hopCount: 0 };
  }

  /**
   * Takes a pingwave and returns what to pass on, if anything. A known origin moves only on progress: a
   * sequence that is not older over a path that is not longer, one of them better. A sequence that
   * looks like a restart proves only that the origin lives, as pingwaves are not authenticated.
   */
  onPingwave(pingwave: BasicPingwave, from: SocketAddress, nowMs: number): BasicPingwave | undefined {
    const { origin, sequence, hopCount } = pingwave;
    if (origin === this.localId) return undefined;
    const [originLo, originHi, sequenceLo, sequenceHi] = [
      low32(origin),
      high32(origin),
      low32(sequence),
      high32(sequence),
    ];
    if (this.#seen.has(originLo, originHi, sequenceLo, sequenceHi)) return undefined;
    if (this.#seen.isFull) {
      this.#refused += 1;
      return undefined;
    }
    this.#seen.add(originLo, originHi, sequenceLo, sequenceHi, nowMs);
    const hops = Math.min(0xff, hopCount + 1);
    const known = this.#nodes.get(originLo, originHi);
    if (known === undefined) {
      if (
        !this.#add({
          ...NEW_NODE,
          id: origin,
          address: from,
          hops,
          lastSequence: sequence,
          lastSeenMs: nowMs,
        })
      ) {
        return undefined;
      }
    } else if (isProgress(known, sequence, hops)) {
      known.lastSequence = sequence;
      known.hops = hops;
      known.address = from;
      known.lastSeenMs = nowMs;
    } else if (known.lastSequence > 1n && sequence < known.lastSequence / 2n) {
      known.lastSeenMs = nowMs;
    }
    return forwardBasicPingwave(pingwave);
  }

  /** Takes a capability ad; false when it is no newer than what is known, or there is no room for its node. */
  onCapability(ad: CapabilityAd, from: SocketAddress, nowMs: number): boolean {
    const fresh = { ...NEW_NODE, id: ad.nodeId, address: from, lastSeenMs: nowMs };
    const node = this.#nodes.getId(ad.nodeId) ?? this.#add(fresh);
    if (node === undefined || ad.version <= node.capabilityVersion) return false;
    node.capabilityVersion = ad.version;
    node.capabilities = ad.capabilities;
    return true;
  }

  /** Adds or confirms an edge; the latency is smoothed over calls. Edges beyond `maxEdges` are ignored. */
  addEdge(from: bigint, to: bigint, latencyUs: number, nowMs: number): void {
    this.#edges.refresh(low32(from), high32(from), low32(to), high32(to), latencyUs, 0, nowMs);
  }

  /** The shortest path by hops from this node, both ends included. */
  pathTo(destination: bigint): bigint[] | undefined {
    return this.#edges.path(this.localId, destination);
  }

  /** Forgets nodes silent for 30 s, and pingwaves and edges after 10 s and 30 s. */
  cleanup(nowMs: number): { readonly nodes: number; readonly pingwaves: number } {
    const nodes = this.#nodes.removeIf((node) => nowMs - node.lastSeenMs > NODE_TIMEOUT_MS);
    this.#edges.sweep(NODE_TIMEOUT_MS, nowMs);
    return { nodes, pingwaves: this.#seen.expire(DEDUP_TIMEOUT_MS, nowMs) };
  }

  /** A copy of what is known about a node. */
  node(id: bigint): LocalNode | undefined {
    const node = this.#nodes.getId(id);
    return node && { ...node };
  }

  /** A copy of every node, in no particular order. */
  nodes(): LocalNode[] {
    return Array.from(this.#nodes, (node) => ({ ...node }));
  }

  /** Nodes that offer the tool. */
  withTool(tool: string): LocalNode[] {
    return this.nodes().filter((node) => node.capabilities?.tools.includes(tool) === true);
  }

  /** Nodes that have the tag. */
  withTag(tag: string): LocalNode[] {
    return this.nodes().filter((node) => node.capabilities?.tags.includes(tag) === true);
  }

  /** Nodes that have a GPU. */
  withGpu(): LocalNode[] {
    return this.nodes().filter((node) => node.capabilities?.hasGpu === true);
  }

  /** Nodes at most that many hops away. */
  withinHops(hops: number): LocalNode[] {
    return this.nodes().filter((node) => node.hops <= hops);
  }

  #add(node: Node): Node | undefined {
    if (this.#nodes.size >= this.#maxNodes) {
      this.#refused += 1;
      return undefined;
    }
    this.#nodes.setId(node.id, node);
    return node;
  }
}

type Node = { -readonly [Name in keyof LocalNode]: LocalNode[Name] };

const NEW_NODE = { hops: 0, lastSequence: 0n, capabilityVersion: 0, capabilities: undefined } as const;

function isProgress(known: LocalNode, sequence: bigint, hops: number): boolean {
  if (sequence < known.lastSequence || hops > known.hops) return false;
  return sequence > known.lastSequence || hops < known.hops;
}
