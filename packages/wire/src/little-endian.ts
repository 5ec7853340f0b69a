// Byte loads and stores on a Uint8Array: unlike a DataView they need no object per buffer.
// None of these functions checks bounds: a read past the end sees zeros, a write past the end is lost.
import { high32, joinU64, low32 } from "./u64.ts";

/** The u16 at `offset`; absent bytes read as 0. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
}

/** The u32 at `offset`, in 0..2^32; absent bytes read as 0. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] as number) |
      ((bytes[offset + 1] as number) << 8) |
      ((bytes[offset + 2] as number) << 16) |
      ((bytes[offset + 3] as number) << 24)) >>>
    0
  );
}

/** The u64 at `offset`. Allocates a bigint: hot paths read the two halves with {@link readU32}. */
export function readU64(bytes: Uint8Array, offset: number): bigint {
  return joinU64(readU32(bytes, offset), readU32(bytes, offset + 4));
}

/** Stores the low 16 bits of `value` at `offset`. */
export function writeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
}

/** Stores the low 32 bits of `value` at `offset`. */
export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/** Stores the low 64 bits of `value` at `offset`. */
export function writeU64(bytes: Uint8Array, offset: number, value: bigint): void {
  writeU32(bytes, offset, low32(value));
  writeU32(bytes, offset + 4, high32(value));
}
