import type { RuntimeParts } from "../runtime/peer-network.ts";
import type { HandoverMessage } from "./handover/handover-messages.ts";
import type { HandoverStore } from "./handover-store.ts";
import type { HeldBackDaemon } from "./held-back.ts";
import type { MigrationMessage } from "./messages.ts";
import type { MigrationEvent, MigratorOptions, MigratorStats } from "./migrator-options.ts";

/** What the roles of a migrator share. */
export interface MigrationContext {
  readonly parts: RuntimeParts;
  readonly options: MigratorOptions;
  readonly store: HandoverStore;
  readonly stats: MigratorStats;
  /** Daemons in the store that are not to be restored, by origin: no more than it has markers. */
  readonly heldBack: Map<bigint, HeldBackDaemon>;
  /** Id of this node. */
  readonly nodeId: bigint;
  /** Time in milliseconds. */
  nowMs(): number;
  /** Sends a message; false when there is no session with the node. To this node itself it is handled in its turn. */
  send(to: bigint, message: MigrationMessage): boolean;
  /** Sends a message that only netmesh nodes know. */
  sendHandover(to: bigint, message: HandoverMessage): void;
  /** Tells the application. */
  emit(event: MigrationEvent): void;
}
