import { high32, low32 } from "@netmesh/wire";
import { PoolError } from "./errors.ts";
import { SHARED_GENERATION_SIZE, SharedGeneration } from "./shared-generation.ts";

/** 2^64 - 1: every receiver refuses it, so it is never handed out (spec crypto.md §5). */
const LIMIT = 0xffff_ffff_ffff_ffffn;

/**
 * Where the nonces of one tx key come from. There is exactly one counter per key, and each value is used
 * once, whatever thread seals (spec session.md §1.4).
 */
export interface NonceCounter {
  /** Takes the next value into `lo` and `hi`. Throws `counter-exhausted` or `stale-generation`. */
  next(): void;
  /** Low half of the value taken last. */
  readonly lo: number;
  /** High half of the value taken last. */
  readonly hi: number;
  /** Told once the key was wiped; no value is taken afterwards. */
  release?(): void;
}

function exhausted(): PoolError {
  return new PoolError("counter-exhausted", "the transmit counter of this session is used up");
}

/**
 * Packets that may be sealed within one key epoch, at most: then the key is used up, whatever became of its renewal.
 */
export const MAX_EPOCH_PACKETS: number = 2 ** 31;

/**
 * The counter of one key of a session that renews them: the high half of its values is the epoch (u32), the low half
 * counts the packets. Ends after `MAX_EPOCH_PACKETS`.
 */
export function epochCounter(epoch: number): LocalCounter {
  const start = BigInt(epoch) << 32n;
  return new LocalCounter(start, start + BigInt(MAX_EPOCH_PACKETS));
}

/** A counter that never leaves its thread. Allocates nothing. */
export class LocalCounter implements NonceCounter {
  /** Low half of the value taken last. */
  lo = 0;
  /** High half of the value taken last. */
  hi = 0;
  #nextLo: number;
  #nextHi: number;
  readonly #endLo: number;
  readonly #endHi: number;

  /** The first value will be `start`, the last `end - 1`; by default 0 and 2^64 - 2. `start` must not be above `end`. */
  constructor(start = 0n, end: bigint = LIMIT) {
    if (start > end) throw new PoolError("invalid-size", "a counter ends where it starts, or later");
    this.#nextLo = low32(start);
    this.#nextHi = high32(start);
    this.#endLo = low32(end);
    this.#endHi = high32(end);
  }

  /** Takes the next value. Throws `counter-exhausted`, now and ever after, instead of handing out the end. */
  next(): void {
    if (this.#nextLo === this.#endLo && this.#nextHi === this.#endHi) throw exhausted();
    this.lo = this.#nextLo;
    this.hi = this.#nextHi;
    this.#nextLo = (this.#nextLo + 1) >>> 0;
    if (this.#nextLo === 0) this.#nextHi++;
  }
}

/** Where the generation is, behind the u64 value. */
const GENERATION_OFFSET = 8;
/**
 * Values held back at the end: `Atomics.add` wraps silently, and other threads may add between our look and
 * our add.
 */
const RESERVE = 1n << 32n;

/**
 * Largest product of workers and block size: what is sealed late must still be inside the receiver's window
 * of 1024, with room for what the network reorders (spec session.md §1.4).
 */
export const MAX_RESERVED_COUNTERS = 256;

/** How a thread draws from a shared counter. */
export interface SharedCounterOptions {
  /**
   * Values taken from the shared memory at a time, 1 by default. Unused ones are lost. Keep workers x block
   * within `MAX_RESERVED_COUNTERS`.
   */
  readonly block?: number;
  /** The generation that came with the key; the memory's present one by default. */
  readonly generation?: number;
}

/**
 * A counter that any number of threads draw from; each makes its own `SharedCounter` on the memory. Memory,
 * key and generation belong together: `SealingShare` hands them to workers.
 *
 * A thread that was held up while the others have gone on by more than `MAX_RESERVED_COUNTERS` gives up the
 * rest of its block: those packets would come too late for the receiver's window.
 */
export class SharedCounter implements NonceCounter {
  /** What to post to other threads. */
  readonly memory: SharedArrayBuffer;
  /** Low half of the value taken last. */
  lo = 0;
  /** High half of the value taken last. */
  hi = 0;
  readonly #value: BigUint64Array;
  /** The low half of the value; every platform of JavaScript is little-endian. */
  readonly #valueLo: Int32Array;
  readonly #generation: SharedGeneration;
  readonly #block: number;
  /** Values of the block not taken yet; the next is the one behind `lo`, `hi`. */
  #left = 0;

  /** Draws from `memory`, which `allocate` made. Throws `invalid-size` for a block outside 1..256. */
  constructor(memory: SharedArrayBuffer, options: SharedCounterOptions = {}) {
    const block = options.block ?? 1;
    if (!Number.isInteger(block) || block < 1 || block > MAX_RESERVED_COUNTERS) {
      throw new PoolError("invalid-size", `a block has 1 to ${MAX_RESERVED_COUNTERS} values`, block);
    }
    this.memory = memory;
    this.#value = new BigUint64Array(memory, 0, 1);
    this.#valueLo = new Int32Array(memory, 0, 1);
    this.#generation = new SharedGeneration(memory, GENERATION_OFFSET, options.generation);
    this.#block = block;
  }

  /** Memory for a counter whose first value is `start`, generation 0. */
  static allocate(start = 0n): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(GENERATION_OFFSET + SHARED_GENERATION_SIZE);
    new BigUint64Array(memory, 0, 1)[0] = start;
    return memory;
  }

  /** The generation this object belongs to. */
  get generation(): number {
    return this.#generation.generation;
  }

  /** Threads that hold the key, as far as they have said so by `hold`. */
  get holders(): number {
    return this.#generation.holders;
  }

  /**
   * Takes the next value. Throws `stale-generation` after `retire` in any thread, `counter-exhausted` within
   * 2^32 of the end of the counter space.
   */
  next(): void {
    this.#generation.assertCurrent();
    if (this.#left > 0 && this.#isBlockRecent()) {
      this.#left--;
      this.lo = (this.lo + 1) >>> 0;
      if (this.lo === 0) this.hi++;
      return;
    }
    if (Atomics.load(this.#value, 0) >= LIMIT - RESERVE) throw exhausted();
    const first = Atomics.add(this.#value, 0, BigInt(this.#block));
    this.lo = low32(first);
    this.hi = high32(first);
    this.#left = this.#block - 1;
  }

  /** Counts this thread among `holders`, until `release`. Throws `stale-generation`. */
  hold(): void {
    this.#generation.join();
  }

  /** This thread has wiped the key. Idempotent. */
  release(): void {
    this.#generation.leave();
  }

  /**
   * Ends this generation for all threads: their next draw throws. Call it when the key is replaced.
   * Idempotent.
   */
  retire(): void {
    this.#generation.retire();
  }

  /** Whether the others are not far ahead. The low halves tell; were one read torn, it would cost a block. */
  #isBlockRecent(): boolean {
    return (Atomics.load(this.#valueLo, 0) - this.lo - 1) >>> 0 <= MAX_RESERVED_COUNTERS;
  }
}
