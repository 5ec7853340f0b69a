import type { Identity, X25519KeyPair } from "@netmesh/crypto";
import { DaemonError } from "../errors.ts";
import type { DaemonHandle } from "../runtime/daemon-handle.ts";
import type { DaemonRuntime, SpawnOptions } from "../runtime/daemon-runtime.ts";
import { openSnapshotIdentity, type StateSnapshot, sealSnapshot } from "../state/snapshot.ts";
import { type DaemonTime, platformTime } from "../time.ts";
import { type SnapshotStore, SnapshotStoreError, type SnapshotSummary } from "./snapshot-store.ts";

/** Snapshots that a keeper takes and stores at once unless told otherwise. */
export const DEFAULT_MAX_CONCURRENT_SNAPSHOTS = 4;

/** What happened to a snapshot. */
export type KeeperEvent =
  | { readonly kind: "stored"; readonly originHash: bigint; readonly throughSeq: bigint }
  | { readonly kind: "failed"; readonly originHash: bigint; readonly error: unknown };

/** When snapshots are taken. */
export interface SnapshotKeeperOptions {
  /** The daemons. */
  readonly runtime: DaemonRuntime;
  /** Where their snapshots go; stays the caller's to close. */
  readonly store: SnapshotStore;
  /** Milliseconds, 1 or more, after which every daemon that has processed an event is stored; never by default. */
  readonly intervalMs?: number;
  /** Events, 1 or more, after which a daemon is stored; never by default. */
  readonly everyEvents?: number;
  /** Snapshots under way at once, 1 or more; 4 by default. More wait, one for each daemon. */
  readonly maxConcurrent?: number;
  /**
   * The X25519 key pair of this node: with it snapshots carry the key of their daemon, sealed for this node, so that `restore` needs to be told
   * of none.
   */
  readonly staticKey?: X25519KeyPair;
  /** Told of every snapshot. What it throws is ignored. */
  readonly onEvent?: (event: KeeperEvent) => void;
  /** The platform's by default. */
  readonly time?: DaemonTime;
}

/** What comes back when a runtime is started. */
export interface RestoreOptions extends Pick<SpawnOptions, "config" | "signal"> {
  /** The key of a daemon; by default, and where it gives none, the one that is sealed in the snapshot. */
  readonly identityOf?: (summary: SnapshotSummary) => Identity | undefined | Promise<Identity | undefined>;
  /** Whether the daemon belongs here; all do by default. */
  readonly isOwn?: (summary: SnapshotSummary) => boolean;
}

/** What a keeper has done. */
export interface SnapshotKeeperStats {
  /** Snapshots stored. */
  readonly stored: number;
  /** Snapshots that could not be taken or stored; the daemon is tried again with its next events, or after the interval. */
  readonly failed: number;
  /** Requests that were met by a snapshot that another had asked for. */
  readonly coalesced: number;
  /** Snapshots under way. */
  readonly underWay: number;
  /** Daemons that wait for their turn. */
  readonly waiting: number;
}

/** What came back when a runtime was started. */
export interface RestoreReport {
  /** Daemons that go on from their last snapshot. */
  readonly restored: readonly DaemonHandle[];
  /** Snapshots without an identity, of a daemon that does not belong here, or that lives here already. */
  readonly skipped: readonly SnapshotSummary[];
  /** Snapshots from which no daemon could be made, and why. They stay in the store. */
  readonly failed: readonly { readonly summary: SnapshotSummary; readonly error: unknown }[];
  /** Daemons that lost something, because their newest snapshot was damaged. */
  readonly fellBack: readonly bigint[];
}

/** What is known of one daemon, as long as it lives here. */
interface Watched {
  /** Events since the last snapshot was taken. */
  events: number;
  /** Events since the last attempt at one. */
  sinceAttempt: number;
  /** The snapshot under way. */
  underWay: Promise<boolean> | undefined;
  /** What waits for the next one, which begins when it can. */
  next: { readonly promise: Promise<boolean>; readonly begin: () => void } | undefined;
}

/**
 * Stores snapshots of a runtime's daemons: from time to time, every so many events, and when asked. Of several requests for one daemon
 * that come while it is being stored, one snapshot more is the answer. Stateless daemons are left out, and so are the members of groups, which
 * their group makes anew.
 */
export class SnapshotKeeper {
  readonly #runtime: DaemonRuntime;
  readonly #store: SnapshotStore;
  readonly #intervalMs: number | undefined;
  readonly #everyEvents: number;
  readonly #maxConcurrent: number;
  readonly #staticKey: X25519KeyPair | undefined;
  readonly #onEvent: ((event: KeeperEvent) => void) | undefined;
  readonly #time: DaemonTime;
  readonly #stopObserving: () => void;
  /** The daemons that have processed something; those that are gone are dropped when their turn comes. */
  readonly #watched: Map<bigint, Watched> = new Map();
  /** Daemons that wait until fewer snapshots are under way; at most all of `#watched`. */
  readonly #waiting: Watched[] = [];
  /** Version of the last snapshot of each watched daemon: the next one has to be newer although the clock stands still. */
  readonly #lastCreatedAt: Map<bigint, bigint> = new Map();
  #underWay = 0;
  #stored = 0;
  #failed = 0;
  #coalesced = 0;
  #timer: unknown;
  #closing: Promise<void> | undefined;

  /** Throws `invalid-argument` for a number outside of its range, `shutting-down` for a runtime that has ended. */
  constructor(options: SnapshotKeeperOptions) {
    const { runtime, store, intervalMs, everyEvents = Infinity, onEvent, time = platformTime } = options;
    const { maxConcurrent = DEFAULT_MAX_CONCURRENT_SNAPSHOTS } = options;
    requireAtLeastOne("intervalMs", intervalMs ?? 1);
    requireAtLeastOne("everyEvents", everyEvents);
    requireAtLeastOne("maxConcurrent", maxConcurrent);
    this.#runtime = runtime;
    this.#store = store;
    this.#intervalMs = intervalMs;
    this.#everyEvents = everyEvents;
    this.#maxConcurrent = maxConcurrent;
    this.#staticKey = options.staticKey;
    this.#onEvent = onEvent;
    this.#time = time;
    this.#stopObserving = runtime.observeDeliveries((originHash) => this.#observe(originHash));
    this.#arm();
  }

  /** What it has done so far. */
  stats(): SnapshotKeeperStats {
    return {
      stored: this.#stored,
      failed: this.#failed,
      coalesced: this.#coalesced,
      underWay: this.#underWay,
      waiting: this.#waiting.length,
    };
  }

  /**
   * Stores a daemon as it is now, or a little later. Resolves to false when it is stateless. Rejects as `DaemonRuntime.snapshot` and
   * `SnapshotStore.put` do, and with `cancelled` once closed.
   */
  snapshot(originHash: bigint): Promise<boolean> {
    if (this.#closing !== undefined) return Promise.reject(closed());
    return this.#request(originHash, this.#watch(originHash));
  }

  /** Stores every daemon that has processed something since its last snapshot; resolves when that is done, whatever failed. */
  async snapshotAll(): Promise<void> {
    const requests: Promise<unknown>[] = [];
    for (const [originHash, watched] of this.#watched) {
      if (watched.events > 0) requests.push(this.#request(originHash, watched));
    }
    await Promise.allSettled(requests);
  }

  /**
   * Makes the daemons of all stored snapshots whose identity is known, each from its newest that is not damaged; the runtime has to be ready.
   * A key that is sealed in a snapshot and cannot be opened is a failure of that one. Rejects only when the store cannot be listed.
   */
  async restore(options: RestoreOptions = {}): Promise<RestoreReport> {
    const { identityOf, isOwn, ...spawnOptions } = options;
    const restored: DaemonHandle[] = [];
    const skipped: SnapshotSummary[] = [];
    const failed: { summary: SnapshotSummary; error: unknown }[] = [];
    const fellBack: bigint[] = [];
    for (const summary of await this.#store.list()) {
      try {
        const isWanted = this.#runtime.daemon(summary.originHash) === undefined && isOwn?.(summary) !== false;
        const given = isWanted ? await identityOf?.(summary) : undefined;
        const isKnown = given !== undefined || (isWanted && this.#staticKey !== undefined);
        const stored = isKnown ? await this.#store.get(summary.entityId) : undefined;
        const identity = stored === undefined ? undefined : (given ?? this.#open(stored.snapshot));
        if (stored === undefined || identity === undefined) {
          skipped.push(summary);
          continue;
        }
        const { kind, snapshot, damaged } = stored;
        try {
          restored.push(await this.#runtime.spawnFromSnapshot(kind, snapshot, { ...spawnOptions, identity }));
        } finally {
          if (identity !== given) identity.zeroize();
        }
        this.#lastCreatedAt.set(summary.originHash, snapshot.createdAt);
        if (damaged > 0) fellBack.push(summary.originHash);
      } catch (error) {
        failed.push({ summary, error });
      }
    }
    return { restored, skipped, failed, fellBack };
  }

  /** Ends it, after what is under way or waits. Idempotent, never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#stopObserving();
    this.#time.cancel(this.#timer);
    const left = [...this.#watched.values()].flatMap(({ underWay, next }) => [underWay, next?.promise]);
    await Promise.allSettled(left);
    this.#watched.clear();
    this.#lastCreatedAt.clear();
  }

  #arm(): void {
    const intervalMs = this.#intervalMs;
    if (intervalMs === undefined) return;
    this.#timer = this.#time.after(intervalMs, () => {
      // The next interval begins when this one's snapshots are stored: a slow store is not asked for more.
      void this.snapshotAll().then(() => {
        if (this.#closing === undefined) this.#arm();
      });
    });
  }

  #observe(originHash: bigint): void {
    let watched = this.#watched.get(originHash);
    if (watched === undefined) {
      if (this.#runtime.isMember(originHash)) return;
      watched = this.#watch(originHash);
    }
    watched.events++;
    if (++watched.sinceAttempt < this.#everyEvents || watched.next !== undefined) return;
    this.#request(originHash, watched).catch(() => {});
  }

  #watch(originHash: bigint): Watched {
    let watched = this.#watched.get(originHash);
    if (watched === undefined) {
      watched = { events: 0, sinceAttempt: 0, underWay: undefined, next: undefined };
      this.#watched.set(originHash, watched);
    }
    return watched;
  }

  /** One snapshot begun from now on: the one that waits already, or another. */
  #request(originHash: bigint, watched: Watched): Promise<boolean> {
    if (watched.next !== undefined) {
      this.#coalesced++;
      return watched.next.promise;
    }
    let begin: () => void = () => {};
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const promise = turn.then(() => this.#take(originHash, watched));
    watched.next = { promise, begin };
    if (watched.underWay === undefined) this.#admit(watched);
    return promise;
  }

  /** Begins the snapshot that waits for nothing but room. */
  #admit(watched: Watched): void {
    const { next } = watched;
    if (next === undefined) return;
    if (this.#underWay >= this.#maxConcurrent) {
      this.#waiting.push(watched);
      return;
    }
    this.#underWay++;
    watched.underWay = next.promise;
    watched.next = undefined;
    next.begin();
  }

  async #take(originHash: bigint, watched: Watched): Promise<boolean> {
    try {
      const isStored = await this.#takeAndPut(originHash, watched);
      if (!isStored) this.#drop(originHash, watched);
      return isStored;
    } catch (error) {
      this.#failed++;
      this.#tell({ kind: "failed", originHash, error });
      if (isGone(error)) this.#drop(originHash, watched);
      throw error;
    } finally {
      this.#underWay--;
      watched.underWay = undefined;
      // Behind those that wait: a busy daemon does not keep the others from being stored.
      if (watched.next !== undefined) this.#waiting.push(watched);
      const first = this.#waiting.shift();
      if (first !== undefined) this.#admit(first);
    }
  }

  async #takeAndPut(originHash: bigint, watched: Watched): Promise<boolean> {
    const kind = this.#runtime.kindOf(originHash);
    if (kind === undefined) {
      throw new DaemonError("factory-not-found", "a daemon whose kind is not known", { originHash });
    }
    watched.sinceAttempt = 0;
    let covered = 0;
    let putting: Promise<boolean> | undefined;
    const taken = await this.#runtime.snapshot(originHash, (snapshot, identity) => {
      covered = watched.events;
      // Begun while the daemon lives here: whoever deletes it after it has left comes later.
      putting = this.#store.put(this.#sealed(this.#newerThanLast(originHash, snapshot), identity), kind);
    });
    if (taken === undefined || putting === undefined) return false;
    if (!(await putting)) {
      throw new SnapshotStoreError("invalid-argument", "the store has a newer snapshot of the daemon");
    }
    watched.events -= covered;
    this.#stored++;
    this.#tell({ kind: "stored", originHash, throughSeq: taken.throughSeq });
    return true;
  }

  #newerThanLast(originHash: bigint, snapshot: StateSnapshot): StateSnapshot {
    const last = this.#lastCreatedAt.get(originHash);
    const { createdAt } = snapshot;
    const unique = last === undefined || createdAt > last ? createdAt : last + 1n;
    this.#lastCreatedAt.set(originHash, unique);
    return unique === createdAt ? snapshot : { ...snapshot, createdAt: unique };
  }

  #sealed(snapshot: StateSnapshot, identity: Identity): StateSnapshot {
    if (this.#staticKey === undefined || identity.isPublicOnly) return snapshot;
    return sealSnapshot(snapshot, identity, { targetPublicKey: this.#staticKey.publicKey });
  }

  #open(snapshot: StateSnapshot): Identity | undefined {
    return this.#staticKey && openSnapshotIdentity(snapshot, { target: this.#staticKey });
  }

  /** Forgets a daemon that is gone or stateless, unless somebody waits for it. */
  #drop(originHash: bigint, watched: Watched): void {
    if (watched.next !== undefined) return;
    this.#watched.delete(originHash);
    this.#lastCreatedAt.delete(originHash);
  }

  #tell(event: KeeperEvent): void {
    try {
      this.#onEvent?.(event);
    } catch {
      // The snapshot is what it is.
    }
  }
}

function isGone(error: unknown): boolean {
  return error instanceof DaemonError && (error.code === "core" || error.code === "factory-not-found");
}

function closed(): DaemonError {
  return new DaemonError("cancelled", "the snapshot keeper was closed");
}

function requireAtLeastOne(name: string, value: number): void {
  if (value >= 1) return;
  throw new DaemonError("invalid-argument", `${name} must be 1 or more, got ${value}`);
}
