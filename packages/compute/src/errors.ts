/**
 * Why a runtime refuses or fails something (spec compute.md §29). Codes are stable; texts are not.
 *
 * | Code | Meaning |
 * |---|---|
 * | `not-ready` | the runtime has not been started |
 * | `shutting-down` | the runtime has been shut down, or was while the call was under way |
 * | `factory-already-registered` | the kind has a factory; `kind` |
 * | `factory-not-found` | the kind has no factory; `kind` |
 * | `snapshot-identity-mismatch` | a snapshot of another entity; `snapshotOrigin`, `identityOrigin` |
 * | `snapshot-invalid` | bytes that are no snapshot |
 * | `invalid-daemon` | a factory gave something that is no daemon, or one with only one of `snapshot` and `restore` |
 * | `invalid-argument` | a number outside of its range |
 * | `callback-timeout` | a daemon or a factory took longer than its time limit |
 * | `crashed` | the thread of a daemon ended, or did not begin, and with it the call |
 * | `backpressure` | as many deliveries wait for the daemon as may |
 * | `migrated` | the daemon lives on another node now; `node` |
 * | `cancelled` | the caller gave up |
 * | `core` | a host or registry failed; the error is a {@link CoreDaemonError} and its `reason` says how |
 *
 * Migrations add {@link MigrationErrorCode}, groups {@link GroupErrorCode}.
 */
export type DaemonErrorCode =
  | "not-ready"
  | "shutting-down"
  | "factory-already-registered"
  | "factory-not-found"
  | "snapshot-identity-mismatch"
  | "snapshot-invalid"
  | "invalid-daemon"
  | "invalid-argument"
  | "callback-timeout"
  | "crashed"
  | "backpressure"
  | "migrated"
  | "cancelled"
  | "core"
  | MigrationErrorCode
  | GroupErrorCode;

/** What an error is about, as far as it applies. */
export interface DaemonErrorDetails {
  /** Kind of the factory. */
  readonly kind?: string;
  /** Origin hash of the daemon. */
  readonly originHash?: bigint;
  /** Origin hash of a snapshot's entity. */
  readonly snapshotOrigin?: bigint;
  /** Origin hash of the identity given with the snapshot. */
  readonly identityOrigin?: bigint;
  /** Node id: of the new home, of a target that is not there. */
  readonly node?: bigint;
  /** What threw. */
  readonly cause?: unknown;
}

/** The error class of this package; branch on `code`. Nothing has changed unless the code's meaning says so. */
export class DaemonError extends Error {
  override readonly name: string = "DaemonError";
  /** Stable, to branch on. */
  readonly code: DaemonErrorCode;
  /** Kind of the factory, where one is concerned. */
  readonly kind: string | undefined;
  /** Origin hash of the daemon, where one is concerned. */
  readonly originHash: bigint | undefined;
  /** Origin hash of a snapshot's entity. */
  readonly snapshotOrigin: bigint | undefined;
  /** Origin hash of the identity given with the snapshot. */
  readonly identityOrigin: bigint | undefined;
  /** Node id of the node concerned. */
  readonly node: bigint | undefined;

  constructor(code: DaemonErrorCode, message: string, details: DaemonErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.kind = details.kind;
    this.originHash = details.originHash;
    this.snapshotOrigin = details.snapshotOrigin;
    this.identityOrigin = details.identityOrigin;
    this.node = details.node;
  }
}

/**
 * How a host or registry failed (§9).
 *
 * | Reason | Meaning |
 * |---|---|
 * | `process-failed` | the daemon threw or said nonsense, its chain is at its end, or something is already registered |
 * | `snapshot-failed` | the daemon could not give its state |
 * | `restore-failed` | a state was not taken over |
 * | `not-found` | no daemon with that origin hash here |
 * | `stale` | the daemon was replaced or removed while the call waited for it; nothing was applied |
 */
export type CoreErrorReason = "process-failed" | "snapshot-failed" | "restore-failed" | "not-found" | "stale";

const CORE_PREFIX: Record<CoreErrorReason, string> = {
  "process-failed": "daemon process failed",
  "snapshot-failed": "snapshot failed",
  "restore-failed": "restore failed",
  "not-found": "daemon not found",
  stale: "daemon replaced or removed meanwhile",
};

/** A failure of a host or registry: code `core`. */
export class CoreDaemonError extends DaemonError {
  override readonly name: string = "CoreDaemonError";
  declare readonly code: "core";
  /** How it failed. */
  readonly reason: CoreErrorReason;

  /** Message: the fixed prefix of the reason, a colon, `detail`. */
  constructor(reason: CoreErrorReason, detail: string, details: DaemonErrorDetails = {}) {
    super("core", `${CORE_PREFIX[reason]}: ${detail}`, details);
    this.reason = reason;
  }
}

/**
 * Why a migration was refused here, or ended (§22, §29).
 *
 * | Code | Meaning |
 * |---|---|
 * | `daemon-not-found` | no such daemon, or no migration of it |
 * | `target-unavailable` | no session with the node; `node` |
 * | `no-target-available` | no node fits |
 * | `state-failed` | a snapshot or state could not be made, sent or restored |
 * | `already-migrating` | another migration of the daemon is under way |
 * | `wrong-phase` | a step that does not fit the phase |
 * | `snapshot-too-large` | more than can be sent |
 * | `buffer-full` | as many events are buffered as may |
 * | `wrong-peer` | a message from a node that has no say; `node` |
 * | `compute-not-supported` | the target runs no daemons |
 * | `identity-transport-failed` | the key could not be sealed or opened |
 * | `not-ready-timeout` | the target did not get ready in time |
 * | `timeout` | a phase or the caller's patience ended |
 *
 * `not-ready`, `factory-not-found` and `cancelled` occur too, with the meaning that they have everywhere.
 */
export type MigrationErrorCode =
  | "daemon-not-found"
  | "target-unavailable"
  | "no-target-available"
  | "state-failed"
  | "already-migrating"
  | "wrong-phase"
  | "snapshot-too-large"
  | "buffer-full"
  | "wrong-peer"
  | "compute-not-supported"
  | "identity-transport-failed"
  | "not-ready-timeout"
  | "timeout";

/**
 * Why a group refuses or fails something (§25).
 *
 * | Code | Meaning |
 * |---|---|
 * | `no-healthy-member` | nobody to route to, or to promote |
 * | `placement-failed` | no node for a member |
 * | `registry-failed` | a member could not be made, asked or restored; `cause` |
 * | `invalid-config` | a size, seed or strategy that no group can have |
 */
export type GroupErrorCode = "no-healthy-member" | "placement-failed" | "registry-failed" | "invalid-config";

/** An origin or node id for people: 16 hex digits. */
export function hexId(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}

/** What a thrown value says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
