import type { RuntimeParts } from "../runtime/peer-network.ts";
import type { HandoverStore } from "./handover-store.ts";
import type { MigrationMessage } from "./messages.ts";
import type { MigrationEvent, MigratorOptions, MigratorStats } from "./migrator-options.ts";

/** What the roles of a migrator share. */
export interface MigrationContext {
  readonly parts: RuntimeParts;
  readonly options: MigratorOptions;
  readonly store: HandoverStore;
  readonly stats: MigratorStats;
  /** Id of this node. */
  readonly nodeId: bigint;
  /** Time in milliseconds. */
  nowMs(): number;
  /** Sends a message; false when there is no session with the node. To this node itself it is handled in its turn. */
  send(to: bigint, message: MigrationMessage): boolean;
  /** Tells the application. */
  emit(event: MigrationEvent): void;
}
