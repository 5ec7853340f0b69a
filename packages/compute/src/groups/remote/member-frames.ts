import { readU32, writeU32 } from "@netmesh/wire";
import type { ByteStream } from "../../runtime/peer-network.ts";

/** What two nodes tell each other about members, as length u32, type u8, number of the request u32 and payload (docs/protocol/groups.md). */
const TYPES = {
  hello: 1,
  place: 2,
  remove: 3,
  deliver: 4,
  replay: 5,
  snapshot: 6,
  restore: 7,
  /** Answer: it has happened. */
  done: 0x80,
  /** Answer: it has not. */
  failed: 0x81,
} as const;

/** Bytes of a payload, at most: the state of a member with some room. */
export const MAX_MEMBER_PAYLOAD_SIZE: number = 64 * 1024 * 1024 + 4096;
/** Type and number. */
const HEAD_SIZE = 5;
const LENGTH_SIZE = 4;

const NAMES = new Map(
  Object.entries(TYPES).map(([name, type]) => [type as number, name as MemberFrame["type"]]),
);

/** A request or an answer. */
export interface MemberFrame {
  readonly type: keyof typeof TYPES;
  /** The asker's number, which the answer repeats; u32. */
  readonly id: number;
  /** The reader's. */
  readonly payload: Uint8Array;
}

/** The frame as bytes. */
export function encodeMemberFrame({ type, id, payload }: MemberFrame): Uint8Array {
  const bytes = new Uint8Array(LENGTH_SIZE + HEAD_SIZE + payload.length);
  writeU32(bytes, 0, HEAD_SIZE + payload.length);
  bytes[LENGTH_SIZE] = TYPES[type];
  writeU32(bytes, LENGTH_SIZE + 1, id);
  bytes.set(payload, LENGTH_SIZE + HEAD_SIZE);
  return bytes;
}

/**
 * The frames of a stream, until it ends, fails, or holds something else: then it stops. Holds one frame at most, and no more of it than has
 * arrived.
 */
export async function* readMemberFrames(stream: ByteStream): AsyncGenerator<MemberFrame, void> {
  const waiting = new WaitingBytes();
  try {
    for await (const bytes of stream.readable) {
      waiting.add(bytes);
      for (let length = waiting.nextLength; length !== undefined; length = waiting.nextLength) {
        if (length < HEAD_SIZE || length > HEAD_SIZE + MAX_MEMBER_PAYLOAD_SIZE) return;
        if (waiting.size < LENGTH_SIZE + length) break;
        const frame = waiting.take(LENGTH_SIZE + length);
        const type = NAMES.get(frame[LENGTH_SIZE] as number);
        if (type === undefined) return;
        const id = readU32(frame, LENGTH_SIZE + 1);
        yield { type, id, payload: frame.subarray(LENGTH_SIZE + HEAD_SIZE) };
      }
    }
  } catch {
    // The stream has failed: what was complete has been read.
  }
}

/** Bytes that have arrived, joined once when they are taken. */
class WaitingBytes {
  readonly #parts: Uint8Array[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** What the next frame says of its length; undefined while that is not there. */
  get nextLength(): number | undefined {
    if (this.#size < LENGTH_SIZE) return undefined;
    const [first] = this.#parts;
    return readU32(first !== undefined && first.length >= LENGTH_SIZE ? first : this.#join(), 0);
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#size += bytes.length;
  }

  /** The first `size` bytes, the caller's. */
  take(size: number): Uint8Array {
    const all = this.#join();
    this.#parts.length = 0;
    this.#size = 0;
    this.add(all.subarray(size));
    return all.slice(0, size);
  }

  #join(): Uint8Array {
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    this.#parts.splice(0, this.#parts.length, all);
    return all;
  }
}
