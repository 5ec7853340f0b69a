import { describe, expect, test } from "vitest";
import { decodeIdentityProof, encodeIdentityProof, IDENTITY_PROOF_SIZE, WireError } from "../src/index.ts";

const entityId = new Uint8Array(32).map((_, i) => i);
const signature = new Uint8Array(64).map((_, i) => 100 + i);

describe("a proof of identity", () => {
  test("survives the round trip with each of its flags", () => {
    for (const has of [true, false]) {
      for (const asks of [true, false]) {
        const bytes = encodeIdentityProof({ has, asks, entityId, signature });
        expect(bytes).toHaveLength(IDENTITY_PROOF_SIZE);
        expect([bytes[0], bytes[1], bytes[2 + 31], bytes[97]]).toEqual([
          7,
          Number(has) + 2 * Number(asks),
          31,
          163,
        ]);
        const decoded = decodeIdentityProof(bytes);
        expect(decoded).toEqual({ has, asks, entityId, signature });
        bytes.fill(0);
        expect(decoded?.entityId).toEqual(entityId);
      }
    }
  });

  test("with flags that are not known is taken without them", () => {
    const bytes = encodeIdentityProof({ has: false, asks: true, entityId, signature });
    bytes[1] = 0xfe;
    expect(decodeIdentityProof(bytes)).toEqual({ has: false, asks: true, entityId, signature });
  });

  test("of another size or kind is none", () => {
    const bytes = encodeIdentityProof({ has: true, asks: true, entityId, signature });
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeIdentityProof(bytes.subarray(0, length))).toBeUndefined();
    }
    expect(decodeIdentityProof(Uint8Array.of(...bytes, 0))).toBeUndefined();
    bytes[0] = 6;
    expect(decodeIdentityProof(bytes)).toBeUndefined();
  });

  test("is not made of parts of another size", () => {
    const proof = { has: true, asks: true, entityId, signature };
    expect(() => encodeIdentityProof({ ...proof, entityId: signature })).toThrow(WireError);
    expect(() => encodeIdentityProof({ ...proof, signature: entityId })).toThrow(WireError);
  });
});
