import { HEADER_SIZE, HeaderOffset, MAGIC, VERSION } from "./constants.ts";
import { assertU8, assertU16, assertU32 } from "./integer-range.ts";
import { readU16 } from "./little-endian.ts";
import { NetHeader } from "./net-header.ts";
import { assertU64 } from "./u64.ts";

/** Every field of a Net header as a plain object (§3), for tools and tests; the hot path uses `NetHeader`. */
export interface HeaderFields {
  /** Wire version, 1 unless a test says otherwise. */
  readonly version: number;
  /** Bits of `PacketFlags` (§3.1). */
  readonly flags: number;
  /** Unused, 0. */
  readonly priority: number;
  /** Unused, 0; authenticated. */
  readonly hopTtl: number;
  /** The one field that a forwarder may change; not authenticated. */
  readonly hopCount: number;
  /** Unused, 0 (§3.5). */
  readonly fragFlags: number;
  /** Subprotocol id (§8). */
  readonly subprotocolId: number;
  /** Low 16 bits of the channel hash on published events. */
  readonly channelHash: number;
  /** Unused, 0 (§3.5). */
  readonly fragmentId: number;
  /** Unused, 0 (§3.5). */
  readonly fragmentOffset: number;
  /** Plaintext bytes, without the tag. */
  readonly payloadLength: number;
  /** Event frames in the plaintext. */
  readonly eventCount: number;
  /** Bytes 12..16 as a little-endian u32. Receivers ignore it. */
  readonly noncePrefix: number;
  /** Unused, 0. */
  readonly subnetId: number;
  /** The nonce's 64-bit packet counter. */
  readonly counter: bigint;
  /** Session id; 0 in handshakes. */
  readonly sessionId: bigint;
  /** Stream id (§10.1). */
  readonly streamId: bigint;
  /** Per-stream counter. */
  readonly sequence: bigint;
  /** The publisher's origin hash on published events, else 0. */
  readonly originHash: bigint;
}

/**
 * Reads a header into a new object. Like the wire itself it only asks for 68 bytes and the magic;
 * `validateHeader` does the rest. `undefined` when they are missing.
 */
export function decodeHeader(bytes: Uint8Array): HeaderFields | undefined {
  if (bytes.length < HEADER_SIZE || readU16(bytes, HeaderOffset.MAGIC) !== MAGIC) return undefined;
  const header = new NetHeader().wrap(bytes);
  return {
    version: bytes[HeaderOffset.VERSION] as number,
    flags: header.flags,
    priority: header.priority,
    hopTtl: header.hopTtl,
    hopCount: header.hopCount,
    fragFlags: header.fragFlags,
    subprotocolId: header.subprotocolId,
    channelHash: header.channelHash,
    fragmentId: header.fragmentId,
    fragmentOffset: header.fragmentOffset,
    payloadLength: header.payloadLength,
    eventCount: header.eventCount,
    noncePrefix: header.noncePrefix,
    subnetId: header.subnetId,
    counter: header.counter,
    sessionId: header.sessionId,
    streamId: header.streamId,
    sequence: header.sequence,
    originHash: header.originHash,
  };
}

const U8_FIELDS = ["flags", "priority", "hopTtl", "hopCount", "fragFlags"] as const;
const U16_FIELDS = [
  "subprotocolId",
  "channelHash",
  "fragmentId",
  "fragmentOffset",
  "payloadLength",
  "eventCount",
] as const;
const U32_FIELDS = ["noncePrefix", "subnetId"] as const;
const U64_FIELDS = ["counter", "sessionId", "streamId", "sequence", "originHash"] as const;

/**
 * Writes a header into 68 new bytes; a field that is not given is 0 (version: 1).
 * @throws {WireError} `invalid-argument` when a field does not fit its width.
 */
export function encodeHeader(fields: Partial<HeaderFields>): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const header = new NetHeader().wrap(bytes).clear();
  const version = fields.version ?? VERSION;
  assertU8(version, "version");
  bytes[HeaderOffset.VERSION] = version;
  for (const name of U8_FIELDS) {
    const value = fields[name] ?? 0;
    assertU8(value, name);
    header[name] = value;
  }
  for (const name of U16_FIELDS) {
    const value = fields[name] ?? 0;
    assertU16(value, name);
    header[name] = value;
  }
  for (const name of U32_FIELDS) {
    const value = fields[name] ?? 0;
    assertU32(value, name);
    header[name] = value;
  }
  for (const name of U64_FIELDS) {
    const value = fields[name] ?? 0n;
    assertU64(value, name);
    header[name] = value;
  }
  return bytes;
}
