import { WireError } from "./errors.ts";
import { assertU64 } from "./u64.ts";
import { encodeUtf8 } from "./utf8.ts";
import { xxh3 } from "./xxh3.ts";

const PUBLISH_BIT = 1n << 48n;

/** The stream id of a byte string: its XXH3-64 (§10.1). */
export function streamIdFromBytes(bytes: Uint8Array): bigint {
  return xxh3(bytes);
}

/** The stream id of a key: XXH3-64 of its UTF-8 (§10.1). */
export function streamIdFromKey(key: string): bigint {
  return streamIdFromBytes(encodeUtf8(key));
}

/** The stream on which a channel is published: its canonical hash with bit 48 set (§10.1). */
export function publishStreamId(channelHash: bigint): bigint {
  return channelHash | PUBLISH_BIT;
}

/**
 * The shard of a byte string: XXH3-64 modulo `shardCount` (§10.1).
 * @throws {WireError} `invalid-argument` unless `shardCount` is a positive integer.
 */
export function shardOfBytes(bytes: Uint8Array, shardCount: number): number {
  if (!Number.isSafeInteger(shardCount) || shardCount <= 0) {
    throw new WireError(
      "invalid-argument",
      `shardCount must be a positive integer, got ${shardCount}`,
      shardCount,
    );
  }
  return shardOfStream(xxh3(bytes), shardCount);
}

/**
 * The inbound shard of a stream: the whole 64-bit id modulo `shardCount`, 0 when there are no shards (§10.1).
 * @throws {WireError} `invalid-argument` when the id is outside the u64 range.
 */
export function shardOfStream(streamId: bigint, shardCount: number): number {
  assertU64(streamId, "streamId");
  return shardCount === 0 ? 0 : Number(streamId % BigInt(shardCount));
}
