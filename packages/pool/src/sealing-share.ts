import {
  AEAD_KEY_SIZE,
  type AeadProvider,
  type PublicView,
  REDACTED,
  Redacted,
  sessionIdHex,
} from "@netmesh/crypto";
import { copyBytes } from "@netmesh/wire";
import { PoolError } from "./errors.ts";
import { type PostTarget, postKey } from "./key-grant.ts";
import { MAX_RESERVED_COUNTERS, SharedCounter } from "./nonce-counter.ts";
import { SealingKey } from "./sealing-key.ts";

/** Counters that a worker takes at a time, if their number allows it. */
const USUAL_BLOCK = 32;
/**
 * Workers x block, if nobody asks for more: half of what is allowed. With more, threads that are held up in
 * turns give up most of their counters, and so push each other's further back.
 */
const USUAL_RESERVED = MAX_RESERVED_COUNTERS / 2;

function usualBlock(workers: number): number {
  return Math.max(1, Math.min(USUAL_BLOCK, Math.floor(USUAL_RESERVED / workers)));
}

/**
 * All that a thread needs to seal for a session; holds the key, so post it and keep no copy. Plain data that
 * survives structured cloning.
 */
export interface SealingGrant {
  /** The tx key, 32 bytes; `acceptSealing` wipes it. */
  readonly key: Uint8Array;
  /** Names the session. */
  readonly sessionId: bigint;
  /** The counter of the key, shared by all. */
  readonly counter: SharedArrayBuffer;
  /** The generation of the counter to which the key belongs. */
  readonly generation: number;
  /** Counters to take at a time. */
  readonly block: number;
}

/** How a key is shared. */
export interface SealingShareOptions {
  /** Threads that are going to seal, 1 to 256; the owner's is one of them if it seals as well. */
  readonly workers: number;
  /**
   * Counters that each takes at a time; workers x block is at most 256. As many as half of that allows, up to
   * 32, by default.
   */
  readonly block?: number;
}

/**
 * A tx key that several threads seal with (spec session.md §1.4): one key, one counter in shared memory, one
 * end for all. Owned by the thread that runs the session.
 *
 * Each worker gets the key once, by `grantTo`, and makes its `SealingKey` with `acceptSealing`; when the last
 * one has got it, it is wiped here. `retire` ends it for every thread without a message. A thread whose
 * generation has ended wipes its key at its next attempt to seal, or by `SealingKey.retire`, and then is no
 * holder any more: **after `retire`, once `holders` is 0, nothing is sealed with this key**.
 */
export class SealingShare extends Redacted {
  /** Names the session. */
  readonly sessionId: bigint;
  /** Threads that can be granted the key. */
  readonly workers: number;
  /** Counters that each takes at a time. */
  readonly block: number;
  readonly #counter: SharedCounter;
  /** Until the last worker has got it. */
  #key: Uint8Array | undefined;
  #granted = 0;

  /** `key` has 32 bytes and is copied; wipe yours. Throws `invalid-size`. */
  constructor(key: Uint8Array, sessionId: bigint, options: SealingShareOptions) {
    super();
    const { workers, block = usualBlock(workers) } = options;
    if (key.length !== AEAD_KEY_SIZE) throw new PoolError("invalid-size", "a key has 32 bytes", key.length);
    if (!Number.isInteger(workers) || workers < 1 || !(workers * block <= MAX_RESERVED_COUNTERS)) {
      throw new PoolError(
        "invalid-size",
        `${workers} workers x ${block} counters, at most ${MAX_RESERVED_COUNTERS}`,
        workers,
        MAX_RESERVED_COUNTERS,
      );
    }
    this.sessionId = sessionId;
    this.workers = workers;
    this.block = block;
    this.#counter = new SharedCounter(SharedCounter.allocate(), { block });
    this.#key = copyBytes(key);
  }

  /** Threads that have accepted the key and not wiped it since. */
  get holders(): number {
    return this.#counter.holders;
  }

  /**
   * Posts the key to a worker, for `acceptSealing` there; `wrap` puts the grant into a message of yours.
   * Throws `stale-generation` after `retire`, `all-granted` when all workers have got theirs. What
   * `postMessage` throws passes through, and then the grant is not used up.
   */
  grantTo(target: PostTarget, wrap: (grant: SealingGrant) => unknown = (grant) => grant): void {
    const key = this.#key;
    if (this.#granted === this.workers) {
      throw new PoolError(
        "all-granted",
        `all ${this.workers} workers have the key`,
        this.workers,
        this.workers,
      );
    }
    if (key === undefined) throw new PoolError("stale-generation", "this key was retired");
    const { sessionId, block } = this;
    const { memory: counter, generation } = this.#counter;
    postKey(target, key, (moved) => wrap({ key: moved, sessionId, counter, generation, block }));
    this.#granted++;
    if (this.#granted === this.workers) this.#wipe();
  }

  /** Ends the key for every thread: whoever tries to seal is refused from now on. Idempotent. */
  retire(): void {
    this.#counter.retire();
    this.#wipe();
  }

  /** Shows the session and how it is shared, never the key. */
  override toJSON(): PublicView {
    const { sessionId, workers, block, holders } = this;
    return { sessionId: sessionIdHex(sessionId), workers, block, holders, key: REDACTED };
  }

  #wipe(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

/**
 * The sealing key of a grant, for one `PacketBuilder` or several of this thread; wipes the grant's key in any
 * case. Throws `stale-generation` when the share was retired while the grant was on its way, and
 * `invalid-size` for a block that no share grants.
 */
export function acceptSealing(grant: SealingGrant, provider?: AeadProvider): SealingKey {
  try {
    const { generation, block } = grant;
    const counter = new SharedCounter(grant.counter, { generation, block });
    const options = provider === undefined ? { counter } : { counter, provider };
    const key = new SealingKey(grant.key, grant.sessionId, options);
    try {
      counter.hold();
    } catch (error) {
      key.retire();
      throw error;
    }
    return key;
  } finally {
    grant.key.fill(0);
  }
}
