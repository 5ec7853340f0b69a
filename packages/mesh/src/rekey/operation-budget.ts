const WINDOW_MS = 1_000;

/** Allows so many costly operations a second, in windows of one second. */
export class OperationBudget {
  readonly #perSecond: number;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** @param perSecond - operations allowed in a window */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether one more is allowed now; does not count it. */
  has(nowMs: number): boolean {
    return this.#count < this.#perSecond || nowMs - this.#windowStartMs >= WINDOW_MS;
  }

  /** Counts one that {@link has} allowed. */
  spend(nowMs: number): void {
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#count = 0;
    }
    this.#count++;
  }
}
