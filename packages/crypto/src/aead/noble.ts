import { copyBytes, TAG_SIZE } from "@netmesh/wire";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { CryptoError, requireLength } from "../errors.ts";
import { type PublicView, REDACTED, Redacted } from "../redaction.ts";
import { AEAD_KEY_SIZE, type AeadKey, type AeadProvider } from "./provider.ts";

class NobleKey extends Redacted implements AeadKey {
  readonly #key: Uint8Array;
  #destroyed = false;

  constructor(key: Uint8Array) {
    super();
    this.#key = copyBytes(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const end = offset + length;
    this.#cipher(nonce, aad).encrypt(buffer.subarray(offset, end), buffer.subarray(offset, end + TAG_SIZE));
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    const cipher = this.#cipher(nonce, aad);
    if (length < TAG_SIZE) return false;
    const end = offset + length;
    try {
      cipher.decrypt(buffer.subarray(offset, end), buffer.subarray(offset, end - TAG_SIZE));
      return true;
    } catch {
      return false;
    }
  }

  destroy(): void {
    this.#key.fill(0);
    this.#destroyed = true;
  }

  #cipher(nonce: Uint8Array, aad: Uint8Array): ReturnType<typeof chacha20poly1305> {
    if (this.#destroyed) throw new CryptoError("destroyed", "this key was wiped");
    return chacha20poly1305(this.#key, nonce, aad);
  }

  override toJSON(): PublicView {
    return { provider: "noble", key: REDACTED };
  }
}

/** The portable implementation: plain TypeScript from @noble/ciphers, in every runtime. */
export const nobleAead: AeadProvider = {
  name: "noble",
  create(key: Uint8Array): AeadKey {
    requireLength(key, AEAD_KEY_SIZE, "an AEAD key");
    return new NobleKey(key);
  },
};
