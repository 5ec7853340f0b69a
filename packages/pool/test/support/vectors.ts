/** The reference's golden vectors; u64 are decimal strings, bytes are hex. */
import { hexToBytes } from "@netmesh/crypto";
import golden from "../vectors/pool.json" with { type: "json" };

export { golden };
export const hex: (text: string) => Uint8Array = hexToBytes;

/** The pattern bytes of the vector files: byte i = (7 i + seed) mod 256. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
}

/** The counter in bytes 16..24 of a packet. */
export function counterOf(packet: Uint8Array): bigint {
  return new DataView(packet.buffer, packet.byteOffset).getBigUint64(16, true);
}
