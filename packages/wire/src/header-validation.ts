import {
  HEADER_SIZE,
  HeaderOffset,
  MAGIC,
  MAX_EVENTS_PER_PACKET,
  MAX_PAYLOAD_SIZE,
  PACKET_OVERHEAD,
  VERSION,
} from "./constants.ts";
import { readU16 } from "./little-endian.ts";

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
