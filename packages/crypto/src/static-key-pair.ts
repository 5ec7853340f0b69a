import { copyBytes } from "@netmesh/wire";
import { type Curve, defaultCurve, X25519_KEY_SIZE, type X25519KeyPair } from "./curve.ts";
import { requireLength } from "./errors.ts";
import { bytesToHex } from "./hex.ts";
import type { Identity } from "./identity.ts";
import { keyedBlake2s } from "./keyed-hash.ts";
import type { RandomSource } from "./random.ts";
import { type PublicView, REDACTED, Redacted } from "./redaction.ts";

/**
 * The Noise key pair under which a node answers handshakes. Initiators must know its public half beforehand,
 * so keep it across restarts (spec crypto.md §2, §12 W8).
 */
export class StaticKeyPair extends Redacted implements X25519KeyPair {
  readonly #publicKey: Uint8Array;
  readonly #privateKey: Uint8Array;
  readonly #curve: Curve;

  private constructor(pair: X25519KeyPair, curve: Curve) {
    super();
    this.#publicKey = pair.publicKey;
    this.#privateKey = pair.privateKey;
    this.#curve = curve;
  }

  /** A fresh pair. Throws `random-failed`. */
  static generate(random?: RandomSource, curve: Curve = defaultCurve): StaticKeyPair {
    return new StaticKeyPair(curve.generateKeyPair(random), curve);
  }

  /** The pair of a stored 32-byte private key, which is copied. Throws `invalid-length`. */
  static fromPrivateKey(privateKey: Uint8Array, curve: Curve = defaultCurve): StaticKeyPair {
    requireLength(privateKey, X25519_KEY_SIZE, "a static private key");
    const own = copyBytes(privateKey);
    return new StaticKeyPair({ publicKey: curve.publicKey(own), privateKey: own }, curve);
  }

  /** The 32 bytes that initiators need. Not a copy: do not change them. */
  get publicKey(): Uint8Array {
    return this.#publicKey;
  }

  /** The 32 secret bytes, to be stored. Not a copy: do not change them. */
  get privateKey(): Uint8Array {
    return this.#privateKey;
  }

  /** Wipes the private key. Idempotent; handshakes with the pair fail afterwards. */
  destroy(): void {
    this.#curve.forget(this.#privateKey);
    this.#privateKey.fill(0);
  }

  /** Shows the public key only. */
  override toJSON(): PublicView {
    return { publicKey: bytesToHex(this.#publicKey), privateKey: REDACTED };
  }
}

/**
 * A pair that follows from an identity, so that one stored seed brings back both: private key = KB(seed,
 * "netmesh-noise-static-v1"). netmesh's own convention, Net knows nothing like it; the wire does not care.
 * Throws `read-only` for a public-only identity.
 */
export function staticKeyPairFromIdentity(identity: Identity, curve: Curve = defaultCurve): StaticKeyPair {
  const seed = identity.toBytes();
  const privateKey = keyedBlake2s(seed, "netmesh-noise-static-v1");
  seed.fill(0);
  const pair = StaticKeyPair.fromPrivateKey(privateKey, curve);
  privateKey.fill(0);
  return pair;
}
