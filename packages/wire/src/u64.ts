import { WireError } from "./errors.ts";

/** Largest value of an unsigned 64-bit integer. */
export const MAX_U64 = 0xffff_ffff_ffff_ffffn;

const TWO_32 = 0x1_0000_0000;
/** The high half of 2^53, the last integer below which a number represents every integer. */
const HIGH_OF_2_53 = 0x20_0000;

/** The low 32 bits of `x` as a number in 0..2^32; bits above the 64th are ignored. */
export function low32(x: bigint): number {
  return Number(BigInt.asUintN(32, x));
}

/** Bits 32..64 of `x` as a number in 0..2^32. */
export function high32(x: bigint): number {
  return Number(BigInt.asUintN(32, x >> 32n));
}

/** The u64 with the given 32-bit halves; either half may be given signed. */
export function joinU64(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/**
 * The u64 with the given unsigned halves as a number, exact up to 2^53 and `Infinity` above:
 * a sequence number that does not fit compares as larger than every one that does.
 */
export function u64ToNumber(lo: number, hi: number): number {
  if (hi > HIGH_OF_2_53 || (hi === HIGH_OF_2_53 && lo !== 0)) return Number.POSITIVE_INFINITY;
  return hi * TWO_32 + lo;
}

/**
 * Checks a caller's 64-bit value.
 * @throws {WireError} `invalid-argument` unless `value` is a bigint in 0..2^64; `name` opens the message.
 */
export function assertU64(value: unknown, name = "value"): asserts value is bigint {
  if (typeof value !== "bigint") {
    throw new WireError("invalid-argument", `${name} must be a bigint in the u64 range`);
  }
  if (value < 0n)
    throw new WireError("invalid-argument", `${name} must be non-negative, got ${value}`, value);
  if (value > MAX_U64) {
    throw new WireError("invalid-argument", `${name} is outside the u64 range: ${value}`, value);
  }
}
