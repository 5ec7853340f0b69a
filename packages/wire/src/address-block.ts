import { readU16Be, writeU16Be } from "./big-endian.ts";
import { copyBytes } from "./copy-bytes.ts";
import { WireError } from "./errors.ts";
import { assertRoom, assertSize, assertU16 } from "./integer-range.ts";

/** Bytes of an address block (§9.5). */
export const ADDRESS_BLOCK_SIZE = 19;

const ADDRESS_OFFSET = 1;
const PORT_OFFSET = 17;
const ADDRESS_SIZE = { 4: 4, 6: 16 } as const;

/** An IP address and a UDP port, as NAT traversal messages carry them (§9.5). */
export interface AddressBlock {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order, owned by the block. */
  readonly address: Uint8Array;
  readonly port: number;
}

/**
 * Writes the 19 bytes of an address block at `offset`: family, address padded with zeros to 16 bytes, port BE (§9.5).
 * @throws {WireError} before writing: `invalid-argument` when the block is not consistent, `buffer-too-small`.
 */
export function writeAddressBlock(target: Uint8Array, offset: number, block: AddressBlock): void {
  const { family, address, port } = block;
  if (family !== 4 && family !== 6) throw new WireError("invalid-argument", "family must be 4 or 6", family);
  assertSize(address, ADDRESS_SIZE[family], "address");
  assertU16(port, "port");
  assertRoom(target, offset, ADDRESS_BLOCK_SIZE);
  target[offset] = family;
  target.fill(0, offset + ADDRESS_OFFSET, offset + PORT_OFFSET);
  target.set(address, offset + ADDRESS_OFFSET);
  writeU16Be(target, offset + PORT_OFFSET, port);
}

/** Reads the address block at `offset`, copying the address; `undefined` on an unknown family or too few bytes (§9.5). */
export function readAddressBlock(bytes: Uint8Array, offset = 0): AddressBlock | undefined {
  if (offset + ADDRESS_BLOCK_SIZE > bytes.length) return undefined;
  const family = bytes[offset];
  if (family !== 4 && family !== 6) return undefined;
  const start = offset + ADDRESS_OFFSET;
  return {
    family,
    address: copyBytes(bytes, start, start + ADDRESS_SIZE[family]),
    port: readU16Be(bytes, offset + PORT_OFFSET),
  };
}
