import { MAX_EVENTS_PER_PACKET, MAX_PAYLOAD_SIZE, PacketFlags } from "./constants.ts";
import { WireError } from "./errors.ts";
import { readU16, readU32, writeU16, writeU32 } from "./little-endian.ts";

// Not part of Net 0.27: a packet that its path does not carry any more travels in parts, under
// `NETMESH_CONTROL`, between two nodes that have announced `PeerFeature.PATH_MTU` (docs/protocol/path-mtu.md).
// The packet of a message has the flag 0x80, and the subprotocol's id as its stream id.
//   kind u8 = 6 ‖ flags u8 ‖ event count u16 ‖ stream id u64 ‖ sequence u64 ‖ length u16 ‖ index u8 ‖ bytes

/** First byte of a part. */
export const PACKET_PART_KIND = 6;
/**
 * Flag of a part whose packet is a message of a subprotocol; its stream id is the id of that. The flags of packets leave this bit
 * alone.
 */
export const MESSAGE_PART_FLAG = 0x80;
/** Bytes of a part in front of its share of the packet. */
export const PACKET_PART_HEAD_SIZE = 23;
/** Bytes of the packet's plain text in every part but the last. */
export const PACKET_PART_DATA_SIZE = 1_024;
/** Most parts of a packet. */
export const MAX_PACKET_PARTS: number = Math.ceil(MAX_PAYLOAD_SIZE / PACKET_PART_DATA_SIZE);

/** The packet that a part belongs to; u64 as two u32 halves. */
export interface PartedPacket {
  readonly streamIdLo: number;
  readonly streamIdHi: number;
  readonly sequenceLo: number;
  readonly sequenceHi: number;
  /** `PacketFlags.RELIABLE`, {@link MESSAGE_PART_FLAG}, or 0. */
  readonly flags: number;
  /** Event frames in the packet, at least 1. */
  readonly eventCount: number;
}

/** A part as it arrived. */
export interface PacketPart extends PartedPacket {
  /** Bytes of the packet's plain text, 1025 to 8108. */
  readonly length: number;
  /** Which part it is: its bytes begin at 1024 times that. */
  readonly index: number;
  /** The part's bytes; a view of what was decoded. */
  readonly data: Uint8Array;
}

/** How many parts a plain text of so many bytes has. */
export function packetPartCount(length: number): number {
  return Math.ceil(length / PACKET_PART_DATA_SIZE);
}

/**
 * Encodes part `index` of a packet with that plain text (event frames), which has 1025 to 8108 bytes.
 * @throws {WireError} `invalid-argument` for other lengths, a part that does not exist, other flags, no events.
 */
export function encodePacketPart(packet: PartedPacket, plainText: Uint8Array, index: number): Uint8Array {
  const { flags, eventCount } = packet;
  const { length } = plainText;
  if (!isValid(flags, eventCount, length, index) || !Number.isInteger(index)) {
    throw new WireError("invalid-argument", `no part ${index} of a packet of ${length} bytes`, index);
  }
  const start = index * PACKET_PART_DATA_SIZE;
  const data = plainText.subarray(start, start + PACKET_PART_DATA_SIZE);
  const bytes = new Uint8Array(PACKET_PART_HEAD_SIZE + data.length);
  bytes[0] = PACKET_PART_KIND;
  bytes[1] = flags;
  writeU16(bytes, 2, eventCount);
  writeU32(bytes, 4, packet.streamIdLo);
  writeU32(bytes, 8, packet.streamIdHi);
  writeU32(bytes, 12, packet.sequenceLo);
  writeU32(bytes, 16, packet.sequenceHi);
  writeU16(bytes, 20, length);
  bytes[22] = index;
  bytes.set(data, PACKET_PART_HEAD_SIZE);
  return bytes;
}

/**
 * Decodes a part, borrowing its bytes; `undefined` for another kind, and for whatever {@link encodePacketPart} does not
 * write: a packet that would fit one part, a part that is shorter or longer than its place, other flags.
 */
export function decodePacketPart(bytes: Uint8Array): PacketPart | undefined {
  if (bytes.length <= PACKET_PART_HEAD_SIZE || bytes[0] !== PACKET_PART_KIND) return undefined;
  const flags = bytes[1] as number;
  const eventCount = readU16(bytes, 2);
  const length = readU16(bytes, 20);
  const index = bytes[22] as number;
  if (!isValid(flags, eventCount, length, index)) return undefined;
  const size = Math.min(PACKET_PART_DATA_SIZE, length - index * PACKET_PART_DATA_SIZE);
  if (bytes.length !== PACKET_PART_HEAD_SIZE + size) return undefined;
  return {
    flags,
    eventCount,
    streamIdLo: readU32(bytes, 4),
    streamIdHi: readU32(bytes, 8),
    sequenceLo: readU32(bytes, 12),
    sequenceHi: readU32(bytes, 16),
    length,
    index,
    data: bytes.subarray(PACKET_PART_HEAD_SIZE),
  };
}

function isValid(flags: number, eventCount: number, length: number, index: number): boolean {
  return (
    (flags === 0 || flags === PacketFlags.RELIABLE || flags === MESSAGE_PART_FLAG) &&
    eventCount >= 1 &&
    eventCount <= MAX_EVENTS_PER_PACKET &&
    length > PACKET_PART_DATA_SIZE &&
    length <= MAX_PAYLOAD_SIZE &&
    index >= 0 &&
    index < packetPartCount(length)
  );
}
