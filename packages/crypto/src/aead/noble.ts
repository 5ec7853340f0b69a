import { copyBytes, TAG_SIZE } from "@netmesh/wire";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { CryptoError, requireLength } from "../errors.ts";
import { type PublicView, REDACTED } from "../redaction.ts";
import { MessageKey } from "./message-key.ts";
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

class NobleKey extends MessageKey {
  readonly #key: Uint8Array;
  #destroyed = false;

  constructor(key: Uint8Array) {
    super();
    this.#key = copyBytes(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const cipher = this.#cipher(nonce, aad, length);
    const end = offset + length;
    requireSealed(buffer, offset, length);
    cipher.encrypt(buffer.subarray(offset, end), buffer.subarray(offset, end + TAG_SIZE));
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    const cipher = this.#cipher(nonce, aad, length - TAG_SIZE);
    if (length < TAG_SIZE) return false;
    requireRoom(buffer, offset, length);
    const end = offset + length;
    try {
      cipher.decrypt(buffer.subarray(offset, end), buffer.subarray(offset, end - TAG_SIZE));
      return true;
    } catch {
      return false;
    }
  }

  requireAlive(): void {
    if (this.#destroyed) throw new CryptoError("destroyed", "this key was wiped");
  }

  destroy(): void {
    this.#key.fill(0);
    this.#destroyed = true;
  }

  #cipher(nonce: Uint8Array, aad: Uint8Array, length: number): ReturnType<typeof chacha20poly1305> {
    this.requireAlive();
    requireLimits(length, aad.length, nonce.length);
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
  createBatch(): AeadBatch {
    return new SequentialBatch();
  },
};
