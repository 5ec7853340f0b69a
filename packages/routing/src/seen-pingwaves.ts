import { hashU64 } from "@netmesh/wire";
import { requireCount } from "./routing-error.ts";

const FIRST_CAPACITY = 64;
/** Origin and sequence, two halves each. */
const KEY_WORDS = 4;

/**
 * The pingwaves that have come by, as (origin, sequence) pairs with the time of the first copy, oldest first.
 *
 * A ring of entries and an open-addressed index over it, both in typed arrays that double up to
 * `maxEntries`; the owner decides what happens when it is full. `nowMs` never goes back.
 */
export class SeenPingwaves {
  readonly #maxEntries: number;
  readonly #seed: number;
  #keys: Uint32Array = new Uint32Array(FIRST_CAPACITY * KEY_WORDS);
  #timesMs: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** Place in the ring plus 1, 0 where free; twice as long as the ring. */
  #index: Int32Array = new Int32Array(FIRST_CAPACITY * 2);
  /** Place of the oldest entry. */
  #first = 0;
  #size = 0;

  /**
   * @param seed 32 random bits
   * @throws RoutingError `invalid-limit`
   */
  constructor(maxEntries: number, seed: number) {
    requireCount("maxEntries", maxEntries);
    this.#maxEntries = maxEntries;
    this.#seed = seed;
  }

  /** Pairs held. */
  get size(): number {
    return this.#size;
  }

  /** Whether no further pair fits. */
  get isFull(): boolean {
    return this.#size >= this.#maxEntries;
  }

  has(originLo: number, originHi: number, sequenceLo: number, sequenceHi: number): boolean {
    return this.#find(originLo, originHi, sequenceLo, sequenceHi) >= 0;
  }

  /** Remembers a pair that is not held; a full memory forgets the oldest one for it. */
  add(originLo: number, originHi: number, sequenceLo: number, sequenceHi: number, nowMs: number): void {
    if (this.isFull) this.#removeOldest();
    if (this.#size === this.#timesMs.length) this.#grow();
    const place = (this.#first + this.#size) & (this.#timesMs.length - 1);
    this.#keys[place * KEY_WORDS] = originLo;
    this.#keys[place * KEY_WORDS + 1] = originHi;
    this.#keys[place * KEY_WORDS + 2] = sequenceLo;
    this.#keys[place * KEY_WORDS + 3] = sequenceHi;
    this.#timesMs[place] = nowMs;
    this.#index[~this.#find(originLo, originHi, sequenceLo, sequenceHi)] = place + 1;
    this.#size += 1;
  }

  /** Forgets the pairs older than `maxAgeMs`; returns how many. */
  expire(maxAgeMs: number, nowMs: number): number {
    const before = this.#size;
    while (this.#size > 0 && nowMs - (this.#timesMs[this.#first] as number) > maxAgeMs) this.#removeOldest();
    return before - this.#size;
  }

  #hash(a: number, b: number, c: number, d: number): number {
    return hashU64(c, hashU64(a, b, this.#seed) ^ d, this.#seed);
  }

  #homeOf(place: number): number {
    const keys = this.#keys;
    const at = place * KEY_WORDS;
    const mask = this.#index.length - 1;
    return (
      this.#hash(keys[at] as number, keys[at + 1] as number, keys[at + 2] as number, keys[at + 3] as number) &
      mask
    );
  }

  /** Index slot of the pair, or the complement of the free slot where it would go. */
  #find(a: number, b: number, c: number, d: number): number {
    const keys = this.#keys;
    const index = this.#index;
    const mask = index.length - 1;
    let slot = this.#hash(a, b, c, d) & mask;
    for (let entry = index[slot] as number; entry !== 0; entry = index[slot] as number) {
      const at = (entry - 1) * KEY_WORDS;
      if (keys[at] === a && keys[at + 1] === b && keys[at + 2] === c && keys[at + 3] === d) return slot;
      slot = (slot + 1) & mask;
    }
    return ~slot;
  }

  #removeOldest(): void {
    const keys = this.#keys;
    const index = this.#index;
    const mask = index.length - 1;
    const at = this.#first * KEY_WORDS;
    let hole = this.#find(
      keys[at] as number,
      keys[at + 1] as number,
      keys[at + 2] as number,
      keys[at + 3] as number,
    );
    for (let next = (hole + 1) & mask; index[next] !== 0; next = (next + 1) & mask) {
      const home = this.#homeOf((index[next] as number) - 1);
      // An entry may move back to the hole only if the hole is not before its home.
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      index[hole] = index[next] as number;
      hole = next;
    }
    index[hole] = 0;
    this.#first = (this.#first + 1) & (this.#timesMs.length - 1);
    this.#size -= 1;
  }

  #grow(): void {
    const [keys, timesMs, first, size] = [this.#keys, this.#timesMs, this.#first, this.#size];
    const mask = timesMs.length - 1;
    this.#keys = new Uint32Array(keys.length * 2);
    this.#timesMs = new Float64Array(timesMs.length * 2);
    this.#index = new Int32Array(timesMs.length * 4);
    this.#first = 0;
    this.#size = 0;
    for (let i = 0; i < size; i++) {
      const place = (first + i) & mask;
      const [a, b, c, d] = keys.subarray(place * KEY_WORDS, (place + 1) * KEY_WORDS);
      this.add(a as number, b as number, c as number, d as number, timesMs[place] as number);
    }
  }
}
