import { NodeHealth, type SocketAddress } from "@netmesh/wire";

/** What a pingwave says about the abilities of its origin. */
export interface CapabilitySummary {
  /** Detects changes, no more. */
  readonly hash: bigint;
  /** Higher is newer. */
  readonly version: number;
  readonly hasGpu: boolean;
  readonly modelSlots: number;
  readonly memoryTier: number;
  /** Bitmap. */
  readonly tools: number;
  readonly flags: number;
}

/** A copy of what the graph knows about a node. */
export interface ProximityNode {
  readonly id: bigint;
  /** Where the pingwaves of its best path come from. */
  readonly address: SocketAddress;
  /** Hops of that path, 1 for a neighbour. */
  readonly hops: number;
  /** One-way, from the origin's clock to this node's: advice, since the clocks may differ. */
  readonly latencyUs: number;
  readonly lastSequence: number;
  /** Monotonic milliseconds of its last new pingwave. */
  readonly lastSeenMs: number;
  /** 0 idle … 255 overloaded. */
  readonly load: number;
  readonly health: NodeHealth;
  readonly capabilities: CapabilitySummary;
}

const HOP_COST = 10;
const FULL_LOAD_COST = 50;

const HEALTH_COST: Readonly<Record<NodeHealth, number>> = {
  [NodeHealth.HEALTHY]: 0,
  [NodeHealth.DEGRADED]: 25,
  [NodeHealth.UNKNOWN]: 50,
  [NodeHealth.UNHEALTHY]: 1000,
};

/** How well a node suits, lower is better (routing §8.1); by latency, or by hops when that is not preferred. */
export function nodeScore(node: ProximityNode, preferLowLatency: boolean): number {
  const distance = preferLowLatency ? node.latencyUs / 1000 : HOP_COST * node.hops;
  return distance + (FULL_LOAD_COST * node.load) / 255 + HEALTH_COST[node.health];
}

/** Whether the node says that it can take work. */
export function isAvailable(node: ProximityNode): boolean {
  return node.health === NodeHealth.HEALTHY || node.health === NodeHealth.DEGRADED;
}
