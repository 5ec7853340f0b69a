import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";

const NONCE_SIZE = 12;
const ascii = new TextEncoder();

/**
 * The symmetric half of a Noise handshake with ChaCha20-Poly1305 and BLAKE2s: transcript hash, chaining key
 * and the current cipher key (Noise specification rev. 34 §5.1 and §5.2). Method names are the
 * specification's.
 */
export class SymmetricState {
  /** Transcript hash h. */
  #h: Uint8Array;
  /** Chaining key ck. */
  #ck: Uint8Array;
  /** Cipher key k, none before the first MixKey. */
  #k: Uint8Array | undefined;
  /** Messages encrypted under k. */
  #n = 0;

  private constructor(h: Uint8Array, ck: Uint8Array) {
    this.#h = h;
    this.#ck = ck;
  }

  /** InitializeSymmetric for a protocol name of more than 32 bytes, which is hashed. */
  static initialize(protocolName: string): SymmetricState {
    const h = blake2s(ascii.encode(protocolName));
    return new SymmetricState(h, h.slice());
  }

  /** A copy of h. */
  get handshakeHash(): Uint8Array {
    return this.#h.slice();
  }

  /** A copy of ck. */
  get chainingKey(): Uint8Array {
    return this.#ck.slice();
  }

  mixHash(data: Uint8Array): void {
    this.#h = blake2s.create().update(this.#h).update(data).digest();
  }

  mixKey(keyMaterial: Uint8Array): void {
    const [ck, k] = this.#hkdf(keyMaterial, 2);
    this.#replaceKeys(ck as Uint8Array, k as Uint8Array);
  }

  mixKeyAndHash(keyMaterial: Uint8Array): void {
    const [ck, hashed, k] = this.#hkdf(keyMaterial, 3);
    this.mixHash(hashed as Uint8Array);
    this.#replaceKeys(ck as Uint8Array, k as Uint8Array);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#cipher().encrypt(plaintext);
    this.mixHash(ciphertext);
    this.#n++;
    return ciphertext;
  }

  /** The plaintext. Throws if the tag is wrong; the state is then unchanged. */
  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.#cipher().decrypt(ciphertext);
    this.mixHash(ciphertext);
    this.#n++;
    return plaintext;
  }

  /** An independent state that continues from here. */
  clone(): SymmetricState {
    const copy = new SymmetricState(this.#h.slice(), this.#ck.slice());
    copy.#k = this.#k?.slice();
    copy.#n = this.#n;
    return copy;
  }

  /** Wipes all three values. */
  destroy(): void {
    this.#h.fill(0);
    this.#ck.fill(0);
    this.#k?.fill(0);
  }

  #replaceKeys(ck: Uint8Array, k: Uint8Array): void {
    this.#ck.fill(0);
    this.#k?.fill(0);
    this.#ck = ck;
    this.#k = k;
    this.#n = 0;
  }

  /** HKDF over HMAC-BLAKE2s with ck as the salt (Noise §4.3). */
  #hkdf(keyMaterial: Uint8Array, outputs: 2 | 3): Uint8Array[] {
    const temp = hmac(blake2s, this.#ck, keyMaterial);
    const chain: Uint8Array[] = [];
    let previous: Uint8Array = new Uint8Array();
    for (let i = 1; i <= outputs; i++) {
      previous = hmac.create(blake2s, temp).update(previous).update(Uint8Array.of(i)).digest();
      chain.push(previous);
    }
    temp.fill(0);
    return chain;
  }

  /** Noise §12.3: 32 zero bits, then n as a little-endian u64. Every NKpsk0 payload has n = 0. */
  #cipher(): ReturnType<typeof chacha20poly1305> {
    const nonce = new Uint8Array(NONCE_SIZE);
    nonce[4] = this.#n;
    return chacha20poly1305(this.#k as Uint8Array, nonce, this.#h);
  }
}
