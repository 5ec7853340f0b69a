import type { Identity } from "@netmesh/crypto";
import type { DaemonHostConfig } from "../daemon-host.ts";
import type { PlacementDirectory } from "../placement/candidate.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import type { ForkRecord } from "../state/fork-record.ts";
import type { StateSnapshot } from "../state/snapshot.ts";

/** A member that is to live somewhere. */
export interface MemberPlan {
  /** Kind of its factory, which its node must know. */
  readonly kind: string;
  /** Its key, which stays the group's: whoever keeps it makes a copy. */
  readonly identity: Identity;
  /** Limits of its host. */
  readonly config: DaemonHostConfig;
  /** Where its chain branches off another; at the beginning of its own without. */
  readonly fork?: ForkRecord;
  /** The state it begins with; that of a new daemon without. */
  readonly state?: Uint8Array;
}

/** Where a member is. */
export interface MemberAddress {
  readonly originHash: bigint;
  readonly nodeId: bigint;
}

/**
 * How members of groups live on other nodes: what a group needs of the mesh, which hands daemons over by spawn requests or migrations.
 * This node is never asked about itself. What fails rejects; a group makes `registry-failed` of what it does not know.
 */
export interface RemoteMembers {
  /** Makes a member live on a node; resolves once it does. Rejected, nothing of it is left there. */
  place(member: MemberPlan, nodeId: bigint): Promise<void>;
  /** Ends a member. Resolves also when it is gone, or its node cannot be reached. */
  remove(member: MemberAddress): Promise<void>;
  /** Whether it is there, as far as is known. */
  isLive(member: MemberAddress): boolean;
  /** Gives it an event; resolves to its outputs. */
  deliver(member: MemberAddress, event: CausalEvent): Promise<readonly CausalEvent[]>;
  /** As `deliver`, without outputs to pass on. */
  replay(member: MemberAddress, event: CausalEvent): Promise<void>;
  /** A snapshot of it with all earlier deliveries; undefined when it is stateless. */
  snapshot(member: MemberAddress): Promise<StateSnapshot | undefined>;
  /** Makes it take over state and chain of a snapshot, which may be of another entity: that of the chain. */
  restore(member: MemberAddress, snapshot: StateSnapshot): Promise<void>;
}

/** Where the members of groups can live besides this node. */
export interface RuntimePlacement {
  /** The nodes that there are. */
  readonly directory: PlacementDirectory;
  /** How members live on them. */
  readonly members: RemoteMembers;
}
