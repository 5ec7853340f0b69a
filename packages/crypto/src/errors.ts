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
 * | `foreign-memory` | bytes lie in memory that the provider has not handed out, or a batch's in memory of others |
 * | `random-failed` | the random source did not deliver; never recovered from |
 * | `invalid-argument` | a number outside of its range; `value` is it |
 *
 * Tokens add {@link TokenErrorCode}, identity envelopes {@link EnvelopeErrorCode}.
 */
export type CryptoErrorCode =
  | "invalid-length"
  | "invalid-argument"
  | "invalid-key"
  | "handshake-failed"
  | "decryption-failed"
  | "read-only"
  | "counter-exhausted"
  | "destroyed"
  | "unknown-provider"
  | "foreign-memory"
  | "random-failed"
  | TokenErrorCode
  | EnvelopeErrorCode;

/**
 * Why a permission token or a chain of them is refused (spec sdk.md §2).
 *
 * | Code | Meaning |
 * |---|---|
 * | `invalid-format` | bytes that are no token, no chain or no export of floors; `value` is their length |
 * | `invalid-signature` | not signed by its issuer |
 * | `not-yet-valid` | the time is before `notBefore` |
 * | `expired` | the time is `notAfter` or later |
 * | `not-authorized` | scope, channel, root or presenter do not fit, or two links do not belong together |
 * | `revoked` | the issuer has revoked the token's generation |
 * | `delegation-exhausted` | the token's delegation depth is 0, or the chain has its 8 links |
 * | `delegation-not-allowed` | the token's scope lacks `delegate` |
 * | `read-only` | the issuer's secret half is absent |
 * | `zero-ttl` | a token that would never be valid |
 * | `ttl-too-long` | more than `MAX_TOKEN_TTL`; `value` is the lifetime asked for |
 */
export type TokenErrorCode =
  | "invalid-format"
  | "invalid-signature"
  | "not-yet-valid"
  | "expired"
  | "not-authorized"
  | "revoked"
  | "delegation-exhausted"
  | "delegation-not-allowed"
  | "read-only"
  | "zero-ttl"
  | "ttl-too-long";

/**
 * Why an identity envelope is refused (spec crypto.md §8).
 *
 * | Code | Meaning |
 * |---|---|
 * | `invalid-format` | not 209 bytes of version 1; `value` is their length |
 * | `invalid-signer-key` | another signer than expected, or one that is no curve point |
 * | `invalid-attestation` | not signed by the transported identity for this target and link |
 * | `seal-open-failed` | sealed for another node, or damaged |
 * | `read-only` | a public-only identity has no seed to transport |
 */
export type EnvelopeErrorCode =
  | "invalid-format"
  | "invalid-signer-key"
  | "invalid-attestation"
  | "seal-open-failed"
  | "read-only";

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
  "invalid-argument": "invalid argument",
  "invalid-format": "invalid format",
  "invalid-signature": "invalid signature",
  "not-yet-valid": "not yet valid",
  expired: "expired",
  "not-authorized": "not authorized",
  revoked: "revoked",
  "delegation-exhausted": "delegation exhausted",
  "delegation-not-allowed": "delegation not allowed",
  "zero-ttl": "zero ttl",
  "ttl-too-long": "ttl too long",
  "invalid-signer-key": "invalid signer key",
  "invalid-attestation": "invalid attestation",
  "seal-open-failed": "seal open failed",
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

/** A permission token or a chain was refused. */
export class TokenError extends CryptoError {
  override readonly name: string = "TokenError";
  declare readonly code: TokenErrorCode;

  /** `detail` and `value` as for `CryptoError`. */
  constructor(code: TokenErrorCode, detail: string, value?: number | bigint | string) {
    super(code, detail, value);
  }
}

/** An identity envelope was refused. */
export class EnvelopeError extends CryptoError {
  override readonly name: string = "EnvelopeError";
  declare readonly code: EnvelopeErrorCode;

  /** `detail` and `value` as for `CryptoError`. */
  constructor(code: EnvelopeErrorCode, detail: string, value?: number | bigint | string) {
    super(code, detail, value);
  }
}

/** Throws `invalid-argument` unless `value` is a whole number of the type of `max`, from 0 to `max`. */
export function requireRange(value: number | bigint, max: number | bigint, what: string): void {
  const isWhole = typeof value === typeof max && (typeof value === "bigint" || Number.isInteger(value));
  if (!isWhole || value < 0 || value > max) {
    throw new CryptoError("invalid-argument", `${what} is a ${typeof max} from 0 to ${max}`, value);
  }
}

/** Throws `invalid-length` unless `bytes` holds exactly `size` bytes. */
export function requireLength(bytes: Uint8Array, size: number, what: string): void {
  if (bytes.length !== size) {
    throw new CryptoError("invalid-length", `${what} needs ${size} bytes, got ${bytes.length}`, bytes.length);
  }
}
