/** Counters that the window remembers behind the highest accepted one. */
export const REPLAY_WINDOW_SIZE = 1024;

const WORDS = REPLAY_WINDOW_SIZE / 32;
const MASK = REPLAY_WINDOW_SIZE - 1;
const TWO_32 = 0x1_0000_0000;
const MAX_U32 = 0xffff_ffff;

/**
 * Which packet counters of one session and direction were accepted (spec crypto.md §5.1; the ring of RFC
 * 6479).
 *
 * Call `commit` only after the tag verified: it moves the window. A counter is an unsigned 64-bit number
 * given as its two 32-bit halves. Not shared between threads.
 */
export class ReplayWindow {
  /** 1 + highest accepted counter, low half. */
  #nextLo = 0;
  /** 1 + highest accepted counter, high half. */
  #nextHi = 0;
  /** Bit `counter mod 1024` = counter accepted; meaningful for the 1024 counters below `next`. */
  readonly #ring: Uint32Array = new Uint32Array(WORDS);

  /** 1 + highest accepted counter, 0 at first. */
  get next(): bigint {
    return (BigInt(this.#nextHi) << 32n) | BigInt(this.#nextLo);
  }

  /** A copy of the window: bit j of word i tells whether counter `next - 1 - (32 i + j)` was accepted. */
  get words(): Uint32Array {
    const words = new Uint32Array(WORDS);
    for (let age = 0; age < REPLAY_WINDOW_SIZE; age++) {
      if (this.#has(this.#nextLo - 1 - age))
        words[age >>> 5] = (words[age >>> 5] as number) | (1 << (age & 31));
    }
    return words;
  }

  /**
   * Accepts an authenticated counter: true if it is new, false if it was seen, is older than the window, or
   * the counter space is used up. Any forward jump is accepted.
   */
  commit(lo: number, hi: number): boolean {
    if (isMax(lo, hi) || isMax(this.#nextLo, this.#nextHi)) return false;
    const ahead = this.#distance(lo, hi);
    if (ahead >= 0) {
      if (ahead + 1 >= REPLAY_WINDOW_SIZE) this.#ring.fill(0);
      else this.#clear(this.#nextLo, ahead);
      this.#nextLo = (lo + 1) >>> 0;
      this.#nextHi = this.#nextLo === 0 ? hi + 1 : hi;
    } else if (-ahead > REPLAY_WINDOW_SIZE || this.#has(lo)) {
      return false;
    }
    const word = (lo & MASK) >>> 5;
    this.#ring[word] = (this.#ring[word] as number) | (1 << (lo & 31));
    return true;
  }

  /**
   * Whether a counter looks acceptable, without accepting it. Stricter than `commit`: more than 1024 ahead is
   * false. A hint for dropping old counters before decryption, never a gate: after a loss of more than 1024
   * packets it would refuse everything.
   */
  isValid(lo: number, hi: number): boolean {
    if (isMax(lo, hi)) return false;
    const ahead = this.#distance(lo, hi);
    if (ahead >= 0) return ahead <= REPLAY_WINDOW_SIZE;
    return -ahead <= REPLAY_WINDOW_SIZE && !this.#has(lo);
  }

  /** Whether this is the highest counter accepted so far. */
  isNewest(lo: number, hi: number): boolean {
    const nextLo = (lo + 1) >>> 0;
    return nextLo === this.#nextLo && (nextLo === 0 ? hi + 1 : hi) === this.#nextHi;
  }

  /** counter - next; beyond 2^53 rounded, which keeps every comparison with the window size right. */
  #distance(lo: number, hi: number): number {
    return (hi - this.#nextHi) * TWO_32 + (lo - this.#nextLo);
  }

  #has(lo: number): boolean {
    return (((this.#ring[(lo & MASK) >>> 5] as number) >>> (lo & 31)) & 1) === 1;
  }

  /** Forgets the `count` counters from `lo` on, at most a word at a time. */
  #clear(lo: number, count: number): void {
    for (let left = count, at = lo & MASK; left > 0; ) {
      const bits = Math.min(32 - (at & 31), left);
      const mask = bits === 32 ? MAX_U32 : ((1 << bits) - 1) << (at & 31);
      this.#ring[at >>> 5] = (this.#ring[at >>> 5] as number) & ~mask;
      left -= bits;
      at = (at + bits) & MASK;
    }
  }
}

function isMax(lo: number, hi: number): boolean {
  return lo === MAX_U32 && hi === MAX_U32;
}
