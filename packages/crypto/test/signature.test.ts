import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 as hash } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesToHex } from "../src/index.ts";
import { schemes } from "./support/implementations.ts";
import { hex, pattern } from "./support/vectors.ts";

const seed = pattern(32, 77);
const message = pattern(30, 1);
const publicKey = ed25519.getPublicKey(seed);
const signature = ed25519.sign(message, seed);
const ORDER = ed25519.Point.Fn.ORDER;

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytesToHex(bytes.slice().reverse())}`);
}

function bytes32(value: bigint): Uint8Array {
  return hex(value.toString(16).padStart(64, "0")).reverse();
}

function sha512(...parts: Uint8Array[]): Uint8Array {
  const digest = hash.create();
  for (const part of parts) digest.update(part);
  return digest.digest();
}

function join(r: Uint8Array, s: Uint8Array): Uint8Array {
  return Uint8Array.of(...r, ...s);
}

/** Every encoding of y = 0, 1, -1 and the two of order 8, with both signs, and of y + p where that has 255 bits. */
const smallOrder = [
  ["0000000000000000000000000000000000000000000000000000000000000000", "order 4"],
  ["0000000000000000000000000000000000000000000000000000000000000080", "order 4, other sign"],
  ["0100000000000000000000000000000000000000000000000000000000000000", "the identity"],
  ["0100000000000000000000000000000000000000000000000000000000000080", "the identity, sign of zero"],
  ["ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "order 2"],
  ["ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "order 2, sign of zero"],
  ["26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "order 8"],
  ["26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", "order 8, other sign"],
  ["c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "order 8, the other pair"],
  ["c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "order 8, the other pair, other sign"],
  ["edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "0 as p"],
  ["eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "1 as p + 1"],
  ["f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "3 as p + 3"],
  ["ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "18 as p + 18"],
] as const;

describe.each(schemes)("%s verification", (_, scheme) => {
  test("accepts what was signed", () => {
    expect(scheme.verify(publicKey, message, signature)).toBe(true);
  });

  test("refuses S + L, the same S unreduced", () => {
    const s = number(signature.subarray(32)) + ORDER;
    expect(scheme.verify(publicKey, message, join(signature.subarray(0, 32), bytes32(s)))).toBe(false);
  });

  test.each(smallOrder)("refuses %s as public key and as R (%s)", (encoding) => {
    const point = hex(encoding);
    expect(scheme.verify(point, message, signature)).toBe(false);
    expect(scheme.verify(publicKey, message, join(point, signature.subarray(32)))).toBe(false);
    // S = 0 and R = A = a point of small order satisfies the bare equation for some messages.
    expect(scheme.verify(point, message, join(point, new Uint8Array(32)))).toBe(false);
  });

  test("refuses a signature that only the equation with the cofactor accepts", () => {
    const torsion = ed25519.Point.fromHex(smallOrder[6][0]);
    const { scalar } = ed25519.utils.getExtendedPublicKey(seed);
    const mixedKey = ed25519.Point.BASE.multiply(scalar).add(torsion).toBytes();
    const nonce = 123_456_789n;
    const r = ed25519.Point.BASE.multiply(nonce).toBytes();
    let refused = 0;
    for (let i = 0; i < 8; i++) {
      const text = Uint8Array.of(i);
      const k = number(sha512(r, mixedKey, text)) % ORDER;
      const crafted = join(r, bytes32((nonce + k * scalar) % ORDER));
      const agrees = k % 8n === 0n;
      expect(scheme.verify(mixedKey, text, crafted)).toBe(agrees);
      if (!agrees) refused++;
    }
    expect(refused).toBeGreaterThan(0);
  });

  test("refuses keys and signatures of the wrong size, and keys off the curve", () => {
    expect(scheme.verify(publicKey.subarray(1), message, signature)).toBe(false);
    expect(scheme.verify(publicKey, message, signature.subarray(1))).toBe(false);
    expect(scheme.verify(publicKey, message, new Uint8Array(65))).toBe(false);
    expect(scheme.verify(pattern(32, 2).fill(2), message, signature)).toBe(false);
  });

  test("a forgotten or rewritten seed array is read anew", () => {
    const array = seed.slice();
    expect(scheme.publicKey(array)).toEqual(publicKey);
    array.fill(1);
    expect(scheme.publicKey(array)).toEqual(ed25519.getPublicKey(array));
    scheme.forget(array);
    expect(scheme.sign(array, message)).toEqual(ed25519.sign(message, array));
  });

  test("seeds of the wrong size are refused", () => {
    expect(() => scheme.publicKey(new Uint8Array(31))).toThrow("invalid length");
    expect(() => scheme.sign(new Uint8Array(33), message)).toThrow("invalid length");
  });
});

test("all implementations agree on altered signatures and keys", () => {
  fc.assert(
    fc.property(fc.nat(95), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const both = Uint8Array.of(...publicKey, ...signature);
      both[at] = (both[at] as number) ^ mask;
      const verdicts = schemes.map(([, scheme]) => scheme.verify(both.slice(0, 32), message, both.slice(32)));
      expect(verdicts).toEqual(schemes.map(() => false));
    }),
  );
});
