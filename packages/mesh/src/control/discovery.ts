import {
  HeartbeatSchedule,
  PingwaveRules,
  type PingwaveSink,
  type PingwaveVerdict,
  ProximityGraph,
  type ProximityGraphStats,
  type ProximityNode,
} from "@netmesh/routing";
import {
  encodeSealedPingwave,
  high32,
  isPingwave,
  low32,
  MAX_PINGWAVE_HOPS,
  NETMESH_CONTROL,
  NodeHealth,
  PeerFeature,
  PINGWAVE_SIZE,
  PingwaveView,
  SEALED_PINGWAVE_SIZE,
  type SocketAddress,
} from "@netmesh/wire";
import type { Alarm, CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import type { Path, Session } from "../session/session.ts";
import { FloodScope } from "./flood-scope.ts";
import type { Neighbor } from "./neighbors.ts";

/** What nobody confirms is forgotten after this many session time-outs (spec/mesh.md §7.1). */
const SWEEP_AFTER_TIMEOUTS = 3;
/** But routes, which follow from announcements, too, outlive two of those. */
const MIN_ROUTE_AGE_MS = 330_000;
/** Pingwaves without a word of its next hop after which a route gives way to any other. */
const CONFIRM_WITHIN_PINGWAVES = 2;
/** Where pingwaves come fast, a stall must not cost a route. */
const MIN_CONFIRM_MS = 1_000;

const SCOPED = PeerFeature.SCOPED_FLOODS;

/** What discovery has done so far. */
export interface DiscoveryStats {
  /** The graph of who is where. */
  readonly graph: ProximityGraphStats;
  /** Pingwaves received, by what became of them. */
  readonly pingwaves: Readonly<Record<PingwaveVerdict, number>>;
  /** Copies of others' pingwaves: passed on, and withheld for want of budget. */
  readonly copies: { readonly sent: number; readonly withheld: number };
  /** Destinations in the routing table, and destinations of which at least one neighbour has told lately. */
  readonly routes: number;
  readonly destinations: number;
}

/**
 * Tells the neighbours that this node is there, and learns from them who else is (spec/routing.md §8, docs/protocol/path-liveness.md).
 *
 * Pingwaves count from neighbours only. With netmesh neighbours they travel sealed, and a plain one from their address is dropped.
 */
export class Discovery implements Alarm, PeerObserver, PingwaveSink {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  /** Who is where; nothing in it is proven. */
  readonly graph: ProximityGraph;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #rules: PingwaveRules;
  readonly #schedule: HeartbeatSchedule;
  /** How far pingwaves are passed on to netmesh peers; counted anew with every pingwave of this node. */
  readonly #scope: FloodScope;
  #radius = MAX_PINGWAVE_HOPS;
  readonly #confirmWithinMs: number;
  readonly #view = new PingwaveView();
  readonly #scratch = new Uint8Array(PINGWAVE_SIZE);
  readonly #random = new Uint8Array(4);

  constructor(state: CoreState, writer: PacketWriter) {
    const { config, nowMs, hashSeed } = state;
    this.#state = state;
    this.#writer = writer;
    this.#confirmWithinMs = Math.max(MIN_CONFIRM_MS, CONFIRM_WITHIN_PINGWAVES * config.heartbeatMs);
    const confirmWithinMs = this.#confirmWithinMs;
    this.graph = new ProximityGraph(config.nodeId, {
      hashSeed,
      radius: config.discoveryHops,
      nodeTimeoutMs: Math.max(config.sessionTimeoutMs, confirmWithinMs),
      pathTimeoutMs: confirmWithinMs,
      dedupTimeoutMs: confirmWithinMs,
      // A node that has restarted goes on above where it was.
      firstSequence: Math.max(1, Math.trunc(config.systemTime.now())),
    });
    const limits = { confirmWithinMs, maxNeighbors: config.maxPeers };
    this.#rules = new PingwaveRules(state.routes, this.graph, this, limits);
    this.#scope = new FloodScope(config.floodNodes);
    this.#schedule = new HeartbeatSchedule(config.heartbeatMs, () => this.#fraction());
    state.alarms.schedule(this, this.#schedule.first(nowMs));
  }

  /** Plain counters. */
  stats(): DiscoveryStats {
    return {
      graph: this.graph.stats(),
      pingwaves: { ...this.#rules.verdicts },
      copies: this.#rules.copies,
      routes: this.#state.routes.routeCount,
      destinations: this.#state.nextHops.size,
    };
  }

  /** How long a way holds without a word of its next hop, in milliseconds. */
  get confirmWithinMs(): number {
    return this.#confirmWithinMs;
  }

  /** Whether the node's pingwaves come here: one has within the last moments. */
  isNear(nodeId: bigint): boolean {
    return this.graph.silenceMs(low32(nodeId), high32(nodeId), this.#state.nowMs) <= this.#confirmWithinMs;
  }

  /** The nodes that pingwaves have told of, nearest first. */
  nodes(): ProximityNode[] {
    return this.graph.nodes().sort((a, b) => a.hops - b.hops || (a.id < b.id ? -1 : 1));
  }

  onConnected(session: Session): void {
    if (!session.path.routed) this.#add(session);
  }

  onPathChanged(session: Session, old: Path): void {
    if (!old.routed) this.#remove(session);
    if (!session.path.routed) this.#add(session);
    else if (!old.routed) session.directAddress = old.address;
  }

  onEnded(session: Session): void {
    this.#remove(session);
  }

  /** A round trip to a neighbour was measured: better than what clocks tell. */
  onRoundTrip({ pingwaves }: Neighbor, roundTripMs: number): void {
    this.graph.recordRoundTrip(pingwaves, roundTripMs * 1_000, this.#state.nowMs);
  }

  /** Takes the pingwave that a datagram is. */
  receivePlain(bytes: Uint8Array, from: SocketAddress): void {
    const neighbor = this.#state.neighbors.at(from);
    if (neighbor?.session.has(PeerFeature.LIVENESS) === true) {
      // Its pingwaves come sealed: this one is somebody else's.
      this.#state.counters.pingwaveForged++;
      return;
    }
    this.#receive(bytes, 0, neighbor);
  }

  /** Takes the pingwave in a control event of a netmesh peer. */
  receiveSealed(session: Session, event: Uint8Array): void {
    if (event.length !== SEALED_PINGWAVE_SIZE) {
      this.#state.counters.controlMalformed++;
      return;
    }
    const neighbor = this.#state.neighbors.get(session.peer.nodeId);
    this.#receive(event, 1, neighbor?.session === session ? neighbor : undefined);
  }

  /** Sends this node's pingwave, and forgets what nobody has confirmed for long. */
  ring(): void {
    const { nowMs, config, alarms, neighbors, routes } = this.#state;
    if (neighbors.size > 0) this.#rules.emit(this.#scratch, NodeHealth.HEALTHY, this.#wallClockUs());
    this.#confirmOwnRoutes();
    const maxAgeMs = SWEEP_AFTER_TIMEOUTS * config.sessionTimeoutMs;
    const routeAgeMs = Math.max(maxAgeMs, MIN_ROUTE_AGE_MS);
    routes.sweepStale(routeAgeMs, nowMs);
    this.#state.nextHops.sweep(nowMs - routeAgeMs);
    this.graph.sweepStaleEdges(maxAgeMs, nowMs);
    this.graph.cleanup(nowMs);
    this.#scope.clear();
    this.graph.forEachHops((hops) => this.#scope.add(hops));
    this.#radius = this.#scope.radius;
    alarms.schedule(this, this.#schedule.next(nowMs));
  }

  sendPingwave(bytes: Uint8Array, offset: number, to: SocketAddress): void {
    const { neighbors, blocked, outbox, counters } = this.#state;
    const neighbor = neighbors.at(to);
    if (neighbor === undefined || (blocked.size > 0 && blocked.has(to.key))) return;
    if (neighbor.session.has(SCOPED) && this.#view.wrap(bytes, offset).hopCount > this.#radius) {
      counters.pingwaveScoped++;
      return;
    }
    if (neighbor.session.has(PeerFeature.LIVENESS)) {
      const event = encodeSealedPingwave(bytes, offset);
      if (this.#writer.sendControl(neighbor.session, NETMESH_CONTROL, [event])) counters.pingwavesSent++;
      return;
    }
    const slot = outbox.acquire();
    if (slot === undefined) {
      counters.outboxFull++;
      return;
    }
    slot.start = 0;
    slot.length = PINGWAVE_SIZE;
    slot.bytes.set(bytes.subarray(offset, offset + PINGWAVE_SIZE));
    if (outbox.push(slot, to)) counters.pingwavesSent++;
    else counters.outboxFull++;
  }

  #receive(bytes: Uint8Array, offset: number, neighbor: Neighbor | undefined): void {
    const { nowMs, counters } = this.#state;
    if (!isPingwave(bytes, offset, PINGWAVE_SIZE)) {
      counters.pingwaveDropped++;
      return;
    }
    // Read before the rules rewrite it for the next hop.
    const { originLo, originHi, metric } = this.#view.wrap(bytes, offset);
    const from = neighbor?.pingwaves;
    const verdict = this.#rules.receive(bytes, offset, PINGWAVE_SIZE, from, nowMs, this.#wallClockUs());
    if (neighbor === undefined || (verdict !== "accepted" && verdict !== "duplicate")) {
      counters.pingwaveDropped++;
      return;
    }
    counters.pingwaveTaken++;
    this.#state.nextHops.note(originLo, originHi, neighbor.nodeId, metric, nowMs);
  }

  #add(session: Session): void {
    const { neighbors, nowMs } = this.#state;
    const { peer, path } = session;
    const known = neighbors.get(peer.nodeId);
    if (known !== undefined) this.#remove(known.session);
    const { nodeId } = peer;
    const { address } = path;
    const pingwaves = this.#rules.addNeighbor(nodeId, address, nowMs);
    neighbors.add({ nodeId, address, session, pingwaves, isDown: false });
    session.directAddress = address;
  }

  #remove(session: Session): void {
    const { neighbors } = this.#state;
    const neighbor = neighbors.get(session.peer.nodeId);
    if (neighbor?.session !== session) return;
    neighbors.remove(neighbor);
    this.#rules.removeNeighbor(neighbor.pingwaves);
  }

  /** Routes to peers that are there, and those set by hand, do not grow old. */
  #confirmOwnRoutes(): void {
    const { peers, routes, config, nowMs, manualRoutes } = this.#state;
    for (const { session, nodeId } of peers) {
      if (session === undefined || nowMs - session.lastReceiveMs > config.sessionTimeoutMs) continue;
      if (routes.lookupId(nodeId, nowMs)?.equals(session.path.address) === true) {
        routes.activateRoute(nodeId, nowMs);
      }
    }
    for (const nodeId of manualRoutes) routes.activateRoute(nodeId, nowMs);
  }

  #wallClockUs(): number {
    return Math.max(0, this.#state.config.systemTime.now() * 1_000);
  }

  #fraction(): number {
    this.#state.config.random.fill(this.#random);
    return new DataView(this.#random.buffer).getUint32(0) / 2 ** 32;
  }
}
