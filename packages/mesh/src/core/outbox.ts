import type { PacketMemory } from "@netmesh/crypto";
import { type PacketSlot, SlotRing } from "@netmesh/pool";
import { DatagramBatch, type SocketAddress } from "@netmesh/wire";

/** Slots that may be waiting for the transport at once. */
const CAPACITY = 1_024;
const SLOT_BYTES = 8_320;

/** Datagrams on their way to the transport, in sending order. */
export class Outbox {
  /** What to hand to the transport next. */
  readonly batch: DatagramBatch = new DatagramBatch();
  readonly #slots: (PacketSlot | undefined)[] = [];
  readonly #ring: SlotRing;
  /** How many entries are borrowed bytes without a slot of their own. */
  #borrowed = 0;

  /** @param memory - where packets are sealed without a copy */
  constructor(memory: PacketMemory | undefined) {
    this.#ring = new SlotRing(SLOT_BYTES, CAPACITY, memory);
  }

  /** A free slot to build a packet in, or undefined while the transport is behind. */
  acquire(): PacketSlot | undefined {
    return this.#ring.acquire();
  }

  /** Drops everything that waits and gives the memory back; no slot can be acquired any more. */
  dispose(): void {
    this.batch.clear();
    this.#slots.length = 0;
    this.#borrowed = 0;
    this.#ring.dispose();
  }

  /** Gives a slot back that was not pushed. */
  release(slot: PacketSlot): void {
    this.#ring.release(slot);
  }

  /** Appends the `length` bytes from `slot.start`; the outbox owns the slot from here on. */
  push(slot: PacketSlot, to: SocketAddress): void {
    this.batch.push(slot.bytes.subarray(slot.start, slot.start + slot.length), to);
    this.#slots.push(slot);
  }

  /** Appends bytes that are only valid until the current input has been drained. */
  pushBorrowed(bytes: Uint8Array, to: SocketAddress): void {
    this.batch.push(bytes, to);
    this.#slots.push(undefined);
    this.#borrowed++;
  }

  /**
   * Drops the first `count` entries, which the transport has taken, and those borrowed entries that it has not.
   * Returns how many borrowed ones were lost.
   */
  taken(count: number): number {
    const { batch } = this;
    for (let i = 0; i < count; i++) {
      const slot = this.#slots[i];
      if (slot === undefined) this.#borrowed--;
      else this.#ring.release(slot);
    }
    if (count === batch.count) {
      batch.clear();
      this.#slots.length = 0;
      return 0;
    }
    const lost = this.#borrowed;
    const bytes: Uint8Array[] = [];
    const addresses: SocketAddress[] = [];
    const slots: PacketSlot[] = [];
    for (let i = count; i < batch.count; i++) {
      const slot = this.#slots[i];
      if (slot === undefined) continue;
      slots.push(slot);
      bytes.push(batch.bytes[i] as Uint8Array);
      addresses.push(batch.addresses[i] as SocketAddress);
    }
    batch.clear();
    this.#slots.length = 0;
    this.#borrowed = 0;
    for (let i = 0; i < slots.length; i++) {
      batch.push(bytes[i] as Uint8Array, addresses[i] as SocketAddress);
      this.#slots.push(slots[i]);
    }
    return lost;
  }
}
