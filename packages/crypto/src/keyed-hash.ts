import { blake2s } from "@noble/hashes/blake2.js";
import { CryptoError } from "./errors.ts";

const encoder = new TextEncoder();

/** Digest and longest key, in bytes (RFC 7693 §2.1 for BLAKE2s-256). */
export const KEYED_HASH_SIZE = 32;

/**
 * Keyed BLAKE2s-256, written `KB(key, data)` in the spec: the keyed mode of RFC 7693 §2.9, not HMAC.
 *
 * `key` has 1 to 32 bytes, a string stands for its UTF-8 bytes. Returns 32 fresh bytes. Throws
 * `invalid-length`.
 */
export function keyedBlake2s(key: Uint8Array | string, data: Uint8Array | string): Uint8Array {
  const keyBytes = typeof key === "string" ? encoder.encode(key) : key;
  if (keyBytes.length < 1 || keyBytes.length > KEYED_HASH_SIZE) {
    throw new CryptoError(
      "invalid-length",
      `a BLAKE2s key has 1 to 32 bytes, got ${keyBytes.length}`,
      keyBytes.length,
    );
  }
  return blake2s(typeof data === "string" ? encoder.encode(data) : data, {
    key: keyBytes,
    dkLen: KEYED_HASH_SIZE,
  });
}
