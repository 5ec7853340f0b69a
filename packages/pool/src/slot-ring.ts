import type { PacketMemory } from "@netmesh/crypto";
import { PoolError } from "./errors.ts";
import { PACKET_OFFSET, PacketSlot } from "./packet-slot.ts";

/** Bytes of a slot: headroom, the largest datagram, and spare up to a multiple of 128. */
export const DEFAULT_SLOT_SIZE = 8320;
/** Slots of a ring unless told otherwise: at most 8.1 MiB. */
export const DEFAULT_SLOT_COUNT = 1024;
/** Slots that are allocated together, as one piece of memory. */
const CHUNK_SLOTS = 32;

/**
 * A bounded set of equal, recycled packet slots. Memory is allocated on first use, 32 slots at a time, and
 * kept until `dispose`; the slot released last is handed out first, while it is in the cache. Not for use from two
 * threads.
 */
export class SlotRing {
  /** Bytes of each slot. */
  readonly slotSize: number;
  /** Slots that can be in use at once. */
  readonly capacity: number;
  /** Every slot made so far, by its index. */
  readonly #slots: PacketSlot[] = [];
  /** The free ones among them. */
  readonly #free: PacketSlot[] = [];
  /** 1 for each slot that has an owner. */
  readonly #owned: Uint8Array;
  readonly #memory: PacketMemory | undefined;
  /** What has to go back to `#memory`. */
  readonly #borrowed: Uint8Array<ArrayBuffer>[] = [];
  #isDisposed = false;

  /**
   * `memory` is that of the AEAD provider, where it has one: packets in it are sealed where they lie. When it is used up,
   * slots lie elsewhere. Throws `invalid-size` unless `slotSize` is a multiple of 8 with room behind the headroom, and
   * `capacity` >= 1.
   */
  constructor(
    slotSize: number = DEFAULT_SLOT_SIZE,
    capacity: number = DEFAULT_SLOT_COUNT,
    memory?: PacketMemory,
  ) {
    if (!Number.isInteger(slotSize) || slotSize % 8 !== 0 || slotSize <= PACKET_OFFSET) {
      throw new PoolError("invalid-size", `no slot has ${slotSize} bytes`, slotSize);
    }
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new PoolError("invalid-size", `no ring has ${capacity} slots`, capacity);
    }
    this.slotSize = slotSize;
    this.capacity = capacity;
    this.#owned = new Uint8Array(capacity);
    this.#memory = memory;
  }

  /** Slots that have an owner. */
  get inUse(): number {
    return this.#slots.length - this.#free.length;
  }

  /** Slots for which there is memory. */
  get allocated(): number {
    return this.#slots.length;
  }

  /** A slot for the caller to own, its old contents still in it; undefined when all are in use. */
  acquire(): PacketSlot | undefined {
    if (this.#free.length === 0) this.#grow();
    const slot = this.#free.pop();
    if (slot === undefined) return undefined;
    this.#owned[slot.index] = 1;
    slot.start = PACKET_OFFSET;
    slot.length = 0;
    return slot;
  }

  /** Takes a slot back. Throws `double-release` or `foreign-slot`. */
  release(slot: PacketSlot): void {
    if (this.#slots[slot.index] !== slot) throw new PoolError("foreign-slot", "not a slot of this ring");
    if (this.#owned[slot.index] !== 1) {
      throw new PoolError("double-release", `slot ${slot.index} is free already`, slot.index);
    }
    this.#owned[slot.index] = 0;
    this.#free.push(slot);
  }

  /**
   * Gives all memory back; every slot is void then, also those in use, and `acquire` finds none. Idempotent. Only when
   * nobody reads a slot any more.
   */
  dispose(): void {
    this.#isDisposed = true;
    this.#slots.length = 0;
    this.#free.length = 0;
    for (const piece of this.#borrowed.splice(0)) this.#memory?.release(piece);
  }

  #grow(): void {
    const first = this.#slots.length;
    const count = this.#isDisposed ? 0 : Math.min(CHUNK_SLOTS, this.capacity - first);
    if (count === 0) return;
    const piece = this.#memory?.allocate(count * this.slotSize);
    if (piece !== undefined) this.#borrowed.push(piece);
    const { buffer, byteOffset } = piece ?? new Uint8Array(count * this.slotSize);
    for (let i = 0; i < count; i++) {
      const bytes = new Uint8Array(buffer, byteOffset + i * this.slotSize, this.slotSize);
      this.#slots.push(new PacketSlot(bytes, first + i));
    }
    // The last of the chunk first, so that slots are handed out in the order of their memory.
    for (let i = first + count - 1; i >= first; i--) this.#free.push(this.#slots[i] as PacketSlot);
  }
}
