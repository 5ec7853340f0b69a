import {
  delegateToken as delegate,
  type Identity,
  issueToken as issue,
  type Token,
  TokenChain,
  TokenScope,
} from "@netmesh/crypto";
import { assertChannelName, channelHash } from "@netmesh/wire";
import { InvalidArgumentError, toNetError } from "./errors.ts";

/** What a token allows; with `"wildcard"` on every channel, with `"delegate"` to pass it on. */
export type TokenAction = "publish" | "subscribe" | "admin" | "delegate" | "wildcard";

/** What {@link issueToken} grants. */
export interface TokenGrant {
  /** Entity id (32 bytes) of whom the token is for. */
  readonly subject: Uint8Array;
  /** Name of the channel. */
  readonly channel: string;
  readonly scope: readonly TokenAction[];
  /** Lifetime in milliseconds, rounded up to seconds; at most 365 days. */
  readonly ttlMs: number;
  /** How many times it can be passed on, 0 to 255; default 0. */
  readonly delegationDepth?: number;
  /** The issuer's present generation; default 0. Tokens of earlier ones can be revoked, see `Mesh.revokeTokens`. */
  readonly generation?: number;
}

/** What {@link delegateToken} passes on. */
export interface TokenDelegation {
  /** Entity id (32 bytes) of whom the new token is for. */
  readonly subject: Uint8Array;
  /** At most this, and at most what the token allows. */
  readonly scope: readonly TokenAction[];
}

const BITS: Readonly<Record<TokenAction, number>> = {
  publish: TokenScope.PUBLISH,
  subscribe: TokenScope.SUBSCRIBE,
  admin: TokenScope.ADMIN,
  delegate: TokenScope.DELEGATE,
  wildcard: TokenScope.WILDCARD,
};

/**
 * A signed permission, valid from now on. Throws `TokenError` with `zero-ttl`, `ttl-too-long`, `read-only` (the issuer has no
 * secret half), and `invalid-channel-name`, `invalid-argument`, `invalid-length`.
 */
export function issueToken(issuer: Identity, grant: TokenGrant): Token {
  const { subject, channel, scope, ttlMs, delegationDepth = 0, generation = 0 } = grant;
  try {
    assertChannelName(channel);
    if (!(ttlMs >= 0)) throw new InvalidArgumentError("invalid-argument", "ttlMs must be a number from 0");
    const ttl = BigInt(Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(ttlMs / 1_000)));
    const fields = {
      subject,
      scope: bitsOf(scope),
      channel: channelHash(channel),
      ttl,
      delegationDepth,
      generation,
    };
    return issue(issuer, fields, nowSeconds());
  } catch (error) {
    throw toNetError(error);
  }
}

/**
 * A chain in which the subject of a token, or of a chain's last one, passes on some of what it may. Throws `TokenError` with what
 * is wrong with the token, `delegation-exhausted`, `delegation-not-allowed`, `not-authorized` (the signer is not its subject).
 */
export function delegateToken(
  parent: Token | TokenChain,
  signer: Identity,
  { subject, scope }: TokenDelegation,
): TokenChain {
  try {
    const grant = { subject, scope: bitsOf(scope) };
    if (parent instanceof TokenChain) return parent.delegate(signer, grant, nowSeconds());
    return new TokenChain([parent, delegate(parent, signer, grant, nowSeconds())]);
  } catch (error) {
    throw toNetError(error);
  }
}

function bitsOf(scope: readonly TokenAction[]): number {
  let bits = 0;
  for (const action of scope) {
    if (!Object.hasOwn(BITS, action)) {
      throw new InvalidArgumentError("invalid-argument", `no token allows ${JSON.stringify(action)}`);
    }
    bits |= BITS[action];
  }
  return bits;
}

function nowSeconds(): bigint {
  return BigInt(Math.floor(Date.now() / 1_000));
}
