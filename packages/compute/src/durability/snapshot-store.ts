import type { StateSnapshot } from "../state/snapshot.ts";

/** Longest kind in a store, in UTF-8 bytes. */
export const MAX_KIND_LENGTH = 255;
/** Longest name of a marker, in UTF-8 bytes. */
export const MAX_MARKER_NAME_LENGTH = 255;
/** Largest marker, in bytes. */
export const MAX_MARKER_SIZE: number = 64 * 1024;

/** A snapshot as a store gives it back. Its bytes are the caller's. */
export interface StoredSnapshot {
  /** Kind of the factory that makes the daemon. */
  readonly kind: string;
  /** The snapshot, with its `headHash` and without its `horizon`, which stays in memory. */
  readonly snapshot: StateSnapshot;
  /** Newer snapshots of the entity that are damaged and were passed over; 0 unless something is wrong with the storage. */
  readonly damaged: number;
}

/** What a store says of a snapshot without reading it. */
export interface SnapshotSummary {
  /** Public key of the daemon, 32 bytes. */
  readonly entityId: Uint8Array;
  /** Its origin hash. */
  readonly originHash: bigint;
  /** Kind of its factory. */
  readonly kind: string;
  /** How many outputs it had emitted. */
  readonly throughSeq: bigint;
  /** Unix time in nanoseconds. */
  readonly createdAt: bigint;
}

/**
 * Where snapshots of daemons outlive the process, with markers beside them: small values under a name, for what else has to be known
 * after a crash, as how far a migration had come.
 *
 * Of each entity the newest snapshot counts: the one with the greater `throughSeq`, and of two with the same the one with the greater
 * `createdAt`, because a daemon that emits nothing changes too. An older one never replaces a newer one, also when it comes later, from
 * another process, or after the newer one was deleted; only `forget` makes room for it.
 *
 * What has resolved is durable as far as the store promises; what has rejected may or may not have happened unless the code says so.
 * Operations started one after the other happen in that order. All reject with a {@link SnapshotStoreError}: `closed` after `close`,
 * `unavailable` when the storage fails, and what their own comment names.
 */
export interface SnapshotStore {
  /**
   * Stores a snapshot of a daemon of that kind, whose bytes are copied or written before the first await of the caller. Resolves to false,
   * and changes nothing, when one as new is or was stored before. Rejects with `invalid-argument` for what is no snapshot or kind,
   * `too-large` and `full`.
   */
  put(snapshot: StateSnapshot, kind: string): Promise<boolean>;
  /**
   * The newest snapshot of an entity, or the one before where that is damaged; undefined when there is none. Rejects with `damaged` when
   * there is nothing else.
   */
  get(entityId: Uint8Array): Promise<StoredSnapshot | undefined>;
  /**
   * Deletes the snapshots of an entity, which is how a daemon ends or leaves; whether there was one. Up to the deleted one none can come
   * back.
   */
  delete(entityId: Uint8Array): Promise<boolean>;
  /** Deletes all about an entity: after this any snapshot of it is welcome. */
  forget(entityId: Uint8Array): Promise<void>;
  /** The newest snapshot of every entity, or of those with an origin hash: more than one if their keys collide. */
  list(originHash?: bigint): Promise<SnapshotSummary[]>;

  /** Stores a marker, in the place of one with its name. Rejects with `invalid-argument`, `too-large` and `full`. */
  putMarker(name: string, value: Uint8Array): Promise<void>;
  /** The value of a marker, the caller's; undefined when there is none. Rejects with `damaged`. */
  getMarker(name: string): Promise<Uint8Array | undefined>;
  /** Deletes a marker; whether there was one. */
  deleteMarker(name: string): Promise<boolean>;
  /** The names of all markers that begin with `prefix`, in no order. */
  listMarkers(prefix?: string): Promise<string[]>;

  /** Ends the store, after what is under way. Idempotent. */
  close(): Promise<void>;
  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Why a store failed.
 *
 * | Code | Meaning |
 * |---|---|
 * | `closed` | the store was closed |
 * | `unavailable` | the storage failed or cannot be reached; the operation may or may not have happened |
 * | `damaged` | what is stored does not match its checksum, and there is nothing older |
 * | `full` | as many entities or markers are stored as may; nothing has changed |
 * | `too-large` | a snapshot or marker larger than can be stored; nothing has changed |
 * | `invalid-argument` | not a snapshot, entity id, kind or name; nothing has changed |
 * | `not-supported` | what the store needs is not installed |
 */
export type SnapshotStoreErrorCode =
  | "closed"
  | "unavailable"
  | "damaged"
  | "full"
  | "too-large"
  | "invalid-argument"
  | "not-supported";

/** The error of all stores; branch on `code`. */
export class SnapshotStoreError extends Error {
  override readonly name: string = "SnapshotStoreError";
  /** Stable, to branch on. */
  readonly code: SnapshotStoreErrorCode;

  constructor(code: SnapshotStoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
