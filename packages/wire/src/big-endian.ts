// Network byte order, for the NAT traversal messages only (§9.5). Unchecked, like little-endian.ts.
import { high32, joinU64, low32 } from "./u64.ts";

export function readU16Be(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}

export function readU32Be(bytes: Uint8Array, offset: number): number {
  return ((readU16Be(bytes, offset) << 16) | readU16Be(bytes, offset + 2)) >>> 0;
}

export function readU64Be(bytes: Uint8Array, offset: number): bigint {
  return joinU64(readU32Be(bytes, offset + 4), readU32Be(bytes, offset));
}

export function writeU16Be(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

export function writeU32Be(bytes: Uint8Array, offset: number, value: number): void {
  writeU16Be(bytes, offset, value >>> 16);
  writeU16Be(bytes, offset + 2, value);
}

export function writeU64Be(bytes: Uint8Array, offset: number, value: bigint): void {
  writeU32Be(bytes, offset, high32(value));
  writeU32Be(bytes, offset + 4, low32(value));
}
