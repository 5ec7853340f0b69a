import { ROUTING_HEADER_SIZE, ROUTING_MAGIC } from "./constants.ts";
import { assertRoom, assertU8, assertU32 } from "./integer-range.ts";
import { readU16, readU32, writeU16, writeU32 } from "./little-endian.ts";
import { assertU64, high32, joinU64, low32 } from "./u64.ts";

const TTL_AT = 2;
const HOP_COUNT_AT = 3;
const FLAGS_AT = 4;
const RESERVED_AT = 5;
const SOURCE_AT = 6;
const DESTINATION_AT = 10;

const MAX_HOP_COUNT = 255;

/** Flag bits of a routing header; they combine freely (routing §1.1). */
export const RoutingFlags = {
  /** Informational. */
  CONTROL: 0x01,
  /** Informational. */
  REQUIRES_ACK: 0x02,
  /** A stand-alone router uses its priority lane. */
  PRIORITY: 0x04,
  /** Informational. */
  END_OF_STREAM: 0x08,
  /** The bits that exist; the others are sent as zero and dropped on receipt. */
  MASK: 0x0f,
} as const;

/** A routing header as an object, for tests and tools; the packet path uses {@link RoutingHeader}. */
export interface RoutingHeaderFields {
  /** Forwards left, 0..255. */
  readonly ttl: number;
  /** Forwards done, 0..255. */
  readonly hopCount: number;
  /** Bits of {@link RoutingFlags}. */
  readonly flags: number;
  /** Carried through unchanged; 0 when created. */
  readonly reserved: number;
  /** Low 32 bits of the originator's node id, unsigned. */
  readonly sourceId: number;
  /** Node id of the destination. */
  readonly destination: bigint;
}

/**
 * Whether a routing header starts at `offset`: its magic, and at least 18 of `length` bytes
 * (wire §7). Nothing else is validated.
 */
export function isRoutingHeader(bytes: Uint8Array, offset: number, length: number): boolean {
  return length >= ROUTING_HEADER_SIZE && readU16(bytes, offset) === ROUTING_MAGIC;
}

/**
 * Writes the 18 bytes of a fresh header: hop count 0, reserved 0, flags masked to the low nibble.
 *
 * @param sourceId low 32 bits of the sender's node id
 * @throws WireError `buffer-too-small` when fewer than 18 bytes follow `offset`; nothing is written.
 */
export function writeRoutingHeader(
  target: Uint8Array,
  offset: number,
  ttl: number,
  flags: number,
  sourceId: number,
  destinationLo: number,
  destinationHi: number,
): void {
  assertRoom(target, offset, ROUTING_HEADER_SIZE);
  writeU16(target, offset, ROUTING_MAGIC);
  target[offset + TTL_AT] = ttl;
  target[offset + HOP_COUNT_AT] = 0;
  target[offset + FLAGS_AT] = flags & RoutingFlags.MASK;
  target[offset + RESERVED_AT] = 0;
  writeU32(target, offset + SOURCE_AT, sourceId);
  writeU32(target, offset + DESTINATION_AT, destinationLo);
  writeU32(target, offset + DESTINATION_AT + 4, destinationHi);
}

/**
 * What a forwarder does to the header at `offset`, in place (routing §1.2): ttl − 1, hop count + 1 up
 * to 255, high flag nibble cleared, reserved byte kept.
 *
 * @returns false, with nothing changed, when the ttl is 0
 */
export function forwardInPlace(bytes: Uint8Array, offset: number): boolean {
  const ttl = bytes[offset + TTL_AT] as number;
  if (ttl === 0) return false;
  const hopCount = bytes[offset + HOP_COUNT_AT] as number;
  bytes[offset + TTL_AT] = ttl - 1;
  if (hopCount < MAX_HOP_COUNT) bytes[offset + HOP_COUNT_AT] = hopCount + 1;
  bytes[offset + FLAGS_AT] = (bytes[offset + FLAGS_AT] as number) & RoutingFlags.MASK;
  return true;
}

/**
 * The object form of the header at the start of `bytes`, or `undefined` when there is none. Trailing
 * bytes are ignored, the high flag nibble is dropped.
 */
export function decodeRoutingHeader(bytes: Uint8Array): RoutingHeaderFields | undefined {
  if (!isRoutingHeader(bytes, 0, bytes.length)) return undefined;
  const { ttl, hopCount, flags, reserved, sourceId, destination } = new RoutingHeader().wrap(bytes);
  return { ttl, hopCount, flags, reserved, sourceId, destination };
}

/**
 * The 18 bytes of a header, flags masked to the low nibble; the caller owns them.
 *
 * @throws WireError `invalid-argument` when a field does not fit its width.
 */
export function encodeRoutingHeader(fields: RoutingHeaderFields): Uint8Array {
  const { ttl, hopCount, flags, reserved, sourceId, destination } = fields;
  assertU8(ttl, "ttl");
  assertU8(hopCount, "hopCount");
  assertU8(flags, "flags");
  assertU8(reserved, "reserved");
  assertU32(sourceId, "sourceId");
  assertU64(destination, "destination");
  const bytes = new Uint8Array(ROUTING_HEADER_SIZE);
  writeRoutingHeader(bytes, 0, ttl, flags, sourceId, low32(destination), high32(destination));
  bytes[HOP_COUNT_AT] = hopCount;
  bytes[RESERVED_AT] = reserved;
  return bytes;
}

/**
 * Flyweight over the routing header in front of a routed packet (wire §7): one object, wrapped around
 * datagram after datagram. It reads the wrapped bytes and never owns them.
 */
export class RoutingHeader {
  #bytes: Uint8Array = new Uint8Array(ROUTING_HEADER_SIZE);
  #offset = 0;

  /**
   * Points this reader at the header at `offset`. The magic is not tested: see {@link isRoutingHeader}.
   *
   * @throws WireError `buffer-too-small` when fewer than 18 bytes follow; the reader stays where it was.
   */
  wrap(bytes: Uint8Array, offset = 0): this {
    assertRoom(bytes, offset, ROUTING_HEADER_SIZE);
    this.#bytes = bytes;
    this.#offset = offset;
    return this;
  }

  /** Forwards left. */
  get ttl(): number {
    return this.#bytes[this.#offset + TTL_AT] as number;
  }

  /** Forwards done, stopping at 255. */
  get hopCount(): number {
    return this.#bytes[this.#offset + HOP_COUNT_AT] as number;
  }

  /** Bits of {@link RoutingFlags}; unknown bits are dropped. */
  get flags(): number {
    return (this.#bytes[this.#offset + FLAGS_AT] as number) & RoutingFlags.MASK;
  }

  /** Whether bits were set that this version does not know and drops when forwarding. */
  get hasUnknownFlags(): boolean {
    return (this.#bytes[this.#offset + FLAGS_AT] as number) > RoutingFlags.MASK;
  }

  /** Carried through by forwarders. */
  get reserved(): number {
    return this.#bytes[this.#offset + RESERVED_AT] as number;
  }

  /** Low 32 bits of the originator's node id, unsigned. */
  get sourceId(): number {
    return readU32(this.#bytes, this.#offset + SOURCE_AT);
  }

  /** Low half of the destination's node id, unsigned. */
  get destinationLo(): number {
    return readU32(this.#bytes, this.#offset + DESTINATION_AT);
  }

  /** High half of the destination's node id, unsigned. */
  get destinationHi(): number {
    return readU32(this.#bytes, this.#offset + DESTINATION_AT + 4);
  }

  /** Node id of the destination; allocates a `bigint`, so not for the packet path. */
  get destination(): bigint {
    return joinU64(this.destinationLo, this.destinationHi);
  }

  /** Whether no forward is left. */
  get isExpired(): boolean {
    return this.ttl === 0;
  }
}
