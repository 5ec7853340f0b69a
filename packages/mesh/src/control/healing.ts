import { type PathSearch, ReroutePolicy, type RerouteStats } from "@netmesh/routing";
import { PeerFeature, type SocketAddress } from "@netmesh/wire";
import type { Alarm, CoreState } from "../core/state.ts";
import type { Peer } from "../session/peer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import { isSamePath, type Path, type Session } from "../session/session.ts";
import { FlapGuard } from "./flap-guard.ts";
import type { Liveness, LivenessSink } from "./liveness.ts";
import type { Neighbor } from "./neighbors.ts";
import type { NextHop } from "./next-hops.ts";
import type { PathWatch } from "./path-watch.ts";

/** Other paths on which a peer is looked for at once. */
const MAX_CANDIDATES = 4;
/** Neighbours that nobody knows to lead to the peer, but might: asked as long as there are fewer candidates than this. */
const BLIND_CANDIDATES = 3;
/** Pingwaves of a destination that a neighbour may have missed and still be taken to lead there. */
const FRESH_PINGWAVES = 3;
/** Sessions that look for a better path are gone through this often at most. */
const MIN_RETURN_PAUSE_MS = 1_000;
/** Pings for better paths in one such turn. */
const RETURNS_PER_TURN = 512;

/** What healing needs of the sessions. */
export interface PathMover {
  /** Sends the session's packets over that path from now on. */
  movePath(session: Session, path: Path): void;
  /** Repairs what was lost on the path while it was down. */
  onPathRevived(session: Session): void;
}

/**
 * Sends what went over a failed path another way, and back when that is better (docs/protocol/path-liveness.md).
 *
 * A session moves to the first path on which its peer answers: over a neighbour that has told of the peer, over others that might
 * know it, or directly where that has worked before. Packets of others follow the routing table, where `ReroutePolicy` finds detours.
 */
export class Healer implements LivenessSink, PeerObserver, Alarm {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #state: CoreState;
  readonly #liveness: Liveness;
  readonly #mover: PathMover;
  readonly #policy: ReroutePolicy;
  readonly #guard = new FlapGuard();
  /** Neighbours that are not down, by node id. */
  readonly #reachable = new Map<bigint, SocketAddress>();
  /** The neighbour that is asked first when nobody is known to lead to a peer: another one each time. */
  #firstBlind = 0;
  #search: ((nodeId: bigint) => void) | undefined;
  #onRoundTrip: ((neighbor: Neighbor, roundTripMs: number) => void) | undefined;

  constructor(state: CoreState, liveness: Liveness, mover: PathMover) {
    this.#state = state;
    this.#liveness = liveness;
    this.#mover = mover;
    const search: PathSearch = { pathTo: (destination) => this.#detour(destination), node: () => undefined };
    this.#policy = new ReroutePolicy(state.routes, this.#reachable, search);
    liveness.report(this);
    state.alarms.schedule(this, state.nowMs + this.#returnPauseMs);
  }

  /** Sets who is told of measured round trips. */
  measure(onRoundTrip: (neighbor: Neighbor, roundTripMs: number) => void): void {
    this.#onRoundTrip = onRoundTrip;
  }

  /** Sets who looks for another way to a node. */
  searchWith(search: (nodeId: bigint) => void): void {
    this.#search = search;
  }

  /** Plain counters of the detours that packets of others take. */
  get reroutes(): RerouteStats {
    return this.#policy.stats();
  }

  /** Looks for better paths. */
  ring(): void {
    const { nowMs, alarms, peers } = this.#state;
    this.#guard.sweep(nowMs);
    let turns = 0;
    for (const { session } of peers) {
      if (session?.watch?.status === "healthy" && session.path.routed && turns < RETURNS_PER_TURN) {
        if (this.#tryBetter(session, session.watch)) turns++;
      }
    }
    alarms.schedule(this, nowMs + this.#returnPauseMs);
  }

  // What the sessions tell

  onConnected(session: Session): void {
    if (!session.path.routed) this.#reach(session.peer.nodeId, session.path.address);
  }

  onPathChanged(session: Session, old: Path): void {
    const { nodeId } = session.peer;
    if (!old.routed) this.#forsake(nodeId, old.address);
    if (!session.path.routed) this.#reach(nodeId, session.path.address);
  }

  onRecovered(session: Session): void {
    this.#state.routes.addRoute(session.peer.nodeId, session.path.address, this.#state.nowMs);
  }

  onRemoved({ nodeId }: Peer): void {
    this.#reachable.delete(nodeId);
    this.#policy.forgetPeer(nodeId);
  }

  // What watching the paths has found out

  candidates({ peer, path, directAddress }: Session): readonly Path[] {
    const { neighbors } = this.#state;
    const found: Path[] = [];
    if (path.routed && directAddress !== undefined) found.push({ address: directAddress, routed: false });
    const add = (neighbor: Neighbor | undefined) => {
      if (neighbor === undefined || neighbor.isDown || neighbor.nodeId === peer.nodeId) return;
      if (neighbor.address.equals(path.address)) return;
      if (found.some(({ address }) => address.equals(neighbor.address))) return;
      if (!this.#isBlocked(neighbor.address)) found.push({ address: neighbor.address, routed: true });
    };
    for (const { via } of this.#state.nextHops.of(peer.nodeId)) {
      if (found.length < MAX_CANDIDATES) add(neighbors.get(via));
    }
    if (found.length >= BLIND_CANDIDATES) return found;
    const all = [...neighbors];
    for (let i = 0; i < all.length && found.length < BLIND_CANDIDATES; i++) {
      add(all[(this.#firstBlind + i) % all.length]);
    }
    this.#firstBlind = (this.#firstBlind + 1) % Math.max(1, all.length);
    return found;
  }

  /** Not only when the neighbour has failed: detours cost little, and are taken back when it is heard. */
  onSuspected({ session }: PathWatch): void {
    if (!session.path.routed) this.#forsake(session.peer.nodeId, session.path.address);
    else this.#search?.(session.peer.nodeId);
  }

  onFailed({ session }: PathWatch): void {
    this.#guard.failed(session.path.address, this.#state.nowMs);
  }

  onPathAnswered(session: Session): void {
    this.#mover.onPathRevived(session);
  }

  onRevived({ session }: PathWatch): void {
    this.#mover.onPathRevived(session);
    if (!session.path.routed) this.#reach(session.peer.nodeId, session.path.address);
  }

  onAnswered(watch: PathWatch, path: Path, wasInDoubt: boolean): void {
    const { session } = watch;
    if (this.#isBlocked(path.address)) return;
    if (wasInDoubt) {
      this.#state.counters.pathsHealed++;
      // One that is only suspected has failed those who leave it.
      if (watch.status === "suspected") this.#guard.failed(session.path.address, this.#state.nowMs);
    } else this.#state.counters.pathsImproved++;
    this.#mover.movePath(session, path);
    this.#liveness.announceMove(watch, wasInDoubt);
  }

  onPeerMoved(session: Session, path: Path, hasFailed: boolean): void {
    if (!session.isConfirmed || this.#isBlocked(path.address)) return;
    if (hasFailed) this.#guard.failed(session.path.address, this.#state.nowMs);
    this.#mover.movePath(session, path);
  }

  onRoundTrip({ peer }: Session, roundTripMs: number): void {
    const neighbor = this.#state.neighbors.get(peer.nodeId);
    if (neighbor !== undefined) this.#onRoundTrip?.(neighbor, roundTripMs);
  }

  // Neighbours that come and go

  /** Everything that goes over the neighbour's address goes another way where there is one, unless another neighbour is there by now. */
  #forsake(nodeId: bigint, address: SocketAddress): void {
    const { neighbors, nowMs, peers } = this.#state;
    const neighbor = neighbors.get(nodeId);
    if (neighbor !== undefined) neighbor.isDown = true;
    const successor = neighbors.at(address);
    if (successor !== undefined && successor.nodeId !== nodeId && !successor.isDown) {
      // The node has begun anew under another id, or its NAT has given the port to another node.
      this.#reachable.delete(nodeId);
      return;
    }
    if (this.#policy.onFailure(nodeId, nowMs) > 0) this.#state.counters.neighborReroutes++;
    this.#reachable.delete(nodeId);
    for (const { session } of peers) {
      if (session?.path.routed !== true || !session.path.address.equals(address)) continue;
      this.#search?.(session.peer.nodeId);
      if (session.watch !== undefined) this.#liveness.doubt(session.watch);
      else this.#moveBlindly(session);
    }
  }

  #reach(nodeId: bigint, address: SocketAddress): void {
    const { neighbors, nowMs, routes, peers } = this.#state;
    const neighbor = neighbors.get(nodeId);
    if (neighbor !== undefined) neighbor.isDown = false;
    this.#reachable.set(nodeId, address);
    routes.addRoute(nodeId, address, nowMs);
    if (this.#policy.onRecovery(nodeId, nowMs) === 0) return;
    // Sessions stay where they have gone until they find the old path to be better.
    for (const { session } of peers) {
      if (session?.isConfirmed === true) routes.addRoute(session.peer.nodeId, session.path.address, nowMs);
    }
  }

  /** A node of the reference answers no pings: it goes where somebody has told of it. */
  #moveBlindly(session: Session): void {
    const [path] = this.candidates(session);
    if (path === undefined || this.#state.nextHops.of(session.peer.nodeId).length === 0) return;
    this.#state.counters.pathsHealed++;
    this.#mover.movePath(session, path);
  }

  #tryBetter(session: Session, watch: PathWatch): boolean {
    const { neighbors } = this.#state;
    const { peer, path, directAddress } = session;
    if (!session.has(PeerFeature.LIVENESS)) return false;
    const direct: Path | undefined = directAddress && { address: directAddress, routed: false };
    if (direct !== undefined && this.#mayReturn(direct, path)) {
      this.#liveness.tryBetter(watch, direct);
      return true;
    }
    const current = neighbors.at(path.address);
    const metric =
      current === undefined
        ? Number.POSITIVE_INFINITY
        : this.#state.nextHops.metricOver(peer.nodeId, current.nodeId);
    // How far it is over the present next hop has to be known, or any other seemed to be better.
    if (metric === Number.POSITIVE_INFINITY) return false;
    for (const hop of this.#state.nextHops.of(peer.nodeId)) {
      const neighbor = hop.metric < metric ? neighbors.get(hop.via) : undefined;
      if (neighbor === undefined || neighbor.isDown || neighbor.nodeId === peer.nodeId) continue;
      const better: Path = { address: neighbor.address, routed: true };
      if (!this.#mayReturn(better, path)) continue;
      this.#liveness.tryBetter(watch, better);
      return true;
    }
    return false;
  }

  #mayReturn(path: Path, present: Path): boolean {
    if (isSamePath(path, present) || this.#isBlocked(path.address)) return false;
    return this.#guard.mayReturn(path.address, this.#state.nowMs);
  }

  /** Ids on the way to a destination over the nearest neighbour that is up, as long as the way has hops. */
  #detour(destination: bigint): bigint[] | undefined {
    const { config, nowMs, neighbors } = this.#state;
    const isUp = ({ via }: NextHop) => this.#reachable.has(via) && neighbors.get(via)?.isDown !== true;
    const hops = this.#state.nextHops.of(destination).filter(isUp);
    // Whoever has told of it lately knows better than one who is nearer but may have lost it.
    const hop =
      hops.find(({ toldAtMs }) => nowMs - toldAtMs <= FRESH_PINGWAVES * config.heartbeatMs) ?? hops[0];
    if (hop !== undefined) {
      const { via, metric } = hop;
      const path = Array<bigint>(metric).fill(0n);
      path[0] = config.nodeId;
      path[1] = via;
      return path;
    }
    return undefined;
  }

  #isBlocked(address: SocketAddress): boolean {
    const { blocked } = this.#state;
    return blocked.size > 0 && blocked.has(address.key);
  }

  get #returnPauseMs(): number {
    return Math.max(MIN_RETURN_PAUSE_MS, this.#state.config.heartbeatMs);
  }
}
