import { MAX_U64 } from "@netmesh/wire";
import { requireLength, requireRange, TokenError } from "./errors.ts";
import { bytesToHex } from "./hex.ts";
import type { RevocationFloors } from "./revocation-floors.ts";
import { defaultSignatures, ED25519_PUBLIC_KEY_SIZE, type SignatureScheme } from "./signature.ts";
import type { Token } from "./token.ts";
import { clampSkew } from "./token-chain.ts";
import { hasScope, TokenScope } from "./token-scope.ts";

/** Slots (subject and channel) that a cache holds at most. */
export const MAX_TOKEN_SLOTS = 65_536;
/** Tokens of distinct scopes that one slot holds at most. */
export const MAX_SLOT_TOKENS = 32;

/** What may be chosen about a token cache. */
export interface TokenCacheOptions {
  /** What has been revoked; revoked tokens are not found. */
  readonly revocations: RevocationFloors;
  /** Seconds that clocks may differ; 0 by default, at most `MAX_CLOCK_SKEW`. */
  readonly skew?: bigint;
  /** The signature implementation; the best one here by default. */
  readonly signatures?: SignatureScheme;
}

/**
 * Well-signed tokens by subject and channel (spec crypto.md §9.3): the wallet from which a node picks what it
 * presents or passes on.
 *
 * Finding a token here is **no authorisation**: anybody can sign a token for anybody, and the floor of a
 * chain's root does not reach the delegated tokens in here (§12 W11). Decisions are `TokenChain.authorize`'s.
 *
 * Bounds: `MAX_TOKEN_SLOTS` slots of `MAX_SLOT_TOKENS` tokens. What exceeds them is refused and counted in
 * `dropped`, not traded for older tokens, so that nobody can flush a cache; `evictExpired` makes room.
 */
export class TokenCache {
  /** By subject in hex, then by channel hash, 0 for wildcard tokens; the tokens of a slot by scope. */
  readonly #slots: Map<string, Map<number, Token>> = new Map();
  readonly #revocations: RevocationFloors;
  readonly #skew: bigint;
  readonly #signatures: SignatureScheme;
  #size = 0;
  #dropped = 0;

  /** An empty cache. Throws `invalid-argument` for a skew outside of u64. */
  constructor(options: TokenCacheOptions) {
    this.#revocations = options.revocations;
    this.#skew = clampSkew(options.skew ?? 0n);
    this.#signatures = options.signatures ?? defaultSignatures;
  }

  /** Tokens held. */
  get size(): number {
    return this.#size;
  }

  /** Slots in use. */
  get slots(): number {
    return this.#slots.size;
  }

  /** Tokens refused for lack of room. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Keeps a token; one of the same subject, channel and scope gives way to it. False when there is no room for
   * a new slot or scope. Throws `invalid-signature`. Does not ask the clock.
   */
  insert(token: Token): boolean {
    if (!token.verify(this.#signatures))
      throw new TokenError("invalid-signature", "not signed by its issuer");
    const channel = hasScope(token.scope, TokenScope.WILDCARD) ? 0n : token.channel;
    const key = slotKey(token.subject, channel);
    const slot = this.#slots.get(key) ?? new Map<number, Token>();
    const isNew = !slot.has(token.scope);
    if (isNew) {
      if (slot.size >= MAX_SLOT_TOKENS || (slot.size === 0 && this.#slots.size >= MAX_TOKEN_SLOTS)) {
        this.#dropped++;
        return false;
      }
      this.#size++;
    }
    slot.set(token.scope, token);
    this.#slots.set(key, slot);
    return true;
  }

  /**
   * A token that lets `subject` (32 bytes) do `action` on the channel of this hash at `now` (Unix seconds), as
   * far as it goes by itself: current, not revoked, covering. Those for this very channel come first.
   */
  findForAction(subject: Uint8Array, action: number, channel: bigint, now: bigint): Token | undefined {
    requireQuery(subject, channel, now);
    const covers = (token: Token) => token.covers(action, channel) && this.#isGood(token, now);
    return this.#find(subject, channel, covers) ?? this.#find(subject, 0n, covers);
  }

  /**
   * A token of the very slot, 0n being the slot of wildcard tokens: one that is current and not revoked if
   * there is one, else the one inserted first.
   */
  get(subject: Uint8Array, channel: bigint, now: bigint): Token | undefined {
    requireQuery(subject, channel, now);
    return (
      this.#find(subject, channel, (token) => this.#isGood(token, now)) ??
      this.#find(subject, channel, () => true)
    );
  }

  /** Removes what has expired at `now` (Unix seconds) even by the skew (§12 W12); returns how many. */
  evictExpired(now: bigint): number {
    requireRange(now, MAX_U64, "now");
    const before = this.#size;
    for (const [key, slot] of this.#slots) {
      for (const [scope, token] of slot) {
        if (!token.isExpired(now - this.#skew)) continue;
        slot.delete(scope);
        this.#size--;
      }
      if (slot.size === 0) this.#slots.delete(key);
    }
    return before - this.#size;
  }

  #find(subject: Uint8Array, channel: bigint, wanted: (token: Token) => boolean): Token | undefined {
    for (const token of this.#slots.get(slotKey(subject, channel))?.values() ?? []) {
      if (wanted(token)) return token;
    }
    return undefined;
  }

  #isGood(token: Token, now: bigint): boolean {
    return token.isCurrent(now, this.#skew) && !this.#revocations.isRevoked(token);
  }
}

function requireQuery(subject: Uint8Array, channel: bigint, now: bigint): void {
  requireLength(subject, ED25519_PUBLIC_KEY_SIZE, "a subject");
  requireRange(channel, MAX_U64, "a channel hash");
  requireRange(now, MAX_U64, "now");
}

/** The subject's 64 hex digits, then the channel's up to 16. */
function slotKey(subject: Uint8Array, channel: bigint): string {
  return bytesToHex(subject) + channel.toString(16);
}
