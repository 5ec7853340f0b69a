import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AuthorizationRequest,
  type Identity,
  MAX_CHAIN_LINKS,
  RevocationFloors,
  type Token,
  TokenChain,
  TokenScope,
} from "../src/index.ts";
import {
  alice,
  bob,
  camera,
  carol,
  chainOf,
  counting,
  lidar,
  now,
  person,
  root,
  tokenWith,
} from "./support/people.ts";
import { codeOf } from "./support/refusal.ts";

const { PUBLISH, SUBSCRIBE, ALL, WILDCARD } = TokenScope;

function request(changes: Partial<AuthorizationRequest> = {}): AuthorizationRequest {
  return {
    action: SUBSCRIBE,
    channel: lidar,
    presenter: carol.entityId,
    roots: [root.entityId],
    revocations: new RevocationFloors(),
    now,
    ...changes,
  };
}

/** Both verdicts on a chain: with and without its signatures. */
function verdicts(chain: TokenChain, changes: Partial<AuthorizationRequest> = {}): [string, string] {
  const asked = request(changes);
  return [codeOf(() => chain.authorize(asked)), codeOf(() => chain.authorizePresigned(asked))];
}

const both = (code: string): [string, string] => [code, code];
/** root -> Alice -> Bob -> Carol. */
const threeLinks = chainOf(3);

test.each([1, 8])("a chain of %i links is sent, received and lets its presenter in", (count) => {
  const chain = TokenChain.parse(chainOf(count).toBytes());
  expect(chain.links).toHaveLength(count);
  expect(chain.toBytes()).toEqual(chainOf(count).toBytes());
  expect(verdicts(chain, { presenter: person(count + 1).entityId })).toEqual(both("ok"));
});

test("a chain has 1 to 8 links", () => {
  const [link] = threeLinks.links as [Token];
  for (const count of [0, 9]) {
    expect(codeOf(() => new TokenChain(Array.from({ length: count }, () => link)))).toBe("invalid-format");
  }
  const eight = chainOf(MAX_CHAIN_LINKS);
  const grant = { subject: carol.entityId, scope: ALL };
  expect(codeOf(() => eight.delegate(person(9), grant, now))).toBe("delegation-exhausted");
});

test("bytes that are too short, too long or miscounted are no chain", () => {
  const good = threeLinks.toBytes();
  const counted = (count: number, bytes: Uint8Array) => Uint8Array.of(count, ...bytes.subarray(1));
  for (const bytes of [
    new Uint8Array(),
    good.subarray(0, good.length - 1),
    Uint8Array.of(...good, 0),
    counted(0, good),
    counted(2, good),
    counted(9, good),
    Uint8Array.of(0),
  ]) {
    expect(codeOf(() => TokenChain.parse(bytes))).toBe("invalid-format");
  }
});

test("whatever arrives as a chain is refused by the typed error or read back as it came", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_400 }), (bytes) => {
      const verdict = codeOf(() => expect(TokenChain.parse(bytes).toBytes()).toEqual(bytes));
      expect(["ok", "invalid-format"]).toContain(verdict);
    }),
    { seed: 11 },
  );
});

test("a chain with any bit changed authorises nobody", () => {
  const good = threeLinks.toBytes();
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(7), (offset, bit) => {
      const bytes = good.slice();
      bytes[offset] = (bytes[offset] as number) ^ (1 << bit);
      expect(codeOf(() => TokenChain.parse(bytes).authorize(request()))).not.toBe("ok");
    }),
    { seed: 12, numRuns: 150 },
  );
});

test("links of several chains put together authorise only where they make up a chain", () => {
  // Two families from the same root, for the same channel, with the same people at other places.
  const other = new TokenChain([tokenWith({ subject: bob.entityId, nonce: 8n })])
    .delegate(bob, { subject: alice.entityId, scope: ALL }, now, counting())
    .delegate(alice, { subject: carol.entityId, scope: ALL }, now, counting());
  const pool = [...threeLinks.links, ...other.links];
  const isChain = (links: Token[]) =>
    links[0]?.isIssuedBy(root.entityId) &&
    links[links.length - 1]?.isFor(carol.entityId) &&
    links.every((link, i) => i === 0 || link.isIssuedBy((links[i - 1] as Token).subject)) &&
    links.every((link, i) => i === 0 || link.delegationDepth < (links[i - 1] as Token).delegationDepth);
  let accepted = 0;
  for (const a of pool) {
    for (const b of pool) {
      for (const c of pool) {
        const expected = isChain([a, b, c]) ? "ok" : "refused";
        const code = codeOf(() => new TokenChain([a, b, c]).authorizePresigned(request()));
        expect(code === "ok" ? "ok" : "refused").toBe(expected);
        if (code === "ok") accepted++;
      }
    }
  }
  expect(accepted).toBeGreaterThanOrEqual(2);
  expect(accepted).toBeLessThan(pool.length);
});

test("a chain from nobody's root, or presented by somebody else, is refused", () => {
  expect(verdicts(threeLinks, { roots: [] })).toEqual(both("not-authorized"));
  expect(verdicts(threeLinks, { roots: [alice.entityId] })).toEqual(both("not-authorized"));
  expect(verdicts(threeLinks, { roots: [alice.entityId, root.entityId] })).toEqual(both("ok"));
  expect(verdicts(threeLinks, { presenter: bob.entityId })).toEqual(both("not-authorized"));
  expect(verdicts(threeLinks, { presenter: new Uint8Array() })).toEqual(both("not-authorized"));
});

test("a chain allows what every link of it allows, on its channel", () => {
  const chain = new TokenChain([tokenWith()]).delegate(
    alice,
    { subject: carol.entityId, scope: SUBSCRIBE },
    now,
    counting(),
  );
  expect(verdicts(chain)).toEqual(both("ok"));
  expect(verdicts(chain, { action: PUBLISH })).toEqual(both("not-authorized"));
  expect(verdicts(chain, { action: 0 })).toEqual(both("not-authorized"));
  expect(verdicts(chain, { channel: camera })).toEqual(both("not-authorized"));
});

test("a wildcard root lets links for one channel follow", () => {
  const chain = new TokenChain([
    tokenWith({ scope: ALL | WILDCARD, channel: 0n }),
    tokenWith({ subject: carol.entityId, delegationDepth: 1 }, alice),
  ]);
  expect(verdicts(chain)).toEqual(both("ok"));
  expect(verdicts(chain, { channel: camera })).toEqual(both("not-authorized"));
});

describe("a link that does not follow from the one before it", () => {
  const second = (fields: Parameters<typeof tokenWith>[0], issuer: Identity = alice, first = tokenWith()) =>
    verdicts(
      new TokenChain([first, tokenWith({ subject: carol.entityId, delegationDepth: 2, ...fields }, issuer)]),
    );

  test("because somebody else has issued it", () => {
    expect(second({})).toEqual(both("ok"));
    expect(second({}, bob)).toEqual(both("not-authorized"));
  });

  test("because its parent was not to be passed on", () => {
    expect(second({}, alice, tokenWith({ scope: SUBSCRIBE }))).toEqual(both("delegation-not-allowed"));
  });

  test("because it is as deep", () => {
    expect(second({ delegationDepth: 3 })).toEqual(both("not-authorized"));
    expect(second({ delegationDepth: 0 })).toEqual(both("ok"));
  });

  test("because it starts earlier or ends later", () => {
    expect(second({ notAfter: now + 101n })).toEqual(both("not-authorized"));
    expect(second({ notBefore: now - 1n })).toEqual(both("not-authorized"));
  });

  test("because its signature is wrong, which only the full check sees", () => {
    const bytes = threeLinks.toBytes();
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 0x10;
    expect(verdicts(TokenChain.parse(bytes))).toEqual(["invalid-signature", "ok"]);
  });
});

test("time is asked of every link, signatures or not", () => {
  expect(verdicts(threeLinks, { now: now + 100n })).toEqual(both("expired"));
  expect(verdicts(threeLinks, { now: now - 1n })).toEqual(both("not-yet-valid"));
  expect(verdicts(threeLinks, { now: now + 159n, skew: 60n })).toEqual(both("ok"));
  const shortLived = new TokenChain([
    tokenWith(),
    tokenWith({ subject: carol.entityId, delegationDepth: 0, notAfter: now + 10n }, alice),
  ]);
  expect(verdicts(shortLived, { now: now + 10n })).toEqual(both("expired"));
});

test("more than 300 seconds of difference between clocks are not made up for", () => {
  expect(verdicts(threeLinks, { now: now + 399n, skew: 10_000n })).toEqual(both("ok"));
  expect(verdicts(threeLinks, { now: now + 400n, skew: 10_000n })).toEqual(both("expired"));
});

test("times outside of 64 bits are the caller's mistake", () => {
  expect(verdicts(threeLinks, { now: -1n })).toEqual(both("invalid-argument"));
  expect(verdicts(threeLinks, { skew: -1n })).toEqual(both("invalid-argument"));
});

describe("revocation", () => {
  test("of the root's generation reaches everything passed on from it", () => {
    const revocations = new RevocationFloors();
    expect(verdicts(threeLinks, { revocations })).toEqual(both("ok"));
    revocations.raise(root.entityId, 1);
    expect(verdicts(threeLinks, { revocations })).toEqual(both("revoked"));
  });

  test("of a link in the middle reaches what follows it, not what precedes it", () => {
    const revocations = new RevocationFloors();
    revocations.raise(alice.entityId, 1);
    expect(verdicts(threeLinks, { revocations })).toEqual(both("revoked"));
    expect(verdicts(chainOf(1), { revocations, presenter: alice.entityId })).toEqual(both("ok"));
  });

  test("leaves what was issued under the new generation", () => {
    const revocations = new RevocationFloors();
    revocations.raise(root.entityId, 2);
    const fresh = new TokenChain([tokenWith({ generation: 2, subject: carol.entityId })]);
    expect(verdicts(fresh, { revocations })).toEqual(both("ok"));
  });

  test("of somebody else changes nothing", () => {
    const revocations = new RevocationFloors();
    revocations.raise(carol.entityId, 9);
    expect(verdicts(threeLinks, { revocations })).toEqual(both("ok"));
  });
});

test("a chain does not change with the array that it was made of", () => {
  const links = [...threeLinks.links];
  const chain = new TokenChain(links);
  links.pop();
  expect(chain.links).toHaveLength(3);
  expect(() => (chain.links as Token[]).pop()).toThrow(TypeError);
});
