import { copyBytes } from "@netmesh/wire";
import { DaemonError } from "../errors.ts";
import type { CausalEvent } from "../state/causal-event.ts";

/** Events that a backlog holds unless told otherwise. */
export const DEFAULT_MAX_BACKLOG = 65_536;

/**
 * What the active member of a standby group has processed since the others last had its state, in that order. Events are told apart by
 * when they came, not by their sequences, which may repeat, and have nothing to do with those of the outputs.
 *
 * Holds at most `maxEvents`; of more, none is dropped, but the next refused, for an event dropped here would be lost on promotion.
 */
export class EventBacklog {
  readonly #maxEvents: number;
  /** The events that came after the first `#base`. */
  #events: CausalEvent[] = [];
  #base = 0;

  constructor(maxEvents: number = DEFAULT_MAX_BACKLOG) {
    this.#maxEvents = maxEvents;
  }

  /** Events held. */
  get length(): number {
    return this.#events.length;
  }

  /** How many events have come so far. */
  get mark(): number {
    return this.#base + this.#events.length;
  }

  /** Throws `backpressure` when there is no room for another. */
  requireRoom(): void {
    if (this.#events.length < this.#maxEvents) return;
    const text = `${this.#maxEvents} events wait for the standbys: syncStandbys makes room`;
    throw new DaemonError("backpressure", text);
  }

  /** Takes in a copy of an event. */
  push(event: CausalEvent): void {
    this.#events.push({ ...event, payload: copyBytes(event.payload) });
  }

  /** The events that came after a mark. */
  since(mark: number): readonly CausalEvent[] {
    return this.#events.slice(Math.max(0, mark - this.#base));
  }

  /** Drops the events up to a mark. */
  dropThrough(mark: number): void {
    if (mark <= this.#base) return;
    this.#events = this.#events.slice(mark - this.#base);
    this.#base = mark;
  }
}
