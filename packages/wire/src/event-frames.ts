import { EVENT_LENGTH_PREFIX, MAX_EVENTS_PER_PACKET, MAX_PAYLOAD_SIZE } from "./constants.ts";
import { WireError } from "./errors.ts";
import { assertRoom } from "./integer-range.ts";
import { readU32, writeU32 } from "./little-endian.ts";

const NO_BYTES = new Uint8Array(0);
/** Up to here a loop beats the call into the runtime's copy routine. */
const SHORT_EVENT = 32;

/** Bytes of `events` when framed: the sum of 4 + length (§4). */
export function eventFramesSize(events: readonly Uint8Array[]): number {
  let size = 0;
  for (const event of events) size += EVENT_LENGTH_PREFIX + event.length;
  return size;
}

/**
 * Writes one frame at `offset`: u32 length, then a copy of `event`. Returns the offset behind it (§4).
 * The packet limits are not its business; {@link encodeEventFrames} checks them.
 * @throws {WireError} `buffer-too-small`, before writing, when the frame does not fit.
 */
export function writeEventFrame(target: Uint8Array, offset: number, event: Uint8Array): number {
  const { length } = event;
  assertRoom(target, offset, EVENT_LENGTH_PREFIX + length);
  writeU32(target, offset, length);
  const start = offset + EVENT_LENGTH_PREFIX;
  if (length > SHORT_EVENT) target.set(event, start);
  else for (let i = 0; i < length; i++) target[start + i] = event[i] as number;
  return start + length;
}

/**
 * Frames `events` into a new plaintext of at most 8108 bytes (§4).
 * @throws {WireError} `too-many-events` above 2027 events, `message-too-large` above 8108 bytes.
 */
export function encodeEventFrames(events: readonly Uint8Array[]): Uint8Array {
  if (events.length > MAX_EVENTS_PER_PACKET) {
    throw new WireError(
      "too-many-events",
      `${events.length} events, a packet takes ${MAX_EVENTS_PER_PACKET}`,
      events.length,
    );
  }
  const size = eventFramesSize(events);
  if (size > MAX_PAYLOAD_SIZE) {
    throw new WireError("message-too-large", `${size} bytes, a packet takes ${MAX_PAYLOAD_SIZE}`, size);
  }
  const payload = new Uint8Array(size);
  let offset = 0;
  for (const event of events) offset = writeEventFrame(payload, offset, event);
  return payload;
}

/**
 * Walks the frames of a plaintext without copying (§4). One instance serves any number of payloads.
 *
 * It stops after `count` frames or at the first frame that does not fit; the latter sets `short`.
 */
export class EventFrameReader {
  /** The wrapped buffer, borrowed. */
  bytes: Uint8Array = NO_BYTES;
  /** First byte of the current event. */
  start = 0;
  /** Byte behind the current event. */
  end = 0;
  /** Number of the current event, from 0; -1 before the first. */
  index = -1;
  /** Whether the payload ended before `count` events were seen. Final once `next` has returned false. */
  short = false;
  #limit = 0;
  #count = 0;

  /** Starts over at `bytes[offset..offset + length]`, which holds `count` frames by its sender's account. */
  wrap(bytes: Uint8Array, offset: number, length: number, count: number): this {
    this.bytes = bytes;
    this.start = offset;
    this.end = offset;
    this.index = -1;
    this.short = false;
    this.#limit = Math.min(offset + length, bytes.length);
    this.#count = count;
    return this;
  }

  /** Moves to the next event: `bytes[start..end]`. False when there is none. */
  next(): boolean {
    if (this.short || this.index + 1 >= this.#count) return false;
    const start = this.end + EVENT_LENGTH_PREFIX;
    if (start > this.#limit) return this.#stop();
    const length = readU32(this.bytes, this.end);
    if (length > this.#limit - start) return this.#stop();
    this.start = start;
    this.end = start + length;
    this.index++;
    return true;
  }

  #stop(): false {
    this.short = true;
    return false;
  }
}

/**
 * The events of a plaintext as views into `payload`, at most `count` (§4). A damaged payload yields the events
 * before the damage; compare the array's length with `count` to notice.
 */
export function decodeEventFrames(payload: Uint8Array, count: number): Uint8Array[] {
  const reader = new EventFrameReader().wrap(payload, 0, payload.length, count);
  const events: Uint8Array[] = [];
  while (reader.next()) events.push(payload.subarray(reader.start, reader.end));
  return events;
}
