import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  defaultSignatures,
  MAX_SLOT_TOKENS,
  MAX_TOKEN_SLOTS,
  RevocationFloors,
  type SignatureScheme,
  Token,
  TokenCache,
  type TokenFields,
  TokenScope,
} from "../src/index.ts";
import { alice, bob, camera, lidar, now, root, tokenWith } from "./support/people.ts";
import { codeOf } from "./support/refusal.ts";

const { PUBLISH, SUBSCRIBE, ADMIN, ALL, WILDCARD } = TokenScope;

/** Takes every signature for good: for filling a cache to its limits without 65,536 signatures. */
const trusting: SignatureScheme = {
  name: "trusting",
  publicKey: (seed) => defaultSignatures.publicKey(seed),
  sign: (seed, message) => defaultSignatures.sign(seed, message),
  verify: () => true,
  forget: () => {},
};

function cacheWith(
  skew = 0n,
  signatures = defaultSignatures,
): { cache: TokenCache; revocations: RevocationFloors } {
  const revocations = new RevocationFloors();
  return { cache: new TokenCache({ revocations, skew, signatures }), revocations };
}

/** As `tokenWith`, without the cost of a signature. */
function unsigned(fields: Partial<TokenFields>): Token {
  const bytes = tokenWith().toBytes();
  const view = new DataView(bytes.buffer);
  bytes.set(fields.subject ?? alice.entityId, 32);
  view.setUint32(64, fields.scope ?? ALL, true);
  view.setBigUint64(68, fields.channel ?? lidar, true);
  view.setBigUint64(88, fields.notAfter ?? now + 100n, true);
  return Token.parse(bytes);
}

test("a token is found by its subject, channel and action, and by nothing else", () => {
  const { cache } = cacheWith();
  const token = tokenWith({ scope: PUBLISH });
  expect(cache.insert(token)).toBe(true);
  expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now)).toBe(token);
  expect(cache.findForAction(bob.entityId, PUBLISH, lidar, now)).toBeUndefined();
  expect(cache.findForAction(alice.entityId, SUBSCRIBE, lidar, now)).toBeUndefined();
  expect(cache.findForAction(alice.entityId, PUBLISH, camera, now)).toBeUndefined();
  expect(cache.get(alice.entityId, lidar, now)).toBe(token);
  expect(cache.get(alice.entityId, camera, now)).toBeUndefined();
});

test("a wildcard token is found for every channel, one for the very channel before it", () => {
  const { cache } = cacheWith();
  const wildcard = tokenWith({ scope: PUBLISH | WILDCARD });
  const exact = tokenWith({ scope: PUBLISH, channel: camera });
  cache.insert(wildcard);
  cache.insert(exact);
  expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now)).toBe(wildcard);
  expect(cache.findForAction(alice.entityId, PUBLISH, camera, now)).toBe(exact);
  expect(cache.get(alice.entityId, 0n, now)).toBe(wildcard);
  expect(cache.get(alice.entityId, lidar, now)).toBeUndefined();
});

test("a token for channel hash 0 shares the wildcards' slot without being one", () => {
  const { cache } = cacheWith();
  cache.insert(tokenWith({ scope: PUBLISH, channel: 0n }));
  expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now)).toBeUndefined();
  expect(cache.findForAction(alice.entityId, PUBLISH, 0n, now)).toBeDefined();
});

test("an expired token for the channel does not stand in the way of a wildcard", () => {
  const { cache } = cacheWith();
  cache.insert(tokenWith({ scope: PUBLISH, notAfter: now + 1n }));
  const wildcard = tokenWith({ scope: PUBLISH | WILDCARD });
  cache.insert(wildcard);
  expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now + 1n)).toBe(wildcard);
});

test("a revoked or premature token does not stand in the way of another in its slot", () => {
  const { cache, revocations } = cacheWith();
  revocations.raise(root.entityId, 1);
  cache.insert(tokenWith({ scope: PUBLISH }));
  cache.insert(tokenWith({ scope: PUBLISH | SUBSCRIBE, generation: 1, notBefore: now + 50n }));
  const good = tokenWith({ scope: PUBLISH | ADMIN, generation: 1 });
  cache.insert(good);
  expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now)).toBe(good);
  expect(cache.get(alice.entityId, lidar, now)).toBe(good);
});

test("asked for any token of a slot, the first one serves if none is good", () => {
  const { cache } = cacheWith();
  const first = tokenWith({ scope: PUBLISH });
  cache.insert(first);
  cache.insert(tokenWith({ scope: SUBSCRIBE }));
  expect(cache.get(alice.entityId, lidar, now + 100n)).toBe(first);
});

test("a tampered token is refused and leaves the good one in place", () => {
  const { cache } = cacheWith();
  const good = tokenWith();
  cache.insert(good);
  const bytes = good.toBytes();
  bytes[88] = (bytes[88] as number) ^ 1;
  expect(codeOf(() => cache.insert(Token.parse(bytes)))).toBe("invalid-signature");
  expect(cache.get(alice.entityId, lidar, now)).toBe(good);
});

test("a token of the same scope takes the place of the old one, other scopes live beside it", () => {
  const { cache } = cacheWith();
  cache.insert(tokenWith({ scope: PUBLISH }));
  const renewed = tokenWith({ scope: PUBLISH, notAfter: now + 500n });
  cache.insert(renewed);
  expect(cache.size).toBe(1);
  expect(cache.get(alice.entityId, lidar, now)).toBe(renewed);
  cache.insert(tokenWith({ scope: SUBSCRIBE }));
  expect([cache.size, cache.slots]).toEqual([2, 1]);
});

test("channels whose hashes agree in the low 32 bits are two channels", () => {
  const { cache } = cacheWith();
  const [low, high] = [0x1234n, 0x1_0000_1234n];
  cache.insert(tokenWith({ channel: low }));
  expect(cache.findForAction(alice.entityId, PUBLISH, high, now)).toBeUndefined();
  cache.insert(tokenWith({ channel: high }));
  expect(cache.slots).toBe(2);
});

describe("clocks that differ", () => {
  test("are made up for by the skew of the cache, by 300 seconds at most", () => {
    const token = tokenWith();
    for (const [skew, last] of [
      [0n, 99n],
      [60n, 159n],
      [300n, 399n],
      [100_000n, 399n],
    ] as const) {
      const { cache } = cacheWith(skew);
      cache.insert(token);
      expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now + last)).toBe(token);
      expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now + last + 1n)).toBeUndefined();
    }
  });

  test("do not make a token vanish that is still accepted", () => {
    const { cache } = cacheWith(60n);
    cache.insert(tokenWith());
    expect(cache.evictExpired(now + 159n)).toBe(0);
    expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now + 159n)).toBeDefined();
    expect(cache.evictExpired(now + 160n)).toBe(1);
    expect([cache.size, cache.slots]).toEqual([0, 0]);
  });
});

test("eviction removes what has expired and keeps the rest of its slot", () => {
  const { cache } = cacheWith();
  cache.insert(tokenWith({ scope: PUBLISH, notAfter: now + 1n }));
  cache.insert(tokenWith({ scope: SUBSCRIBE }));
  cache.insert(tokenWith({ channel: camera, notAfter: now + 1n }));
  expect(cache.evictExpired(now + 1n)).toBe(2);
  expect([cache.size, cache.slots]).toEqual([1, 1]);
});

test("a slot takes 32 scopes; more are counted as dropped, known ones are still renewed", () => {
  const { cache } = cacheWith(0n, trusting);
  const scopes = Array.from({ length: MAX_SLOT_TOKENS }, (_, i) => 32 * i + PUBLISH);
  for (const scope of scopes) expect(cache.insert(unsigned({ scope }))).toBe(true);
  expect(cache.insert(unsigned({ scope: SUBSCRIBE }))).toBe(false);
  expect(cache.insert(unsigned({ scope: PUBLISH, notAfter: now + 7n }))).toBe(true);
  expect([cache.size, cache.slots, cache.dropped]).toEqual([MAX_SLOT_TOKENS, 1, 1]);
});

test("a cache takes 65,536 slots; more are counted as dropped until eviction makes room", () => {
  const { cache } = cacheWith(0n, trusting);
  for (let i = 1; i <= MAX_TOKEN_SLOTS; i++) {
    cache.insert(unsigned({ scope: PUBLISH, channel: BigInt(i), notAfter: i === 1 ? now + 1n : now + 100n }));
  }
  expect([cache.size, cache.dropped]).toEqual([MAX_TOKEN_SLOTS, 0]);
  const newcomer = unsigned({ scope: PUBLISH, channel: 0x1_0000_0000n });
  expect(cache.insert(newcomer)).toBe(false);
  expect(cache.insert(unsigned({ scope: SUBSCRIBE, channel: 2n }))).toBe(true);
  expect([cache.slots, cache.dropped]).toEqual([MAX_TOKEN_SLOTS, 1]);
  expect(cache.evictExpired(now + 1n)).toBe(1);
  expect(cache.insert(newcomer)).toBe(true);
});

test("inserts, queries and evictions in any order keep the counts true and the answers valid", () => {
  const subjects = [alice, bob];
  const step = fc.record({
    kind: fc.constantFrom("insert", "insert", "query", "evict", "revoke"),
    subject: fc.constantFrom(...subjects),
    scope: fc.integer({ min: 1, max: 40 }),
    channel: fc.constantFrom(0n, lidar, camera),
    time: fc.integer({ min: 0, max: 30 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { cache, revocations } = cacheWith(5n, trusting);
      const model = new Map<string, Token>();
      for (const { kind, subject, scope, channel, time } of steps) {
        const at = now + BigInt(time);
        if (kind === "insert") {
          const token = unsigned({ subject: subject.entityId, scope, channel, notAfter: at });
          const slot = scope & WILDCARD ? 0n : channel;
          if (cache.insert(token)) model.set(`${subject}${slot}/${scope}`, token);
        } else if (kind === "evict") {
          cache.evictExpired(at);
          for (const [key, token] of model) if (token.notAfter + 5n <= at) model.delete(key);
        } else if (kind === "revoke" && time > 28) {
          revocations.raise(root.entityId, 1);
        } else {
          const good = [...model.values()].filter(
            (token) =>
              token.isFor(subject.entityId) &&
              token.covers(scope, channel) &&
              token.isCurrent(at, 5n) &&
              !revocations.isRevoked(token),
          );
          const found = cache.findForAction(subject.entityId, scope, channel, at);
          expect(good.length === 0 ? found === undefined : good.includes(found as Token)).toBe(true);
        }
        expect(cache.size).toBe(model.size);
      }
    }),
    { seed: 31, numRuns: 200 },
  );
});

test("a caller's wrong subject, channel, time or skew is refused", () => {
  const { cache, revocations } = cacheWith();
  expect(codeOf(() => cache.get(new Uint8Array(31), lidar, now))).toBe("invalid-length");
  expect(codeOf(() => cache.get(alice.entityId, -1n, now))).toBe("invalid-argument");
  expect(codeOf(() => cache.findForAction(alice.entityId, PUBLISH, lidar, -1n))).toBe("invalid-argument");
  expect(codeOf(() => cache.evictExpired(2n ** 64n))).toBe("invalid-argument");
  expect(codeOf(() => new TokenCache({ revocations, skew: -1n }))).toBe("invalid-argument");
});

test("a cache without further options checks signatures and makes up for nothing", () => {
  const cache = new TokenCache({ revocations: new RevocationFloors() });
  cache.insert(tokenWith());
  expect(cache.get(alice.entityId, lidar, now)).toBeDefined();
  expect(cache.findForAction(alice.entityId, PUBLISH, lidar, now + 100n)).toBeUndefined();
  expect(codeOf(() => cache.insert(unsigned({ scope: 2 })))).toBe("invalid-signature");
});
