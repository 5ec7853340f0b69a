import {
  isPingwave,
  MAX_PINGWAVE_HOPS,
  type NodeHealth,
  PingwaveView,
  type SocketAddress,
} from "@netmesh/wire";
import { type NeighborLimits, PingwaveNeighbor } from "./pingwave-neighbor.ts";
import type { ProximityGraph } from "./proximity-graph.ts";
import { RoutingError, requireLimit } from "./routing-error.ts";
import type { RoutingTable } from "./routing-table.ts";
import { TokenBucket } from "./token-bucket.ts";

/** What became of a pingwave. */
export type PingwaveVerdict =
  /** News: told to the graph, the table and the other neighbours. */
  | "accepted"
  /** A copy of the newest one: at most another path to its origin. */
  | "duplicate"
  /** Dropped: fewer than 72 bytes, an unknown health, or an origin that is no node id. */
  | "malformed"
  /** Dropped: this node's own. */
  | "own"
  /** Dropped: it made 16 hops. */
  | "exhausted"
  /** Dropped: its source is no neighbour. */
  | "unregistered"
  /** Dropped: the neighbour sends too many. */
  | "rate-limited"
  /** Dropped: the neighbour tells of too many unknown nodes. */
  | "origin-limited"
  /** Dropped: older than what the origin sent since. */
  | "stale"
  /** Dropped: no room for another node. */
  | "full";

/** Takes pingwaves to send. The bytes are borrowed for the call. */
export interface PingwaveSink {
  /** Sends the 72 bytes at `offset`. */
  sendPingwave(bytes: Uint8Array, offset: number, to: SocketAddress): void;
}

/** Parameters of {@link PingwaveRules}. */
export interface PingwaveRulesOptions extends NeighborLimits {
  /** How long a route holds without its next hop's word, in milliseconds; default 10 000, two pingwaves. */
  readonly confirmWithinMs?: number;
  /** Copies of others' pingwaves sent a second; default 20 000. Own ones are not counted. */
  readonly copiesPerSecond?: number;
  /** Neighbours; default 16 384. */
  readonly maxNeighbors?: number;
}

/**
 * The rules by which pingwaves become knowledge (routing §8.2): who is listened to, how much, what it
 * may change, and whom it is passed on to.
 *
 * Only pingwaves from the address of a registered neighbour count, one with an authenticated session.
 * They offer routes with metric hop count + 2 that never displace a session's route or a better one.
 * What is news goes on to every neighbour but the one it came from and the one that packets for its
 * origin go to, in an order that starts elsewhere each time, so that the budget of copies starves
 * nobody. Nothing is allocated per pingwave in steady state.
 *
 * Pingwaves are plaintext: whoever can send from a neighbour's address can tell lies within that
 * neighbour's limits. A route that was only discovered is enough to start a handshake, whose keys
 * decide who is at the other end; data should wait for the session's own route.
 */
export class PingwaveRules {
  readonly #table: RoutingTable;
  readonly #graph: ProximityGraph;
  readonly #sink: PingwaveSink;
  readonly #limits: NeighborLimits;
  readonly #confirmWithinMs: number;
  readonly #copiesPerSecond: number;
  readonly #maxNeighbors: number;
  /** In the order of registration. */
  readonly #neighbors: PingwaveNeighbor[] = [];
  #copies: TokenBucket | undefined;
  readonly #view: PingwaveView = new PingwaveView();
  #firstReceiver = 0;
  readonly #verdicts: Record<PingwaveVerdict, number> = {
    accepted: 0,
    duplicate: 0,
    malformed: 0,
    own: 0,
    exhausted: 0,
    unregistered: 0,
    "rate-limited": 0,
    "origin-limited": 0,
    stale: 0,
    full: 0,
  };
  #copiesSent = 0;
  #copiesWithheld = 0;

  /** @throws RoutingError `invalid-limit` */
  constructor(
    table: RoutingTable,
    graph: ProximityGraph,
    sink: PingwaveSink,
    options: PingwaveRulesOptions = {},
  ) {
    const { confirmWithinMs = 10_000, copiesPerSecond = 20_000, maxNeighbors = 16_384 } = options;
    requireLimit("confirmWithinMs", confirmWithinMs);
    requireLimit("copiesPerSecond", copiesPerSecond);
    requireLimit("maxNeighbors", maxNeighbors);
    this.#table = table;
    this.#graph = graph;
    this.#sink = sink;
    this.#limits = options;
    this.#confirmWithinMs = confirmWithinMs;
    this.#copiesPerSecond = copiesPerSecond;
    this.#maxNeighbors = maxNeighbors;
  }

  /** Neighbours registered. */
  get neighborCount(): number {
    return this.#neighbors.length;
  }

  /** Pingwaves received, by what became of them. */
  get verdicts(): Readonly<Record<PingwaveVerdict, number>> {
    return this.#verdicts;
  }

  /** Copies of others' pingwaves handed to the sink, and those that the budget withheld. */
  get copies(): { readonly sent: number; readonly withheld: number } {
    return { sent: this.#copiesSent, withheld: this.#copiesWithheld };
  }

  /**
   * Registers a peer with which there is a direct, authenticated session; keep the object for
   * {@link PingwaveRules.receive}.
   *
   * @throws RoutingError `invalid-limit` when there are `maxNeighbors` already.
   */
  addNeighbor(id: bigint, address: SocketAddress, nowMs: number): PingwaveNeighbor {
    if (this.#neighbors.length >= this.#maxNeighbors) {
      const message = `there are ${this.#maxNeighbors} neighbours already`;
      throw new RoutingError("invalid-limit", message, this.#maxNeighbors);
    }
    const neighbor = new PingwaveNeighbor(id, address, this.#limits, nowMs);
    this.#neighbors.push(neighbor);
    return neighbor;
  }

  /** Forgets a neighbour, whose session ended; false when it was forgotten before. */
  removeNeighbor(neighbor: PingwaveNeighbor): boolean {
    const index = this.#neighbors.indexOf(neighbor);
    if (index < 0) return false;
    this.#neighbors.splice(index, 1);
    this.#graph.removeNeighbor(neighbor);
    return true;
  }

  /**
   * Takes the pingwave in `bytes` from `offset`, `length` bytes long. Its ttl and hop count are
   * rewritten in place when it is passed on. Never throws.
   *
   * @param from the neighbour that the datagram's source address belongs to, if any
   */
  receive(
    bytes: Uint8Array,
    offset: number,
    length: number,
    from: PingwaveNeighbor | undefined,
    nowMs: number,
    wallClockUs: number,
  ): PingwaveVerdict {
    const verdict = this.#receive(bytes, offset, length, from, nowMs, wallClockUs);
    this.#verdicts[verdict] += 1;
    return verdict;
  }

  /**
   * Writes this node's next pingwave into `scratch` (72 bytes) and sends it to every neighbour.
   * @throws WireError as {@link ProximityGraph.createPingwave}.
   */
  emit(scratch: Uint8Array, health: NodeHealth, wallClockUs: number): void {
    this.#graph.createPingwave(scratch, 0, health, wallClockUs);
    for (const neighbor of this.#neighbors) this.#sink.sendPingwave(scratch, 0, neighbor.address);
  }

  #receive(
    bytes: Uint8Array,
    offset: number,
    length: number,
    from: PingwaveNeighbor | undefined,
    nowMs: number,
    wallClockUs: number,
  ): PingwaveVerdict {
    if (!isPingwave(bytes, offset, length)) return "malformed";
    const pingwave = this.#view.wrap(bytes, offset);
    const { originLo, originHi } = pingwave;
    if (this.#table.isLocal(originLo, originHi)) return "own";
    if (pingwave.hopCount >= MAX_PINGWAVE_HOPS) return "exhausted";
    if (from === undefined) return "unregistered";
    if (!from.pingwaves.take(nowMs)) return "rate-limited";
    if (!pingwave.hasNodeId) return "malformed";
    if (!this.#graph.has(originLo, originHi) && !from.newOrigins.take(nowMs)) return "origin-limited";
    const { metric } = pingwave;
    const verdict = this.#graph.onPingwave(pingwave, from, this.#neighbors.length, nowMs, wallClockUs);
    switch (verdict) {
      case "forward":
      case "accepted":
        this.#table.offerRoute(originLo, originHi, from.address, metric, this.#confirmWithinMs, nowMs);
        if (verdict === "forward") this.#passOn(bytes, offset, from, originLo, originHi, nowMs);
        return "accepted";
      case "duplicate":
        // A copy of an older wave, replayed perhaps, must not keep a route alive.
        if (!this.#graph.confirmsPath(pingwave, from, nowMs)) return "stale";
        this.#table.offerRoute(originLo, originHi, from.address, metric, this.#confirmWithinMs, nowMs);
        return "duplicate";
      default:
        return verdict;
    }
  }

  #passOn(
    bytes: Uint8Array,
    offset: number,
    from: PingwaveNeighbor,
    originLo: number,
    originHi: number,
    nowMs: number,
  ): void {
    const neighbors = this.#neighbors;
    const count = neighbors.length;
    if (count === 0) return;
    const towardsOrigin = this.#table.lookup(originLo, originHi, nowMs);
    this.#copies ??= new TokenBucket(this.#copiesPerSecond, this.#copiesPerSecond, nowMs);
    this.#firstReceiver = (this.#firstReceiver + 1) % count;
    for (let i = 0; i < count; i++) {
      const { address } = neighbors[(this.#firstReceiver + i) % count] as PingwaveNeighbor;
      if (address.equals(from.address) || towardsOrigin?.equals(address) === true) continue;
      if (!this.#copies.take(nowMs)) {
        this.#copiesWithheld += 1;
        continue;
      }
      this.#copiesSent += 1;
      this.#sink.sendPingwave(bytes, offset, address);
    }
  }
}
