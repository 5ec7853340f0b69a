/**
 * Stable names of what this package refuses.
 *
 * | Code | Meaning |
 * |---|---|
 * | `too-many-events` | more events than a packet takes; `value` of `limit` |
 * | `message-too-large` | more bytes than a packet takes; `value` of `limit` |
 * | `buffer-too-small` | the packet (`value` bytes) does not fit the target from the offset on |
 * | `counter-exhausted` | the transmit counter is used up; close the session |
 * | `stale-generation` | the key was replaced; this counter or builder must not seal any more |
 * | `released` | the guard was released before |
 * | `closed` | the pool was closed |
 * | `double-release` | the slot is free already |
 * | `foreign-slot` | the slot is another ring's |
 * | `invalid-size` | a capacity or size is out of range |
 * | `all-granted` | every worker of the share (`limit`) has its key |
 * | `not-pending` | no work is under way at the place (`value`) */
export type PoolErrorCode =
  | "too-many-events"
  | "message-too-large"
  | "buffer-too-small"
  | "counter-exhausted"
  | "stale-generation"
  | "released"
  | "closed"
  | "double-release"
  | "foreign-slot"
  | "invalid-size"
  | "all-granted"
  | "not-pending";

/** The one error class of this package; branch on `code`. Whatever throws it has changed nothing. */
export class PoolError extends Error {
  override readonly name: string = "PoolError";
  /** What went wrong. */
  readonly code: PoolErrorCode;
  /** The offending count or size, where there is one. */
  readonly value: number | undefined;
  /** What would have been allowed at most, where there is such a limit. */
  readonly limit: number | undefined;

  /** `message` is for people. */
  constructor(code: PoolErrorCode, message: string, value?: number, limit?: number) {
    super(message);
    this.code = code;
    this.value = value;
    this.limit = limit;
  }
}
