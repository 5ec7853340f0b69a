import { HEADER_SIZE, HeaderOffset, MAGIC, VERSION } from "./constants.ts";
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./little-endian.ts";

const NO_BYTES = new Uint8Array(0);

/**
 * A window onto the 68 header bytes of a packet (§3): wrap a buffer, read and write fields in place.
 *
 * One instance serves any number of packets. It borrows the bytes and never copies them; it checks
 * neither bounds nor values (see `validateHeader`), and stores numbers modulo the field's width.
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
