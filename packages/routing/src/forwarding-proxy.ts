import {
  high32,
  low32,
  ROUTING_HEADER_SIZE,
  RoutingFlags,
  readU32,
  type SocketAddress,
  U64Map,
  WireError,
  writeRoutingHeader,
} from "@netmesh/wire";
import { RouteDecision, type RouteVerdict } from "./route-decision.ts";
import { RoutingTable, type RoutingTableOptions } from "./routing-table.ts";

const DESTINATION_AT = 10;

/** What a proxy forwarded towards one destination, and what it dropped on the way. */
export interface HopStats {
  readonly forwarded: number;
  readonly dropped: number;
  readonly bytes: number;
  /** Mean of the latencies given, 0 when there are none. */
  readonly meanLatencyNs: number;
}

/** Totals of a {@link ForwardingProxy}. */
export interface ProxyStats extends HopStats {
  readonly received: number;
  readonly local: number;
  /** Forwards that could not be sent and were taken back. */
  readonly sendFailed: number;
  readonly routes: number;
}

/** Hands a datagram to the network; false when that failed. */
export type SendDatagram = (datagram: Uint8Array, to: SocketAddress) => boolean;

/**
 * Forwards routed packets without keys, queues or loop check (routing §10); the socket is the caller's.
 * Statistics are kept for destinations that have a route and go with it, so unknown destinations cost nothing.
 */
export class ForwardingProxy {
  readonly #table: RoutingTable;
  readonly #decision: RouteDecision;
  readonly #hops: U64Map<Tally>;
  #total: Tally = newTally();
  #received = 0;
  #local = 0;
  #sendFailed = 0;

  /** @throws RoutingError `invalid-limit` as {@link RoutingTable}. */
  constructor(localId: bigint, options: RoutingTableOptions = {}) {
    this.#table = new RoutingTable(localId, options);
    this.#decision = new RouteDecision(this.#table, "proxy");
    this.#hops = new U64Map(options.hashSeed);
  }

  /** Where the last datagram goes, on `forward` only. */
  get nextHop(): SocketAddress | undefined {
    return this.#decision.nextHop;
  }

  /** Destinations with a route. */
  get routeCount(): number {
    return this.#table.routeCount;
  }

  /** Sends packets for `destination` to `nextHop` from now on; false when the table is full. */
  addRoute(destination: bigint, nextHop: SocketAddress, nowMs: number): boolean {
    return this.#table.addRoute(destination, nextHop, nowMs);
  }

  /** Forgets the route and the destination's statistics; false when there was none. */
  removeRoute(destination: bigint): boolean {
    this.#hops.deleteId(destination);
    return this.#table.removeRoute(destination) !== undefined;
  }

  /**
   * Decides over a datagram, whose header is rewritten in place on `forward`; it stays the caller's.
   * On `local` the packet starts at byte 18. Never throws.
   */
  forward(datagram: Uint8Array, nowMs: number): RouteVerdict {
    this.#received += 1;
    const verdict = this.#decision.decide(datagram, 0, datagram.length, nowMs);
    if (verdict === "local") {
      this.#local += 1;
      return verdict;
    }
    if (verdict === "forward") {
      count(this.#total, datagram.length, 1);
      count(this.#hopOf(datagram), datagram.length, 1);
      return verdict;
    }
    this.#total.dropped += 1;
    // Destinations without a route are anybody's invention: nothing is kept about them.
    if (verdict === "ttl-expired" && this.#hasRoute(datagram, nowMs)) this.#hopOf(datagram).dropped += 1;
    return verdict;
  }

  /**
   * {@link ForwardingProxy.forward}, then `send`. When sending fails, the forward is taken back from the statistics.
   *
   * @returns the verdict, or `send-failed`
   */
  forwardAndSend(datagram: Uint8Array, nowMs: number, send: SendDatagram): RouteVerdict | "send-failed" {
    const verdict = this.forward(datagram, nowMs);
    if (verdict !== "forward" || send(datagram, this.nextHop as SocketAddress)) return verdict;
    this.#sendFailed += 1;
    count(this.#total, datagram.length, -1);
    count(this.#hopOf(datagram), datagram.length, -1);
    return "send-failed";
  }

  /** Adds a measured latency to the destination's mean and to the total; 0 means not measured. */
  recordLatency(destination: bigint, latencyNs: number): void {
    if (latencyNs === 0 || this.#table.lookupId(destination, 0) === undefined) return;
    for (const tally of [this.#total, this.#tallyOf(low32(destination), high32(destination))]) {
      tally.latencyNs += latencyNs;
      tally.samples += 1;
    }
  }

  /** Statistics of a destination, `undefined` when nothing was forwarded there since it has a route. */
  hopStats(destination: bigint): HopStats | undefined {
    const tally = this.#hops.getId(destination);
    return tally && statsOf(tally);
  }

  /** Totals. */
  stats(): ProxyStats {
    return {
      ...statsOf(this.#total),
      received: this.#received,
      local: this.#local,
      sendFailed: this.#sendFailed,
      routes: this.routeCount,
    };
  }

  /** Starts totals and the statistics of all destinations over. */
  resetStats(): void {
    this.#hops.clear();
    this.#total = newTally();
    this.#received = 0;
    this.#local = 0;
    this.#sendFailed = 0;
  }

  #hasRoute(datagram: Uint8Array, nowMs: number): boolean {
    const lo = readU32(datagram, DESTINATION_AT);
    return this.#table.lookup(lo, readU32(datagram, DESTINATION_AT + 4), nowMs) !== undefined;
  }

  #hopOf(datagram: Uint8Array): Tally {
    return this.#tallyOf(readU32(datagram, DESTINATION_AT), readU32(datagram, DESTINATION_AT + 4));
  }

  #tallyOf(lo: number, hi: number): Tally {
    const known = this.#hops.get(lo, hi);
    if (known !== undefined) return known;
    const tally = newTally();
    this.#hops.set(lo, hi, tally);
    return tally;
  }
}

/** Whether a built packet asks for the priority lane, is marked as control, or neither. */
export type RoutedPacketKind = "plain" | "priority" | "control";

const FLAGS: Readonly<Record<RoutedPacketKind, number>> = {
  plain: 0,
  priority: RoutingFlags.PRIORITY,
  control: RoutingFlags.CONTROL,
};

/**
 * A routing header in front of `payload`, in new bytes: what a sender gives to its first router.
 *
 * @param sourceId node id of the sender, of which the header carries the low 32 bits
 * @throws WireError `invalid-argument` when the ttl is no integer 0..255.
 */
export function buildRoutedPacket(
  sourceId: bigint,
  destination: bigint,
  ttl: number,
  payload: Uint8Array,
  kind: RoutedPacketKind = "plain",
): Uint8Array {
  if (!Number.isInteger(ttl) || ttl < 0 || ttl > 255) {
    throw new WireError("invalid-argument", `a ttl is an integer 0..255, got ${ttl}`, ttl);
  }
  const packet = new Uint8Array(ROUTING_HEADER_SIZE + payload.length);
  writeRoutingHeader(packet, 0, ttl, FLAGS[kind], low32(sourceId), low32(destination), high32(destination));
  packet.set(payload, ROUTING_HEADER_SIZE);
  return packet;
}

interface Tally {
  forwarded: number;
  dropped: number;
  bytes: number;
  latencyNs: number;
  samples: number;
}

function newTally(): Tally {
  return { forwarded: 0, dropped: 0, bytes: 0, latencyNs: 0, samples: 0 };
}

function count(tally: Tally, bytes: number, times: 1 | -1): void {
  tally.forwarded += times;
  tally.bytes += times * bytes;
}

function statsOf({ forwarded, dropped, bytes, latencyNs, samples }: Tally): HopStats {
  return { forwarded, dropped, bytes, meanLatencyNs: samples === 0 ? 0 : latencyNs / samples };
}
