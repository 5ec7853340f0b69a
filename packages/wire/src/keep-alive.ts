import { KEEP_ALIVE_MAGIC, KEEP_ALIVE_SIZE } from "./constants.ts";
import { assertU32 } from "./integer-range.ts";
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";

/** A raw datagram that opens a NAT mapping; little-endian, unlike the messages around it (§9.5). */
export interface KeepAlive {
  /** The sender's node id. */
  readonly nodeId: bigint;
  readonly punchId: number;
}

/**
 * Encodes a keep-alive into 14 new bytes (§9.5).
 * @throws {WireError} `invalid-argument` when a field is out of range.
 */
export function encodeKeepAlive(keepAlive: KeepAlive): Uint8Array {
  assertU64(keepAlive.nodeId, "nodeId");
  assertU32(keepAlive.punchId, "punchId");
  const bytes = new Uint8Array(KEEP_ALIVE_SIZE);
  writeU16(bytes, 0, KEEP_ALIVE_MAGIC);
  writeU64(bytes, 2, keepAlive.nodeId);
  writeU32(bytes, 10, keepAlive.punchId);
  return bytes;
}

/** Decodes a keep-alive; `undefined` unless `bytes` has exactly 14 bytes and the magic (§9.5). */
export function decodeKeepAlive(bytes: Uint8Array): KeepAlive | undefined {
  if (bytes.length !== KEEP_ALIVE_SIZE || readU16(bytes, 0) !== KEEP_ALIVE_MAGIC) return undefined;
  return { nodeId: readU64(bytes, 2), punchId: readU32(bytes, 10) };
}
