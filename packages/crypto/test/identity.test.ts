import { describe, expect, test } from "vitest";
import {
  bytesToHex,
  Identity,
  isUsableNodeId,
  keyedBlake2s,
  nobleCurve,
  platformCurve,
  StaticKeyPair,
  staticKeyPairFromIdentity,
} from "../src/index.ts";
import { schemes } from "./support/implementations.ts";
import { hex, pattern } from "./support/vectors.ts";

const seed = (byte: number) => new Uint8Array(32).fill(byte);
const message = pattern(40, 5);

describe.each(schemes)("with %s signatures", (_, scheme) => {
  test.each([
    [
      0x01,
      "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
      0x673db0e87049ae61n,
      0x8edf34ef4ac5d453n,
    ],
    [
      0x02,
      "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
      0x9bb5af0a3b00cde1n,
      0x2199586daf8408bfn,
    ],
    [
      0x42,
      "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
      0xc162c80da6be3de4n,
      0xc211b9fddfaef86dn,
    ],
  ])("the seed of bytes %i has the ids of the spec", (byte, entityId, originHash, nodeId) => {
    const identity = Identity.fromSeed(seed(byte), scheme);
    expect(bytesToHex(identity.entityId)).toBe(entityId);
    expect(identity.originHash).toBe(originHash);
    expect(identity.nodeId).toBe(nodeId);
    const known = Identity.publicOnly(hex(entityId), scheme);
    expect(known.nodeId).toBe(nodeId);
    expect(known.originHash).toBe(originHash);
  });

  test("a signature holds for its message and its key only, and is the same every time", () => {
    const identity = Identity.generate(undefined, scheme);
    const signature = identity.sign(message);
    expect(identity.sign(message)).toEqual(signature);
    expect(Identity.verify(identity.entityId, message, signature, scheme)).toBe(true);
    expect(Identity.verify(identity.entityId, message.subarray(1), signature, scheme)).toBe(false);
    expect(Identity.verify(Identity.generate().entityId, message, signature, scheme)).toBe(false);
  });

  test("a public-only identity has all ids, verifies, and neither signs nor tells its seed", () => {
    const full = Identity.fromSeed(seed(7), scheme);
    const known = Identity.publicOnly(full.entityId, scheme);
    expect(known.isPublicOnly).toBe(true);
    expect(known.equals(full)).toBe(true);
    expect(known.trySign(message)).toBeUndefined();
    for (const use of [() => known.sign(message), () => known.toBytes()]) {
      expect(use).toThrow(expect.objectContaining({ code: "read-only" }));
    }
    expect(known.copy().isPublicOnly).toBe(true);
    known.zeroize();
    expect(known.isPublicOnly).toBe(true);
  });

  test("zeroize makes it public-only, twice if need be; a copy keeps its seed", () => {
    const identity = Identity.fromSeed(seed(8), scheme);
    const signature = identity.sign(message);
    const copy = identity.copy();
    identity.zeroize();
    identity.zeroize();
    expect(identity.isPublicOnly).toBe(true);
    expect(identity.trySign(message)).toBeUndefined();
    expect(identity.nodeId).toBe(copy.nodeId);
    expect(copy.sign(message)).toEqual(signature);
    expect(copy.toBytes()).toEqual(seed(8));
  });
});

test("seed and entity id are copied in and out", () => {
  const bytes = seed(9);
  const identity = Identity.fromSeed(bytes);
  const { entityId } = identity;
  bytes.fill(0);
  identity.toBytes().fill(0);
  identity.entityId.fill(0);
  expect(identity.toBytes()).toEqual(seed(9));
  expect(identity.entityId).toEqual(entityId);
});

test("bytes of any other length than 32 are refused", () => {
  for (const length of [0, 31, 33, 64]) {
    const bytes = new Uint8Array(length);
    const refusal = expect.objectContaining({ code: "invalid-length", value: length });
    expect(() => Identity.fromSeed(bytes)).toThrow(refusal);
    expect(() => Identity.publicOnly(bytes)).toThrow(refusal);
    expect(() => StaticKeyPair.fromPrivateKey(bytes)).toThrow(refusal);
  }
});

test("different seeds are different identities", () => {
  expect(Identity.fromSeed(seed(1)).equals(Identity.fromSeed(seed(2)))).toBe(false);
  expect(Identity.generate().equals(Identity.generate())).toBe(false);
});

test("its text form is 8 bytes of the entity id and an ellipsis", () => {
  expect(`${Identity.fromSeed(seed(1))}`).toBe("8a88e3dd7409f195...");
});

test("generation passes over a node id that ends like the packet magic", () => {
  const unusable = seed(0);
  new DataView(unusable.buffer).setUint32(0, 1791, true);
  expect(Identity.fromSeed(unusable).nodeId & 0xffffn).toBe(0x4e45n);
  const script = [unusable, seed(1)];
  const identity = Identity.generate({ fill: (bytes) => bytes.set(script.shift() as Uint8Array) });
  expect(identity.toBytes()).toEqual(seed(1));
});

test("usable node ids are neither 0 nor end in 0x4E45", () => {
  expect([0n, 0x4e45n, 0xffff_ffff_ffff_4e45n].map(isUsableNodeId)).toEqual([false, false, false]);
  expect([1n, 0x4e45_0000n, 0x4e46n].map(isUsableNodeId)).toEqual([true, true, true]);
});

test("the Noise pair of an identity follows from its seed, on every curve", () => {
  const identity = Identity.fromSeed(seed(3));
  const pair = staticKeyPairFromIdentity(identity, nobleCurve);
  expect(pair.privateKey).toEqual(keyedBlake2s(seed(3), "netmesh-noise-static-v1"));
  expect(staticKeyPairFromIdentity(identity, platformCurve).publicKey).toEqual(pair.publicKey);
  expect(identity.isPublicOnly).toBe(false);
  const known = Identity.publicOnly(identity.entityId);
  expect(() => staticKeyPairFromIdentity(known)).toThrow(expect.objectContaining({ code: "read-only" }));
});
