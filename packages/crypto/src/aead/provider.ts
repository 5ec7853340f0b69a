/** Bytes of a ChaCha20-Poly1305 key (RFC 8439 §2.8). */
export const AEAD_KEY_SIZE = 32;
/** Bytes of a ChaCha20-Poly1305 nonce. */
export const AEAD_NONCE_SIZE = 12;

/** One key of ChaCha20-Poly1305 (RFC 8439), working in place. Never shows the key. */
export interface AeadKey {
  /**
   * Encrypts `length` bytes of `buffer` at `offset` in place and writes the 16-byte tag right behind them;
   * the caller provides that room. `nonce` has 12 bytes and must never repeat under one key. Throws
   * `destroyed`.
   */
  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void;
  /**
   * Verifies and decrypts in place. `length` includes the 16-byte tag. False if the tag is wrong or `length`
   * < 16; the buffer then holds no plaintext. Throws `destroyed`.
   */
  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean;
  /** Wipes the key. Idempotent; every later `seal` or `open` throws `destroyed`. */
  destroy(): void;
}

/** An implementation of ChaCha20-Poly1305. All implementations give the same bytes. */
export interface AeadProvider {
  /** How the implementation is chosen by name. */
  readonly name: string;
  /** A key object holding its own copy of the 32 bytes `key`. Throws `invalid-length`. */
  create(key: Uint8Array): AeadKey;
}
