import { MAX_U64 } from "@netmesh/wire";
import { requireRange, TokenError } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { platformRandom, type RandomSource } from "./random.ts";
import type { RevocationFloors } from "./revocation-floors.ts";
import { defaultSignatures, type SignatureScheme } from "./signature.ts";
import { type DelegationGrant, delegateToken, TOKEN_SIZE, Token } from "./token.ts";
import { hasScope, TokenScope } from "./token-scope.ts";

/** Links that a chain has at most. */
export const MAX_CHAIN_LINKS = 8;
/** Largest difference of clocks that is made up for, in seconds; more asked for is this much. */
export const MAX_CLOCK_SKEW = 300n;
/** The recommended allowance for clocks that disagree, in seconds. */
export const RECOMMENDED_CLOCK_SKEW = 60n;

/** The allowance in force for the one asked for. Throws `invalid-argument`. */
export function clampSkew(skew: bigint): bigint {
  requireRange(skew, MAX_U64, "a skew");
  return skew > MAX_CLOCK_SKEW ? MAX_CLOCK_SKEW : skew;
}

/** What is asked of a chain: may the presenter do this, here and now, in the eyes of these roots? */
export interface AuthorizationRequest {
  /** Bits of {@link TokenScope} that all have to be granted. */
  readonly action: number;
  /** Canonical 64-bit hash of the channel. */
  readonly channel: bigint;
  /** Entity id (32 bytes) of who presents the chain; must be proven to belong to the session. */
  readonly presenter: Uint8Array;
  /** Entity ids of those who may grant anything at all here. */
  readonly roots: Iterable<Uint8Array>;
  /** What has been revoked; every link is held against it. */
  readonly revocations: RevocationFloors;
  /** Unix seconds. */
  readonly now: bigint;
  /** Seconds that clocks may differ; 0 by default, at most `MAX_CLOCK_SKEW`. */
  readonly skew?: bigint;
}

/**
 * One to 8 tokens, root first, each passed on by the subject of the one before (spec crypto.md §9.2).
 *
 * **Authorisation goes through chains.** A lone token is a chain of one. What a token alone, or a cache of
 * tokens, says is not enough: a delegated token's issuer is the one who passed it on, so only the chain shows
 * that its root has been revoked, or was never trusted (§12 W11).
 */
export class TokenChain {
  /** Root first. */
  readonly links: readonly Token[];

  /** A chain of these tokens, which need not fit together. Throws `invalid-format` unless 1 to 8. */
  constructor(links: readonly Token[]) {
    if (links.length < 1 || links.length > MAX_CHAIN_LINKS) {
      throw new TokenError("invalid-format", `a chain has 1 to ${MAX_CHAIN_LINKS} links`, links.length);
    }
    this.links = Object.freeze([...links]);
  }

  /** The chain of `bytes`, which are copied. Throws `invalid-format`; does not verify. */
  static parse(bytes: Uint8Array): TokenChain {
    const count = bytes[0] ?? 0;
    if (count < 1 || count > MAX_CHAIN_LINKS || bytes.length !== 1 + count * TOKEN_SIZE) {
      throw new TokenError("invalid-format", `${bytes.length} bytes are no token chain`, bytes.length);
    }
    const links: Token[] = [];
    for (let offset = 1; offset < bytes.length; offset += TOKEN_SIZE) {
      links.push(Token.parse(bytes.subarray(offset, offset + TOKEN_SIZE)));
    }
    return new TokenChain(links);
  }

  /** The token that the presenter holds. */
  get leaf(): Token {
    return this.links[this.links.length - 1] as Token;
  }

  /** What a Subscribe carries: a count byte, then 169 bytes a link. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(1 + this.links.length * TOKEN_SIZE);
    bytes[0] = this.links.length;
    this.links.forEach((link, i) => {
      bytes.set(link.toBytes(), 1 + i * TOKEN_SIZE);
    });
    return bytes;
  }

  /**
   * This chain and one more link, by which `signer` passes its leaf on. Throws `delegation-exhausted` for a
   * chain of 8, and as `delegateToken`.
   */
  delegate(
    signer: Identity,
    grant: DelegationGrant,
    now: bigint,
    random: RandomSource = platformRandom,
    signatures: SignatureScheme = defaultSignatures,
  ): TokenChain {
    if (this.links.length === MAX_CHAIN_LINKS) {
      throw new TokenError("delegation-exhausted", `a chain has at most ${MAX_CHAIN_LINKS} links`);
    }
    return new TokenChain([...this.links, delegateToken(this.leaf, signer, grant, now, random, signatures)]);
  }

  /**
   * Returns if the presenter may do what the request says. Otherwise throws a `TokenError`: `not-authorized`,
   * `invalid-signature`, `not-yet-valid`, `expired`, `revoked` or `delegation-not-allowed`.
   *
   * Costs a signature check a link, none before root and presenter fit.
   */
  authorize(request: AuthorizationRequest, signatures: SignatureScheme = defaultSignatures): void {
    this.#decide(request, signatures);
  }

  /**
   * As `authorize`, but takes the signatures for granted: for asking the very chain again that `authorize` has
   * let pass before. Root, presenter, time, revocation and scope are all decided anew.
   */
  authorizePresigned(request: AuthorizationRequest): void {
    this.#decide(request, undefined);
  }

  #decide(request: AuthorizationRequest, signatures: SignatureScheme | undefined): void {
    const skew = clampSkew(request.skew ?? 0n);
    requireRange(request.now, MAX_U64, "now");
    const root = this.links[0] as Token;
    if (![...request.roots].some((trusted) => root.isIssuedBy(trusted))) {
      throw notAuthorized("the chain starts at none of the roots");
    }
    if (!this.leaf.isFor(request.presenter)) throw notAuthorized("the chain belongs to somebody else");
    for (const link of this.links) {
      if (signatures === undefined) link.assertCurrent(request.now, skew);
      else link.assertValid(request.now, skew, signatures);
      if (request.revocations.isRevoked(link)) {
        throw new TokenError("revoked", `generation ${link.generation} is revoked`, link.generation);
      }
      if (!link.covers(request.action, request.channel)) throw notAuthorized("a link does not allow this");
    }
    for (let i = 1; i < this.links.length; i++) {
      requireDelegation(this.links[i - 1] as Token, this.links[i] as Token);
    }
  }
}

/** Whether the child may follow the parent. The scopes need no comparison: every link has to cover the action. */
function requireDelegation(parent: Token, child: Token): void {
  if (!child.isIssuedBy(parent.subject)) throw notAuthorized("two links do not belong together");
  if (!hasScope(parent.scope, TokenScope.DELEGATE)) {
    throw new TokenError("delegation-not-allowed", "a link was not to be passed on");
  }
  if (child.delegationDepth >= parent.delegationDepth) throw notAuthorized("a link is not less deep");
  if (child.notBefore < parent.notBefore || child.notAfter > parent.notAfter) {
    throw notAuthorized("a link outlives the one before it");
  }
}

function notAuthorized(detail: string): TokenError {
  return new TokenError("not-authorized", detail);
}
