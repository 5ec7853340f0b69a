import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytesToHex,
  delegateToken,
  hasScope,
  hexToBytes,
  Identity,
  issueToken,
  MAX_TOKEN_TTL,
  TOKEN_SIZE,
  Token,
  TokenError,
  type TokenGrant,
  TokenScope,
} from "../src/index.ts";
import { schemes } from "./support/implementations.ts";
import {
  alice,
  bob,
  camera,
  carol,
  counting,
  lidar,
  now,
  person,
  root,
  tokenWith,
} from "./support/people.ts";
import { codeOf } from "./support/refusal.ts";

const { PUBLISH, SUBSCRIBE, ADMIN, DELEGATE, WILDCARD, ALL } = TokenScope;

/** Test vector C4 of the spec. */
const C4 =
  "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee" +
  "37a25df60f5b8fc9b39403000000d8e5a57face820ec0000000000f153650000000010ff536500000000010807060504030201ead3e8" +
  "bc3c4d4951c29e24c494b77d0178f4d27513f139efb6bd3915cb6abe0b0202fe8f3d4839dfca33ac2fc8165a0005d8f6d119f3c43b60" +
  "519a3b32992602";

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const anyFields = fc.record({
  subject: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  scope: u32,
  channel: u64,
  generation: u32,
  notBefore: u64,
  notAfter: u64,
  delegationDepth: fc.integer({ min: 0, max: 255 }),
  nonce: u64,
});

describe.each(schemes)("with %s signatures", (_, scheme) => {
  test("the token of the spec's table is issued, parsed and verified", () => {
    const token = Token.parse(hexToBytes(C4));
    expect(token.verify(scheme)).toBe(true);
    expect(token.isIssuedBy(root.entityId)).toBe(true);
    expect(token.isFor(alice.entityId)).toBe(true);
    expect([token.scope, token.delegationDepth, token.nonce]).toEqual([3, 1, 0x0102030405060708n]);
    const grant = {
      subject: alice.entityId,
      scope: 3,
      channel: token.channel,
      ttl: 3600n,
      delegationDepth: 1,
    };
    const nonce = { fill: (bytes: Uint8Array) => bytes.set([8, 7, 6, 5, 4, 3, 2, 1]) };
    const issuer = Identity.fromSeed(new Uint8Array(32).fill(1), scheme);
    expect(bytesToHex(issueToken(issuer, grant, now, nonce).toBytes())).toBe(C4);
  });

  test("a change of any bit of a token makes its signature fail", () => {
    const good = tokenWith().toBytes();
    fc.assert(
      fc.property(fc.nat(TOKEN_SIZE - 1), fc.nat(7), (offset, bit) => {
        const bytes = good.slice();
        bytes[offset] = (bytes[offset] as number) ^ (1 << bit);
        const token = Token.parse(bytes);
        expect(token.verify(scheme)).toBe(false);
        expect(codeOf(() => token.assertValid(now, 0n, scheme))).toBe("invalid-signature");
      }),
      { seed: 1, numRuns: 60 },
    );
  });
});

test("whatever a token says survives encoding and parsing", () => {
  fc.assert(
    fc.property(anyFields, (fields) => {
      const { issuer, subject, scope, channel, generation, notBefore, notAfter, delegationDepth, nonce } =
        Token.parse(Token.sign(root, fields).toBytes());
      expect(issuer).toEqual(root.entityId);
      expect({ subject, scope, channel, generation, notBefore, notAfter, delegationDepth, nonce }).toEqual(
        fields,
      );
    }),
    { seed: 2, numRuns: 50 },
  );
});

test("bytes of any other length than 169 are no token, and any 169 bytes are parsed without complaint", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      const expected = bytes.length === TOKEN_SIZE ? "ok" : "invalid-format";
      expect(codeOf(() => Token.parse(bytes))).toBe(expected);
    }),
    { seed: 3 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: TOKEN_SIZE, maxLength: TOKEN_SIZE }), (bytes) => {
      const token = Token.parse(bytes);
      expect(token.toBytes()).toEqual(bytes);
      expect(token.verify()).toBe(false);
    }),
    { seed: 4 },
  );
});

test("a refused length is told with the error", () => {
  expect(() => Token.parse(new Uint8Array(168))).toThrow(
    expect.objectContaining({ name: "TokenError", code: "invalid-format", value: 168 }),
  );
});

test("a token keeps its bytes to itself", () => {
  const bytes = tokenWith().toBytes();
  const token = Token.parse(bytes);
  bytes.fill(0);
  token.toBytes().fill(0);
  token.issuer.fill(0);
  token.subject.fill(0);
  expect(token.verify()).toBe(true);
});

test("a token is valid from its first second to before its last, with room for clocks on both sides", () => {
  const token = tokenWith(); // now .. now + 100
  const at = (time: bigint, skew?: bigint) => codeOf(() => token.assertValid(time, skew));
  expect([at(now - 1n), at(now), at(now + 99n), at(now + 100n)]).toEqual([
    "not-yet-valid",
    "ok",
    "ok",
    "expired",
  ]);
  expect([at(now - 61n, 60n), at(now - 60n, 60n)]).toEqual(["not-yet-valid", "ok"]);
  expect([at(now + 159n, 60n), at(now + 160n, 60n)]).toEqual(["ok", "expired"]);
});

test("the clock test neither overflows at the end of time nor underflows at its beginning", () => {
  const end = 2n ** 64n - 1n;
  const token = tokenWith({ notBefore: 0n, notAfter: end });
  expect(token.isCurrent(0n, end)).toBe(true);
  expect(token.isCurrent(end - 1n, 60n)).toBe(true);
  expect(token.isCurrent(end, end)).toBe(false);
});

test("an expired token that was tampered with is still expired by the clock", () => {
  const bytes = tokenWith().toBytes();
  bytes[64] = 0;
  const token = Token.parse(bytes);
  expect(token.isExpired(now + 100n)).toBe(true);
  expect(codeOf(() => token.assertCurrent(now + 100n))).toBe("expired");
  expect(codeOf(() => token.assertValid(now + 100n))).toBe("invalid-signature");
});

test("times outside of 64 bits are the caller's mistake", () => {
  const token = tokenWith();
  for (const time of [-1n, 2n ** 64n]) {
    expect(codeOf(() => token.assertCurrent(time))).toBe("invalid-argument");
    expect(codeOf(() => token.isCurrent(now, time))).toBe("invalid-argument");
  }
});

test("a token covers its actions on its channel, and a wildcard every channel", () => {
  const token = tokenWith({ scope: PUBLISH | SUBSCRIBE });
  expect(token.covers(PUBLISH, lidar)).toBe(true);
  expect(token.covers(PUBLISH | SUBSCRIBE, lidar)).toBe(true);
  expect(token.covers(PUBLISH | ADMIN, lidar)).toBe(false);
  expect(token.covers(PUBLISH, camera)).toBe(false);
  expect(tokenWith({ scope: PUBLISH | WILDCARD }).covers(PUBLISH, camera)).toBe(true);
  expect(tokenWith({ scope: PUBLISH | WILDCARD }).covers(SUBSCRIBE, camera)).toBe(false);
});

test("channel hash 0 is a channel like any other", () => {
  const token = tokenWith({ channel: 0n });
  expect(token.covers(PUBLISH, lidar)).toBe(false);
  expect(token.covers(PUBLISH, 0n)).toBe(true);
});

test("no scope has nothing, and unknown bits are bits", () => {
  expect(hasScope(ALL, 0)).toBe(false);
  expect(hasScope(0xffff_ffff, 0x8000_0001)).toBe(true);
  expect(hasScope(1, 0x8000_0001)).toBe(false);
});

describe("issuing", () => {
  const grant: TokenGrant = { subject: alice.entityId, scope: PUBLISH, channel: lidar, ttl: 1n };
  const issue = (changes: Partial<TokenGrant>, issuer = root) =>
    issueToken(issuer, { ...grant, ...changes }, now, counting());

  test("gives 1 second to 365 days", () => {
    expect(issue({ ttl: 1n }).notAfter).toBe(now + 1n);
    expect(issue({ ttl: MAX_TOKEN_TTL }).notAfter).toBe(now + 31_536_000n);
    expect(codeOf(() => issue({ ttl: 0n }))).toBe("zero-ttl");
    expect(codeOf(() => issue({ ttl: MAX_TOKEN_TTL + 1n }))).toBe("ttl-too-long");
  });

  test("starts now, at generation 0 and not to be passed on, unless it is said otherwise", () => {
    const plain = issue({});
    expect([plain.notBefore, plain.generation, plain.delegationDepth]).toEqual([now, 0, 0]);
    const other = issue({ generation: 5, delegationDepth: 2 });
    expect([other.generation, other.delegationDepth]).toEqual([5, 2]);
  });

  test("ends with time itself at the latest", () => {
    const end = 2n ** 64n - 1n;
    expect(issueToken(root, { ...grant, ttl: 60n }, end - 10n).notAfter).toBe(end);
  });

  test("draws a nonce of its own for every token", () => {
    expect(issueToken(root, grant, now).nonce).not.toBe(issueToken(root, grant, now).nonce);
  });

  test("needs the issuer's secret half", () => {
    const known = Identity.publicOnly(root.entityId);
    expect(codeOf(() => issue({}, known))).toBe("read-only");
    expect(() =>
      Token.sign(known, {
        ...grant,
        generation: 0,
        notBefore: 0n,
        notAfter: 1n,
        delegationDepth: 0,
        nonce: 0n,
      }),
    ).toThrow(TokenError);
  });

  test("passes on that the random source failed", () => {
    const broken = {
      fill() {
        throw new Error("no entropy");
      },
    };
    expect(() => issueToken(root, grant, now, broken)).toThrow("no entropy");
  });

  test("refuses fields that do not fit before it signs", () => {
    const subject = new Uint8Array(31);
    expect(codeOf(() => issue({ subject }))).toBe("invalid-length");
    for (const wrong of [
      { scope: -1 },
      { scope: 2 ** 32 },
      { scope: 1.5 },
      { channel: -1n },
      { channel: 7 as unknown as bigint },
      { ttl: -1n },
      { delegationDepth: 256 },
      { generation: 2 ** 32 },
    ]) {
      expect(codeOf(() => issue(wrong))).toBe("invalid-argument");
    }
    expect(codeOf(() => issueToken(root, grant, -1n))).toBe("invalid-argument");
  });
});

describe("passing on", () => {
  const delegate = (parent: Token, signer = alice, scope: number = ALL, at = now + 5n) =>
    delegateToken(parent, signer, { subject: bob.entityId, scope }, at, counting());

  test("gives the common scope, the same channel, generation and end, and one level less", () => {
    const parent = tokenWith({ scope: PUBLISH | SUBSCRIBE | DELEGATE, generation: 9 });
    const child = delegate(parent, alice, SUBSCRIBE | ADMIN);
    expect(child.verify()).toBe(true);
    expect(child.isIssuedBy(alice.entityId) && child.isFor(bob.entityId)).toBe(true);
    expect(child.scope).toBe(SUBSCRIBE);
    expect([child.channel, child.generation, child.notAfter]).toEqual([lidar, 9, parent.notAfter]);
    expect([child.notBefore, child.delegationDepth]).toEqual([now + 5n, 2]);
  });

  test("keeps the wildcard only when the restriction names it", () => {
    const parent = tokenWith({ scope: ALL | WILDCARD });
    expect(delegate(parent).scope).toBe(ALL);
    expect(delegate(parent, alice, PUBLISH | WILDCARD).scope).toBe(PUBLISH | WILDCARD);
  });

  test("is up to the subject alone", () => {
    expect(codeOf(() => delegate(tokenWith(), carol))).toBe("not-authorized");
    expect(codeOf(() => delegate(tokenWith(), root))).toBe("not-authorized");
    expect(codeOf(() => delegate(tokenWith(), Identity.publicOnly(alice.entityId)))).toBe("read-only");
  });

  test("ends where the depth or the scope ends it", () => {
    expect(codeOf(() => delegate(tokenWith({ delegationDepth: 0 })))).toBe("delegation-exhausted");
    expect(codeOf(() => delegate(tokenWith({ scope: PUBLISH })))).toBe("delegation-not-allowed");
  });

  test("needs a parent that is valid at this second, without room for clocks", () => {
    expect(codeOf(() => delegate(tokenWith(), alice, ALL, now + 100n))).toBe("expired");
    expect(codeOf(() => delegate(tokenWith(), alice, ALL, now - 1n))).toBe("not-yet-valid");
    const bytes = tokenWith().toBytes();
    bytes[168] = (bytes[168] as number) ^ 0x10;
    expect(codeOf(() => delegate(Token.parse(bytes)))).toBe("invalid-signature");
  });

  test("refuses a scope that is no u32", () => {
    expect(codeOf(() => delegate(tokenWith(), alice, 2 ** 32))).toBe("invalid-argument");
  });

  test("never gives more than there was", () => {
    fc.assert(
      fc.property(u32, u32, fc.integer({ min: 1, max: 255 }), (scope, restriction, delegationDepth) => {
        const parent = tokenWith({ scope: (scope | DELEGATE) >>> 0, delegationDepth });
        const child = delegate(parent, alice, restriction);
        expect(child.scope & ~parent.scope).toBe(0);
        expect(child.delegationDepth).toBeLessThan(parent.delegationDepth);
        expect(child.notBefore >= parent.notBefore && child.notAfter <= parent.notAfter).toBe(true);
      }),
      { seed: 5, numRuns: 40 },
    );
  });
});

test("a printed token shows what it grants and to whom", () => {
  const shown = JSON.stringify(tokenWith({ subject: person(2).entityId }));
  expect(shown).toContain(bytesToHex(alice.entityId));
  expect(shown).toContain(`"channel":"${lidar}"`);
});
