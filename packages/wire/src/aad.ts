import { HEADER_SIZE, HeaderOffset } from "./constants.ts";

/**
 * Writes the 56 bytes that the AEAD authenticates besides the ciphertext: the header without its nonce
 * and with `hopCount` 0 (§3.2). `target` must not overlap the header.
 */
export function writeAad(
  target: Uint8Array,
  targetOffset: number,
  packet: Uint8Array,
  headerOffset: number,
): void {
  for (let i = 0; i < HeaderOffset.NONCE_PREFIX; i++) {
    target[targetOffset + i] = packet[headerOffset + i] as number;
  }
  target[targetOffset + HeaderOffset.HOP_COUNT] = 0;
  const gap = HeaderOffset.SESSION_ID - HeaderOffset.NONCE_PREFIX;
  for (let i = HeaderOffset.SESSION_ID; i < HEADER_SIZE; i++) {
    target[targetOffset + i - gap] = packet[headerOffset + i] as number;
  }
}
