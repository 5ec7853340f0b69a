import { hashU64, type SocketAddress } from "@netmesh/wire";
import { HandshakeBudget } from "./handshake-budget.ts";

/** Replies per second in all: about a twentieth of a core. */
const REPLIES_PER_SECOND = 4_096;
/** What may come at once after a quiet time. */
const BURST = 256;
/** Replies per second to one node, and to one address, behind which there may be a relay and many nodes. */
const PER_SOURCE = 32;
const PER_ADDRESS = 2_048;
/** A message gets one reply within this time. */
const REMEMBER_MS = 4_000;
/** Bits of the memory of answered messages; with 16 384 answers in 4 s, 0.4 % of new messages are taken for old ones. */
const FILTER_BITS = 1 << 19;

/**
 * Limits cookie replies without letting a flood use them up. Somebody who repeats recorded messages has only so many
 * of them, and each is answered once in four seconds: up to 16 384 different ones leave room for those that are new. What is
 * left over is shared out by chance: tokens come back evenly, so nobody can time a flood to take them all.
 *
 * Memory is fixed, 68 KiB from the first time under load on: a Bloom filter that is emptied every four seconds, and the
 * buckets of a budget.
 */
export class CookieReplyLimiter {
  readonly #seed: number;
  #filter: Uint32Array | undefined;
  #filterSinceMs = Number.NEGATIVE_INFINITY;
  readonly #budget: HandshakeBudget;
  #tokens = BURST;
  #refilledAtMs = 0;

  /** @param seed - 32 secret random bits */
  constructor(seed: number) {
    this.#seed = seed;
    const limits = { perSource: PER_SOURCE, perAddress: PER_ADDRESS, total: REPLIES_PER_SECOND + BURST };
    this.#budget = new HandshakeBudget(limits, seed);
  }

  /** Whether the message with that stamp, given by its first 8 bytes, is answered now; takes note of it when so. */
  admit(stampLo: number, stampHi: number, address: SocketAddress, sourceId: number, nowMs: number): boolean {
    const filter = this.#currentFilter(nowMs);
    const first = hashU64(stampLo, stampHi, this.#seed) % FILTER_BITS;
    const second = hashU64(stampHi, stampLo, ~this.#seed) % FILTER_BITS;
    if (isSet(filter, first) && isSet(filter, second)) return false;
    const refill = ((nowMs - this.#refilledAtMs) * REPLIES_PER_SECOND) / 1_000;
    this.#tokens = Math.min(BURST, this.#tokens + refill);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1 || !this.#budget.admit(address, sourceId, nowMs)) return false;
    this.#tokens--;
    set(filter, first);
    set(filter, second);
    return true;
  }

  #currentFilter(nowMs: number): Uint32Array {
    this.#filter ??= new Uint32Array(FILTER_BITS / 32);
    if (nowMs - this.#filterSinceMs >= REMEMBER_MS) {
      this.#filterSinceMs = nowMs;
      this.#filter.fill(0);
    }
    return this.#filter;
  }
}

function isSet(filter: Uint32Array, bit: number): boolean {
  return ((filter[bit >>> 5] as number) & (1 << (bit & 31))) !== 0;
}

function set(filter: Uint32Array, bit: number): void {
  filter[bit >>> 5] = (filter[bit >>> 5] as number) | (1 << (bit & 31));
}
