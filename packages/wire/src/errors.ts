/** The stable reasons for which an encoder refuses its caller's input. */
export type WireErrorCode =
  | "invalid-argument"
  | "buffer-too-small"
  | "message-too-large"
  | "too-many-events"
  | "invalid-channel-name"
  | "invalid-address";

/** A value that an error can carry: the one that was refused, or its size in bytes. */
export type OffendingValue = string | number | bigint | undefined;

/**
 * Thrown by encoders on bad input from their own caller, before a byte is written.
 * Decoders never throw it: bytes from the network give `undefined` or a verdict.
 */
export class WireError extends Error {
  /** Stable reason, for programs. */
  readonly code: WireErrorCode;
  /** The refused value, or its size in bytes; `undefined` when it is not a primitive. */
  readonly value: OffendingValue;

  constructor(code: WireErrorCode, message: string, value?: OffendingValue) {
    super(message);
    this.name = "WireError";
    this.code = code;
    this.value = value;
  }
}
