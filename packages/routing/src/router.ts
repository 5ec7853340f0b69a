import type { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { DEFAULT_MAX_DEPTH, FairScheduler, type FairSchedulerOptions } from "./fair-scheduler.ts";
import { PriorityShares } from "./priority-shares.ts";
import { RouteDecision, type RouteVerdict } from "./route-decision.ts";
import { requireCount } from "./routing-error.ts";
import type { RoutingTable } from "./routing-table.ts";

/** Most packets one {@link Router.drain} takes (routing §5.2). */
export const MAX_DRAIN = 64;

/** Ends a group of packets. */
const LAST = 255;

/** What becomes of a datagram given to a {@link Router}. */
export type RouterVerdict = RouteVerdict | "queue-full";

/** Limits of a {@link Router}. */
export interface RouterOptions extends FairSchedulerOptions {
  /**
   * Packets one source may have in the priority lane, further ones wait in their stream's queue;
   * default a quarter of `maxDepth`. The priority flag and the source are unauthenticated bytes.
   */
  readonly priorityPerSource?: number;
}

/** Plain counters of a {@link Router}; every datagram received is in exactly one of the others. */
export interface RouterStats {
  readonly received: number;
  readonly bytesReceived: number;
  /** Accepted for the next hop. */
  readonly forwarded: number;
  readonly bytesForwarded: number;
  /** For this node. */
  readonly local: number;
  /** The sum of the reasons below. */
  readonly dropped: number;
  readonly droppedTooShort: number;
  readonly droppedInvalidHeader: number;
  readonly droppedLoop: number;
  readonly droppedTtlExpired: number;
  readonly droppedNoRoute: number;
  readonly droppedQueueFull: number;
  /** Priority packets that went into their stream's queue, as their source had its share of the lane. */
  readonly priorityDemoted: number;
  /** Mean time that packets waited in a queue, in milliseconds; 0 when none has left. */
  readonly meanQueueMs: number;
  /** Destinations in the table. */
  readonly routes: number;
  /** Streams with a record. */
  readonly streams: number;
}

/**
 * A stand-alone router (routing §5) without the socket: datagrams go in, batches come out. It opens
 * nothing and needs no key; a forward rewrites the 18 bytes of the routing header in place.
 *
 * After {@link Router.route}, call {@link Router.drain} until it gives nothing; it groups what it takes
 * by next hop. A packet with ttl 1 expires here, unlike in a mesh node, which still sends it on.
 */
export class Router {
  readonly table: RoutingTable;
  /** For stream weights and its counters; packets enter and leave through the router. */
  readonly scheduler: FairScheduler;
  readonly #decision: RouteDecision;
  readonly #shares: PriorityShares;
  #isRunning = true;
  #counters: Counters = newCounters();
  // What a drain has taken, chained into groups by next hop.
  readonly #taken: Uint8Array[] = [];
  readonly #nextInGroup: Uint8Array = new Uint8Array(MAX_DRAIN);
  readonly #groupHops: SocketAddress[] = [];
  readonly #groupFirst: Uint8Array = new Uint8Array(MAX_DRAIN);
  readonly #groupLast: Uint8Array = new Uint8Array(MAX_DRAIN);

  /** @throws RoutingError `invalid-limit` as {@link FairScheduler}. */
  constructor(table: RoutingTable, options: RouterOptions = {}) {
    const { maxDepth = DEFAULT_MAX_DEPTH, hashSeed = 0 } = options;
    const { priorityPerSource = Math.max(1, Math.floor(maxDepth / 4)) } = options;
    requireCount("priorityPerSource", priorityPerSource);
    this.table = table;
    this.scheduler = new FairScheduler(options);
    this.#decision = new RouteDecision(table, "router");
    this.#shares = new PriorityShares(priorityPerSource, hashSeed);
  }

  /** Whether {@link Router.drain} gives anything out. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Lets packets out again; false when it is running already. A new router is running. */
  start(): boolean {
    if (this.#isRunning) return false;
    this.#isRunning = true;
    return true;
  }

  /** Keeps packets in from now on; they stay queued up to the limits. */
  stop(): void {
    this.#isRunning = false;
  }

  /**
   * Decides over a datagram (routing §5.1). On `forward` it belongs to the router, header rewritten,
   * until a drain hands it on; otherwise it stays the caller's. On `local` the packet starts at byte 18.
   * Never throws.
   */
  route(datagram: Uint8Array, nowMs: number): RouterVerdict {
    const { length } = datagram;
    const decision = this.#decision;
    const counters = this.#counters;
    const { streams } = this.table;
    counters.received += 1;
    counters.bytesReceived += length;
    const verdict = decision.decide(datagram, 0, length, nowMs);
    const { streamLo, streamHi } = decision;
    switch (verdict) {
      case "local":
        counters.local += 1;
        streams.recordIn(streamLo, streamHi, length, nowMs);
        return verdict;
      case "forward":
        break;
      case "too-short":
      case "invalid-header":
        counters.dropped[verdict] += 1;
        return verdict;
      default:
        counters.dropped[verdict] += 1;
        streams.recordDrop(streamLo, streamHi, nowMs);
        return verdict;
    }
    const nextHop = decision.nextHop as SocketAddress;
    const isPriority = decision.hasPriority && this.#shares.hasRoom(datagram);
    if (!this.scheduler.enqueue(datagram, nextHop, streamLo, streamHi, isPriority, nowMs)) {
      counters.dropped["queue-full"] += 1;
      streams.recordDrop(streamLo, streamHi, nowMs);
      return "queue-full";
    }
    if (isPriority) this.#shares.entered(datagram);
    else if (decision.hasPriority) counters.priorityDemoted += 1;
    streams.recordForward(streamLo, streamHi, length, nowMs);
    counters.forwarded += 1;
    counters.bytesForwarded += length;
    return "forward";
  }

  /**
   * Appends up to `max` packets to `batch` and returns how many: those for one next hop side by side
   * and in order, next hops in the order of their first packet. Their bytes are the caller's again.
   *
   * @param max at most {@link MAX_DRAIN}
   */
  drain(batch: DatagramBatch, nowMs: number, max: number = MAX_DRAIN): number {
    if (!this.#isRunning) return 0;
    const limit = Math.min(max, MAX_DRAIN);
    const { scheduler } = this;
    const counters = this.#counters;
    const hops = this.#groupHops;
    let count = 0;
    let groups = 0;
    for (; count < limit; count++) {
      const packet = scheduler.dequeue();
      if (packet === undefined) break;
      const { bytes, nextHop } = packet;
      if (packet.isPriority) this.#shares.left(bytes);
      counters.queueMs += nowMs - packet.queuedAtMs;
      counters.left += 1;
      this.#taken[count] = bytes;
      let group = 0;
      // The table hands out one object per next hop; two for the same one would only be two groups.
      while (group < groups && hops[group] !== nextHop) group += 1;
      if (group === groups) {
        hops[group] = nextHop;
        this.#groupFirst[group] = count;
        groups += 1;
      } else {
        this.#nextInGroup[this.#groupLast[group] as number] = count;
      }
      this.#groupLast[group] = count;
      this.#nextInGroup[count] = LAST;
    }
    for (let group = 0; group < groups; group++) {
      const nextHop = hops[group] as SocketAddress;
      for (let i = this.#groupFirst[group] as number; i !== LAST; i = this.#nextInGroup[i] as number) {
        batch.push(this.#taken[i] as Uint8Array, nextHop);
      }
    }
    return count;
  }

  /** Counters since the last reset. */
  stats(): RouterStats {
    const { dropped, queueMs, left, ...counters } = this.#counters;
    return {
      ...counters,
      dropped: Object.values(dropped).reduce((sum, count) => sum + count),
      droppedTooShort: dropped["too-short"],
      droppedInvalidHeader: dropped["invalid-header"],
      droppedLoop: dropped.loop,
      droppedTtlExpired: dropped["ttl-expired"],
      droppedNoRoute: dropped["no-route"],
      droppedQueueFull: dropped["queue-full"],
      meanQueueMs: left === 0 ? 0 : queueMs / left,
      routes: this.table.routeCount,
      streams: this.table.streams.streamCount,
    };
  }

  /** Starts the counters over; table, queues and stream records stay as they are. */
  resetStats(): void {
    this.#counters = newCounters();
  }
}

interface Counters {
  received: number;
  bytesReceived: number;
  forwarded: number;
  bytesForwarded: number;
  local: number;
  priorityDemoted: number;
  dropped: Record<Exclude<RouterVerdict, "local" | "forward">, number>;
  /** Sum of the times that `left` packets waited. */
  queueMs: number;
  left: number;
}

function newCounters(): Counters {
  return {
    received: 0,
    bytesReceived: 0,
    forwarded: 0,
    bytesForwarded: 0,
    local: 0,
    priorityDemoted: 0,
    dropped: {
      "too-short": 0,
      "invalid-header": 0,
      loop: 0,
      "ttl-expired": 0,
      "no-route": 0,
      "queue-full": 0,
    },
    queueMs: 0,
    left: 0,
  };
}
