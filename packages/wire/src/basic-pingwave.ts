import { BASIC_PINGWAVE_SIZE } from "./constants.ts";
import { assertU8 } from "./integer-range.ts";
import { readU64, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";

/** The compact pingwave; mesh nodes neither send nor dispatch it (§11.2). */
export interface BasicPingwave {
  readonly origin: bigint;
  readonly sequence: bigint;
  readonly ttl: number;
  readonly hopCount: number;
}

/**
 * Encodes a compact pingwave into 24 new bytes; the last six are 0 (§11.2).
 * @throws {WireError} `invalid-argument` when a field is out of range.
 */
export function encodeBasicPingwave(pingwave: BasicPingwave): Uint8Array {
  assertU64(pingwave.origin, "origin");
  assertU64(pingwave.sequence, "sequence");
  assertU8(pingwave.ttl, "ttl");
  assertU8(pingwave.hopCount, "hopCount");
  const bytes = new Uint8Array(BASIC_PINGWAVE_SIZE);
  writeU64(bytes, 0, pingwave.origin);
  writeU64(bytes, 8, pingwave.sequence);
  bytes[16] = pingwave.ttl;
  bytes[17] = pingwave.hopCount;
  return bytes;
}

/** Decodes a compact pingwave; `undefined` below 24 bytes. Reserved and further bytes are ignored (§11.2). */
export function decodeBasicPingwave(bytes: Uint8Array): BasicPingwave | undefined {
  if (bytes.length < BASIC_PINGWAVE_SIZE) return undefined;
  return {
    origin: readU64(bytes, 0),
    sequence: readU64(bytes, 8),
    ttl: bytes[16] as number,
    hopCount: bytes[17] as number,
  };
}

/** The pingwave one hop on: ttl down, hop count up to at most 255; `undefined` at ttl 0 (§11.2). */
export function forwardBasicPingwave(pingwave: BasicPingwave): BasicPingwave | undefined {
  if (pingwave.ttl === 0) return undefined;
  return { ...pingwave, ttl: pingwave.ttl - 1, hopCount: Math.min(pingwave.hopCount + 1, 0xff) };
}
