import { requireLimit } from "./routing-error.ts";

/** Lets `perSecond` events a second pass on average, and `burst` at once. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAtMs: number;

  /**
   * A full bucket.
   * @throws RoutingError `invalid-limit` when the rate or the burst is negative.
   */
  constructor(perSecond: number, burst: number, nowMs: number) {
    requireLimit("perSecond", perSecond);
    requireLimit("burst", burst);
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledAtMs = nowMs;
  }

  /** Whether an event may pass now; it then counts. */
  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
