import { WireError } from "./errors.ts";

function assertUint(value: number, max: number, name: string): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  throw new WireError("invalid-argument", `${name} must be an integer in 0..=${max}, got ${value}`, value);
}

/** @throws {WireError} `invalid-argument` unless `value` is an integer in 0..2^8. */
export function assertU8(value: number, name: string): void {
  assertUint(value, 0xff, name);
}

/** @throws {WireError} `invalid-argument` unless `value` is an integer in 0..2^16. */
export function assertU16(value: number, name: string): void {
  assertUint(value, 0xffff, name);
}

/** @throws {WireError} `invalid-argument` unless `value` is an integer in 0..2^32. */
export function assertU32(value: number, name: string): void {
  assertUint(value, 0xffff_ffff, name);
}

/** @throws {WireError} `invalid-argument` unless `bytes` has exactly `size` bytes. */
export function assertSize(bytes: Uint8Array, size: number, name: string): void {
  if (bytes.length === size) return;
  throw new WireError(
    "invalid-argument",
    `${name} must have ${size} bytes, got ${bytes.length}`,
    bytes.length,
  );
}

/** @throws {WireError} `buffer-too-small` unless `size` bytes fit into `target` at `offset`. */
export function assertRoom(target: Uint8Array, offset: number, size: number): void {
  if (offset >= 0 && offset + size <= target.length) return;
  throw new WireError(
    "buffer-too-small",
    `${size} bytes at offset ${offset} do not fit into ${target.length}`,
    target.length,
  );
}
