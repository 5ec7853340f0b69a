import { type PublicView, Redacted, sessionIdHex } from "@netmesh/crypto";
import {
  EVENT_LENGTH_PREFIX,
  eventFramesSize,
  HEADER_SIZE,
  high32,
  low32,
  MAX_EVENTS_PER_PACKET,
  MAX_PACKET_SIZE,
  MAX_PAYLOAD_SIZE,
  NetHeader,
  PACKET_OVERHEAD,
  PacketFlags,
  writeEventFrame,
} from "@netmesh/wire";
import { PoolError } from "./errors.ts";
import { SealingKey, type SealingKeyOptions } from "./sealing-key.ts";

/** Up to here a loop beats the call into the runtime's copy routine, and the view that it needs. */
const SHORT_PAYLOAD = 128;

/** Bytes of a heartbeat packet: header and tag. */
export const HEARTBEAT_SIZE: number = PACKET_OVERHEAD;

/**
 * The header fields of a packet that its sender chooses; u64 as two u32 halves. A plain object that the
 * caller owns and may change and reuse for the next packet.
 */
export interface PacketFields {
  /** Stream id, low half. */
  streamIdLo: number;
  /** Stream id, high half. */
  streamIdHi: number;
  /** Sequence within the stream, low half. */
  sequenceLo: number;
  /** Sequence within the stream, high half. */
  sequenceHi: number;
  /** Bits of `PacketFlags`. */
  flags: number;
  /** 0 for plain events. */
  subprotocolId: number;
  /** Low 16 bits of the channel's hash on published events, else 0. */
  channelHash: number;
  /** The publisher's origin hash, low half; 0 if there is none. */
  originHashLo: number;
  /** The publisher's origin hash, high half. */
  originHashHi: number;
}

/** Fields that are all 0. */
export function packetFields(): PacketFields {
  return {
    streamIdLo: 0,
    streamIdHi: 0,
    sequenceLo: 0,
    sequenceHi: 0,
    flags: 0,
    subprotocolId: 0,
    channelHash: 0,
    originHashLo: 0,
    originHashHi: 0,
  };
}

/** The operation names that the errors of Net carry, and so ours. */
type BuildOperation = "build" | "build_subprotocol";

/**
 * Payload bytes of `events[from..to]`. Throws before anything is touched when a packet does not take them.
 */
function checkedPayloadSize(
  operation: BuildOperation,
  events: readonly Uint8Array[],
  from: number,
  to: number,
): number {
  requireEventCount(operation, to - from);
  let size = 0;
  for (let i = from; i < to; i++) size += EVENT_LENGTH_PREFIX + (events[i] as Uint8Array).length;
  requirePayload(size);
  return size;
}

function requireEventCount(operation: BuildOperation, count: number): void {
  if (count > MAX_EVENTS_PER_PACKET) {
    throw new PoolError(
      "too-many-events",
      `PacketBuilder::${operation} called with ${count} events, a packet takes ${MAX_EVENTS_PER_PACKET}`,
      count,
      MAX_EVENTS_PER_PACKET,
    );
  }
}

function requirePayload(size: number): void {
  if (size > MAX_PAYLOAD_SIZE) {
    throw new PoolError(
      "message-too-large",
      `a payload of ${size} bytes, a packet takes ${MAX_PAYLOAD_SIZE}`,
      size,
      MAX_PAYLOAD_SIZE,
    );
  }
}

function requireRoom(target: Uint8Array, offset: number, size: number): void {
  if (offset + size > target.length) {
    throw new PoolError("buffer-too-small", `${size} bytes do not fit behind offset ${offset}`, size);
  }
}

/**
 * Writes and seals the packets of one session (spec session.md §1.1).
 *
 * The `…Into` forms write once, straight into the caller's buffer, and allocate nothing of their own; the
 * others return an independent array. A builder holds no packet bytes. Not for use from two threads.
 */
export class PacketBuilder extends Redacted {
  #key: SealingKey;
  #sessionIdLo = 0;
  #sessionIdHi = 0;
  /** The fields of the convenience forms; origin and channel hash stay from one packet to the next. */
  readonly #fields: PacketFields = packetFields();
  readonly #header: NetHeader = new NetHeader();

  /** Builds with a key that other builders may share, for events of `originHash` (0: none). */
  constructor(key: SealingKey, originHash = 0n) {
    super();
    this.#key = key;
    this.#adopt(key);
    this.setOriginHash(originHash);
  }

  /** The session that packets are sealed for. */
  get sessionId(): bigint {
    return this.#key.sessionId;
  }

  /** Whether packets are sealed with this very key. */
  usesKey(key: SealingKey): boolean {
    return this.#key === key;
  }

  /**
   * Changes key and session. The counter in `options` must be the key's only one; by default a private one at
   * 0.
   */
  setKey(key: Uint8Array, sessionId: bigint, options?: SealingKeyOptions): void {
    this.#adopt(new SealingKey(key, sessionId, options));
  }

  /** Seals with this key from now on, and for its session; other builders may share it. */
  useKey(key: SealingKey): void {
    this.#adopt(key);
  }

  /** The origin hash of the convenience forms from now on. */
  setOriginHash(originHash: bigint): void {
    this.#fields.originHashLo = low32(originHash);
    this.#fields.originHashHi = high32(originHash);
  }

  /** The channel hash (16 bits) of the convenience forms from now on. */
  setChannelHash(channelHash: number): void {
    this.#fields.channelHash = channelHash;
  }

  /**
   * Writes a sealed packet of `events[from..to]` at `offset`; returns its length in bytes. Throws
   * `too-many-events`, `message-too-large`, `buffer-too-small`, `counter-exhausted` or `stale-generation`;
   * then nothing was written and, but for a stale key, no counter used.
   */
  buildInto(
    target: Uint8Array,
    offset: number,
    fields: PacketFields,
    events: readonly Uint8Array[],
    from: number,
    to: number,
  ): number {
    const size = checkedPayloadSize("build", events, from, to);
    return this.#write(target, offset, fields, events, from, to, size);
  }

  /**
   * As `buildInto`, of events that are framed already: the `length` bytes of `frames` at `start` are `eventCount` frames one
   * after the other, by the caller's account. They are copied.
   */
  buildFramedInto(
    target: Uint8Array,
    offset: number,
    fields: PacketFields,
    frames: Uint8Array,
    start: number,
    length: number,
    eventCount: number,
  ): number {
    requireEventCount("build", eventCount);
    requirePayload(length);
    requireRoom(frames, start, length);
    requireRoom(target, offset, PACKET_OVERHEAD + length);
    this.#key.advance();
    this.#writeHeader(target, offset, fields, eventCount, length);
    const at = offset + HEADER_SIZE;
    if (length > SHORT_PAYLOAD) target.set(frames.subarray(start, start + length), at);
    else for (let i = 0; i < length; i++) target[at + i] = frames[start + i] as number;
    return this.#key.seal(target, offset, length);
  }

  /** Writes a heartbeat at `offset`: no events, no stream, no origin. Returns 84. Throws as `buildInto`. */
  heartbeatInto(target: Uint8Array, offset: number): number {
    requireRoom(target, offset, HEARTBEAT_SIZE);
    this.#key.advance();
    this.#startHeader(target, offset, PacketFlags.HEARTBEAT);
    return this.#key.seal(target, offset, 0);
  }

  /**
   * Writes a handshake packet at `offset`: a header without session, then `message` as it is. Takes no
   * counter. Returns the length in bytes. Throws `message-too-large` or `buffer-too-small`.
   */
  handshakeInto(target: Uint8Array, offset: number, message: Uint8Array): number {
    return writeHandshake(this.#header, target, offset, message);
  }

  /** A sealed packet of all `events` in a new array. Throws as `buildInto`. */
  build(streamId: bigint, sequence: bigint, events: readonly Uint8Array[], flags = 0): Uint8Array {
    return this.#build("build", streamId, sequence, events, flags, 0);
  }

  /** As `build`, for a subprotocol. */
  buildSubprotocol(
    streamId: bigint,
    sequence: bigint,
    events: readonly Uint8Array[],
    flags: number,
    subprotocolId: number,
  ): Uint8Array {
    return this.#build("build_subprotocol", streamId, sequence, events, flags, subprotocolId);
  }

  /** A handshake packet in a new array. Throws `message-too-large`. */
  buildHandshake(message: Uint8Array): Uint8Array {
    requirePayload(message.length);
    const packet = new Uint8Array(HEADER_SIZE + message.length);
    this.handshakeInto(packet, 0, message);
    return packet;
  }

  /** A heartbeat in a new array of 84 bytes. */
  buildHeartbeat(): Uint8Array {
    const packet = new Uint8Array(HEARTBEAT_SIZE);
    this.heartbeatInto(packet, 0);
    return packet;
  }

  /** Whether one packet takes the bytes of these events. */
  wouldFit(events: readonly Uint8Array[]): boolean {
    return eventFramesSize(events) <= MAX_PAYLOAD_SIZE;
  }

  /** How many events of `averageSize` bytes one packet takes. */
  maxEventsForSize(averageSize: number): number {
    return Math.floor(MAX_PAYLOAD_SIZE / (averageSize + EVENT_LENGTH_PREFIX));
  }

  /** Shows session and limits, never the key. */
  override toJSON(): PublicView {
    return {
      sessionId: sessionIdHex(this.sessionId),
      payloadCapacity: MAX_PAYLOAD_SIZE,
      packetCapacity: MAX_PACKET_SIZE,
    };
  }

  #adopt(key: SealingKey): void {
    this.#key = key;
    this.#sessionIdLo = low32(key.sessionId);
    this.#sessionIdHi = high32(key.sessionId);
  }

  #build(
    operation: BuildOperation,
    streamId: bigint,
    sequence: bigint,
    events: readonly Uint8Array[],
    flags: number,
    subprotocolId: number,
  ): Uint8Array {
    const size = checkedPayloadSize(operation, events, 0, events.length);
    const fields = this.#fields;
    fields.streamIdLo = low32(streamId);
    fields.streamIdHi = high32(streamId);
    fields.sequenceLo = low32(sequence);
    fields.sequenceHi = high32(sequence);
    fields.flags = flags;
    fields.subprotocolId = subprotocolId;
    const packet = new Uint8Array(PACKET_OVERHEAD + size);
    this.#write(packet, 0, fields, events, 0, events.length, size);
    return packet;
  }

  #write(
    target: Uint8Array,
    offset: number,
    fields: PacketFields,
    events: readonly Uint8Array[],
    from: number,
    to: number,
    payloadSize: number,
  ): number {
    requireRoom(target, offset, PACKET_OVERHEAD + payloadSize);
    this.#key.advance();
    this.#writeHeader(target, offset, fields, to - from, payloadSize);
    let at = offset + HEADER_SIZE;
    for (let i = from; i < to; i++) at = writeEventFrame(target, at, events[i] as Uint8Array);
    return this.#key.seal(target, offset, payloadSize);
  }

  #writeHeader(
    target: Uint8Array,
    offset: number,
    fields: PacketFields,
    eventCount: number,
    payloadSize: number,
  ): void {
    const header = this.#startHeader(target, offset, fields.flags);
    header.subprotocolId = fields.subprotocolId;
    header.channelHash = fields.channelHash;
    header.streamIdLo = fields.streamIdLo;
    header.streamIdHi = fields.streamIdHi;
    header.sequenceLo = fields.sequenceLo;
    header.sequenceHi = fields.sequenceHi;
    header.originHashLo = fields.originHashLo;
    header.originHashHi = fields.originHashHi;
    header.payloadLength = payloadSize;
    header.eventCount = eventCount;
  }

  #startHeader(target: Uint8Array, offset: number, flags: number): NetHeader {
    const header = this.#header.wrap(target, offset).clear();
    header.flags = flags;
    header.sessionIdLo = this.#sessionIdLo;
    header.sessionIdHi = this.#sessionIdHi;
    return header;
  }
}

function writeHandshake(header: NetHeader, target: Uint8Array, offset: number, message: Uint8Array): number {
  requirePayload(message.length);
  requireRoom(target, offset, HEADER_SIZE + message.length);
  header.wrap(target, offset).clear();
  header.flags = PacketFlags.HANDSHAKE;
  header.payloadLength = message.length;
  target.set(message, offset + HEADER_SIZE);
  return HEADER_SIZE + message.length;
}

/**
 * Writes a handshake packet at `offset`, for which no session and so no builder is needed. Returns the length
 * in bytes. Throws `message-too-large` or `buffer-too-small` before writing.
 */
export function writeHandshakePacket(target: Uint8Array, offset: number, message: Uint8Array): number {
  return writeHandshake(new NetHeader(), target, offset, message);
}
