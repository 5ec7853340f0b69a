import { requireLength } from "./errors.ts";
import { Identity } from "./identity.ts";
import type { SessionRole } from "./key-schedule.ts";
import { KEYED_HASH_SIZE, keyedBlake2s } from "./keyed-hash.ts";

// How a netmesh node proves inside a forward-secret session that it holds the key behind its node id
// (docs/protocol/identity-proof.md). Net 0.27 knows nothing like it.

const LABEL = new TextEncoder().encode("netmesh-identity-v1");

/**
 * What the two ends of a session sign, and nobody else can compute: 32 bytes from the chain secret of its handshake. To be
 * taken before the first renewal of the keys. Throws `invalid-length`.
 */
export function identityBinding(chainSecret: Uint8Array): Uint8Array {
  requireLength(chainSecret, KEYED_HASH_SIZE, "a chain secret");
  return keyedBlake2s(chainSecret, LABEL);
}

/** The message that the side with that role signs: 52 bytes. Throws `invalid-length`. */
export function identityProofMessage(binding: Uint8Array, role: SessionRole): Uint8Array {
  requireLength(binding, KEYED_HASH_SIZE, "a binding");
  const message = new Uint8Array(LABEL.length + 1 + binding.length);
  message.set(LABEL);
  message[LABEL.length] = role === "initiator" ? 0 : 1;
  message.set(binding, LABEL.length + 1);
  return message;
}

/** Whether the owner of `entityId` has signed as the side with that role. Strict; never throws for what a peer has sent. */
export function verifyIdentityProof(
  binding: Uint8Array,
  role: SessionRole,
  entityId: Uint8Array,
  signature: Uint8Array,
): boolean {
  return Identity.verify(entityId, identityProofMessage(binding, role), signature);
}
