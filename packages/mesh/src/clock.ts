/** A monotonic clock, in milliseconds with any fraction; its zero is arbitrary. */
export interface Clock {
  /** The time now. */
  now(): number;
}

/** The platform's monotonic clock. */
export const monotonicClock: Clock = { now: () => performance.now() };

/** Unix time by the platform's clock, which may be set at any time. */
export const systemClock: Clock = { now: () => Date.now() };
