import { copyBytes } from "@netmesh/wire";
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { equalBytes } from "./constant-time.ts";
import { requireLength } from "./errors.ts";
import { hexToBytes } from "./hex.ts";
import {
  importPublicKey,
  type PlatformCrypto,
  PrivateKeyCache,
  platformCrypto,
  rawKey,
} from "./platform-keys.ts";

/** Bytes of an Ed25519 secret seed (RFC 8032 §5.1.5). */
export const ED25519_SEED_SIZE = 32;
/** Bytes of an Ed25519 public key. */
export const ED25519_PUBLIC_KEY_SIZE = 32;
/** Bytes of an Ed25519 signature: R, then S. */
export const ED25519_SIGNATURE_SIZE = 64;

/**
 * An implementation of Ed25519 (RFC 8032) with strict verification: S below the group order, public key and R
 * in canonical encoding and not of small order, and the equation without the cofactor. All implementations
 * agree.
 */
export interface SignatureScheme {
  /** How the implementation shows up in benchmarks and tests. */
  readonly name: string;
  /** The public key of a 32-byte seed. Throws `invalid-length`. */
  publicKey(seed: Uint8Array): Uint8Array;
  /** The deterministic 64-byte signature of `message`. Throws `invalid-length`. */
  sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /** Whether the signature holds; false for anything malformed, never throws. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  /** Drops anything kept for this seed array. Call before wiping it. */
  forget(seed: Uint8Array): void;
}

/** 2^252 + 27742317777372353535851937790883648493, little-endian. */
const GROUP_ORDER = hexToBytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
/** 2^255 - 19, little-endian. */
const FIELD_PRIME = hexToBytes("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");

/** The y-coordinates of the eight points whose order divides 8; two x, so two signs, each. */
const SMALL_ORDER_Y: readonly Uint8Array[] = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
].map(hexToBytes);

/** a < b, both 32-byte little-endian numbers; not constant-time, for public values only. */
function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 31; i >= 0; i--) {
    if (a[i] !== b[i]) return (a[i] as number) < (b[i] as number);
  }
  return false;
}

/**
 * Whether 32 bytes encode y < p of a point whose order does not divide 8; says nothing about being on the
 * curve.
 */
function isStrictPoint(encoded: Uint8Array): boolean {
  const y = copyBytes(encoded);
  y[31] = (y[31] as number) & 0x7f;
  return isBelow(y, FIELD_PRIME) && !SMALL_ORDER_Y.some((small) => equalBytes(small, y));
}

/**
 * Whether 32 bytes decode to a point of the curve as the reference decodes them: y may exceed the prime, any
 * order will do. Says nothing about verification, which is stricter.
 */
export function isCurvePoint(encoded: Uint8Array): boolean {
  try {
    ed25519.Point.fromBytes(encoded, true);
    return true;
  } catch {
    return false;
  }
}

/** The rules that need no curve arithmetic; shared, so that the implementations cannot differ in them. */
function isWellFormed(publicKey: Uint8Array, signature: Uint8Array): boolean {
  return (
    publicKey.length === ED25519_PUBLIC_KEY_SIZE &&
    signature.length === ED25519_SIGNATURE_SIZE &&
    isBelow(signature.subarray(32), GROUP_ORDER) &&
    isStrictPoint(publicKey) &&
    isStrictPoint(signature.subarray(0, 32))
  );
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

/** Ed25519 in plain TypeScript, from @noble/curves. */
export const nobleSignatures: SignatureScheme = {
  name: "noble",
  publicKey(seed: Uint8Array): Uint8Array {
    requireLength(seed, ED25519_SEED_SIZE, "an Ed25519 seed");
    return ed25519.getPublicKey(seed);
  },
  sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
    requireLength(seed, ED25519_SEED_SIZE, "an Ed25519 seed");
    return ed25519.sign(message, seed);
  },
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    if (!isWellFormed(publicKey, signature)) return false;
    // noble's own verify multiplies by the cofactor, the reference and OpenSSL do not (RFC 8032 §5.1.7
    // allows both).
    const { Point } = ed25519;
    let key: InstanceType<typeof Point>;
    try {
      key = Point.fromBytes(publicKey, false);
    } catch {
      return false;
    }
    const r = signature.subarray(0, 32);
    const digest = sha512.create().update(r).update(publicKey).update(message).digest();
    const k = littleEndian(digest) % Point.Fn.ORDER;
    const s = littleEndian(signature.subarray(32));
    return equalBytes(Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(k)).toBytes(), r);
  },
  forget(): void {},
};

class PlatformSignatures implements SignatureScheme {
  readonly name = "platform";
  readonly #node: PlatformCrypto;
  readonly #privateKeys: PrivateKeyCache;

  constructor(node: PlatformCrypto) {
    this.#node = node;
    this.#privateKeys = new PrivateKeyCache(node, "ed25519");
  }

  publicKey(seed: Uint8Array): Uint8Array {
    requireLength(seed, ED25519_SEED_SIZE, "an Ed25519 seed");
    return rawKey(this.#node.createPublicKey(this.#privateKeys.get(seed)), "spki");
  }

  sign(seed: Uint8Array, message: Uint8Array): Uint8Array {
    requireLength(seed, ED25519_SEED_SIZE, "an Ed25519 seed");
    return Uint8Array.from(this.#node.sign(null, message, this.#privateKeys.get(seed)));
  }

  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    if (!isWellFormed(publicKey, signature)) return false;
    return this.#node.verify(null, message, importPublicKey(this.#node, "ed25519", publicKey), signature);
  }

  forget(seed: Uint8Array): void {
    this.#privateKeys.forget(seed);
  }
}

/** Ed25519 of the runtime (OpenSSL under Node), or undefined where there is none. */
export const platformSignatures: SignatureScheme | undefined =
  platformCrypto === undefined ? undefined : new PlatformSignatures(platformCrypto);

/** What is used when no scheme is given: the platform's where there is one. */
export const defaultSignatures: SignatureScheme = platformSignatures ?? nobleSignatures;
