import type { Arrived } from "./protocol.ts";

/** Longest pause of a reliable link before its missing events count as a failure. */
const STALL_MS = 10_000;
/** Longest pause of a lossy link before its missing events count as lost. */
const QUIET_MS = 200;
const POLL_MS = 5;

/** Counts events, and when the first and the last of them came. */
export class Tally {
  #events = 0;
  #firstAtMs = 0;
  #lastAtMs = 0;

  /** Counts one event. */
  readonly add = (): void => {
    const now = performance.now();
    if (this.#events++ === 0) this.#firstAtMs = now;
    this.#lastAtMs = now;
  };

  /** Counts the events of a batch. */
  readonly addAll = (events: readonly Uint8Array[]): void => {
    const now = performance.now();
    if (this.#events === 0) this.#firstAtMs = now;
    this.#events += events.length;
    this.#lastAtMs = now;
  };

  clear(): void {
    this.#events = 0;
    this.#firstAtMs = 0;
    this.#lastAtMs = 0;
  }

  /** Resolves when `expected` events have come, or no more do; rejects when that is a reliable link's failure. */
  async settle(expected: number, isReliable: boolean): Promise<Arrived> {
    const patienceMs = isReliable ? STALL_MS : QUIET_MS;
    let progressAtMs = performance.now();
    let seen = this.#events;
    while (this.#events < expected && performance.now() - progressAtMs < patienceMs) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (this.#events === seen) continue;
      seen = this.#events;
      progressAtMs = performance.now();
    }
    if (isReliable && this.#events !== expected) {
      throw new Error(
        `a reliable link delivered ${this.#events} of ${expected} events, and then nothing for ${STALL_MS} ms`,
      );
    }
    return { events: this.#events, milliseconds: this.#lastAtMs - this.#firstAtMs };
  }
}
