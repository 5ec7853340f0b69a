import { type PublicView, Redacted, sessionIdHex } from "@netmesh/crypto";
import { BuilderGuard } from "./builder-guard.ts";
import { PoolError } from "./errors.ts";
import { PacketBuilder } from "./packet-builder.ts";
import type { PacketPoolOptions } from "./packet-pool.ts";
import { requirePoolSize } from "./pool-size.ts";
import { SealingKey } from "./sealing-key.ts";
import { type CacheOwner, type ThreadCaches, threadCaches } from "./thread-caches.ts";

/** Builders in the shared queue of a session's pool. */
export const DEFAULT_POOL_SIZE = 64;
/** Builders that a thread takes from the shared queue at once; it keeps up to twice as many. */
export const DEFAULT_LOCAL_CAPACITY = 8;

/** What may be chosen about a thread-local pool. */
export interface ThreadLocalPoolOptions extends PacketPoolOptions {
  /** Builders in the shared queue, 1 to 16,384; 64 by default. */
  readonly size?: number;
  /** Builders taken from it at once, 1 or more; 8 by default. */
  readonly localCapacity?: number;
  /** The caches to use: those of this thread, unless a test brings its own. */
  readonly caches?: ThreadCaches;
}

/**
 * The pool of a session: builders with one key and one counter, cached per thread in front of a shared queue
 * (spec session.md §1.3). The key is never replaced: a new session has a new pool. Worker threads each make
 * their own pool on a `SharedCounter`.
 */
export class ThreadLocalPool extends Redacted implements CacheOwner {
  /** Names the pool within its thread. */
  readonly id: number;
  /** Builders that the shared queue holds at most. */
  readonly capacity: number;
  /** Builders taken from it at once. */
  readonly localCapacity: number;
  readonly #originHash: bigint;
  readonly #key: SealingKey;
  readonly #caches: ThreadCaches;
  readonly #shared: PacketBuilder[] = [];
  readonly #giveBack = (builder: PacketBuilder): void => this.#release(builder);

  /** `key` has 32 bytes and is copied. Throws `invalid-size`. */
  constructor(key: Uint8Array, sessionId: bigint, options: ThreadLocalPoolOptions = {}) {
    super();
    this.capacity = options.size ?? DEFAULT_POOL_SIZE;
    this.localCapacity = options.localCapacity ?? DEFAULT_LOCAL_CAPACITY;
    requirePoolSize(this.capacity);
    requirePoolSize(this.localCapacity);
    this.#originHash = options.originHash ?? 0n;
    this.#key = new SealingKey(key, sessionId, options);
    this.#caches = options.caches ?? threadCaches;
    this.id = this.#caches.nextId();
    for (let i = 0; i < this.capacity; i++) this.#shared.push(this.#create());
  }

  /** Builders in the shared queue. */
  get sharedAvailable(): number {
    return this.#shared.length;
  }

  /** The session that packets are sealed for. */
  get sessionId(): bigint {
    return this.#key.sessionId;
  }

  /** Whether `close` was called. */
  get isClosed(): boolean {
    return this.#key.isRetired;
  }

  /** Borrows a builder with channel hash 0 and the pool's origin hash. Throws `closed`. */
  acquire(): BuilderGuard {
    if (this.isClosed) throw new PoolError("closed", "this session's pool was closed");
    this.#caches.tick();
    const cache = this.#caches.of(this);
    if (cache.length === 0) cache.push(...this.#shared.splice(0, this.localCapacity));
    return new BuilderGuard(cache.pop() ?? this.#create(), this.#giveBack);
  }

  /** Wipes the key; guards that are out refuse to seal from now on. Idempotent. */
  close(): void {
    this.#key.retire();
    this.#shared.length = 0;
  }

  /** Closes the pool. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Shows sizes and session, never the key. */
  override toJSON(): PublicView {
    return {
      capacity: this.capacity,
      sharedAvailable: this.sharedAvailable,
      localCapacity: this.localCapacity,
      sessionId: sessionIdHex(this.sessionId),
    };
  }

  #create(): PacketBuilder {
    return new PacketBuilder(this.#key, this.#originHash);
  }

  #release(builder: PacketBuilder): void {
    this.#caches.tick();
    if (this.isClosed) return;
    builder.setOriginHash(this.#originHash);
    builder.setChannelHash(0);
    const cache = this.#caches.of(this);
    if (cache.length < 2 * this.localCapacity) cache.push(builder);
    else if (this.#shared.length < this.capacity) this.#shared.push(builder);
  }
}
