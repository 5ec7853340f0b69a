/**
 * Stable names of everything that can go wrong in this package.
 *
 * | Code | Meaning |
 * |---|---|
 * | `invalid-length` | a key, message or buffer has the wrong size; `value` is the size found |
 * | `invalid-key` | bytes that are no usable key (all-zero shared secret, odd hex) |
 * | `handshake-failed` | a Noise message did not verify, or a step came out of order |
 * | `decryption-failed` | a tag did not verify |
 * | `read-only` | the secret half of an identity is absent |
 * | `counter-exhausted` | sealing with counter 2^64 - 1, which every receiver refuses |
 * | `destroyed` | the key was wiped |
 * | `unknown-provider` | no provider of that name |
 * | `foreign-memory` | a packet of a batch does not lie in the memory of its provider |
 * | `random-failed` | the random source did not deliver; never recovered from */
export type CryptoErrorCode =
  | "invalid-length"
  | "invalid-key"
  | "handshake-failed"
  | "decryption-failed"
  | "read-only"
  | "counter-exhausted"
  | "destroyed"
  | "unknown-provider"
  | "foreign-memory"
  | "random-failed";

const PREFIX: Record<CryptoErrorCode, string> = {
  "invalid-length": "invalid length",
  "invalid-key": "invalid key",
  "handshake-failed": "handshake error",
  "decryption-failed": "decryption error",
  "read-only": "read only",
  "counter-exhausted": "encryption error",
  destroyed: "destroyed",
  "unknown-provider": "unknown provider",
  "foreign-memory": "foreign memory",
  "random-failed": "random source failed",
};

/** The one error class of this package; branch on `code`. Messages never contain key bytes. */
export class CryptoError extends Error {
  override readonly name: string = "CryptoError";
  /** What went wrong. */
  readonly code: CryptoErrorCode;
  /** The offending size, counter or name, where there is one. */
  readonly value: number | bigint | string | undefined;

  /** Message: the code's fixed prefix (spec crypto.md §6), a colon, `detail`. */
  constructor(code: CryptoErrorCode, detail: string, value?: number | bigint | string) {
    super(`${PREFIX[code]}: ${detail}`);
    this.code = code;
    this.value = value;
  }
}

/**
 * A handshake step failed: code `handshake-failed`. After a failed read the handshake state is still usable.
 */
export class HandshakeError extends CryptoError {
  override readonly name: string = "HandshakeError";

  /** `detail` names the step. */
  constructor(detail: string) {
    super("handshake-failed", detail);
  }
}

/** Throws `invalid-length` unless `bytes` holds exactly `size` bytes. */
export function requireLength(bytes: Uint8Array, size: number, what: string): void {
  if (bytes.length !== size) {
    throw new CryptoError("invalid-length", `${what} needs ${size} bytes, got ${bytes.length}`, bytes.length);
  }
}
