import { readU32, writeU32 } from "@netmesh/wire";
import type { ByteStream } from "../../runtime/peer-network.ts";
import { MigrationError } from "../failure-reason.ts";

/** What travels in the stream of a handover, as type, length u32 and payload (docs/protocol/migration.md). */
const FRAMES = {
  /** Version u8, origin u64, id of the move u64. */
  open: 1,
  /** Some of the encoded snapshot. */
  state: 2,
  /** The snapshot is complete. */
  "state-end": 3,
  /** A snapshot without state, before the parts with the key, after them without. */
  head: 4,
  /** Some of a part of the state. */
  part: 5,
  /** The part is complete. */
  "part-end": 6,
  /** One event, as in BufferedEvents. */
  event: 7,
  /** How many events there were, u32. */
  end: 8,
  /** The target's answer: why it does not take the daemon, as in MigrationFailed. */
  refused: 9,
} as const;

/** Type of a frame. */
export type HandoverFrameType = keyof typeof FRAMES;

/** Bytes of a payload, at most. */
export const MAX_HANDOVER_FRAME_SIZE: number = 1024 * 1024;
/** Bytes of state written at once: all that a source copies of a large state at a time. */
export const HANDOVER_CHUNK_SIZE: number = 64 * 1024;
const HEADER_SIZE = 5;

const NAMES = new Map(Object.entries(FRAMES).map(([name, type]) => [type as number, name as HandoverFrameType]));
const NOTHING = new Uint8Array(0);

/** A frame as read; the payload is the reader's until it is asked for the next. */
export interface HandoverFrame {
  readonly type: HandoverFrameType;
  readonly payload: Uint8Array;
}

/** Writes one frame. */
export async function writeFrame(
  stream: ByteStream,
  type: HandoverFrameType,
  payload: Uint8Array = NOTHING,
): Promise<void> {
  const bytes = new Uint8Array(HEADER_SIZE + payload.length);
  bytes[0] = FRAMES[type];
  writeU32(bytes, 1, payload.length);
  bytes.set(payload, HEADER_SIZE);
  await stream.write(bytes);
}

/** Writes bytes in frames of one type, 64 KiB at a time, then one that ends them. `onWritten` is told after each. */
export async function writeChunks(
  stream: ByteStream,
  types: readonly [HandoverFrameType, HandoverFrameType],
  bytes: Uint8Array,
  onWritten: (size: number) => void,
): Promise<void> {
  for (let at = 0; at < bytes.length; at += HANDOVER_CHUNK_SIZE) {
    const chunk = bytes.subarray(at, at + HANDOVER_CHUNK_SIZE);
    await writeFrame(stream, types[0], chunk);
    onWritten(chunk.length);
  }
  await writeFrame(stream, types[1]);
}

/** The frames of a stream. Throws `state-failed` for anything else in it, before it has buffered more than one frame and one read. */
export async function* readFrames(stream: ByteStream): AsyncGenerator<HandoverFrame, void> {
  let buffer = NOTHING;
  for await (const bytes of stream.readable) {
    buffer = buffer.length === 0 ? bytes : joined(buffer, bytes);
    while (buffer.length >= HEADER_SIZE) {
      const type = NAMES.get(buffer[0] as number);
      const size = readU32(buffer, 1);
      if (type === undefined || size > MAX_HANDOVER_FRAME_SIZE) {
        throw new MigrationError("state-failed", "the stream holds no frames of a handover");
      }
      if (buffer.length < HEADER_SIZE + size) break;
      yield { type, payload: buffer.subarray(HEADER_SIZE, HEADER_SIZE + size) };
      buffer = buffer.subarray(HEADER_SIZE + size);
    }
  }
  if (buffer.length > 0) throw new MigrationError("state-failed", "the stream ends within a frame");
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}
