import type { PacketBuilder } from "./packet-builder.ts";

/** Calls between two sweeps. */
const SWEEP_INTERVAL = 4096;

/** What the caches know of the pool that a cache is for. */
export interface CacheOwner {
  /** Never given to another pool of this thread. */
  readonly id: number;
  /** Whether the pool will not be used again. */
  readonly isClosed: boolean;
}

interface Cache {
  readonly builders: PacketBuilder[];
  /** Weak as a safety net: a pool dropped without `close` must not keep its builders for ever. */
  readonly owner: WeakRef<CacheOwner>;
}

/**
 * The free lists of all pools of one thread, by pool id, so that builders never cross pools (spec session.md
 * §1.3). The caches of pools that are gone are dropped at every 4096th call.
 */
export class ThreadCaches {
  readonly #caches: Map<number, Cache> = new Map();
  #lastId = 0;
  /** Calls of `tick`, a u32 that wraps. */
  #calls = 0;

  /** Caches present. */
  get size(): number {
    return this.#caches.size;
  }

  /** A pool id that was not given before. */
  nextId(): number {
    return ++this.#lastId;
  }

  /** The free list of a pool, newest last; made empty if missing. */
  of(owner: CacheOwner): PacketBuilder[] {
    let cache = this.#caches.get(owner.id);
    if (cache === undefined) {
      cache = { builders: [], owner: new WeakRef(owner) };
      this.#caches.set(owner.id, cache);
    }
    return cache.builders;
  }

  /** Counts one acquire or release, and sweeps when it is time. */
  tick(): void {
    this.#calls = (this.#calls + 1) >>> 0;
    if (this.#calls % SWEEP_INTERVAL === 0) this.#sweep();
  }

  #sweep(): void {
    for (const [id, { owner }] of this.#caches) {
      if (owner.deref()?.isClosed !== false) this.#caches.delete(id);
    }
  }
}

/** The caches of this thread: every worker has its own copy of this module. */
export const threadCaches: ThreadCaches = new ThreadCaches();
