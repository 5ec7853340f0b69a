import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesToHex, defaultCurve, platformCurve } from "../src/index.ts";
import { curves, hasPlatform, schemes } from "./support/implementations.ts";
import { hex, pattern } from "./support/vectors.ts";

/** All u-coordinates of small order below 2^255, reduced or not (the list of curve25519's author). */
const smallOrder = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

test("the platform's curve is the default where there is one", () => {
  expect(defaultCurve.name).toBe(platformCurve === undefined ? "noble" : "platform");
});

// A browser has no synchronous X25519 and Ed25519 of its own.
test.skipIf(!hasPlatform)("Node's own curve and signatures take every test that noble's take", () => {
  expect(curves.map(([name]) => name)).toEqual(["noble", "platform"]);
  expect(schemes.map(([name]) => name)).toEqual(["noble", "platform"]);
});

describe.each(curves)("the %s curve", (_, curve) => {
  test.each(smallOrder)("refuses the public key %s of small order", (publicKey) => {
    expect(() => curve.sharedSecret(pattern(32, 1), hex(publicKey))).toThrow(
      expect.objectContaining({ code: "invalid-key" }),
    );
  });

  test("refuses keys that are not 32 bytes", () => {
    const good = pattern(32, 1);
    for (const length of [0, 31, 33]) {
      const bad = new Uint8Array(length);
      const refusal = expect.objectContaining({ code: "invalid-length", value: length });
      expect(() => curve.publicKey(bad)).toThrow(refusal);
      expect(() => curve.sharedSecret(bad, good)).toThrow(refusal);
      expect(() => curve.sharedSecret(good, bad)).toThrow(refusal);
    }
  });

  test("two generated pairs agree on a secret and share nothing else", () => {
    const [a, b] = [curve.generateKeyPair(), curve.generateKeyPair()];
    expect(a.publicKey).not.toEqual(b.publicKey);
    expect(curve.publicKey(a.privateKey)).toEqual(a.publicKey);
    expect(curve.sharedSecret(a.privateKey, b.publicKey)).toEqual(
      curve.sharedSecret(b.privateKey, a.publicKey),
    );
  });

  test("a private key array that was overwritten counts as the key it now holds", () => {
    const pair = curve.generateKeyPair();
    const peer = curve.publicKey(pattern(32, 3));
    curve.sharedSecret(pair.privateKey, peer);
    pair.privateKey.set(pattern(32, 4));
    expect(curve.sharedSecret(pair.privateKey, peer)).toEqual(curve.sharedSecret(pattern(32, 4), peer));
    curve.forget(pair.privateKey);
    expect(curve.publicKey(pair.privateKey)).toEqual(curve.publicKey(pattern(32, 4)));
  });
});

test("all implementations give the same bytes for any private key and any u-coordinate", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(key, key, (privateKey, publicKey) => {
      const results = curves.map(([, curve]) => [
        bytesToHex(curve.publicKey(privateKey)),
        bytesToHex(curve.sharedSecret(privateKey, publicKey)),
        bytesToHex(curve.generateKeyPair({ fill: (bytes) => bytes.set(privateKey) }).publicKey),
      ]);
      for (const result of results) expect(result).toEqual(results[0]);
    }),
    { numRuns: 60 },
  );
});
