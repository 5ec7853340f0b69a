/**
 * Noise NKpsk0 handshake, packet sealing, replay window, identities and permission tokens for Net 0.27.
 * @packageDocumentation
 */

export * from "./aead/choice.ts";
export { nobleAead } from "./aead/noble.ts";
export {
  AEAD_BATCH_SIZE,
  AEAD_KEY_SIZE,
  AEAD_MAX_AAD_LENGTH,
  AEAD_MAX_LENGTH,
  AEAD_NONCE_SIZE,
  type AeadBatch,
  type AeadKey,
  type AeadProvider,
  type PacketMemory,
} from "./aead/provider.ts";
// Bytes and errors
export { equalBytes } from "./constant-time.ts";
// Primitives
export {
  type Curve,
  defaultCurve,
  nobleCurve,
  platformCurve,
  X25519_KEY_SIZE,
  type X25519KeyPair,
} from "./curve.ts";
export {
  CryptoError,
  type CryptoErrorCode,
  EnvelopeError,
  type EnvelopeErrorCode,
  HandshakeError,
  TokenError,
  type TokenErrorCode,
} from "./errors.ts";
export * from "./forward-secrecy.ts";
export * from "./hex.ts";
// Identities
export * from "./identity.ts";
export * from "./identity-envelope.ts";
export { identityBinding, identityProofMessage, verifyIdentityProof } from "./identity-proof.ts";
export * from "./key-schedule.ts";
export * from "./keyed-hash.ts";
// Handshake and session keys
export * from "./noise-nkpsk0.ts";
// Packets
export * from "./packet-cipher.ts";
export * from "./random.ts";
export * from "./redaction.ts";
export * from "./replay-window.ts";
export * from "./revocation-floors.ts";
export {
  defaultSignatures,
  ED25519_PUBLIC_KEY_SIZE,
  ED25519_SEED_SIZE,
  ED25519_SIGNATURE_SIZE,
  nobleSignatures,
  platformSignatures,
  type SignatureScheme,
} from "./signature.ts";
export * from "./static-key-pair.ts";
// Permission tokens
export * from "./token.ts";
export * from "./token-cache.ts";
export {
  type AuthorizationRequest,
  MAX_CHAIN_LINKS,
  MAX_CLOCK_SKEW,
  RECOMMENDED_CLOCK_SKEW,
  TokenChain,
} from "./token-chain.ts";
export * from "./token-scope.ts";
