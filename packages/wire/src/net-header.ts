import {
  HEADER_SIZE,
  HeaderOffset,
  MAGIC,
  MAX_EVENTS_PER_PACKET,
  MAX_PAYLOAD_SIZE,
  PACKET_OVERHEAD,
  VERSION,
} from "./constants.ts";
import { assertU8, assertU16, assertU32 } from "./integer-range.ts";
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";

const NO_BYTES = new Uint8Array(0);

/** What {@link validateHeader} found; the order is the order of the checks (§3.4). */
export const HeaderVerdict = {
  OK: 0,
  SHORT: 1,
  BAD_MAGIC: 2,
  BAD_VERSION: 3,
  PAYLOAD_LENGTH: 4,
  EVENT_COUNT: 5,
} as const;
/** One of the numbers of {@link HeaderVerdict}. */
export type HeaderVerdict = (typeof HeaderVerdict)[keyof typeof HeaderVerdict];

/**
 * A window onto the 68 header bytes of a packet (§3): wrap a buffer, read and write fields in place.
 *
 * One instance serves any number of packets. It borrows the bytes and never copies them; it checks
 * neither bounds nor values (see {@link validateHeader}), and stores numbers modulo the field's width.
 * 64-bit fields come as a bigint and as two u32 halves; the halves do not allocate.
 */
export class NetHeader {
  /** The wrapped buffer, borrowed. */
  bytes: Uint8Array = NO_BYTES;
  /** Where the header begins in it. */
  offset = 0;

  /** Points the window at `bytes[offset..offset + 68]`. */
  wrap(bytes: Uint8Array, offset = 0): this {
    this.bytes = bytes;
    this.offset = offset;
    return this;
  }

  /** Writes a default header: magic, version, every other byte 0. */
  clear(): this {
    this.bytes.fill(0, this.offset, this.offset + HEADER_SIZE);
    writeU16(this.bytes, this.offset + HeaderOffset.MAGIC, MAGIC);
    this.bytes[this.offset + HeaderOffset.VERSION] = VERSION;
    return this;
  }

  /** Bits of `PacketFlags` (§3.1). */
  get flags(): number {
    return this.bytes[this.offset + HeaderOffset.FLAGS] as number;
  }
  set flags(value: number) {
    this.bytes[this.offset + HeaderOffset.FLAGS] = value;
  }

  /** Unused, 0. */
  get priority(): number {
    return this.bytes[this.offset + HeaderOffset.PRIORITY] as number;
  }
  set priority(value: number) {
    this.bytes[this.offset + HeaderOffset.PRIORITY] = value;
  }

  /** Unused, 0; authenticated. */
  get hopTtl(): number {
    return this.bytes[this.offset + HeaderOffset.HOP_TTL] as number;
  }
  set hopTtl(value: number) {
    this.bytes[this.offset + HeaderOffset.HOP_TTL] = value;
  }

  /** The one field that a forwarder may change; not authenticated. */
  get hopCount(): number {
    return this.bytes[this.offset + HeaderOffset.HOP_COUNT] as number;
  }
  set hopCount(value: number) {
    this.bytes[this.offset + HeaderOffset.HOP_COUNT] = value;
  }

  /** Unused, 0 (§3.5). */
  get fragFlags(): number {
    return this.bytes[this.offset + HeaderOffset.FRAG_FLAGS] as number;
  }
  set fragFlags(value: number) {
    this.bytes[this.offset + HeaderOffset.FRAG_FLAGS] = value;
  }

  /** Subprotocol id (§8). */
  get subprotocolId(): number {
    return readU16(this.bytes, this.offset + HeaderOffset.SUBPROTOCOL_ID);
  }
  set subprotocolId(value: number) {
    writeU16(this.bytes, this.offset + HeaderOffset.SUBPROTOCOL_ID, value);
  }

  /** Low 16 bits of the channel hash on published events. */
  get channelHash(): number {
    return readU16(this.bytes, this.offset + HeaderOffset.CHANNEL_HASH);
  }
  set channelHash(value: number) {
    writeU16(this.bytes, this.offset + HeaderOffset.CHANNEL_HASH, value);
  }

  /** Unused, 0 (§3.5). */
  get fragmentId(): number {
    return readU16(this.bytes, this.offset + HeaderOffset.FRAGMENT_ID);
  }
  set fragmentId(value: number) {
    writeU16(this.bytes, this.offset + HeaderOffset.FRAGMENT_ID, value);
  }

  /** Unused, 0 (§3.5). */
  get fragmentOffset(): number {
    return readU16(this.bytes, this.offset + HeaderOffset.FRAGMENT_OFFSET);
  }
  set fragmentOffset(value: number) {
    writeU16(this.bytes, this.offset + HeaderOffset.FRAGMENT_OFFSET, value);
  }

  /** Plaintext bytes, without the tag. */
  get payloadLength(): number {
    return readU16(this.bytes, this.offset + HeaderOffset.PAYLOAD_LENGTH);
  }
  set payloadLength(value: number) {
    writeU16(this.bytes, this.offset + HeaderOffset.PAYLOAD_LENGTH, value);
  }

  /** Event frames in the plaintext. */
  get eventCount(): number {
    return readU16(this.bytes, this.offset + HeaderOffset.EVENT_COUNT);
  }
  set eventCount(value: number) {
    writeU16(this.bytes, this.offset + HeaderOffset.EVENT_COUNT, value);
  }

  /** Bytes 12..16 as a little-endian u32. Receivers ignore it. */
  get noncePrefix(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.NONCE_PREFIX);
  }
  set noncePrefix(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.NONCE_PREFIX, value);
  }

  /** Unused, 0. */
  get subnetId(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.SUBNET_ID);
  }
  set subnetId(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.SUBNET_ID, value);
  }

  /** Low half of `counter`. */
  get counterLo(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.COUNTER);
  }
  set counterLo(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.COUNTER, value);
  }

  /** High half of `counter`. */
  get counterHi(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.COUNTER + 4);
  }
  set counterHi(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.COUNTER + 4, value);
  }

  /** The nonce's 64-bit packet counter. Reading it allocates a bigint. */
  get counter(): bigint {
    return readU64(this.bytes, this.offset + HeaderOffset.COUNTER);
  }
  set counter(value: bigint) {
    writeU64(this.bytes, this.offset + HeaderOffset.COUNTER, value);
  }

  /** Low half of `sessionId`. */
  get sessionIdLo(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.SESSION_ID);
  }
  set sessionIdLo(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.SESSION_ID, value);
  }

  /** High half of `sessionId`. */
  get sessionIdHi(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.SESSION_ID + 4);
  }
  set sessionIdHi(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.SESSION_ID + 4, value);
  }

  /** Session id; 0 in handshakes. Reading it allocates a bigint. */
  get sessionId(): bigint {
    return readU64(this.bytes, this.offset + HeaderOffset.SESSION_ID);
  }
  set sessionId(value: bigint) {
    writeU64(this.bytes, this.offset + HeaderOffset.SESSION_ID, value);
  }

  /** Low half of `streamId`. */
  get streamIdLo(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.STREAM_ID);
  }
  set streamIdLo(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.STREAM_ID, value);
  }

  /** High half of `streamId`. */
  get streamIdHi(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.STREAM_ID + 4);
  }
  set streamIdHi(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.STREAM_ID + 4, value);
  }

  /** Stream id (§10.1). Reading it allocates a bigint. */
  get streamId(): bigint {
    return readU64(this.bytes, this.offset + HeaderOffset.STREAM_ID);
  }
  set streamId(value: bigint) {
    writeU64(this.bytes, this.offset + HeaderOffset.STREAM_ID, value);
  }

  /** Low half of `sequence`. */
  get sequenceLo(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.SEQUENCE);
  }
  set sequenceLo(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.SEQUENCE, value);
  }

  /** High half of `sequence`. */
  get sequenceHi(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.SEQUENCE + 4);
  }
  set sequenceHi(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.SEQUENCE + 4, value);
  }

  /** Per-stream counter. Reading it allocates a bigint. */
  get sequence(): bigint {
    return readU64(this.bytes, this.offset + HeaderOffset.SEQUENCE);
  }
  set sequence(value: bigint) {
    writeU64(this.bytes, this.offset + HeaderOffset.SEQUENCE, value);
  }

  /** Low half of `originHash`. */
  get originHashLo(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.ORIGIN_HASH);
  }
  set originHashLo(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.ORIGIN_HASH, value);
  }

  /** High half of `originHash`. */
  get originHashHi(): number {
    return readU32(this.bytes, this.offset + HeaderOffset.ORIGIN_HASH + 4);
  }
  set originHashHi(value: number) {
    writeU32(this.bytes, this.offset + HeaderOffset.ORIGIN_HASH + 4, value);
  }

  /** The publisher's origin hash on published events, else 0. Reading it allocates a bigint. */
  get originHash(): bigint {
    return readU64(this.bytes, this.offset + HeaderOffset.ORIGIN_HASH);
  }
  set originHash(value: bigint) {
    writeU64(this.bytes, this.offset + HeaderOffset.ORIGIN_HASH, value);
  }
}

/**
 * Checks the `length`-byte packet at `offset`: length, magic, version, payload length, event count (§3.4).
 * Allocates nothing.
 */
export function validateHeader(bytes: Uint8Array, offset: number, length: number): HeaderVerdict {
  if (length < HEADER_SIZE) return HeaderVerdict.SHORT;
  if (readU16(bytes, offset + HeaderOffset.MAGIC) !== MAGIC) return HeaderVerdict.BAD_MAGIC;
  if (bytes[offset + HeaderOffset.VERSION] !== VERSION) return HeaderVerdict.BAD_VERSION;
  if (readU16(bytes, offset + HeaderOffset.PAYLOAD_LENGTH) > MAX_PAYLOAD_SIZE) {
    return HeaderVerdict.PAYLOAD_LENGTH;
  }
  if (readU16(bytes, offset + HeaderOffset.EVENT_COUNT) > MAX_EVENTS_PER_PACKET) {
    return HeaderVerdict.EVENT_COUNT;
  }
  return HeaderVerdict.OK;
}

/**
 * Whether the `length`-byte packet at `offset` has exactly header + `payloadLength` + tag bytes: the rule
 * for every packet that is neither handshake nor heartbeat (§3.4). Ask only after {@link validateHeader}.
 */
export function isValidLength(bytes: Uint8Array, offset: number, length: number): boolean {
  return length === PACKET_OVERHEAD + readU16(bytes, offset + HeaderOffset.PAYLOAD_LENGTH);
}

/**
 * Writes the 56 bytes that the AEAD authenticates besides the ciphertext: the header without its nonce
 * and with `hopCount` 0 (§3.2). `target` must not overlap the header.
 */
export function writeAad(
  target: Uint8Array,
  targetOffset: number,
  packet: Uint8Array,
  headerOffset: number,
): void {
  for (let i = 0; i < HeaderOffset.NONCE_PREFIX; i++) {
    target[targetOffset + i] = packet[headerOffset + i] as number;
  }
  target[targetOffset + HeaderOffset.HOP_COUNT] = 0;
  const gap = HeaderOffset.SESSION_ID - HeaderOffset.NONCE_PREFIX;
  for (let i = HeaderOffset.SESSION_ID; i < HEADER_SIZE; i++) {
    target[targetOffset + i - gap] = packet[headerOffset + i] as number;
  }
}

/** Every field of a Net header as a plain object (§3), for tools and tests; the hot path uses {@link NetHeader}. */
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
 * {@link validateHeader} does the rest. `undefined` when they are missing.
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
