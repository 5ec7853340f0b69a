import type { PacketMemory } from "@netmesh/crypto";
import { type PacketSlot, SlotRing } from "@netmesh/pool";
import { FairScheduler, PriorityShares } from "@netmesh/routing";
import { DatagramBatch, RoutingFlags, readU32, type SocketAddress } from "@netmesh/wire";

/** Slots that may be waiting for the transport at once. */
const CAPACITY = 1_024;
const SLOT_BYTES = 8_320;
/** Packets of others that wait in front of the queues, having been there when the transport was full. */
const MAX_LEFTOVERS = 1_024;
/** Packets of others, and bytes, that wait in the queues. */
const MAX_QUEUED = 16_384;
const MAX_QUEUED_BYTES = 16 * 1_024 * 1_024;
/** Packets that leave the queues at once. */
const REFILL = 64;
/** Of those the most that one source can have by the priority flag, which anybody can set. */
const PRIORITY_PER_SOURCE = REFILL / 8;
/** Memory for copies: most datagrams fit, and so many buffers are kept. */
const COPY_BYTES = 2_048;
const MAX_SPARES = 1_024;

/** Where a routing header has its flags and its source. */
const FLAGS_AT = 4;
const SOURCE_AT = 6;

/** What becomes of a datagram's bytes once the transport has taken them. */
type Holder = PacketSlot | Uint8Array | undefined;

/**
 * Datagrams on their way to the transport. As long as it takes everything they go in the order in which they come, without a copy.
 *
 * Once it does not, what is left waits, and what comes after waits in a queue of its source: this node is one, and the source of every
 * packet that is forwarded. The queues take turns, and leave grouped by next hop. Up to 8 packets of a source with the priority flag go
 * before all others; further ones wait in its queue, and after 16 in a row another queue has its turn.
 * Bounds: 1024 packets of this node, whatever others send; 1024 of each other source, 16 384 of all others and 16 MiB. Whatever
 * exceeds them is refused.
 */
export class Outbox {
  /** What to hand to the transport next. */
  readonly batch: DatagramBatch = new DatagramBatch();
  /** Per entry of the batch. */
  readonly #holders: Holder[] = [];
  /** Whether the entry's bytes are valid only until the input has been drained. */
  readonly #isBorrowed: boolean[] = [];
  readonly #ring: SlotRing;
  readonly #scheduler: FairScheduler;
  readonly #shares: PriorityShares;
  /** Whose bytes wait in the queues. */
  readonly #queued = new Map<Uint8Array, Holder>();
  readonly #spares: Uint8Array[] = [];
  readonly #ownLo: number;
  readonly #ownHi: number;
  /** Packets of others in the queues, and their bytes. */
  #foreign = 0;
  #foreignBytes = 0;
  /** The transport has not taken everything, and something still waits. */
  #isCongested = false;

  /**
   * @param memory - where packets are sealed without a copy
   * @param ownLo - low half of this node's id, the source of what it sends itself
   * @param ownHi - high half; other sources are known by their low halves only
   * @param hashSeed - 32 random bits
   */
  constructor(memory: PacketMemory | undefined, ownLo: number, ownHi: number, hashSeed: number) {
    this.#ring = new SlotRing(SLOT_BYTES, CAPACITY, memory);
    this.#ownLo = ownLo;
    // Not 0, under which the others are.
    this.#ownHi = ownHi === 0 ? 1 : ownHi;
    this.#shares = new PriorityShares(PRIORITY_PER_SOURCE, hashSeed);
    this.#scheduler = new FairScheduler({
      hashSeed,
      maxPackets: MAX_QUEUED + CAPACITY,
      maxBytes: MAX_QUEUED_BYTES + CAPACITY * SLOT_BYTES,
      maxDepth: CAPACITY,
    });
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    return this.batch.count === 0 && this.#scheduler.depth === 0;
  }

  /** A free slot to build a packet in, or undefined while the transport is behind. */
  acquire(): PacketSlot | undefined {
    return this.#ring.acquire();
  }

  /** Drops everything that waits and gives the memory back; no slot can be acquired any more. */
  dispose(): void {
    this.batch.clear();
    this.#holders.length = 0;
    this.#isBorrowed.length = 0;
    while (this.#scheduler.dequeue() !== undefined);
    this.#queued.clear();
    this.#foreign = 0;
    this.#foreignBytes = 0;
    this.#spares.length = 0;
    this.#ring.dispose();
  }

  /** Gives a slot back that was not pushed. */
  release(slot: PacketSlot): void {
    this.#ring.release(slot);
  }

  /** Appends the `length` bytes from `slot.start`; the outbox owns the slot from here on. False when it was refused. */
  push(slot: PacketSlot, to: SocketAddress): boolean {
    const bytes = slot.bytes.subarray(slot.start, slot.start + slot.length);
    if (!this.#isCongested) {
      this.#append(bytes, to, slot, false);
      return true;
    }
    if (this.#enqueue(bytes, to, slot, this.#ownLo, this.#ownHi, false)) return true;
    this.#ring.release(slot);
    return false;
  }

  /** Appends bytes of this node that nobody changes any more. False when they were refused. */
  pushKept(bytes: Uint8Array, to: SocketAddress): boolean {
    if (this.#isCongested) return this.#enqueue(bytes, to, undefined, this.#ownLo, this.#ownHi, false);
    this.#append(bytes, to, undefined, false);
    return true;
  }

  /** Appends a routed packet of somebody else, whose bytes are only valid until the input has been drained. False when it was refused. */
  pushBorrowed(bytes: Uint8Array, to: SocketAddress): boolean {
    if (this.#isCongested) return this.#enqueueCopy(bytes, to);
    this.#append(bytes, to, undefined, true);
    return true;
  }

  /** Moves what has its turn from the queues into the batch, once what was there before has gone. */
  refill(): void {
    const { batch } = this;
    if (!this.#isCongested || batch.count > 0) return;
    const packets: { bytes: Uint8Array; to: SocketAddress }[] = [];
    for (let i = 0; i < REFILL; i++) {
      const packet = this.#scheduler.dequeue();
      if (packet === undefined) break;
      if (packet.isPriority) this.#shares.left(packet.bytes);
      packets.push({ bytes: packet.bytes, to: packet.nextHop });
    }
    // By next hop, so that the transport can join what goes there; the order of each is kept.
    const groups = new Map<string, typeof packets>();
    for (const packet of packets) {
      const group = groups.get(packet.to.key);
      if (group === undefined) groups.set(packet.to.key, [packet]);
      else group.push(packet);
    }
    for (const group of groups.values()) {
      for (const { bytes, to } of group) {
        const holder = this.#queued.get(bytes);
        if (holder instanceof Uint8Array) {
          this.#foreign--;
          this.#foreignBytes -= bytes.length;
        }
        this.#append(bytes, to, holder, false);
        this.#queued.delete(bytes);
      }
    }
    this.#isCongested = batch.count > 0 || this.#scheduler.depth > 0;
  }

  /**
   * Drops the first `count` entries, which the transport has taken; the others wait. Returns how many borrowed ones found no room
   * and were lost.
   */
  taken(count: number): number {
    const { batch } = this;
    for (let i = 0; i < count; i++) this.#free(this.#holders[i]);
    if (count === batch.count) {
      batch.clear();
      this.#holders.length = 0;
      this.#isBorrowed.length = 0;
      if (this.#isCongested) this.#isCongested = this.#scheduler.depth > 0;
      return 0;
    }
    return this.#keepFrom(count);
  }

  /** Moves the entries from `count` on to the front, with copies of what was only borrowed. */
  #keepFrom(count: number): number {
    const { batch } = this;
    const total = batch.count;
    const bytes = batch.bytes.slice(count, total);
    const addresses = batch.addresses.slice(count, total);
    const holders = this.#holders.slice(count, total);
    const isBorrowed = this.#isBorrowed.slice(count, total);
    batch.clear();
    this.#holders.length = 0;
    this.#isBorrowed.length = 0;
    this.#isCongested = true;
    let copies = 0;
    let lost = 0;
    for (let i = 0; i < bytes.length; i++) {
      const entry = bytes[i] as Uint8Array;
      const to = addresses[i] as SocketAddress;
      if (isBorrowed[i] !== true) this.#append(entry, to, holders[i], false);
      else if (copies < MAX_LEFTOVERS) {
        copies++;
        const copy = this.#copy(entry);
        this.#append(copy.subarray(0, entry.length), to, copy, false);
      } else if (!this.#enqueueCopy(entry, to)) lost++;
    }
    return lost;
  }

  #append(bytes: Uint8Array, to: SocketAddress, holder: Holder, isBorrowed: boolean): void {
    this.batch.push(bytes, to);
    this.#holders.push(holder);
    this.#isBorrowed.push(isBorrowed);
  }

  #enqueueCopy(bytes: Uint8Array, to: SocketAddress): boolean {
    if (this.#foreign >= MAX_QUEUED || this.#foreignBytes + bytes.length > MAX_QUEUED_BYTES) return false;
    const copy = this.#copy(bytes);
    const hasFlag = ((bytes[FLAGS_AT] as number) & RoutingFlags.PRIORITY) !== 0;
    const isPriority = hasFlag && this.#shares.hasRoom(bytes);
    if (!this.#enqueue(copy.subarray(0, bytes.length), to, copy, readU32(bytes, SOURCE_AT), 0, isPriority)) {
      this.#free(copy);
      return false;
    }
    if (isPriority) this.#shares.entered(bytes);
    this.#foreign++;
    this.#foreignBytes += bytes.length;
    return true;
  }

  #enqueue(
    bytes: Uint8Array,
    to: SocketAddress,
    holder: Holder,
    sourceLo: number,
    sourceHi: number,
    isPriority: boolean,
  ): boolean {
    if (!this.#scheduler.enqueue(bytes, to, sourceLo, sourceHi, isPriority, 0)) return false;
    this.#queued.set(bytes, holder);
    return true;
  }

  #copy(bytes: Uint8Array): Uint8Array {
    const spare = bytes.length <= COPY_BYTES ? this.#spares.pop() : undefined;
    const copy = spare ?? new Uint8Array(Math.max(COPY_BYTES, bytes.length));
    copy.set(bytes);
    return copy;
  }

  #free(holder: Holder): void {
    if (holder === undefined) return;
    if (!(holder instanceof Uint8Array)) this.#ring.release(holder);
    else if (holder.length === COPY_BYTES && this.#spares.length < MAX_SPARES) this.#spares.push(holder);
  }
}
