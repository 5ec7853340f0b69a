import {
  ADDRESS_BLOCK_SIZE,
  type AddressBlock,
  readAddressBlock,
  writeAddressBlock,
} from "./address-block.ts";

/** "Which address do you see me at?" (§9.5). */
export interface ReflexRequest {
  readonly type: "request";
}

/** The address at which the responder knows its peer (§9.5). */
export interface ReflexResponse {
  readonly type: "response";
  readonly address: AddressBlock;
}

/** One event of subprotocol `0x0D00` (§9.5). */
export type ReflexMessage = ReflexRequest | ReflexResponse;

/**
 * Encodes a reflex message: 0 bytes for a request, 19 for a response (§9.5).
 * @throws {WireError} `invalid-argument` on an inconsistent address block.
 */
export function encodeReflex(message: ReflexMessage): Uint8Array {
  if (message.type === "request") return new Uint8Array(0);
  const bytes = new Uint8Array(ADDRESS_BLOCK_SIZE);
  writeAddressBlock(bytes, 0, message.address);
  return bytes;
}

/** Decodes a reflex message by its length; `undefined` for other lengths and families (§9.5). */
export function decodeReflex(bytes: Uint8Array): ReflexMessage | undefined {
  if (bytes.length === 0) return { type: "request" };
  if (bytes.length !== ADDRESS_BLOCK_SIZE) return undefined;
  const address = readAddressBlock(bytes);
  return address && { type: "response", address };
}
