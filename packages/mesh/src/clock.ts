/** A monotonic clock, in milliseconds with any fraction; its zero is arbitrary. */
export interface Clock {
  now(): number;
}

/** The platform's monotonic clock. */
export const monotonicClock: Clock = { now: () => performance.now() };
