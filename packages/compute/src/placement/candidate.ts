import type { NodeCapabilities } from "../capability-filter.ts";

/** A node that daemons may be placed on. */
export interface PlacementCandidate {
  readonly nodeId: bigint;
  readonly capabilities: NodeCapabilities;
  /** Round-trip time to it in milliseconds; undefined while unknown. */
  readonly rttMs?: number;
  /** How much it has free, in any one unit; 0 by default. Decides between equals. */
  readonly freeResources?: number;
}

/** What a node knows of the nodes around it; the mesh's capability index fits behind it. Never asks the network. */
export interface PlacementDirectory {
  /** Id of this node. */
  readonly nodeId: bigint;
  /** What this node has to offer. */
  localCapabilities(): NodeCapabilities;
  /** The other nodes known, in any order. */
  candidates(): Iterable<PlacementCandidate>;
}

/** How well a candidate suits: higher is better, 0 not at all. What is not finite rules the candidate out. */
export type PlacementScore = (candidate: PlacementCandidate) => number;
