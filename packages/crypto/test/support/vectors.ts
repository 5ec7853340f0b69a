/** The reference's golden vectors; u64 are decimal strings, bytes are hex. */
import { hexToBytes } from "../../src/index.ts";
import golden from "../vectors/crypto.json" with { type: "json" };
import identityGolden from "../vectors/identity.json" with { type: "json" };
import published from "../vectors/noise_nkpsk0_published.json" with { type: "json" };

export { golden, identityGolden, published };
export const hex: (text: string) => Uint8Array = hexToBytes;

const MASK = 0xffff_ffffn;

/** The two halves of a u64. */
export function halves(value: bigint): [lo: number, hi: number] {
  return [Number(value & MASK), Number(value >> 32n)];
}

/** The pattern bytes of the vector files: byte i = (7 i + seed) mod 256. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
}
