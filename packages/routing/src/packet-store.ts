import type { SocketAddress } from "@netmesh/wire";

const FIRST_CAPACITY = 64;

/** Ends a {@link PacketFifo}. */
export const NO_PACKET = -1;

/** A chain of packets in a {@link PacketStore}, oldest first. */
export interface PacketFifo {
  head: number;
  tail: number;
  depth: number;
}

/**
 * The packets of every queue of a scheduler, as numbered places in parallel arrays that are chained
 * into FIFOs and reused: queueing a packet allocates nothing once the arrays have grown.
 *
 * It holds a reference to the bytes, which belong to the scheduler until they are taken out.
 */
export class PacketStore {
  /** Bytes of the packet at each place, `undefined` at free ones. */
  readonly bytes: (Uint8Array | undefined)[] = [];
  /** Where each packet goes. */
  readonly nextHops: (SocketAddress | undefined)[] = [];
  /** Monotonic milliseconds at which each packet was queued. */
  queuedAtMs: Float64Array = new Float64Array(FIRST_CAPACITY);
  #next: Int32Array = new Int32Array(FIRST_CAPACITY);
  #firstFree: number = NO_PACKET;
  #used = 0;

  /** Appends a packet to the chain. */
  push(fifo: PacketFifo, bytes: Uint8Array, nextHop: SocketAddress, nowMs: number): void {
    const place = this.#take();
    this.bytes[place] = bytes;
    this.nextHops[place] = nextHop;
    this.queuedAtMs[place] = nowMs;
    this.#next[place] = NO_PACKET;
    if (fifo.depth === 0) fifo.head = place;
    else this.#next[fifo.tail] = place;
    fifo.tail = place;
    fifo.depth += 1;
  }

  /** Unchains the oldest packet of a chain that has one; its place stays valid until {@link PacketStore.free}. */
  shift(fifo: PacketFifo): number {
    const place = fifo.head;
    fifo.head = this.#next[place] as number;
    fifo.depth -= 1;
    return place;
  }

  /** Gives the place back and lets go of what it referred to. */
  free(place: number): void {
    this.bytes[place] = undefined;
    this.nextHops[place] = undefined;
    this.#next[place] = this.#firstFree;
    this.#firstFree = place;
  }

  #take(): number {
    const free = this.#firstFree;
    if (free !== NO_PACKET) {
      this.#firstFree = this.#next[free] as number;
      return free;
    }
    if (this.#used === this.#next.length) this.#grow();
    this.#used += 1;
    return this.#used - 1;
  }

  #grow(): void {
    const next = new Int32Array(this.#next.length * 2);
    next.set(this.#next);
    this.#next = next;
    const queuedAtMs = new Float64Array(this.queuedAtMs.length * 2);
    queuedAtMs.set(this.queuedAtMs);
    this.queuedAtMs = queuedAtMs;
  }
}
