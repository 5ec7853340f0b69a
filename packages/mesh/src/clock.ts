/** A monotonic clock, in milliseconds with any fraction; its zero is arbitrary. */
export interface Clock {
  /** The time now. */
  now(): number;
}

/** The platform's monotonic clock. */
export const monotonicClock: Clock = { now: () => performance.now() };
