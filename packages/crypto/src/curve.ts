import { x25519 } from "@noble/curves/ed25519.js";
import { isAllZero } from "./constant-time.ts";
import { CryptoError, requireLength } from "./errors.ts";
import {
  importPublicKey,
  type PlatformCrypto,
  PrivateKeyCache,
  platformCrypto,
  rawKey,
} from "./platform-keys.ts";
import { platformRandom, type RandomSource, randomBytes } from "./random.ts";

/** Bytes of an X25519 private key, public key or shared secret (RFC 7748 §5). */
export const X25519_KEY_SIZE = 32;

/** Raw X25519 keys, 32 bytes each. The private key is whoever's the object is; wiping it is their duty. */
export interface X25519KeyPair {
  /** u-coordinate, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Scalar before clamping, 32 bytes. */
  readonly privateKey: Uint8Array;
}

/**
 * An implementation of X25519 (RFC 7748). All implementations give the same bytes and refuse the same input.
 */
export interface Curve {
  /** How the implementation shows up in benchmarks and tests. */
  readonly name: string;
  /** A fresh pair; with `random`, the private key is the next 32 bytes of that source. */
  generateKeyPair(random?: RandomSource): X25519KeyPair;
  /** The public key of a private key. Throws `invalid-length`. */
  publicKey(privateKey: Uint8Array): Uint8Array;
  /**
   * The shared secret, 32 fresh bytes. Throws `invalid-length`; throws `invalid-key` when the secret would be
   * all zero (a public key of small order, RFC 7748 §6.1).
   */
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array;
  /** Drops anything kept for this private key array. Call before wiping it. */
  forget(privateKey: Uint8Array): void;
}

function requireKeys(privateKey: Uint8Array, publicKey?: Uint8Array): void {
  requireLength(privateKey, X25519_KEY_SIZE, "an X25519 private key");
  if (publicKey !== undefined) requireLength(publicKey, X25519_KEY_SIZE, "an X25519 public key");
}

function smallOrder(): CryptoError {
  return new CryptoError("invalid-key", "the X25519 public key has small order");
}

/** X25519 in plain TypeScript, from @noble/curves. */
export const nobleCurve: Curve = {
  name: "noble",
  generateKeyPair(random: RandomSource = platformRandom): X25519KeyPair {
    const privateKey = randomBytes(X25519_KEY_SIZE, random);
    return { publicKey: x25519.getPublicKey(privateKey), privateKey };
  },
  publicKey(privateKey: Uint8Array): Uint8Array {
    requireKeys(privateKey);
    return x25519.getPublicKey(privateKey);
  },
  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
    requireKeys(privateKey, publicKey);
    try {
      return x25519.getSharedSecret(privateKey, publicKey);
    } catch {
      throw smallOrder(); // the only refusal left once the lengths are right
    }
  },
  forget(): void {},
};

class PlatformCurve implements Curve {
  readonly name = "platform";
  readonly #node: PlatformCrypto;
  readonly #privateKeys: PrivateKeyCache;

  constructor(node: PlatformCrypto) {
    this.#node = node;
    this.#privateKeys = new PrivateKeyCache(node, "x25519");
  }

  generateKeyPair(random?: RandomSource): X25519KeyPair {
    if (random !== undefined && random !== platformRandom) {
      const privateKey = randomBytes(X25519_KEY_SIZE, random);
      return { publicKey: this.publicKey(privateKey), privateKey };
    }
    // Without the import of a private key, which is the slow part.
    const pair = this.#node.generateKeyPairSync("x25519");
    const privateKey = rawKey(pair.privateKey, "pkcs8");
    this.#privateKeys.set(privateKey, pair.privateKey);
    return { publicKey: rawKey(pair.publicKey, "spki"), privateKey };
  }

  publicKey(privateKey: Uint8Array): Uint8Array {
    requireKeys(privateKey);
    return rawKey(this.#node.createPublicKey(this.#privateKeys.get(privateKey)), "spki");
  }

  sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
    requireKeys(privateKey, publicKey);
    let secret: Uint8Array;
    try {
      secret = this.#node.diffieHellman({
        privateKey: this.#privateKeys.get(privateKey),
        publicKey: importPublicKey(this.#node, "x25519", publicKey),
      });
    } catch {
      throw smallOrder();
    }
    if (isAllZero(secret)) throw smallOrder();
    const own = Uint8Array.from(secret);
    secret.fill(0);
    return own;
  }

  forget(privateKey: Uint8Array): void {
    this.#privateKeys.forget(privateKey);
  }
}

/**
 * X25519 of the runtime (OpenSSL under Node), or undefined where there is none. Several times faster than
 * noble's.
 */
export const platformCurve: Curve | undefined =
  platformCrypto === undefined ? undefined : new PlatformCurve(platformCrypto);

/** What is used when no curve is given: the platform's where there is one. */
export const defaultCurve: Curve = platformCurve ?? nobleCurve;
