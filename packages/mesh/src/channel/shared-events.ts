import { eventFramesSize, MAX_EVENTS_PER_PACKET, MAX_PAYLOAD_SIZE, writeEventFrame } from "@netmesh/wire";
import { MemoryPiece } from "../stream/memory-pieces.ts";

/** Events that several streams send. */
export class SharedEvents {
  readonly events: readonly Uint8Array[];
  /**
   * All of them, framed once as the events of one packet; whoever sends it keeps it for a repair, and nobody changes it.
   * Undefined when they do not fit one packet.
   */
  readonly piece: MemoryPiece | undefined;

  /** Copies events that fit one packet; borrows them in any case, for as long as they are written. */
  constructor(events: readonly Uint8Array[]) {
    this.events = events;
    const size = eventFramesSize(events);
    if (events.length > MAX_EVENTS_PER_PACKET || size > MAX_PAYLOAD_SIZE) return;
    this.piece = new MemoryPiece(size);
    for (const event of events) this.piece.used = writeEventFrame(this.piece.bytes, this.piece.used, event);
  }
}
