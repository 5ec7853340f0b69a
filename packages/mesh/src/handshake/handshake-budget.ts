import type { SocketAddress } from "@netmesh/wire";
import { hashSource } from "./address-hash.ts";

const WINDOW_MS = 1_000;
/** Sources are counted in so many buckets. Far fewer than that are admitted within a window, so few share one. */
const BUCKETS = 1_024;
const MAX_COUNT = 0xffff;
/** What is left of the total while a flood of forged messages lasts. */
const SHARE_UNDER_FORGERY = 1 / 4;
/** An address may use as much as so many nodes, unless told otherwise. */
const NODES_BEHIND_ADDRESS = 4;

/** Messages per second. */
export interface HandshakeLimits {
  /** From one node at one address. */
  readonly perSource: number;
  /** From one address, behind which there may be a relay; default four times as many. */
  readonly perAddress?: number;
  /** From everybody. */
  readonly total: number;
}

/**
 * How many handshake messages of one class are worked on, each of which costs public-key operations: per source, per
 * address and in total, in windows of one second (spec/crypto.md §4.6, weakness W6). A source is an address together
 * with the node id that the message claims, so that nodes behind one relay do not take each other's share; an address
 * has the share of four, so that one that claims many ids does not get everything.
 *
 * A second in which the total was used up, mostly by messages that proved to be forged, leaves the next one a quarter
 * of it: a flood does not cost the same again every second, and real messages would hardly get through beside it anyway.
 *
 * Memory is fixed: sources are counted in 1024 hashed buckets that are emptied with each window, nothing is evicted.
 */
export class HandshakeBudget {
  readonly #perSource: number;
  readonly #perAddress: number;
  readonly #total: number;
  readonly #seed: number;
  /** Made with the first message: most nodes see few classes. */
  #sources: Uint16Array | undefined;
  #addresses: Uint16Array | undefined;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  /** Messages admitted in this window, and how many of them were forged. */
  #count = 0;
  #forged = 0;
  /** What this window has. */
  #limit: number;

  /** @param seed - 32 secret random bits */
  constructor({ perSource, perAddress, total }: HandshakeLimits, seed: number) {
    this.#perSource = Math.min(perSource, MAX_COUNT);
    this.#perAddress = Math.min(perAddress ?? perSource * NODES_BEHIND_ADDRESS, MAX_COUNT);
    this.#total = total;
    this.#limit = total;
    this.#seed = seed;
  }

  /** Whether one more message of that node at that address may be worked on; counts it when so. */
  admit(address: SocketAddress, sourceId: number, nowMs: number): boolean {
    if (nowMs - this.#windowStartMs >= WINDOW_MS) this.#startWindow(nowMs);
    // The cheapest check first: under a flood it is the only one.
    if (this.#count >= this.#limit) return false;
    this.#sources ??= new Uint16Array(BUCKETS);
    this.#addresses ??= new Uint16Array(BUCKETS);
    const source = hashSource(address, sourceId, this.#seed) % BUCKETS;
    const bySource = this.#sources[source] as number;
    if (bySource >= this.#perSource) return false;
    // Another seed: an id of 0 would otherwise choose the same bucket in both.
    const place = hashSource(address, 0, ~this.#seed) % BUCKETS;
    const byAddress = this.#addresses[place] as number;
    if (byAddress >= this.#perAddress) return false;
    this.#sources[source] = bySource + 1;
    this.#addresses[place] = byAddress + 1;
    this.#count++;
    return true;
  }

  /** Tells that an admitted message did not verify. */
  countForged(): void {
    this.#forged++;
  }

  #startWindow(nowMs: number): void {
    const wasFlooded = this.#count >= this.#limit && this.#forged * 2 > this.#count;
    this.#limit = wasFlooded ? Math.ceil(this.#total * SHARE_UNDER_FORGERY) : this.#total;
    this.#windowStartMs = nowMs;
    this.#count = 0;
    this.#forged = 0;
    this.#sources?.fill(0);
    this.#addresses?.fill(0);
  }
}
