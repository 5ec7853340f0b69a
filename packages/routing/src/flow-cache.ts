/** Flows remembered; a power of two. The cache takes 256 KiB, which stays in a core's second-level cache. */
const CAPACITY = 8192;
// One line is half a cache line: low half, high half, next hop plus 1 (0 where empty), a word unused, the
// time at which it expires as a float, two words unused.
const WORDS = 8;
const NEXT_HOP_AT = 2;
const FLOATS = WORDS / 2;
const EXPIRES_AT = 2;

/**
 * The next hops of the destinations that packets went to last, in front of a large table: the packets of
 * a relay belong to few flows, and a lookup in a table of many megabytes waits for memory.
 *
 * Direct-mapped by the hash of the destination. A line is right until it expires or its destination is
 * invalidated; a route that was refreshed meanwhile expires early here, which costs a look at the table.
 */
export class FlowCache {
  readonly #words: Uint32Array = new Uint32Array(CAPACITY * WORDS);
  readonly #floats: Float64Array = new Float64Array(this.#words.buffer);

  /** Number of the next hop, negative when it is not here. Halves unsigned. */
  find(hash: number, lo: number, hi: number, nowMs: number): number {
    const words = this.#words;
    const line = hash & (CAPACITY - 1);
    const at = line * WORDS;
    if (words[at] !== lo || words[at + 1] !== hi) return -1;
    if (nowMs > (this.#floats[line * FLOATS + EXPIRES_AT] as number)) return -1;
    return (words[at + NEXT_HOP_AT] as number) - 1;
  }

  put(hash: number, lo: number, hi: number, nextHop: number, expiresMs: number): void {
    const words = this.#words;
    const line = hash & (CAPACITY - 1);
    const at = line * WORDS;
    words[at] = lo;
    words[at + 1] = hi;
    words[at + NEXT_HOP_AT] = nextHop + 1;
    this.#floats[line * FLOATS + EXPIRES_AT] = expiresMs;
  }

  /** The destination with that hash changed. */
  invalidate(hash: number): void {
    this.#words[(hash & (CAPACITY - 1)) * WORDS + NEXT_HOP_AT] = 0;
  }

  /** Anything may have changed. */
  clear(): void {
    this.#words.fill(0);
  }
}
