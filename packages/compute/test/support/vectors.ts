/** The reference's golden vectors; u64 are decimal strings, bytes are hex. */
import { bytesToHex, hexToBytes } from "@netmesh/crypto";
import { type CausalEvent, type CausalLink, decodeCausalLink } from "../../src/index.ts";
import compute from "../vectors/compute.json" with { type: "json" };
import state from "../vectors/state.json" with { type: "json" };

export { compute, state };
export const hex: (text: string) => Uint8Array = hexToBytes;
export const toHex: (bytes: Uint8Array) => string = bytesToHex;

/** The link of 32 bytes in hex. */
export function link(text: string): CausalLink {
  const decoded = decodeCausalLink(hex(text));
  if (decoded === undefined) throw new Error(`not a link: ${text}`);
  return decoded;
}

/** The event of a link and a payload in hex. */
export function event(fields: { link: string; payload: string }): CausalEvent {
  return { link: link(fields.link), payload: hex(fields.payload), receivedAt: 0n };
}

/** The pattern bytes of the vector files: byte i = (7 i + seed) mod 256. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
}
