import { PoolError } from "./errors.ts";
import { requirePoolSize } from "./pool-size.ts";

/**
 * Puts what several workers give back into the order in which it was given out, and limits how much is under
 * way. For the thread that gives out the work.
 *
 * A worker that the system holds up is overtaken by any number of others; without this, what it opens comes
 * back too late for the replay window, however little each worker has.
 */
export class DispatchOrder<T> {
  /** Pieces of work under way, or waiting for an earlier one, at most. */
  readonly capacity: number;
  /** Results that wait for earlier ones, at `place mod capacity`. */
  readonly #results: (T | undefined)[];
  /** Whether the place's result is there. */
  readonly #isComplete: boolean[];
  /** The next place to be given out. */
  #next = 0;
  /** The next place to be delivered. */
  #first = 0;

  /** `capacity` is 1 to 16,384. Throws `invalid-size`. */
  constructor(capacity: number) {
    requirePoolSize(capacity);
    this.capacity = capacity;
    this.#results = new Array<T | undefined>(capacity).fill(undefined);
    this.#isComplete = new Array<boolean>(capacity).fill(false);
  }

  /** Places given out whose results have not been delivered. */
  get pending(): number {
    return this.#next - this.#first;
  }

  /** The place of the next piece of work, or -1 while `capacity` are pending: wait for one to complete. */
  begin(): number {
    return this.pending < this.capacity ? this.#next++ : -1;
  }

  /**
   * Takes the result of a place, and delivers all results that no earlier place stands before any more.
   * Complete the places of a worker that has died as well, or those behind them wait for ever. Throws
   * `not-pending` for a place that is complete or was never given out; what `deliver` throws first, once all
   * are delivered.
   */
  complete(place: number, result: T, deliver: (result: T) => void): void {
    const at = place % this.capacity;
    if (!(place >= this.#first && place < this.#next) || this.#isComplete[at] !== false) {
      throw new PoolError("not-pending", `no work is under way at place ${place}`, place);
    }
    this.#results[at] = result;
    this.#isComplete[at] = true;
    let isFailed = false;
    let failure: unknown;
    for (let i = this.#first % this.capacity; this.#isComplete[i] === true; i = this.#first % this.capacity) {
      const next = this.#results[i] as T;
      this.#results[i] = undefined;
      this.#isComplete[i] = false;
      this.#first++;
      try {
        deliver(next);
      } catch (error) {
        if (!isFailed) failure = error;
        isFailed = true;
      }
    }
    if (isFailed) throw failure;
  }
}
