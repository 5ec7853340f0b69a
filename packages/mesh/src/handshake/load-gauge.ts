const WINDOW_MS = 1_000;

/**
 * Whether stamped messages come faster than they should be worked on unseen. Load begins with the message that makes
 * half of a second's budget, and ends after a whole second in which fewer than a quarter came.
 */
export class LoadGauge {
  readonly #enterAt: number;
  readonly #leaveBelow: number;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  #isLoaded = false;

  /** @param perSecond - the budget */
  constructor(perSecond: number) {
    this.#enterAt = Math.ceil(perSecond / 2);
    this.#leaveBelow = Math.ceil(perSecond / 4);
  }

  /** Counts a message; true when it arrives under load. */
  count(nowMs: number): boolean {
    const elapsed = nowMs - this.#windowStartMs;
    if (elapsed >= WINDOW_MS) {
      // Two windows later, a whole one has passed without any message.
      if (elapsed >= 2 * WINDOW_MS || this.#count < this.#leaveBelow) this.#isLoaded = false;
      this.#windowStartMs = nowMs;
      this.#count = 0;
    }
    this.#count++;
    if (this.#count > this.#enterAt) this.#isLoaded = true;
    return this.#isLoaded;
  }
}
