import {
  KEEP_ALIVE_MAGIC,
  KEEP_ALIVE_SIZE,
  MAGIC,
  PINGWAVE_SIZE,
  ROUTED_MIN_SIZE,
  ROUTING_MAGIC,
} from "./constants.ts";
import { readU16 } from "./little-endian.ts";

const PINGWAVE_HEALTH_OFFSET = 63;
const MAX_PINGWAVE_HEALTH = 3;

/** What a received datagram is, by its first bytes and its length (§12). */
export const DatagramKind = {
  /** Nothing we know: drop it. */
  UNKNOWN: 0,
  /** A 14-byte NAT keep-alive (§9.5). */
  KEEP_ALIVE: 1,
  /** A 72-byte pingwave (§11.1). */
  PINGWAVE: 2,
  /** A routing header and a packet (§7). */
  ROUTED: 3,
  /** A packet (§3.4); its header is not validated yet. */
  DIRECT: 4,
} as const;
/** One of the numbers of {@link DatagramKind}. */
export type DatagramKind = (typeof DatagramKind)[keyof typeof DatagramKind];

/** Tells the kind of the datagram in `bytes[0..length]` (§12, rows 1 to 5). Allocates nothing, never throws. */
export function classifyDatagram(bytes: Uint8Array, length: number = bytes.length): DatagramKind {
  if (length < 2) return DatagramKind.UNKNOWN;
  const magic = readU16(bytes, 0);
  if (length === KEEP_ALIVE_SIZE && magic === KEEP_ALIVE_MAGIC) return DatagramKind.KEEP_ALIVE;
  if (magic === MAGIC) return DatagramKind.DIRECT;
  if (length === PINGWAVE_SIZE && (bytes[PINGWAVE_HEALTH_OFFSET] as number) <= MAX_PINGWAVE_HEALTH) {
    return DatagramKind.PINGWAVE;
  }
  if (magic === ROUTING_MAGIC && length >= ROUTED_MIN_SIZE) return DatagramKind.ROUTED;
  return DatagramKind.UNKNOWN;
}
