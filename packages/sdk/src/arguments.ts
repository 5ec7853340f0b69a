import { MAX_U64 } from "@netmesh/wire";
import { InvalidArgumentError } from "./errors.ts";

/** What every operation that touches the network takes last. */
export interface OpOptions {
  /** Aborting rejects the operation with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Aborts by itself after this time, with a `TimeoutError`. */
  readonly timeoutMs?: number;
}

/** Checks a caller's 64-bit id. */
export function requireId(value: unknown, name: string): asserts value is bigint {
  if (typeof value !== "bigint") {
    throw new InvalidArgumentError("invalid-argument", `${name} must be a non-negative bigint`);
  }
  if (value < 0n) throw new InvalidArgumentError("invalid-argument", `${name} must be non-negative`);
  if (value > MAX_U64) throw new InvalidArgumentError("invalid-argument", `${name} exceeds the u64 range`);
}

/** Checks a byte array, of a fixed size where there is one. */
export function requireBytes(
  value: unknown,
  length: number | undefined,
  name: string,
): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new InvalidArgumentError("invalid-argument", `${name} must be a Uint8Array`);
  }
  if (length !== undefined && value.length !== length) {
    throw new InvalidArgumentError(
      "invalid-length",
      `${name} must have ${length} bytes, not ${value.length}`,
    );
  }
}

/** One event or several, as a list; throws for anything else. */
export function toEvents(data: Uint8Array | readonly Uint8Array[]): readonly Uint8Array[] {
  if (data instanceof Uint8Array) return [data];
  if (Array.isArray(data) && data.every((event) => event instanceof Uint8Array)) return data;
  throw new InvalidArgumentError("invalid-argument", "data must be a Uint8Array or an array of them");
}

/** The signal that an operation obeys, made of its options; undefined when nothing can abort it. */
export function signalOf(options: OpOptions | undefined): AbortSignal | undefined {
  if (options?.timeoutMs === undefined) return options?.signal;
  const timeout = AbortSignal.timeout(options.timeoutMs);
  return options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
}

/**
 * A promise that others settle, and that a signal can reject. `onAbort` runs before the rejection.
 */
export function abortable<T>(
  signal: AbortSignal | undefined,
  start: (settle: { resolve(value: T): void; reject(reason: unknown): void }) => void,
  onAbort?: () => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const aborted = () => {
      onAbort?.();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", aborted, { once: true });
    start({
      resolve(value) {
        signal?.removeEventListener("abort", aborted);
        resolve(value);
      },
      reject(reason) {
        signal?.removeEventListener("abort", aborted);
        reject(reason);
      },
    });
  });
}
