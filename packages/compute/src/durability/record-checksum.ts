import { readU64, writeU64, xxh3 } from "@netmesh/wire";

/** Bytes of the checksum in front of what it covers: XXH3 of 64 bits, which finds accidents and no forgery. */
export const CHECKSUM_SIZE = 8;

/** Writes the checksum of all that follows it. */
export function writeChecksum(bytes: Uint8Array): void {
  writeU64(bytes, 0, xxh3(bytes.subarray(CHECKSUM_SIZE)));
}

/** Whether the checksum in front of `bytes` is that of the rest. */
export function isIntact(bytes: Uint8Array): boolean {
  return bytes.length >= CHECKSUM_SIZE && readU64(bytes, 0) === xxh3(bytes.subarray(CHECKSUM_SIZE));
}
