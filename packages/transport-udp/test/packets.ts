import { encodeHeader } from "@netmesh/wire";

/** A packet with a valid header and `trailing` bytes after it, changed at will. */
export function packet(payloadLength: number, trailing: number, eventCount = 0): Uint8Array {
  const bytes = new Uint8Array(68 + trailing).fill(0xab);
  bytes.set(encodeHeader({ payloadLength, eventCount }));
  return bytes;
}

/** `length` bytes that tell their position and seed. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 255);
}
