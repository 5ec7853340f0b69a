import { readU64, writeU64 } from "./little-endian.ts";
import { assertU64, MAX_U64 } from "./u64.ts";

/** Bytes of a logical NACK (§6). */
export const NACK_SIZE = 16;

const BITMAP_BITS = 64;

/** What a receiver misses on one stream (§6); on a mesh it travels inside a `StreamNack`. */
export interface Nack {
  /** The first missing sequence. */
  readonly nextExpected: bigint;
  /** Bit i, lowest first: sequence `nextExpected + 1 + i` is missing too. */
  readonly missingBitmap: bigint;
}

/**
 * Encodes a logical NACK into 16 new bytes (§6).
 * @throws {WireError} `invalid-argument` when a field is outside the u64 range.
 */
export function encodeNack(nack: Nack): Uint8Array {
  assertU64(nack.nextExpected, "nextExpected");
  assertU64(nack.missingBitmap, "missingBitmap");
  const bytes = new Uint8Array(NACK_SIZE);
  writeU64(bytes, 0, nack.nextExpected);
  writeU64(bytes, 8, nack.missingBitmap);
  return bytes;
}

/** Decodes a logical NACK; `undefined` unless `bytes` has exactly 16 bytes (§6). */
export function decodeNack(bytes: Uint8Array): Nack | undefined {
  if (bytes.length !== NACK_SIZE) return undefined;
  return { nextExpected: readU64(bytes, 0), missingBitmap: readU64(bytes, 8) };
}

/** The sequences that a NACK asks for, ascending, 1 to 65 of them; sums saturate at 2^64 - 1 (§6). */
export function missingSequences(nack: Nack): bigint[] {
  const { nextExpected, missingBitmap } = nack;
  const missing = [nextExpected];
  for (let i = 0; i < BITMAP_BITS; i++) {
    if (((missingBitmap >> BigInt(i)) & 1n) === 0n) continue;
    const sequence = nextExpected + 1n + BigInt(i);
    missing.push(sequence > MAX_U64 ? MAX_U64 : sequence);
  }
  return missing;
}
