import { copyBytes, MAX_U64, readU32, readU64, writeU32, writeU64 } from "@netmesh/wire";
import { equalBytes } from "./constant-time.ts";
import { requireLength, requireRange, TokenError } from "./errors.ts";
import { bytesToHex } from "./hex.ts";
import type { Identity } from "./identity.ts";
import { platformRandom, type RandomSource, randomBytes } from "./random.ts";
import {
  defaultSignatures,
  ED25519_PUBLIC_KEY_SIZE,
  ED25519_SIGNATURE_SIZE,
  type SignatureScheme,
} from "./signature.ts";
import { hasScope, TokenScope } from "./token-scope.ts";

// Offsets of spec crypto.md §9.1.
const SUBJECT = ED25519_PUBLIC_KEY_SIZE;
const SCOPE = SUBJECT + ED25519_PUBLIC_KEY_SIZE;
const CHANNEL = SCOPE + 4;
const GENERATION = CHANNEL + 8;
const NOT_BEFORE = GENERATION + 4;
const NOT_AFTER = NOT_BEFORE + 8;
const DEPTH = NOT_AFTER + 8;
const NONCE = DEPTH + 1;
const SIGNATURE = NONCE + 8;

const MAX_U32 = 0xffff_ffff;
const MAX_U8 = 0xff;

/** Bytes of an encoded token. */
export const TOKEN_SIZE: number = SIGNATURE + ED25519_SIGNATURE_SIZE;
/** Bytes of a token that its signature covers: all before it. */
export const TOKEN_SIGNED_SIZE: number = SIGNATURE;
/** Longest lifetime that `issueToken` grants: 365 days, in seconds. */
export const MAX_TOKEN_TTL = 31_536_000n;

/** What an issuer writes into a token. Times are Unix seconds. */
export interface TokenFields {
  /** Entity id (32 bytes) of whom the token is for. */
  readonly subject: Uint8Array;
  /** Bits of {@link TokenScope}, a u32. */
  readonly scope: number;
  /** Canonical 64-bit hash of the channel. 0 is a hash like any other: only the wildcard bit means every channel. */
  readonly channel: bigint;
  /** The issuer's generation (u32): the token dies when the issuer's revocation floor rises above it. */
  readonly generation: number;
  /** First second in which the token is valid, u64. */
  readonly notBefore: bigint;
  /** First second in which it is no longer, u64. */
  readonly notAfter: bigint;
  /** How many times it can be passed on, u8. */
  readonly delegationDepth: number;
  /** Makes tokens of equal content distinct, u64. */
  readonly nonce: bigint;
}

/** What `issueToken` grants. */
export interface TokenGrant {
  /** Entity id (32 bytes) of whom the token is for. */
  readonly subject: Uint8Array;
  /** Bits of {@link TokenScope}, a u32. */
  readonly scope: number;
  /** Canonical 64-bit hash of the channel. */
  readonly channel: bigint;
  /** Lifetime in seconds, 1 to `MAX_TOKEN_TTL`. */
  readonly ttl: bigint;
  /** How many times it can be passed on, u8; 0 by default. */
  readonly delegationDepth?: number;
  /** The issuer's present generation, u32; 0, as Net writes, by default. See `RevocationFloors`. */
  readonly generation?: number;
}

/** What a subject passes on of a token it holds. */
export interface DelegationGrant {
  /** Entity id (32 bytes) of whom the new token is for. */
  readonly subject: Uint8Array;
  /** Upper bound of the new token's scope: it gets what the parent and this have in common. */
  readonly scope: number;
}

/**
 * A signed permission (spec crypto.md §9.1), 169 bytes: the issuer allows the subject some actions on a
 * channel for a while. Immutable; parsing does not verify.
 *
 * One token proves only that its issuer wanted it. Whether the issuer had any say is decided by a chain from
 * a trusted root: see `TokenChain.authorize`.
 */
export class Token {
  readonly #bytes: Uint8Array;

  /** Bits of {@link TokenScope}. */
  readonly scope: number;
  /** Canonical 64-bit hash of the channel. */
  readonly channel: bigint;
  /** The issuer's generation. */
  readonly generation: number;
  /** Valid from here on, Unix seconds. */
  readonly notBefore: bigint;
  /** No longer valid from here on, Unix seconds. */
  readonly notAfter: bigint;
  /** How many times it can be passed on. */
  readonly delegationDepth: number;
  /** Random, makes tokens of equal content distinct. */
  readonly nonce: bigint;

  private constructor(own: Uint8Array) {
    this.#bytes = own;
    this.scope = readU32(own, SCOPE);
    this.channel = readU64(own, CHANNEL);
    this.generation = readU32(own, GENERATION);
    this.notBefore = readU64(own, NOT_BEFORE);
    this.notAfter = readU64(own, NOT_AFTER);
    this.delegationDepth = own[DEPTH] as number;
    this.nonce = readU64(own, NONCE);
  }

  /** The token of exactly 169 bytes, which are copied. Throws `invalid-format`; does not verify. */
  static parse(bytes: Uint8Array): Token {
    if (bytes.length !== TOKEN_SIZE) {
      throw new TokenError(
        "invalid-format",
        `a token has ${TOKEN_SIZE} bytes, not ${bytes.length}`,
        bytes.length,
      );
    }
    return new Token(copyBytes(bytes));
  }

  /**
   * A token with exactly these fields; `issueToken` and `delegateToken` apply the rules. Throws `read-only`
   * for a public-only issuer, `invalid-length` and `invalid-argument` for fields that do not fit.
   */
  static sign(issuer: Identity, fields: TokenFields): Token {
    requireLength(fields.subject, ED25519_PUBLIC_KEY_SIZE, "a subject");
    requireRange(fields.scope, MAX_U32, "a scope");
    requireRange(fields.channel, MAX_U64, "a channel hash");
    requireRange(fields.generation, MAX_U32, "a generation");
    requireRange(fields.notBefore, MAX_U64, "notBefore");
    requireRange(fields.notAfter, MAX_U64, "notAfter");
    requireRange(fields.delegationDepth, MAX_U8, "a delegation depth");
    requireRange(fields.nonce, MAX_U64, "a nonce");
    const bytes = new Uint8Array(TOKEN_SIZE);
    bytes.set(issuer.entityId);
    bytes.set(fields.subject, SUBJECT);
    writeU32(bytes, SCOPE, fields.scope);
    writeU64(bytes, CHANNEL, fields.channel);
    writeU32(bytes, GENERATION, fields.generation);
    writeU64(bytes, NOT_BEFORE, fields.notBefore);
    writeU64(bytes, NOT_AFTER, fields.notAfter);
    bytes[DEPTH] = fields.delegationDepth;
    writeU64(bytes, NONCE, fields.nonce);
    const signature = issuer.trySign(bytes.subarray(0, SIGNATURE));
    if (signature === undefined) throw readOnly();
    bytes.set(signature, SIGNATURE);
    return new Token(bytes);
  }

  /** A copy of the issuer's entity id, 32 bytes. */
  get issuer(): Uint8Array {
    return copyBytes(this.#bytes, 0, SUBJECT);
  }

  /** A copy of the subject's entity id, 32 bytes. */
  get subject(): Uint8Array {
    return copyBytes(this.#bytes, SUBJECT, SCOPE);
  }

  /** A copy of the 169 bytes. */
  toBytes(): Uint8Array {
    return copyBytes(this.#bytes);
  }

  /** Whether its issuer has signed it. Strict; never throws. */
  verify(signatures: SignatureScheme = defaultSignatures): boolean {
    const bytes = this.#bytes;
    return signatures.verify(
      bytes.subarray(0, SUBJECT),
      bytes.subarray(0, SIGNATURE),
      bytes.subarray(SIGNATURE),
    );
  }

  /**
   * Checks the clock only: current from `notBefore - skew` to before `notAfter + skew`, in Unix seconds. Throws
   * `not-yet-valid`, `expired`; `invalid-argument` for times outside of u64.
   */
  assertCurrent(now: bigint, skew = 0n): void {
    requireTimes(now, skew);
    if (this.#isTooEarly(now, skew)) {
      throw new TokenError("not-yet-valid", `valid from ${this.notBefore}, it is ${now}`, this.notBefore);
    }
    if (this.#isTooLate(now, skew)) {
      throw new TokenError("expired", `valid before ${this.notAfter}, it is ${now}`, this.notAfter);
    }
  }

  /** Whether `assertCurrent` would pass. Throws `invalid-argument` for times outside of u64. */
  isCurrent(now: bigint, skew = 0n): boolean {
    requireTimes(now, skew);
    return !this.#isTooEarly(now, skew) && !this.#isTooLate(now, skew);
  }

  /**
   * Checks signature and clock, in this order. Throws `invalid-signature`, `not-yet-valid`, `expired`. Passing
   * is no authorisation: see `TokenChain.authorize`.
   */
  assertValid(now: bigint, skew = 0n, signatures: SignatureScheme = defaultSignatures): void {
    if (!this.verify(signatures)) throw new TokenError("invalid-signature", "not signed by its issuer");
    this.assertCurrent(now, skew);
  }

  /** Whether `now` (Unix seconds) is `notAfter` or later; asks neither skew nor signature. */
  isExpired(now: bigint): boolean {
    return now >= this.notAfter;
  }

  /** Whether the fields cover `action` on `channel`; asks neither clock nor signature. */
  covers(action: number, channel: bigint): boolean {
    return (
      hasScope(this.scope, action) && (hasScope(this.scope, TokenScope.WILDCARD) || this.channel === channel)
    );
  }

  /** Whether this is the issuer's entity id. */
  isIssuedBy(entityId: Uint8Array): boolean {
    return equalBytes(this.#bytes.subarray(0, SUBJECT), entityId);
  }

  /** Whether this is the subject's entity id. */
  isFor(entityId: Uint8Array): boolean {
    return equalBytes(this.#bytes.subarray(SUBJECT, SCOPE), entityId);
  }

  #isTooEarly(now: bigint, skew: bigint): boolean {
    return now + skew < this.notBefore;
  }

  #isTooLate(now: bigint, skew: bigint): boolean {
    return now >= saturate(this.notAfter + skew);
  }

  /** Everything but the signature; bytes in hex, u64 in decimal digits. */
  toJSON(): Record<string, string | number> {
    return {
      issuer: bytesToHex(this.issuer),
      subject: bytesToHex(this.subject),
      scope: this.scope,
      channel: String(this.channel),
      generation: this.generation,
      notBefore: String(this.notBefore),
      notAfter: String(this.notAfter),
      delegationDepth: this.delegationDepth,
      nonce: String(this.nonce),
    };
  }
}

function requireTimes(now: bigint, skew: bigint): void {
  requireRange(now, MAX_U64, "now");
  requireRange(skew, MAX_U64, "a skew");
}

function saturate(value: bigint): bigint {
  return value > MAX_U64 ? MAX_U64 : value;
}

function readOnly(): TokenError {
  return new TokenError("read-only", "the issuer has no secret half");
}

/**
 * A fresh root token, valid from `now` (Unix seconds) on. Throws `zero-ttl`, `ttl-too-long`, `read-only`,
 * `random-failed`, and as `Token.sign`.
 */
export function issueToken(
  issuer: Identity,
  grant: TokenGrant,
  now: bigint,
  random: RandomSource = platformRandom,
): Token {
  requireRange(now, MAX_U64, "now");
  requireRange(grant.ttl, MAX_U64, "a ttl");
  if (grant.ttl === 0n) throw new TokenError("zero-ttl", "it would never be valid");
  if (grant.ttl > MAX_TOKEN_TTL) {
    throw new TokenError("ttl-too-long", `at most ${MAX_TOKEN_TTL} seconds`, grant.ttl);
  }
  if (issuer.isPublicOnly) throw readOnly();
  const { subject, scope, channel, delegationDepth = 0, generation = 0 } = grant;
  return Token.sign(issuer, {
    subject,
    scope,
    channel,
    generation,
    notBefore: now,
    notAfter: saturate(now + grant.ttl),
    delegationDepth,
    nonce: readU64(randomBytes(8, random), 0),
  });
}

/**
 * A token by which `signer`, the subject of `parent`, passes on a part of what it holds: same channel,
 * generation and end, one level less deep, valid from `now` (Unix seconds) on. The wildcard bit stays only if
 * `grant.scope` has it.
 *
 * Throws, in this order: what `parent.assertValid(now)` throws, `delegation-exhausted`,
 * `delegation-not-allowed`, `not-authorized` when the signer is not the subject, `read-only`,
 * `random-failed`, and as `Token.sign`.
 */
export function delegateToken(
  parent: Token,
  signer: Identity,
  grant: DelegationGrant,
  now: bigint,
  random: RandomSource = platformRandom,
  signatures: SignatureScheme = defaultSignatures,
): Token {
  requireRange(grant.scope, MAX_U32, "a scope");
  parent.assertValid(now, 0n, signatures);
  if (parent.delegationDepth === 0) {
    throw new TokenError("delegation-exhausted", "this token cannot be passed on any further");
  }
  if (!hasScope(parent.scope, TokenScope.DELEGATE)) {
    throw new TokenError("delegation-not-allowed", "this token is not to be passed on");
  }
  if (!parent.isFor(signer.entityId)) {
    throw new TokenError("not-authorized", "only its subject can pass a token on");
  }
  if (signer.isPublicOnly) throw readOnly();
  return Token.sign(signer, {
    subject: grant.subject,
    scope: (parent.scope & grant.scope) >>> 0,
    channel: parent.channel,
    generation: parent.generation,
    notBefore: now,
    notAfter: parent.notAfter,
    delegationDepth: parent.delegationDepth - 1,
    nonce: readU64(randomBytes(8, random), 0),
  });
}
