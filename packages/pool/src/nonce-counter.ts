import { high32, low32 } from "@netmesh/wire";
import { PoolError } from "./errors.ts";

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

/** Bytes of a shared counter: u64 value, i32 generation, 4 unused. */
const SHARED_SIZE = 16;
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
 * A counter that any number of threads draw from. Hand the memory, the key and the generation to a worker
 * together; each thread makes its own `SharedCounter` on the memory.
 */
export class SharedCounter implements NonceCounter {
  /** What to post to other threads. */
  readonly memory: SharedArrayBuffer;
  /** The generation this object belongs to. */
  readonly generation: number;
  /** Low half of the value taken last. */
  lo = 0;
  /** High half of the value taken last. */
  hi = 0;
  readonly #value: BigUint64Array;
  readonly #generation: Int32Array;
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
    this.#generation = new Int32Array(memory, 8, 1);
    this.#block = block;
    this.generation = options.generation ?? Atomics.load(this.#generation, 0);
  }

  /** Memory for a counter whose first value is `start`, generation 0. */
  static allocate(start = 0n): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(SHARED_SIZE);
    new BigUint64Array(memory, 0, 1)[0] = start;
    return memory;
  }

  /**
   * Takes the next value. Throws `stale-generation` after `retire` in any thread, `counter-exhausted` within
   * 2^32 of the end of the counter space.
   */
  next(): void {
    if (Atomics.load(this.#generation, 0) !== this.generation) {
      throw new PoolError("stale-generation", "the key of this counter was replaced");
    }
    if (this.#left > 0) {
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

  /** Ends this generation for all threads: their next draw throws. Call it when the key is replaced. */
  retire(): void {
    Atomics.add(this.#generation, 0, 1);
  }
}
