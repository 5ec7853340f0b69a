import { high32, joinU64, low32 } from "./u64.ts";

const FIRST_CAPACITY = 16;
/** Slots in use before the table doubles, of 10. */
const MAX_LOAD_TENTHS = 7;

/**
 * Hash of a 64-bit key given as halves: 32 well-mixed bits, different for each seed.
 *
 * Murmur3's finaliser over both halves with the seed folded in before and between. It keeps peers
 * that choose their ids from aiming at one slot as long as the seed is secret; it is no MAC.
 */
export function hashU64(lo: number, hi: number, seed: number): number {
  let hash = Math.imul(lo ^ seed, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35) ^ hi;
  hash = Math.imul(hash ^ (hash >>> 16) ^ (seed >>> 7), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Map from unsigned 64-bit ids to values, for ids that arrive from the network as two 32-bit halves.
 *
 * Open addressing with linear probing and backward-shift deletion: no tombstones, at most 0.7 full,
 * no allocation on `get`, `has` and `delete`. Halves may be given signed or unsigned. Iteration order
 * is unspecified, and the map must not be changed while it is iterated.
 *
 * It grows without limit: a map fed by the network needs a bound of its owner's.
 */
export class U64Map<V> {
  readonly #seed: number;
  #size = 0;
  #mask: number = FIRST_CAPACITY - 1;
  /** Low half at 2i, high half at 2i + 1. */
  #keys: Uint32Array = new Uint32Array(FIRST_CAPACITY * 2);
  #used: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  #values: (V | undefined)[] = new Array<V | undefined>(FIRST_CAPACITY).fill(undefined);

  /** @param seed 32 random bits where ids are chosen by others; the same seed gives the same layout. */
  constructor(seed = 0) {
    this.#seed = seed | 0;
  }

  /** Entries held. */
  get size(): number {
    return this.#size;
  }

  /** Value of the id with these halves. */
  get(lo: number, hi: number): V | undefined {
    const slot = this.#find(lo, hi);
    return slot < 0 ? undefined : this.#values[slot];
  }

  /** Whether the id has an entry. */
  has(lo: number, hi: number): boolean {
    return this.#find(lo, hi) >= 0;
  }

  /** Inserts or replaces. */
  set(lo: number, hi: number, value: V): void {
    const slot = this.#find(lo, hi);
    if (slot >= 0) {
      this.#values[slot] = value;
      return;
    }
    if ((this.#size + 1) * 10 > (this.#mask + 1) * MAX_LOAD_TENTHS) {
      this.#grow();
      this.#place(lo, hi, value);
    } else {
      this.#fill(~slot, lo, hi, value);
    }
    this.#size += 1;
  }

  /** Removes the entry; false when there was none. */
  delete(lo: number, hi: number): boolean {
    const slot = this.#find(lo, hi);
    if (slot < 0) return false;
    this.#vacate(slot);
    return true;
  }

  /** Removes every entry the predicate holds for, in one pass; returns how many. */
  removeIf(predicate: (value: V, lo: number, hi: number) => boolean): number {
    const before = this.#size;
    for (let slot = 0; slot <= this.#mask; slot++) {
      // A removal moves a later entry into the slot, which then has to be looked at as well.
      while (
        this.#used[slot] === 1 &&
        predicate(this.#values[slot] as V, this.#keys[slot * 2] as number, this.#keys[slot * 2 + 1] as number)
      ) {
        this.#vacate(slot);
      }
    }
    return before - this.#size;
  }

  /** Removes everything and gives the memory back. */
  clear(): void {
    this.#size = 0;
    this.#allocate(FIRST_CAPACITY);
  }

  /** Calls back for every entry, halves unsigned. */
  forEach(callback: (value: V, lo: number, hi: number) => void): void {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#used[slot] === 0) continue;
      callback(this.#values[slot] as V, this.#keys[slot * 2] as number, this.#keys[slot * 2 + 1] as number);
    }
  }

  /** The values. */
  *[Symbol.iterator](): IterableIterator<V> {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#used[slot] === 1) yield this.#values[slot] as V;
    }
  }

  /** Ids and values; each id costs a `bigint`. */
  *entries(): IterableIterator<[bigint, V]> {
    for (let slot = 0; slot <= this.#mask; slot++) {
      if (this.#used[slot] === 0) continue;
      const id = joinU64(this.#keys[slot * 2] as number, this.#keys[slot * 2 + 1] as number);
      yield [id, this.#values[slot] as V];
    }
  }

  /** {@link U64Map.get} by `bigint`. */
  getId(id: bigint): V | undefined {
    return this.get(low32(id), high32(id));
  }

  /** {@link U64Map.has} by `bigint`. */
  hasId(id: bigint): boolean {
    return this.has(low32(id), high32(id));
  }

  /** {@link U64Map.set} by `bigint`. */
  setId(id: bigint, value: V): void {
    this.set(low32(id), high32(id), value);
  }

  /** {@link U64Map.delete} by `bigint`. */
  deleteId(id: bigint): boolean {
    return this.delete(low32(id), high32(id));
  }

  /** Slot of the key, or the complement of the free slot where it would go. */
  #find(lo: number, hi: number): number {
    const keys = this.#keys;
    const used = this.#used;
    const mask = this.#mask;
    const wantedLo = lo >>> 0;
    const wantedHi = hi >>> 0;
    let slot = hashU64(lo, hi, this.#seed) & mask;
    while (used[slot] === 1) {
      if (keys[slot * 2] === wantedLo && keys[slot * 2 + 1] === wantedHi) return slot;
      slot = (slot + 1) & mask;
    }
    return ~slot;
  }

  #fill(slot: number, lo: number, hi: number, value: V): void {
    this.#keys[slot * 2] = lo;
    this.#keys[slot * 2 + 1] = hi;
    this.#used[slot] = 1;
    this.#values[slot] = value;
  }

  #place(lo: number, hi: number, value: V): void {
    this.#fill(~this.#find(lo, hi), lo, hi, value);
  }

  /** Empties a slot and pulls back the entries that only probed past it. */
  #vacate(slot: number): void {
    const mask = this.#mask;
    let hole = slot;
    for (let next = (hole + 1) & mask; this.#used[next] === 1; next = (next + 1) & mask) {
      const lo = this.#keys[next * 2] as number;
      const hi = this.#keys[next * 2 + 1] as number;
      const home = hashU64(lo, hi, this.#seed) & mask;
      // An entry may move back to the hole only if the hole is not before its home.
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      this.#fill(hole, lo, hi, this.#values[next] as V);
      hole = next;
    }
    this.#used[hole] = 0;
    this.#values[hole] = undefined;
    this.#size -= 1;
  }

  #grow(): void {
    const { length } = this.#used;
    const [keys, used, values] = [this.#keys, this.#used, this.#values];
    this.#allocate(length * 2);
    for (let slot = 0; slot < length; slot++) {
      if (used[slot] === 1) {
        this.#place(keys[slot * 2] as number, keys[slot * 2 + 1] as number, values[slot] as V);
      }
    }
  }

  #allocate(capacity: number): void {
    this.#mask = capacity - 1;
    this.#keys = new Uint32Array(capacity * 2);
    this.#used = new Uint8Array(capacity);
    this.#values = new Array<V | undefined>(capacity).fill(undefined);
  }
}
