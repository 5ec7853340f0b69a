/**
 * Where a packet starts in a slot: the 18-byte routing header fits in front of it, and the packet's 64-bit
 * fields are aligned.
 */
export const PACKET_OFFSET = 32;

/**
 * A fixed-size piece of memory for one datagram. It has one owner at a time; handing it on is a move, and the
 * last owner releases it to its ring.
 */
export class PacketSlot {
  /** All bytes of the slot, headroom included; the same array for the slot's whole life. */
  readonly bytes: Uint8Array;
  /** Number within the ring. */
  readonly index: number;
  /** Where the datagram starts in `bytes`; `PACKET_OFFSET` in a fresh slot. */
  start: number = PACKET_OFFSET;
  /** Bytes of the datagram from `start` on; 0 in a fresh slot. */
  length = 0;

  /** Made by `SlotRing`. */
  constructor(bytes: Uint8Array, index: number) {
    this.bytes = bytes;
    this.index = index;
  }

  /** The datagram, as a view into the slot: valid until the slot is released. */
  get datagram(): Uint8Array {
    return this.bytes.subarray(this.start, this.start + this.length);
  }
}
