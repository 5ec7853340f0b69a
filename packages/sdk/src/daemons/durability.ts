import {
  type DaemonRuntime as ComputeRuntime,
  type HeldBackDaemon,
  type KeeperEvent,
  SnapshotKeeper,
  type SnapshotKeeperOptions,
  type SnapshotStore,
} from "@netmesh/compute";
import type { DaemonRef } from "./daemon.ts";

/** Milliseconds after which daemons that have processed something are stored, unless configured otherwise. */
const DEFAULT_INTERVAL_MS = 1_000;

/** When the snapshots of daemons are stored. */
export interface SnapshotOptions
  extends Pick<SnapshotKeeperOptions, "intervalMs" | "everyEvents" | "maxConcurrent"> {}

/** What happened to a stored snapshot. */
export type SnapshotEvent =
  | { readonly kind: "snapshot-stored"; readonly originHash: bigint; readonly throughSeq: bigint }
  | { readonly kind: "snapshot-failed"; readonly originHash: bigint; readonly error: unknown };

/** What the start of a runtime has found in its store. */
export interface StartReport {
  /** Daemons that go on from their last snapshot. */
  readonly restored: readonly DaemonRef[];
  /** Daemons that are not restored, because they live on another node, or may. */
  readonly heldBack: readonly HeldBackDaemon[];
  /** Snapshots from which no daemon could be made, and why. They stay in the store. */
  readonly failed: readonly { readonly originHash: bigint; readonly kind: string; readonly error: unknown }[];
  /** Daemons that lost something, because their newest snapshot was damaged. */
  readonly fellBack: readonly bigint[];
}

/** What makes the daemons of a runtime outlive its process: a store, and a keeper that fills it. */
export interface Durability {
  readonly store: SnapshotStore;
  readonly keeper: SnapshotKeeper;
}

/** Begins to keep the daemons of a runtime. Throws `invalid-argument` for a number outside of its range. */
export function keepDaemons(
  runtime: ComputeRuntime,
  store: SnapshotStore,
  staticKey: NonNullable<SnapshotKeeperOptions["staticKey"]>,
  options: SnapshotOptions,
  onEvent: ((event: SnapshotEvent) => void) | undefined,
): Durability {
  const keeper = new SnapshotKeeper({
    intervalMs: DEFAULT_INTERVAL_MS,
    ...options,
    runtime,
    store,
    staticKey,
    ...(onEvent === undefined ? {} : { onEvent: (event) => onEvent(eventOf(event)) }),
  });
  return { store, keeper };
}

function eventOf(event: KeeperEvent): SnapshotEvent {
  return event.kind === "stored"
    ? { ...event, kind: "snapshot-stored" }
    : { ...event, kind: "snapshot-failed" };
}
