import type { CongestionControl } from "./congestion-control.ts";

const INITIAL_WINDOW = 32;
const MIN_WINDOW = 2;
/** What is kept of the window after a loss: the reference keeps half; 0.7 is CUBIC's choice (RFC 9438 §4.6). */
const LOSS_FACTOR = 0.7;

/** Slow start, then one packet more per round trip; less after a loss (RFC 5681 §3.1 with a milder cut). */
export class AdditiveIncrease implements CongestionControl {
  #window: number = INITIAL_WINDOW;
  #threshold = Number.POSITIVE_INFINITY;
  readonly #max: number;

  /** @param maxPackets - upper bound of the window */
  constructor(maxPackets: number) {
    this.#max = maxPackets;
    this.#window = Math.min(INITIAL_WINDOW, maxPackets);
  }

  get windowPackets(): number {
    return this.#window;
  }

  acknowledged(packets: number): void {
    for (let i = 0; i < packets && this.#window < this.#max; i++) {
      this.#window += this.#window < this.#threshold ? 1 : 1 / this.#window;
    }
    if (this.#window > this.#max) this.#window = this.#max;
  }

  lossDetected(): void {
    this.#threshold = Math.max(this.#window * LOSS_FACTOR, MIN_WINDOW);
    this.#window = this.#threshold;
  }

  timedOut(): void {
    this.#threshold = Math.max(this.#window / 2, MIN_WINDOW);
    this.#window = MIN_WINDOW;
  }
}
