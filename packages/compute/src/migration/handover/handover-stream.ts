import { readU32, writeU32 } from "@netmesh/wire";
import type { ByteStream } from "../../runtime/peer-network.ts";
import { MigrationError } from "../failure-reason.ts";

/** What travels in the stream of a handover, as type, length u32 and payload (docs/protocol/migration.md). */
const FRAMES = {
  /** Version u8, origin u64, id of the move u64, bytes of the snapshot that follows u64: 0 for a state in parts. */
  open: 1,
  /** Some of the encoded snapshot. */
  state: 2,
  /** The snapshot is complete: hash of the chain's head u64. */
  "state-end": 3,
  /** Hash of the chain's head u64, a snapshot without state; before the parts with the key, after them without. */
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
  /** The source asks to be told when all before it has been taken over. */
  mark: 10,
  /** The target's answer to a mark. */
  reached: 11,
  /** How far the daemon has got on its channels: for each of them publisher u64, length of the name u8, name, position u64. */
  positions: 12,
} as const;

/** Type of a frame. */
export type HandoverFrameType = keyof typeof FRAMES;

/** Version of the stream. */
export const HANDOVER_VERSION = 1;
/** Bytes of the largest snapshot that travels as a whole between netmesh nodes; a state in parts has no limit. */
export const MAX_HANDOVER_SNAPSHOT_SIZE: number = 1024 * 1024 * 1024;
/** Bytes of a payload, at most. */
export const MAX_HANDOVER_FRAME_SIZE: number = 1024 * 1024;
/** Bytes of state in one frame, at most. */
export const HANDOVER_CHUNK_SIZE: number = 256 * 1024;
const HEADER_SIZE = 5;
/** Payloads up to this size are copied behind their header and written with it. */
const SMALL_SIZE = 4096;

const NAMES = new Map(
  Object.entries(FRAMES).map(([name, type]) => [type as number, name as HandoverFrameType]),
);
const NOTHING = new Uint8Array(0);

/** A frame as read, or for `state` and `part` some of one; the payload is valid until the next is asked for. */
export interface HandoverFrame {
  readonly type: HandoverFrameType;
  readonly payload: Uint8Array;
}

/** Writes one frame; the payload may change again once this has resolved. */
export async function writeFrame(
  stream: ByteStream,
  type: HandoverFrameType,
  payload: Uint8Array = NOTHING,
): Promise<void> {
  const isSmall = payload.length <= SMALL_SIZE;
  const bytes = new Uint8Array(HEADER_SIZE + (isSmall ? payload.length : 0));
  bytes[0] = FRAMES[type];
  writeU32(bytes, 1, payload.length);
  if (isSmall) bytes.set(payload, HEADER_SIZE);
  await stream.write(bytes);
  if (!isSmall) await stream.write(payload);
}

/** Writes bytes in frames of one type, without copying them. `onWritten` is told after each. */
export async function writeChunks(
  stream: ByteStream,
  type: HandoverFrameType,
  bytes: Uint8Array,
  onWritten: (size: number) => void,
): Promise<void> {
  for (let at = 0; at < bytes.length; at += HANDOVER_CHUNK_SIZE) {
    const chunk = bytes.subarray(at, at + HANDOVER_CHUNK_SIZE);
    await writeFrame(stream, type, chunk);
    onWritten(chunk.length);
  }
}

/**
 * The frames of a stream, those of `state` and `part` piece by piece as they come. Throws `state-failed` for anything else in it. Holds one frame
 * at most, and of those two types none.
 */
export async function* readFrames(stream: ByteStream): AsyncGenerator<HandoverFrame, void> {
  const header = new Uint8Array(HEADER_SIZE);
  let headerLength = 0;
  let type: HandoverFrameType = "open";
  /** Bytes of the payload that have not come. */
  let missing = 0;
  let whole: Uint8Array | undefined;
  for await (const bytes of stream.readable) {
    for (let at = 0; at < bytes.length; ) {
      if (headerLength < HEADER_SIZE) {
        header[headerLength++] = bytes[at++] as number;
        if (headerLength < HEADER_SIZE) continue;
        missing = readU32(header, 1);
        type = typeOf(header[0] as number, missing);
        whole = type === "state" || type === "part" ? undefined : new Uint8Array(missing);
      }
      const piece = bytes.subarray(at, at + missing);
      whole?.set(piece, whole.length - missing);
      missing -= piece.length;
      at += piece.length;
      if (missing === 0) headerLength = 0;
      if (whole === undefined) yield { type, payload: piece };
      else if (missing === 0) yield { type, payload: whole };
    }
  }
  if (headerLength > 0) throw new MigrationError("state-failed", "the stream ends within a frame");
}

function typeOf(code: number, size: number): HandoverFrameType {
  const type = NAMES.get(code);
  if (type !== undefined && size <= MAX_HANDOVER_FRAME_SIZE) return type;
  throw new MigrationError("state-failed", "the stream holds no frames of a handover");
}
