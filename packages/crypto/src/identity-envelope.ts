import { copyBytes } from "@netmesh/wire";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { equalBytes } from "./constant-time.ts";
import { type Curve, defaultCurve, X25519_KEY_SIZE, type X25519KeyPair } from "./curve.ts";
import { EnvelopeError, requireLength } from "./errors.ts";
import { Identity } from "./identity.ts";
import { keyedBlake2s } from "./keyed-hash.ts";
import type { RandomSource } from "./random.ts";
import {
  defaultSignatures,
  ED25519_PUBLIC_KEY_SIZE,
  ED25519_SEED_SIZE,
  ED25519_SIGNATURE_SIZE,
  isCurvePoint,
  type SignatureScheme,
} from "./signature.ts";

// Offsets of spec crypto.md §8.
const VERSION = 1;
const TARGET = 1;
const EPHEMERAL = TARGET + X25519_KEY_SIZE;
const SEALED_SEED = EPHEMERAL + X25519_KEY_SIZE;
const SIGNER = SEALED_SEED + ED25519_SEED_SIZE + 16;
const SIGNATURE = SIGNER + ED25519_PUBLIC_KEY_SIZE;

const XCHACHA_NONCE_SIZE = 24;

/** Bytes of an identity envelope. */
export const IDENTITY_ENVELOPE_SIZE: number = SIGNATURE + ED25519_SIGNATURE_SIZE;
/** Bytes of the causal link that an envelope is bound to. */
export const ENVELOPE_LINK_SIZE = 32;

/** For whom an envelope is sealed. */
export interface SealIdentityOptions {
  /** X25519 public key of the node that is to open it, 32 bytes: its Noise static key. */
  readonly targetPublicKey: Uint8Array;
  /** The encoded causal link that it belongs to, 32 bytes; opens with the same link only. */
  readonly link: Uint8Array;
  /** Makes the ephemeral key; the platform's by default. */
  readonly random?: RandomSource;
  /** The best X25519 here by default. */
  readonly curve?: Curve;
}

/** What an envelope is opened with. */
export interface OpenIdentityOptions {
  /** The key pair of this node, such as its `StaticKeyPair`. */
  readonly target: X25519KeyPair;
  /** The encoded causal link that it has to belong to, 32 bytes. */
  readonly link: Uint8Array;
  /** Entity id (32 bytes) of the identity that has to be inside; whichever it is by default. */
  readonly expectedSigner?: Uint8Array;
  /** The best X25519 here by default. */
  readonly curve?: Curve;
  /** The best Ed25519 here by default; the opened identity keeps it. */
  readonly signatures?: SignatureScheme;
}

/**
 * Seals an identity with its seed for one node (spec crypto.md §8); returns 209 bytes. Only nodes whose static
 * key is known can be targets: those one has connected to, not those that have connected here (§2).
 *
 * Throws `read-only` for a public-only identity, `invalid-length`, `random-failed`, and `invalid-key` for a
 * target key of small order.
 */
export function sealIdentity(identity: Identity, options: SealIdentityOptions): Uint8Array {
  const { targetPublicKey, link, random, curve = defaultCurve } = options;
  if (identity.isPublicOnly) throw new EnvelopeError("read-only", "the source has no secret half");
  requireLength(targetPublicKey, X25519_KEY_SIZE, "a target public key");
  requireLength(link, ENVELOPE_LINK_SIZE, "a causal link");
  const ephemeral = curve.generateKeyPair(random);
  const seed = identity.toBytes();
  let key: Uint8Array | undefined;
  try {
    key = sealKey(curve, ephemeral.privateKey, targetPublicKey);
    const nonce = sealNonce(ephemeral.publicKey, targetPublicKey);
    const bytes = new Uint8Array(IDENTITY_ENVELOPE_SIZE);
    bytes[0] = VERSION;
    bytes.set(targetPublicKey, TARGET);
    bytes.set(ephemeral.publicKey, EPHEMERAL);
    xchacha20poly1305(key, nonce, link).encrypt(seed, bytes.subarray(SEALED_SEED, SIGNER));
    bytes.set(identity.entityId, SIGNER);
    bytes.set(identity.sign(transcript(targetPublicKey, link)), SIGNATURE);
    return bytes;
  } finally {
    seed.fill(0);
    key?.fill(0);
    curve.forget(ephemeral.privateKey);
    ephemeral.privateKey.fill(0);
  }
}

/** Whether `bytes` have length and version of an envelope; says nothing about who could open it. */
export function isIdentityEnvelope(bytes: Uint8Array): boolean {
  return bytes.length === IDENTITY_ENVELOPE_SIZE && bytes[0] === VERSION;
}

/**
 * The identity inside an envelope, seed included; `zeroize` it when done. Whoever could read the seed could
 * have made the envelope: that it is genuine follows from where it came from, not from opening.
 *
 * Throws, in this order: `invalid-format`; `invalid-signer-key` for another signer than expected, or one that
 * is no curve point; `invalid-attestation` for a wrong signature or link; `seal-open-failed` when it is for
 * another node or damaged; `invalid-attestation` when the seed is not the signer's. `invalid-length` for
 * options of wrong size.
 */
export function openIdentity(envelope: Uint8Array, options: OpenIdentityOptions): Identity {
  const { target, link, expectedSigner, curve = defaultCurve, signatures = defaultSignatures } = options;
  requireLength(target.publicKey, X25519_KEY_SIZE, "a target public key");
  requireLength(target.privateKey, X25519_KEY_SIZE, "a target private key");
  requireLength(link, ENVELOPE_LINK_SIZE, "a causal link");
  if (!isIdentityEnvelope(envelope)) {
    throw new EnvelopeError("invalid-format", "not an identity envelope of version 1", envelope.length);
  }
  const targetPublicKey = envelope.subarray(TARGET, EPHEMERAL);
  const signer = envelope.subarray(SIGNER, SIGNATURE);
  if (expectedSigner !== undefined && !equalBytes(signer, expectedSigner)) {
    throw new EnvelopeError("invalid-signer-key", "not the identity that was expected");
  }
  if (!isCurvePoint(signer)) throw new EnvelopeError("invalid-signer-key", "not a point of the curve");
  if (!signatures.verify(signer, transcript(targetPublicKey, link), envelope.subarray(SIGNATURE))) {
    throw new EnvelopeError("invalid-attestation", "not signed for this target and link");
  }
  if (!equalBytes(targetPublicKey, target.publicKey)) throw sealOpenFailed();
  const seed = openSeed(envelope, target.privateKey, link, curve);
  try {
    const identity = Identity.fromSeed(seed, signatures);
    if (equalBytes(identity.entityId, signer)) return identity;
    identity.zeroize();
    throw new EnvelopeError("invalid-attestation", "the seed is not the signer's");
  } finally {
    signatures.forget(seed);
    seed.fill(0);
  }
}

/** The 32 bytes of the seed, the caller's to wipe. Throws `seal-open-failed`. */
function openSeed(envelope: Uint8Array, privateKey: Uint8Array, link: Uint8Array, curve: Curve): Uint8Array {
  const targetPublicKey = envelope.subarray(TARGET, EPHEMERAL);
  const ephemeralPublicKey = envelope.subarray(EPHEMERAL, SEALED_SEED);
  const seed = new Uint8Array(ED25519_SEED_SIZE);
  let key: Uint8Array | undefined;
  try {
    key = sealKey(curve, privateKey, ephemeralPublicKey);
    const nonce = sealNonce(ephemeralPublicKey, targetPublicKey);
    xchacha20poly1305(key, nonce, link).decrypt(envelope.subarray(SEALED_SEED, SIGNER), seed);
    return seed;
  } catch {
    seed.fill(0);
    throw sealOpenFailed(); // the tag, or an ephemeral key of small order
  } finally {
    key?.fill(0);
  }
}

function sealKey(curve: Curve, privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const shared = curve.sharedSecret(privateKey, publicKey);
  const key = keyedBlake2s("net-identity-envelope", shared);
  shared.fill(0);
  return key;
}

/** A key is used once, so the nonce need not be random. */
function sealNonce(ephemeralPublicKey: Uint8Array, targetPublicKey: Uint8Array): Uint8Array {
  const digest = keyedBlake2s("net-identity-nonce", join(ephemeralPublicKey, targetPublicKey));
  return copyBytes(digest, 0, XCHACHA_NONCE_SIZE);
}

/** What the transported identity signs. */
function transcript(targetPublicKey: Uint8Array, link: Uint8Array): Uint8Array {
  return join(targetPublicKey, link);
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function sealOpenFailed(): EnvelopeError {
  return new EnvelopeError("seal-open-failed", "sealed for another node, or damaged");
}
