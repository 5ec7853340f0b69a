/** Codes of a {@link RoutingError}. */
export type RoutingErrorCode =
  /** A metric that is no integer 0..65535. */
  | "invalid-metric"
  /** A limit (age, count, rate) outside its range, or not a number. */
  | "invalid-limit";

/** What `@netmesh/routing` throws on arguments that make no sense; nothing has changed then. */
export class RoutingError extends Error {
  /** Stable, to branch on. */
  readonly code: RoutingErrorCode;
  /** The offending value. */
  readonly value: number;

  constructor(code: RoutingErrorCode, message: string, value: number) {
    super(message);
    this.name = "RoutingError";
    this.code = code;
    this.value = value;
  }
}

/** Throws `invalid-limit` unless the value is a number from 0 to infinity. */
export function requireLimit(name: string, value: number): void {
  if (value >= 0) return;
  throw new RoutingError("invalid-limit", `${name} must be 0 or more, got ${value}`, value);
}

/** Throws `invalid-limit` unless the value is 1 or more, whole or infinite. */
export function requireCount(name: string, value: number): void {
  if (value >= 1 && (Number.isInteger(value) || value === Number.POSITIVE_INFINITY)) return;
  throw new RoutingError("invalid-limit", `${name} must be an integer of 1 or more, got ${value}`, value);
}
