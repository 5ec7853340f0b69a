import type { MemoryPiece } from "./memory-pieces.ts";

/**
 * The events of one packet as they are framed, from `write` until the acknowledgement. Kept as plain text: a repair is sealed
 * anew. Made and recycled by a `PacketQueue`; whoever has given it back must not look at it any more.
 */
export class FramedPacket {
  /** Where the frames are; other packets lie beside them. Undefined when there are none. */
  piece: MemoryPiece | undefined;
  /** First byte of the frames. */
  start = 0;
  /** Bytes of the frames. */
  length = 0;
  /** Frames. */
  eventCount = 0;

  // Of a packet that was sent on a reliable stream.
  /** Sequence number in the stream. */
  sequence = 0;
  /** Net header flags. */
  flags = 0;
  /** How often it was sent again. */
  retries = 0;
  /** When it was last sent, in milliseconds. */
  sentAtMs: number = Number.NEGATIVE_INFINITY;
  /** When it was first sent, in milliseconds. */
  firstSentAtMs: number = Number.NEGATIVE_INFINITY;
}
