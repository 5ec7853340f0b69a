import { copyBytes, TAG_SIZE } from "@netmesh/wire";
import { CryptoError, requireLength } from "../errors.ts";
import { type PublicView, REDACTED, Redacted } from "../redaction.ts";
import { MessageKey } from "./message-key.ts";
import { optionalPackage } from "./optional-package.ts";
import {
  AEAD_KEY_SIZE,
  type AeadBatch,
  type AeadKey,
  type AeadProvider,
  requireLimits,
  requireRoom,
  requireSealed,
} from "./provider.ts";
import { SequentialBatch } from "./sequential-batch.ts";

/** The part of sodium-native in use; all arguments are byte arrays of the exact size. */
interface Sodium {
  crypto_aead_chacha20poly1305_ietf_encrypt(
    sealed: Uint8Array,
    plain: Uint8Array,
    aad: Uint8Array,
    secretNonce: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
  crypto_aead_chacha20poly1305_ietf_decrypt(
    plain: Uint8Array,
    secretNonce: null,
    sealed: Uint8Array,
    aad: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
}

class SodiumKey extends MessageKey {
  readonly #sodium: Sodium;
  /** Ordinary memory: of libsodium's locked pages a process gets too few for the keys of a busy node. */
  readonly #key: Uint8Array;
  #isDestroyed = false;

  constructor(sodium: Sodium, key: Uint8Array) {
    super();
    this.#sodium = sodium;
    this.#key = copyBytes(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    this.#check(nonce, aad, length);
    requireSealed(buffer, offset, length);
    const sealed = buffer.subarray(offset, offset + length + TAG_SIZE);
    const plain = buffer.subarray(offset, offset + length);
    this.#sodium.crypto_aead_chacha20poly1305_ietf_encrypt(sealed, plain, aad, null, nonce, this.#key);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    this.#check(nonce, aad, length - TAG_SIZE);
    if (length < TAG_SIZE) return false;
    requireRoom(buffer, offset, length);
    const sealed = buffer.subarray(offset, offset + length);
    const plain = buffer.subarray(offset, offset + length - TAG_SIZE);
    try {
      this.#sodium.crypto_aead_chacha20poly1305_ietf_decrypt(plain, null, sealed, aad, nonce, this.#key);
      return true;
    } catch {
      return false;
    }
  }

  requireAlive(): void {
    if (this.#isDestroyed) throw new CryptoError("destroyed", "this key was wiped");
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#key.fill(0);
  }

  override toJSON(): PublicView {
    return { provider: "native", key: REDACTED };
  }

  #check(nonce: Uint8Array, aad: Uint8Array, length: number): void {
    this.requireAlive();
    requireLimits(length, aad.length, nonce.length);
  }
}

/**
 * Uses one key object up to a length and another above it. Both hold the same key; nonces are the caller's as ever.
 */
class SplitKey extends Redacted implements AeadKey {
  readonly #short: AeadKey;
  readonly #long: AeadKey;
  /** Texts of at least so many bytes go to the second one. */
  readonly #from: number;

  constructor(short: AeadKey, long: AeadKey, from: number) {
    super();
    this.#short = short;
    this.#long = long;
    this.#from = from;
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    this.#for(length).seal(nonce, aad, buffer, offset, length);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    return this.#for(length).open(nonce, aad, buffer, offset, length);
  }

  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    this.#for(payloadLength).sealPacket(buffer, offset, payloadLength, noncePrefix, counterLo, counterHi);
  }

  openPacket(buffer: Uint8Array, offset: number, payloadLength: number, noncePrefix: number): boolean {
    return this.#for(payloadLength).openPacket(buffer, offset, payloadLength, noncePrefix);
  }

  requireAlive(): void {
    this.#short.requireAlive();
  }

  destroy(): void {
    this.#short.destroy();
    this.#long.destroy();
  }

  #for(length: number): AeadKey {
    return length >= this.#from ? this.#long : this.#short;
  }

  override toJSON(): PublicView {
    return { provider: "native", key: REDACTED };
  }
}

/** libsodium for every length, from the optional package sodium-native; undefined where it is not installed. */
export function sodiumAead(): AeadProvider | undefined {
  const sodium = optionalPackage("sodium-native") as Sodium | undefined;
  if (sodium === undefined) return undefined;
  return {
    name: "native",
    create(key: Uint8Array): AeadKey {
      requireLength(key, AEAD_KEY_SIZE, "an AEAD key");
      return new SodiumKey(sodium, key);
    },
    createBatch: () => new SequentialBatch(),
  };
}

/** `long` for texts of at least `from` bytes and `other` for shorter ones, which its calls are cheaper for. */
export function splitAead(long: AeadProvider, other: AeadProvider, from: number): AeadProvider {
  return {
    name: long.name,
    ...(other.memory === undefined ? {} : { memory: other.memory }),
    create: (key: Uint8Array): AeadKey => new SplitKey(other.create(key), long.create(key), from),
    createBatch: (): AeadBatch => new SequentialBatch(),
  };
}
