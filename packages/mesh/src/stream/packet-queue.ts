import { EVENT_LENGTH_PREFIX, MAX_EVENTS_PER_PACKET, readU32, writeEventFrame } from "@netmesh/wire";
import { FramedPacket } from "./framed-packet.ts";
import type { MemoryPiece, MemoryPieces } from "./memory-pieces.ts";

/** Records of recycled packets that a stream keeps. */
const MAX_FREE_RECORDS = 1_024;
/** Taken packets before the list is moved up. */
const MAX_TAKEN = 1_024;

/**
 * What a stream has still to send, as packets: each event is copied once, with its length before it, into the last of them
 * as long as it fits. Packets lie in pieces of memory that are recycled once nothing in them is needed any more.
 */
export class PacketQueue {
  /** Bytes of the frames that wait. */
  bytes = 0;
  /** The last packet, while it can still be extended. */
  open: FramedPacket | undefined;
  readonly #pieces: MemoryPieces;
  /** Packets in order, those before `#head` are taken. */
  readonly #packets: FramedPacket[] = [];
  #head = 0;
  /** Where the next packet goes. */
  #piece: MemoryPiece | undefined;
  readonly #freeRecords: FramedPacket[] = [];

  constructor(pieces: MemoryPieces) {
    this.#pieces = pieces;
  }

  /** Packets that wait. */
  get count(): number {
    return this.#packets.length - this.#head;
  }

  /** The packet to send next. */
  get first(): FramedPacket | undefined {
    return this.#packets[this.#head];
  }

  /** Whether an event of `length` bytes begins another packet, when a packet takes `limit` bytes of frames. */
  begins(length: number, limit: number): boolean {
    const { open } = this;
    return (
      open === undefined ||
      open.length + EVENT_LENGTH_PREFIX + length > limit ||
      open.eventCount >= MAX_EVENTS_PER_PACKET
    );
  }

  /** Copies an event into the last packet, or into another one when that would have more than `limit` bytes of frames. */
  add(event: Uint8Array, limit: number): void {
    const size = EVENT_LENGTH_PREFIX + event.length;
    const packet = this.begins(event.length, limit) ? this.#begin(size) : (this.open as FramedPacket);
    let piece = packet.piece as MemoryPiece;
    if (piece.used + size > piece.bytes.length) piece = this.#move(packet, size);
    piece.used = writeEventFrame(piece.bytes, piece.used, event);
    packet.length += size;
    packet.eventCount++;
    this.bytes += size;
  }

  /** Lets the next event begin another packet. */
  sealOpen(): void {
    this.open = undefined;
  }

  /** Takes the first packet out; give it back by {@link recycle}. */
  shift(): FramedPacket {
    const packet = this.#packets[this.#head] as FramedPacket;
    this.#head++;
    if (packet === this.open) this.open = undefined;
    if (this.#head === this.#packets.length) {
      this.#packets.length = 0;
      this.#head = 0;
    } else if (this.#head > MAX_TAKEN) {
      this.#packets.splice(0, this.#head);
      this.#head = 0;
    }
    this.bytes -= packet.length;
    return packet;
  }

  /** A packet whose frames others have, too; it waits for nothing. Give it back by {@link recycle}. */
  share(piece: MemoryPiece, eventCount: number): FramedPacket {
    const packet = this.#record();
    packet.piece = piece;
    packet.length = piece.used;
    packet.eventCount = eventCount;
    piece.packets++;
    return packet;
  }

  /** A packet without events, for a mark. */
  mark(): FramedPacket {
    return this.#record();
  }

  /**
   * Cuts the first packet behind the last event with which it has at most `limit` bytes of frames, behind the first event when
   * that alone has more. It had not been sent, so the rest is another packet.
   */
  cut(limit: number): void {
    const packet = this.first as FramedPacket;
    const piece = packet.piece as MemoryPiece;
    let length = 0;
    let events = 0;
    while (events < packet.eventCount) {
      const size = EVENT_LENGTH_PREFIX + readU32(piece.bytes, packet.start + length);
      if (events > 0 && length + size > limit) break;
      length += size;
      events++;
    }
    if (events === packet.eventCount) return;
    const rest = this.#record();
    rest.piece = piece;
    piece.packets++;
    rest.start = packet.start + length;
    rest.length = packet.length - length;
    rest.eventCount = packet.eventCount - events;
    packet.length = length;
    packet.eventCount = events;
    if (packet === this.open) this.open = rest;
    this.#packets.splice(this.#head + 1, 0, rest);
  }

  /** Takes a packet back that is not needed any more: its memory is that of others from now on. */
  recycle(packet: FramedPacket): void {
    const { piece } = packet;
    packet.piece = undefined;
    packet.start = 0;
    packet.length = 0;
    packet.eventCount = 0;
    if (this.#freeRecords.length < MAX_FREE_RECORDS) this.#freeRecords.push(packet);
    if (piece === undefined) return;
    piece.packets--;
    if (piece.packets === 0 && piece !== this.#piece) this.#pieces.give(piece);
  }

  /** Forgets everything; what was taken out is left to the collector. */
  clear(): void {
    this.#packets.length = 0;
    this.#head = 0;
    this.open = undefined;
    this.#piece = undefined;
    this.#freeRecords.length = 0;
    this.bytes = 0;
  }

  #record(): FramedPacket {
    return this.#freeRecords.pop() ?? new FramedPacket();
  }

  #begin(size: number): FramedPacket {
    const piece = this.#piece ?? this.#pieces.take(size, 0);
    this.#piece = piece;
    // Everything in it was acknowledged.
    if (piece.packets === 0) piece.used = 0;
    const packet = this.#record();
    packet.piece = piece;
    packet.start = piece.used;
    piece.packets++;
    this.open = packet;
    this.#packets.push(packet);
    return packet;
  }

  /** Moves the packet that is being filled to a piece in which it can have `size` more bytes. */
  #move(packet: FramedPacket, size: number): MemoryPiece {
    const from = packet.piece as MemoryPiece;
    const to = this.#pieces.take(packet.length + size, from.bytes.length);
    to.bytes.set(from.bytes.subarray(packet.start, packet.start + packet.length));
    to.used = packet.length;
    to.packets++;
    packet.piece = to;
    packet.start = 0;
    this.#piece = to;
    from.packets--;
    if (from.packets === 0) this.#pieces.give(from);
    return to;
  }
}
