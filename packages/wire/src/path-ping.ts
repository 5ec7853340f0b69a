import { PINGWAVE_SIZE } from "./constants.ts";
import { WireError } from "./errors.ts";
import { assertU32 } from "./integer-range.ts";
import { readU32, writeU32 } from "./little-endian.ts";

// Not part of Net 0.27: two netmesh nodes that have announced `PeerFeature.LIVENESS` exchange these under
// `NETMESH_CONTROL` (docs/protocol/path-liveness.md).
//   ping:     kind u8 = 8 ‖ flags u8 ‖ id u32
//   answer:   kind u8 = 9 ‖ flags u8 ‖ id u32
//   pingwave: kind u8 = 10 ‖ the 72 bytes of the pingwave

/** What a message about the life of a path is. */
export const PathPingKind = {
  /** Asks for a sign of life over the path on which it arrives. */
  PING: 8,
  /** Gives it. */
  ANSWER: 9,
} as const;

/** One of {@link PathPingKind}. */
export type PathPingKind = (typeof PathPingKind)[keyof typeof PathPingKind];

/** Bytes of a ping and of an answer. */
export const PATH_PING_SIZE = 6;
/** First byte of a pingwave that travels sealed. */
export const SEALED_PINGWAVE_KIND = 10;
/** Bytes of a pingwave that travels sealed. */
export const SEALED_PINGWAVE_SIZE: number = 1 + PINGWAVE_SIZE;

const MOVES = 1;
const FAILED = 2;

/** A ping or its answer. */
export interface PathPing {
  readonly kind: PathPingKind;
  /** Tells the pings of a session apart, u32. */
  readonly id: number;
  /** Whether the sender's packets take this path from now on, and the receiver's had better do so, too. */
  readonly moves: boolean;
  /** Whether they do so because the path before has failed, and not because this one is better. */
  readonly failed: boolean;
}

/**
 * Encodes a ping or an answer, 6 bytes.
 * @throws {WireError} `invalid-argument` for an id that is no u32.
 */
export function encodePathPing({ kind, id, moves, failed }: PathPing): Uint8Array {
  assertU32(id, "id");
  const bytes = new Uint8Array(PATH_PING_SIZE);
  bytes[0] = kind;
  bytes[1] = (moves ? MOVES : 0) | (failed ? FAILED : 0);
  writeU32(bytes, 2, id);
  return bytes;
}

/** Decodes a ping or an answer; undefined for another kind or length. Flags that are not known are ignored. */
export function decodePathPing(bytes: Uint8Array): PathPing | undefined {
  const kind = bytes[0];
  if (bytes.length !== PATH_PING_SIZE) return undefined;
  if (kind !== PathPingKind.PING && kind !== PathPingKind.ANSWER) return undefined;
  const flags = bytes[1] as number;
  return { kind, id: readU32(bytes, 2), moves: (flags & MOVES) !== 0, failed: (flags & FAILED) !== 0 };
}

/**
 * Puts a pingwave into the event in which it travels sealed, 73 bytes.
 * @throws {WireError} `buffer-too-small` when there are no 72 bytes at `offset`.
 */
export function encodeSealedPingwave(bytes: Uint8Array, offset: number): Uint8Array {
  if (bytes.length < offset + PINGWAVE_SIZE) {
    throw new WireError("buffer-too-small", "a pingwave has 72 bytes", PINGWAVE_SIZE);
  }
  const event = new Uint8Array(SEALED_PINGWAVE_SIZE);
  event[0] = SEALED_PINGWAVE_KIND;
  event.set(bytes.subarray(offset, offset + PINGWAVE_SIZE), 1);
  return event;
}
