/**
 * A bounded queue of packets in shared memory, from several threads to one. A writer takes its place before it
 * draws a counter, and the places are read in order: so nobody who is held up in the middle of a packet is
 * overtaken by more than the ring holds.
 */

/** What to post to the other threads. */
export interface RingMemory {
  readonly memory: SharedArrayBuffer;
  readonly slots: number;
  readonly slotSize: number;
}

const TAIL = 0;
const HEAD = 1;
const CONTROL_WORDS = 2;
/** Places that the reader frees at a time. */
const FREE_BATCH = 16;
/** In place of a length: the writer has ended. */
const END = -1;

export class PacketRing {
  readonly #slots: number;
  readonly #control: Int32Array;
  /** For each slot the number of the last place in it that was written, plus 1. */
  readonly #written: Int32Array;
  readonly #lengths: Int32Array;
  readonly #bytes: Uint8Array[];
  /** The reader's next place. */
  #next = 0;

  constructor({ memory, slots, slotSize }: RingMemory) {
    this.#slots = slots;
    this.#control = new Int32Array(memory, 0, CONTROL_WORDS);
    this.#written = new Int32Array(memory, 4 * CONTROL_WORDS, slots);
    this.#lengths = new Int32Array(memory, 4 * (CONTROL_WORDS + slots), slots);
    const start = 4 * (CONTROL_WORDS + 2 * slots);
    this.#bytes = Array.from(
      { length: slots },
      (_, i) => new Uint8Array(memory, start + i * slotSize, slotSize),
    );
  }

  static allocate(slots: number, slotSize: number): RingMemory {
    return { memory: new SharedArrayBuffer(4 * CONTROL_WORDS + slots * (8 + slotSize)), slots, slotSize };
  }

  /** Takes the next place; waits while the ring is full. */
  reserve(): number {
    const place = Atomics.add(this.#control, TAIL, 1);
    for (;;) {
      const head = Atomics.load(this.#control, HEAD);
      if (place - head < this.#slots) return place;
      Atomics.wait(this.#control, HEAD, head);
    }
  }

  /** Where to write the packet of a place. */
  bytesOf(place: number): Uint8Array {
    return this.#bytes[place % this.#slots] as Uint8Array;
  }

  /** Hands a place on, 0 being a place left empty. */
  publish(place: number, length: number): void {
    const slot = place % this.#slots;
    this.#lengths[slot] = length;
    Atomics.store(this.#written, slot, place + 1);
    Atomics.notify(this.#written, slot);
  }

  /** Tells the reader that this writer has ended. */
  end(): void {
    this.publish(this.reserve(), END);
  }

  /** Reads place after place, packets only, until so many writers have ended. The bytes are good during the call. */
  read(writers: number, onPacket: (bytes: Uint8Array, length: number) => void): void {
    for (let left = writers; left > 0; ) {
      const place = this.#next++;
      const slot = place % this.#slots;
      for (;;) {
        const written = Atomics.load(this.#written, slot);
        if (written === place + 1) break;
        Atomics.wait(this.#written, slot, written);
      }
      const length = this.#lengths[slot] as number;
      if (length === END) left--;
      else if (length > 0) onPacket(this.#bytes[slot] as Uint8Array, length);
      if (this.#next % FREE_BATCH === 0 || left === 0) {
        Atomics.store(this.#control, HEAD, this.#next);
        Atomics.notify(this.#control, HEAD);
      }
    }
  }
}
