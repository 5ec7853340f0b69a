import { RoutingError } from "./routing-error.ts";

/** A number from 0 to 1, 1 excluded, different each time. */
export type RandomFraction = () => number;

/**
 * When to send heartbeats or pingwaves: never later than the interval after the last one, and up to a
 * fifth earlier, so that nodes which started together do not stay in step.
 */
export class HeartbeatSchedule {
  readonly #intervalMs: number;
  readonly #random: RandomFraction;
  readonly #jitter: number;

  /**
   * @param jitter largest share of the interval by which one comes early, 0..1
   * @throws RoutingError `invalid-limit` unless the interval is more than 0 and the jitter within 0..1.
   */
  constructor(intervalMs: number, random: RandomFraction, jitter = 0.2) {
    if (!(intervalMs > 0)) {
      throw new RoutingError(
        "invalid-limit",
        `intervalMs must be more than 0, got ${intervalMs}`,
        intervalMs,
      );
    }
    if (!(jitter >= 0 && jitter <= 1)) {
      throw new RoutingError("invalid-limit", `jitter must be within 0..1, got ${jitter}`, jitter);
    }
    this.#intervalMs = intervalMs;
    this.#random = random;
    this.#jitter = jitter;
  }

  /** Time of the first one of a node that starts now: anywhere within the interval. */
  first(nowMs: number): number {
    return nowMs + this.#random() * this.#intervalMs;
  }

  /** Time of the one after that which is sent now. */
  next(nowMs: number): number {
    return nowMs + this.#intervalMs * (1 - this.#jitter * this.#random());
  }
}
