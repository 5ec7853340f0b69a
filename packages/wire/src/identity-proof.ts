import { copyBytes } from "./copy-bytes.ts";
import { WireError } from "./errors.ts";

// Not part of Net 0.27: two netmesh nodes that have announced `PeerFeature.IDENTITY` exchange these under
// `NETMESH_CONTROL` (docs/protocol/identity-proof.md).
//   kind u8 = 7 ‖ flags u8 ‖ entity id [32] ‖ signature [64]

/** First byte of a proof of identity. */
export const IDENTITY_PROOF_KIND = 7;
/** Bytes of a proof of identity. */
export const IDENTITY_PROOF_SIZE = 98;

const ENTITY_OFFSET = 2;
const ENTITY_SIZE = 32;
const SIGNATURE_OFFSET: number = ENTITY_OFFSET + ENTITY_SIZE;
const SIGNATURE_SIZE = 64;
const HAS = 1;
const ASKS = 2;

/** What a node sends to show that it holds the key from which its node id comes. */
export interface IdentityProof {
  /** Whether the sender has the receiver's proof. */
  readonly has: boolean;
  /** Whether the sender does not know yet that this one has arrived: it is to be answered with the receiver's. */
  readonly asks: boolean;
  /** Ed25519 public key, 32 bytes. */
  readonly entityId: Uint8Array;
  /** Signature of what only the two ends of the session know, 64 bytes. */
  readonly signature: Uint8Array;
}

/**
 * Encodes a proof, 98 bytes.
 * @throws {WireError} `invalid-argument` for an entity id or a signature of another size.
 */
export function encodeIdentityProof({ has, asks, entityId, signature }: IdentityProof): Uint8Array {
  if (entityId.length !== ENTITY_SIZE || signature.length !== SIGNATURE_SIZE) {
    throw new WireError("invalid-argument", "a proof has an entity id of 32 bytes and a signature of 64");
  }
  const bytes = new Uint8Array(IDENTITY_PROOF_SIZE);
  bytes[0] = IDENTITY_PROOF_KIND;
  bytes[1] = (has ? HAS : 0) | (asks ? ASKS : 0);
  bytes.set(entityId, ENTITY_OFFSET);
  bytes.set(signature, SIGNATURE_OFFSET);
  return bytes;
}

/** Reads a proof, as copies; undefined when the bytes are none. Flags that are not known are ignored. */
export function decodeIdentityProof(bytes: Uint8Array): IdentityProof | undefined {
  if (bytes.length !== IDENTITY_PROOF_SIZE || bytes[0] !== IDENTITY_PROOF_KIND) return undefined;
  return {
    has: ((bytes[1] as number) & HAS) !== 0,
    asks: ((bytes[1] as number) & ASKS) !== 0,
    entityId: copyBytes(bytes, ENTITY_OFFSET, SIGNATURE_OFFSET),
    signature: copyBytes(bytes, SIGNATURE_OFFSET),
  };
}
