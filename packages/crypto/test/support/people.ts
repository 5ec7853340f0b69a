/** A few identities, a root token and its chain, for tests of permission tokens. */
import { channelHash } from "@netmesh/wire";
import {
  Identity,
  issueToken,
  type RandomSource,
  Token,
  TokenChain,
  type TokenFields,
  TokenScope,
} from "../../src/index.ts";

/** The identity of the seed that repeats this byte. */
export function person(byte: number): Identity {
  return Identity.fromSeed(new Uint8Array(32).fill(byte));
}

export const root: Identity = person(1);
export const alice: Identity = person(2);
export const bob: Identity = person(3);
export const carol: Identity = person(4);
export const lidar: bigint = channelHash("sensors/lidar");
export const camera: bigint = channelHash("sensors/camera");
/** Unix seconds at which the tests take place. */
export const now = 1_700_000_000n;
/** A random source that counts: every nonce is different, every run the same. */
export function counting(): RandomSource {
  let next = 0;
  return {
    fill(bytes: Uint8Array): void {
      for (let i = 0; i < bytes.length; i++) bytes[i] = next++ & 0xff;
    },
  };
}

/** A token of root for Alice with these fields in place of the usual ones. */
export function tokenWith(fields: Partial<TokenFields> = {}, issuer: Identity = root): Token {
  return Token.sign(issuer, {
    subject: alice.entityId,
    scope: TokenScope.ALL,
    channel: lidar,
    generation: 0,
    notBefore: now,
    notAfter: now + 100n,
    delegationDepth: 3,
    nonce: 7n,
    ...fields,
  });
}

/** A chain of `links` links from root, each passed on by the one before; the leaf is `person(links + 1)`'s. */
export function chainOf(links: number): TokenChain {
  const grant = {
    subject: alice.entityId,
    scope: TokenScope.ALL,
    channel: lidar,
    ttl: 100n,
    delegationDepth: 7,
  };
  let chain = new TokenChain([issueToken(root, grant, now, counting())]);
  for (let i = 1; i < links; i++) {
    chain = chain.delegate(
      person(i + 1),
      { subject: person(i + 2).entityId, scope: TokenScope.ALL },
      now,
      counting(),
    );
  }
  return chain;
}
