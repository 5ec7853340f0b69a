import { high32, low32, type SocketAddress, U64Map } from "@netmesh/wire";
import { NO_PACKET, type PacketFifo, PacketStore } from "./packet-store.ts";
import { RoutingError, requireCount } from "./routing-error.ts";

/** Packets a stream of weight 1 may send per round unless told otherwise (routing §5). */
export const DEFAULT_QUANTUM = 16;
/** Packets a queue holds unless told otherwise (routing §5). */
export const DEFAULT_MAX_DEPTH = 1024;

/** Dequeues between two removals of empty queues. */
const CLEANUP_INTERVAL = 1024;

/** Limits of a {@link FairScheduler}. */
export interface FairSchedulerOptions {
  /** Packets per stream, round and unit of weight; default {@link DEFAULT_QUANTUM}. */
  readonly quantum?: number;
  /** Packets in each stream's queue and in the priority lane; default {@link DEFAULT_MAX_DEPTH}. */
  readonly maxDepth?: number;
  /** Packets in all queues together; default 65 536. */
  readonly maxPackets?: number;
  /** Bytes in all queues together; default 64 MiB. */
  readonly maxBytes?: number;
  /** Streams with a queue; default 65 536. */
  readonly maxStreams?: number;
  /** Priority packets in a row while others wait; default 16, `Infinity` for strict priority. */
  readonly priorityBurst?: number;
  /** 32 random bits, against stream ids chosen to collide; default 0. */
  readonly hashSeed?: number;
}

/** Plain counters of a {@link FairScheduler}. */
export interface FairSchedulerStats {
  /** Packets held now. */
  readonly depth: number;
  /** Their bytes. */
  readonly bytes: number;
  /** Streams that have a queue, empty ones included. */
  readonly streams: number;
  /** Packets ever accepted. */
  readonly totalQueued: number;
  /** Packets refused, for any of the reasons below. */
  readonly totalDropped: number;
  /** Refused because their queue was full. */
  readonly droppedQueueFull: number;
  /** Refused because all queues together held too many packets or bytes. */
  readonly droppedTotalFull: number;
  /** Refused because too many streams had packets waiting. */
  readonly droppedStreams: number;
}

/** A packet as it leaves a {@link FairScheduler}; one object, filled again by the next dequeue. */
export interface QueuedPacket {
  /** The caller's again. */
  readonly bytes: Uint8Array;
  readonly nextHop: SocketAddress;
  readonly isPriority: boolean;
  /** Monotonic milliseconds at which it was queued. */
  readonly queuedAtMs: number;
}

/**
 * Shares a way out among streams (routing §4): a bounded FIFO per stream id, served packet by packet
 * in turn, each stream up to quantum × weight packets a round, and a priority lane before them.
 *
 * A stream without packets takes no part in the rounds, so a dequeue costs the same for any number of
 * streams. What a stream sent in a round stays counted while its queue is empty: draining and coming
 * back earns nothing. Weights outlive the queues they apply to.
 *
 * Bounds: `maxDepth` a queue, `maxPackets` and `maxBytes` in all, beyond which packets are refused and
 * counted; `maxStreams` queues, where the queue that has been empty longest makes room. No flood of
 * priority packets starves the streams: after `priorityBurst` in a row a waiting stream has its turn.
 */
export class FairScheduler {
  readonly #quantum: number;
  readonly #maxDepth: number;
  readonly #maxPackets: number;
  readonly #maxBytes: number;
  readonly #maxStreams: number;
  readonly #priorityBurst: number;
  readonly #packets: PacketStore = new PacketStore();
  readonly #streams: U64Map<StreamQueue>;
  /** Set by the application; 1 where there is none. */
  readonly #weights: U64Map<number>;
  readonly #priority: PacketFifo = { head: NO_PACKET, tail: NO_PACKET, depth: 0 };
  /** Streams with packets and quantum left in this round, in turn. */
  #turn: Rotation = new Rotation();
  /** Streams with packets that used their quantum up. */
  #nextRound: Rotation = new Rotation();
  /** Streams without packets, the one empty longest first. */
  readonly #empty: EmptyQueues = new EmptyQueues();
  /** Queue objects to be used again. */
  readonly #spares: StreamQueue[] = [];
  readonly #taken: Taken = { bytes: NO_BYTES, nextHop: undefined, isPriority: false, queuedAtMs: 0 };
  #round = 0;
  #prioritiesInARow = 0;
  #dequeueCalls = 0;
  #depth = 0;
  #bytes = 0;
  #totalQueued = 0;
  #droppedQueueFull = 0;
  #droppedTotalFull = 0;
  #droppedStreams = 0;

  /** @throws RoutingError `invalid-limit` when a limit is below 1 or not whole. */
  constructor(options: FairSchedulerOptions = {}) {
    const {
      quantum = DEFAULT_QUANTUM,
      maxDepth = DEFAULT_MAX_DEPTH,
      maxPackets = 65_536,
      maxBytes = 64 * 1024 * 1024,
      maxStreams = 65_536,
      priorityBurst = 16,
      hashSeed = 0,
    } = options;
    requireCount("quantum", quantum);
    requireCount("maxDepth", maxDepth);
    requireCount("maxPackets", maxPackets);
    requireCount("maxBytes", maxBytes);
    requireCount("maxStreams", maxStreams);
    requireCount("priorityBurst", priorityBurst);
    this.#quantum = quantum;
    this.#maxDepth = maxDepth;
    this.#maxPackets = maxPackets;
    this.#maxBytes = maxBytes;
    this.#maxStreams = maxStreams;
    this.#priorityBurst = priorityBurst;
    this.#streams = new U64Map(hashSeed);
    this.#weights = new U64Map(hashSeed);
  }

  /** Packets held now. */
  get depth(): number {
    return this.#depth;
  }

  /** Streams that have a queue, empty ones included. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Plain counters. */
  stats(): FairSchedulerStats {
    return {
      depth: this.#depth,
      bytes: this.#bytes,
      streams: this.#streams.size,
      totalQueued: this.#totalQueued,
      totalDropped: this.#droppedQueueFull + this.#droppedTotalFull + this.#droppedStreams,
      droppedQueueFull: this.#droppedQueueFull,
      droppedTotalFull: this.#droppedTotalFull,
      droppedStreams: this.#droppedStreams,
    };
  }

  /**
   * Takes a packet over, bytes included, until it is dequeued. False when it was refused, which is
   * counted; it is still the caller's then. Stream id in unsigned halves.
   */
  enqueue(
    bytes: Uint8Array,
    nextHop: SocketAddress,
    streamLo: number,
    streamHi: number,
    isPriority: boolean,
    nowMs: number,
  ): boolean {
    if (this.#depth >= this.#maxPackets || this.#bytes + bytes.length > this.#maxBytes) {
      this.#droppedTotalFull += 1;
      return false;
    }
    if (isPriority) {
      if (this.#priority.depth >= this.#maxDepth) return this.#refuseFull();
      this.#packets.push(this.#priority, bytes, nextHop, nowMs);
    } else {
      const queue = this.#streams.get(streamLo, streamHi) ?? this.#create(streamLo, streamHi);
      if (queue === undefined) {
        this.#droppedStreams += 1;
        return false;
      }
      if (queue.depth >= this.#maxDepth) return this.#refuseFull();
      this.#packets.push(queue, bytes, nextHop, nowMs);
      if (queue.depth === 1) this.#activate(queue);
    }
    this.#depth += 1;
    this.#bytes += bytes.length;
    this.#totalQueued += 1;
    return true;
  }

  /**
   * The next packet, whose bytes are the caller's again, or `undefined` when there is none. The object
   * is valid until the next call.
   */
  dequeue(): QueuedPacket | undefined {
    this.#dequeueCalls += 1;
    if (this.#dequeueCalls % CLEANUP_INTERVAL === 0) this.cleanupEmpty();
    if (this.#priority.depth > 0 && !this.#isPriorityHeldBack()) {
      this.#prioritiesInARow += 1;
      return this.#take(this.#priority, true);
    }
    this.#prioritiesInARow = 0;
    const queue = this.#nextInTurn();
    if (queue === undefined) return undefined;
    if (queue.round !== this.#round) {
      queue.round = this.#round;
      queue.sentThisRound = 0;
    }
    queue.sentThisRound += 1;
    const packet = this.#take(queue, false);
    if (queue.depth === 0) this.#empty.push(queue);
    else if (queue.sentThisRound < this.#quantum * queue.weight) this.#turn.push(queue);
    else this.#nextRound.push(queue);
    return packet;
  }

  /**
   * Sets how many quanta a stream gets per round, from now on and for good; below 1 counts as 1. The
   * stream gets an empty queue when it has none and there is room.
   *
   * @throws RoutingError `invalid-limit` when the weight is not an integer.
   */
  setStreamWeight(stream: bigint, weight: number): void {
    if (!Number.isInteger(weight)) {
      throw new RoutingError("invalid-limit", `a weight is an integer, got ${weight}`, weight);
    }
    const [lo, hi] = [low32(stream), high32(stream)];
    const atLeastOne = Math.max(1, weight);
    if (atLeastOne === 1) this.#weights.delete(lo, hi);
    else this.#weights.set(lo, hi, atLeastOne);
    const queue = this.#streams.get(lo, hi) ?? this.#create(lo, hi);
    if (queue !== undefined) queue.weight = atLeastOne;
  }

  /** Removes the queues that hold nothing and returns how many; their weights stay. Runs by itself, too. */
  cleanupEmpty(): number {
    let removed = 0;
    while (this.#evictEmpty()) removed += 1;
    return removed;
  }

  #isPriorityHeldBack(): boolean {
    return this.#prioritiesInARow >= this.#priorityBurst && this.#depth > this.#priority.depth;
  }

  #refuseFull(): boolean {
    this.#droppedQueueFull += 1;
    return false;
  }

  #nextInTurn(): StreamQueue | undefined {
    const queue = this.#turn.shift();
    if (queue !== undefined) return queue;
    // Nobody is left in this round: every stream starts the next one with nothing sent.
    this.#round += 1;
    [this.#turn, this.#nextRound] = [this.#nextRound, this.#turn];
    return this.#turn.shift();
  }

  #take(fifo: PacketFifo, isPriority: boolean): QueuedPacket {
    const place = this.#packets.shift(fifo);
    const taken = this.#taken;
    taken.bytes = this.#packets.bytes[place] as Uint8Array;
    taken.nextHop = this.#packets.nextHops[place];
    taken.isPriority = isPriority;
    taken.queuedAtMs = this.#packets.queuedAtMs[place] as number;
    this.#packets.free(place);
    this.#depth -= 1;
    this.#bytes -= taken.bytes.length;
    return taken as QueuedPacket;
  }

  #create(lo: number, hi: number): StreamQueue | undefined {
    if (this.#streams.size >= this.#maxStreams && !this.#evictEmpty()) return undefined;
    const queue = this.#spares.pop() ?? new StreamQueue();
    queue.lo = lo;
    queue.hi = hi;
    queue.weight = this.#weights.get(lo, hi) ?? 1;
    queue.round = -1;
    this.#streams.set(lo, hi, queue);
    this.#empty.push(queue);
    return queue;
  }

  #evictEmpty(): boolean {
    const queue = this.#empty.shift();
    if (queue === undefined) return false;
    this.#streams.delete(queue.lo, queue.hi);
    if (this.#spares.length < CLEANUP_INTERVAL) this.#spares.push(queue);
    return true;
  }

  #activate(queue: StreamQueue): void {
    this.#empty.remove(queue);
    const isSpent = queue.round === this.#round && queue.sentThisRound >= this.#quantum * queue.weight;
    (isSpent ? this.#nextRound : this.#turn).push(queue);
  }
}

const NO_BYTES = new Uint8Array(0);

interface Taken {
  bytes: Uint8Array;
  nextHop: SocketAddress | undefined;
  isPriority: boolean;
  queuedAtMs: number;
}

/** The packets of one stream; in a rotation while it has some, among the empty queues otherwise. */
class StreamQueue implements PacketFifo {
  lo = 0;
  hi = 0;
  head: number = NO_PACKET;
  tail: number = NO_PACKET;
  depth = 0;
  weight = 1;
  /** Round that `sentThisRound` counts. */
  round = -1;
  sentThisRound = 0;
  /** Neighbours in the list it is in; a rotation uses only `next`. */
  next: StreamQueue | undefined;
  previous: StreamQueue | undefined;
}

/** Streams that take turns: a FIFO. */
class Rotation {
  #first: StreamQueue | undefined;
  #last: StreamQueue | undefined;

  push(queue: StreamQueue): void {
    if (this.#last === undefined) this.#first = queue;
    else this.#last.next = queue;
    this.#last = queue;
  }

  shift(): StreamQueue | undefined {
    const queue = this.#first;
    if (queue === undefined) return undefined;
    this.#first = queue.next;
    if (this.#first === undefined) this.#last = undefined;
    queue.next = undefined;
    return queue;
  }
}

/** Streams without packets, in the order in which they ran empty. */
class EmptyQueues {
  #first: StreamQueue | undefined;
  #last: StreamQueue | undefined;

  push(queue: StreamQueue): void {
    queue.previous = this.#last;
    if (this.#last === undefined) this.#first = queue;
    else this.#last.next = queue;
    this.#last = queue;
  }

  shift(): StreamQueue | undefined {
    const queue = this.#first;
    if (queue !== undefined) this.remove(queue);
    return queue;
  }

  remove(queue: StreamQueue): void {
    if (queue.previous === undefined) this.#first = queue.next;
    else queue.previous.next = queue.next;
    if (queue.next === undefined) this.#last = queue.previous;
    else queue.next.previous = queue.previous;
    queue.next = undefined;
    queue.previous = undefined;
  }
}
