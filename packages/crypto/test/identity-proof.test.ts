import { describe, expect, it } from "vitest";
import {
  CryptoError,
  Identity,
  identityBinding,
  identityProofMessage,
  keyedBlake2s,
  verifyIdentityProof,
} from "../src/index.ts";

const identity = Identity.fromSeed(new Uint8Array(32).fill(3));
const chainSecret = new Uint8Array(32).fill(9);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe("a proof of identity", () => {
  it("signs label, role and what only the two ends of the session know", () => {
    const binding = identityBinding(chainSecret);
    expect(binding).toEqual(keyedBlake2s(chainSecret, text("netmesh-identity-v1")));
    const message = identityProofMessage(binding, "responder");
    expect(message).toEqual(Uint8Array.of(...text("netmesh-identity-v1"), 1, ...binding));
    expect(identityProofMessage(binding, "initiator")[19]).toBe(0);
  });

  it("is good for its owner, role and session only", () => {
    const binding = identityBinding(chainSecret);
    const { entityId } = identity;
    const signature = identity.sign(identityProofMessage(binding, "initiator"));
    const other = Identity.fromSeed(new Uint8Array(32).fill(4));
    expect(verifyIdentityProof(binding, "initiator", entityId, signature)).toBe(true);
    expect(verifyIdentityProof(binding, "responder", entityId, signature)).toBe(false);
    expect(verifyIdentityProof(binding, "initiator", other.entityId, signature)).toBe(false);
    expect(verifyIdentityProof(identityBinding(binding), "initiator", entityId, signature)).toBe(false);
    expect(verifyIdentityProof(binding, "initiator", entityId, new Uint8Array(64))).toBe(false);
    expect(verifyIdentityProof(binding, "initiator", new Uint8Array(5), signature)).toBe(false);
  });

  it("refuses secrets of another size", () => {
    expect(() => identityBinding(new Uint8Array(31))).toThrow(CryptoError);
    expect(() => identityProofMessage(new Uint8Array(33), "initiator")).toThrow(CryptoError);
  });
});
