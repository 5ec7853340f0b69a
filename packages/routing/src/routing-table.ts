import { high32, joinU64, low32, type SocketAddress } from "@netmesh/wire";
import { RouteStore } from "./route-store.ts";
import { RoutingError, requireLimit } from "./routing-error.ts";
import { StreamAccounting, type StreamTotals } from "./stream-accounting.ts";

/** Metric of a route that follows from a session; discovery starts at 2 (routing §3.2). */
export const SESSION_METRIC = 1;

/** Destinations a table holds unless told otherwise. */
export const DEFAULT_MAX_ROUTES = 1_048_576;

const MAX_METRIC = 0xffff;
/** Eviction candidates found by one pass over a full table. */
const EVICTION_BATCH = 64;

/** Limits of a {@link RoutingTable}. */
export interface RoutingTableOptions {
  /** Most destinations held; default {@link DEFAULT_MAX_ROUTES}. */
  readonly maxRoutes?: number;
  /** Age beyond which a route is no longer used, in milliseconds; default unlimited. */
  readonly maxRouteAgeMs?: number;
  /** 32 random bits, against destination ids chosen to collide; default 0. */
  readonly hashSeed?: number;
}

/** A copy of one table entry. */
export interface Route {
  readonly destination: bigint;
  readonly nextHop: SocketAddress;
  /** 0..65535, lower wins. */
  readonly metric: number;
  readonly isActive: boolean;
  /** Whether it follows from a session, and not from discovery or a detour. */
  readonly isSession: boolean;
  /** Monotonic milliseconds of the last confirmation. */
  readonly updatedAtMs: number;
}

/** Plain counters of a {@link RoutingTable}. */
export interface RoutingTableStats extends StreamTotals {
  /** Destinations held, stale and inactive ones included. */
  readonly routes: number;
  /** Distinct next hops referred to. */
  readonly nextHops: number;
  /** New destinations refused because the table was full. */
  readonly routesRefused: number;
  /** Discovered routes that made room for a session's. */
  readonly routesEvicted: number;
  /** Packets of unknown streams left uncounted because the records were used up. */
  readonly streamsRefused: number;
}

/**
 * Which next hop leads to which node: one route per destination, the session's own first (routing §3).
 *
 * There is no clock inside: `nowMs` is a monotonic clock in milliseconds, the same one for every call.
 * The packet path gives ids as unsigned 32-bit halves and allocates nothing; the rest takes `bigint`.
 *
 * Bounded by `maxRoutes`: beyond it a discovered route for a new destination is refused and counted,
 * and a session's route takes the place of the discovered route that was confirmed longest ago.
 */
export class RoutingTable {
  /** Node id of this node, all 64 bits. */
  readonly localId: bigint;
  /** Packet counters per stream. */
  readonly streams: StreamAccounting;
  readonly #localLo: number;
  readonly #localHi: number;
  readonly #maxRoutes: number;
  readonly #store: RouteStore;
  /** Stalest last: what one pass over the full table found, popped from the end. */
  #evictionCandidates: EvictionCandidate[] = [];
  #maxRouteAgeMs: number;
  #refused = 0;
  #evicted = 0;

  /** @throws RoutingError `invalid-limit` when an option is negative. */
  constructor(localId: bigint, options: RoutingTableOptions = {}) {
    const {
      maxRoutes = DEFAULT_MAX_ROUTES,
      maxRouteAgeMs = Number.POSITIVE_INFINITY,
      hashSeed = 0,
    } = options;
    requireLimit("maxRoutes", maxRoutes);
    requireLimit("maxRouteAgeMs", maxRouteAgeMs);
    this.localId = localId;
    this.#localLo = low32(localId);
    this.#localHi = high32(localId);
    this.#maxRoutes = maxRoutes;
    this.#maxRouteAgeMs = maxRouteAgeMs;
    this.#store = new RouteStore(hashSeed);
    this.streams = new StreamAccounting(hashSeed);
  }

  /** Destinations held, stale and inactive ones included. */
  get routeCount(): number {
    return this.#store.count;
  }

  /**
   * Installs a route that follows from a session: replaces whatever there is, metric 1,
   * active.
   *
   * @returns false when the table is full of session routes; that is counted as refused.
   */
  addRoute(destination: bigint, nextHop: SocketAddress, nowMs: number): boolean {
    const [lo, hi] = [low32(destination), high32(destination)];
    const slot = this.#store.find(lo, hi);
    if (slot >= 0) {
      this.#store.replace(slot, nextHop, SESSION_METRIC, true, nowMs);
      return true;
    }
    if (this.#store.count >= this.#maxRoutes && !this.#evictStalest()) {
      this.#refused += 1;
      return false;
    }
    this.#store.insert(lo, hi, nextHop, SESSION_METRIC, true, nowMs);
    return true;
  }

  /**
   * Takes an offer from discovery (routing §3.2): installed when the destination is new or the metric
   * is strictly lower. A worse or equal one proves only that the destination lives: it refreshes the
   * age and leaves next hop, metric and the active flag alone, so no peer can take over a direct route
   * by claiming the same metric.
   *
   * @param metric 0..65535; discovery starts at 2
   * @returns whether the offered next hop is now installed; false also when a full table refused it
   * @throws RoutingError `invalid-metric`
   */
  addRouteWithMetric(destination: bigint, nextHop: SocketAddress, metric: number, nowMs: number): boolean {
    requireMetric(metric);
    const [lo, hi] = [low32(destination), high32(destination)];
    const slot = this.#store.find(lo, hi);
    if (slot < 0) return this.#insertDiscovered(lo, hi, nextHop, metric, nowMs);
    if (metric < this.#store.metric(slot)) {
      this.#store.replace(slot, nextHop, metric, false, nowMs);
      return true;
    }
    this.#store.touch(slot, nowMs);
    return false;
  }

  /**
   * Takes the offer of a next hop by a pingwave, and never lets it displace a better route: installed
   * when the destination is new or the metric strictly lower. Only the installed next hop keeps its
   * route fresh, or improves its own metric; a route that it has not confirmed within
   * `confirmWithinMs` gives way to any offer. The route of a session stays.
   *
   * @param metric 2..65535
   * @returns whether the offered next hop is now installed; false also when a full table refused it
   * @throws RoutingError `invalid-metric`
   */
  offerRoute(
    destinationLo: number,
    destinationHi: number,
    nextHop: SocketAddress,
    metric: number,
    confirmWithinMs: number,
    nowMs: number,
  ): boolean {
    requireMetric(metric);
    const store = this.#store;
    const slot = store.find(destinationLo, destinationHi);
    if (slot < 0) return this.#insertDiscovered(destinationLo, destinationHi, nextHop, metric, nowMs);
    const isInstalled = store.nextHop(slot).equals(nextHop);
    if (store.isSession(slot)) {
      if (isInstalled) store.touch(slot, nowMs);
      return isInstalled;
    }
    if (metric < store.metric(slot) || nowMs - store.updatedAtMs(slot) > confirmWithinMs) {
      store.replace(slot, nextHop, metric, false, nowMs);
      return true;
    }
    if (isInstalled && metric === store.metric(slot)) store.touch(slot, nowMs);
    return isInstalled;
  }

  /**
   * Sends a destination elsewhere for the time being, whatever its route was: a detour, which any
   * better offer displaces. False when a full table refused it.
   *
   * @param metric 0..65535, the detour's own
   * @throws RoutingError `invalid-metric`
   */
  setDetour(destination: bigint, nextHop: SocketAddress, metric: number, nowMs: number): boolean {
    requireMetric(metric);
    const slot = this.#find(destination);
    if (slot < 0) {
      return this.#insertDiscovered(low32(destination), high32(destination), nextHop, metric, nowMs);
    }
    this.#store.replace(slot, nextHop, metric, false, nowMs);
    return true;
  }

  /** A copy of the route, stale or inactive ones included. */
  route(destination: bigint): Route | undefined {
    const slot = this.#find(destination);
    return slot < 0 ? undefined : this.#routeAt(slot);
  }

  /** Destinations whose packets go to `nextHop`, stale and inactive routes included. */
  destinationsVia(nextHop: SocketAddress): bigint[] {
    const store = this.#store;
    const hop = store.nextHopNumber(nextHop);
    const found: bigint[] = [];
    if (hop === undefined) return found;
    for (let slot = 0; slot < store.capacity; slot++) {
      if (store.isUsed(slot) && store.usesNextHop(slot, hop)) {
        found.push(joinU64(store.lo(slot), store.hi(slot)));
      }
    }
    return found;
  }

  /** Removes the route and returns what it was, `undefined` when there was none. */
  removeRoute(destination: bigint): Route | undefined {
    const slot = this.#find(destination);
    if (slot < 0) return undefined;
    const route = this.#routeAt(slot);
    this.#store.remove(slot);
    return route;
  }

  /**
   * Removes the route only while it still leads to `nextHop`, so that an undo cannot delete a newer
   * route; returns whether it did.
   */
  removeRouteIfNextHopIs(destination: bigint, nextHop: SocketAddress): boolean {
    const slot = this.#find(destination);
    if (slot < 0 || !this.#store.nextHop(slot).equals(nextHop)) return false;
    this.#store.remove(slot);
    return true;
  }

  /** Next hop of an active and fresh route. A stale route stays stored. Allocates nothing. */
  lookup(destinationLo: number, destinationHi: number, nowMs: number): SocketAddress | undefined {
    return this.#store.lookup(destinationLo, destinationHi, this.#maxRouteAgeMs, nowMs);
  }

  /** {@link RoutingTable.lookup}, but `undefined` also when the next hop is `excluded`. */
  lookupAlternate(
    destinationLo: number,
    destinationHi: number,
    excluded: SocketAddress,
    nowMs: number,
  ): SocketAddress | undefined {
    const nextHop = this.lookup(destinationLo, destinationHi, nowMs);
    return nextHop?.equals(excluded) ? undefined : nextHop;
  }

  /** {@link RoutingTable.lookup} by `bigint`. */
  lookupId(destination: bigint, nowMs: number): SocketAddress | undefined {
    return this.lookup(low32(destination), high32(destination), nowMs);
  }

  /** {@link RoutingTable.lookupAlternate} by `bigint`. */
  lookupAlternateId(destination: bigint, excluded: SocketAddress, nowMs: number): SocketAddress | undefined {
    return this.lookupAlternate(low32(destination), high32(destination), excluded, nowMs);
  }

  /** Whether the id is this node's own, all 64 bits. */
  isLocal(lo: number, hi: number): boolean {
    return lo >>> 0 === this.#localLo && hi >>> 0 === this.#localHi;
  }

  /** {@link RoutingTable.isLocal} by `bigint`. */
  isLocalId(id: bigint): boolean {
    return id === this.localId;
  }

  /** Deletes every route older than `maxAgeMs`, active or not; returns how many. */
  sweepStale(maxAgeMs: number, nowMs: number): number {
    requireLimit("maxAgeMs", maxAgeMs);
    const store = this.#store;
    const before = store.count;
    for (let slot = 0; slot < store.capacity; slot++) {
      // A removal moves a later record into the slot, which then has to be looked at as well.
      while (store.isUsed(slot) && nowMs - store.updatedAtMs(slot) > maxAgeMs) store.remove(slot);
    }
    return before - store.count;
  }

  /** Sets the age up to which lookups use a route; `Infinity` for no limit. An age equal to it is fresh. */
  setMaxRouteAge(maxRouteAgeMs: number): void {
    requireLimit("maxRouteAgeMs", maxRouteAgeMs);
    this.#maxRouteAgeMs = maxRouteAgeMs;
    this.#store.forgetFlows();
  }

  /** Hides the route from lookups; nothing else changes. */
  deactivateRoute(destination: bigint): void {
    const slot = this.#find(destination);
    if (slot >= 0) this.#store.setActive(slot, false);
  }

  /** Shows the route to lookups again, as fresh as a new one. */
  activateRoute(destination: bigint, nowMs: number): void {
    const slot = this.#find(destination);
    if (slot < 0) return;
    this.#store.setActive(slot, true);
    this.#store.touch(slot, nowMs);
  }

  /** A copy of every route, stale and inactive ones included, in no particular order. */
  allRoutes(): Route[] {
    const routes: Route[] = [];
    for (let slot = 0; slot < this.#store.capacity; slot++) {
      if (this.#store.isUsed(slot)) routes.push(this.#routeAt(slot));
    }
    return routes;
  }

  /** Counters and sums over every stream record. */
  aggregateStats(): RoutingTableStats {
    return {
      routes: this.#store.count,
      nextHops: this.#store.nextHopCount,
      routesRefused: this.#refused,
      routesEvicted: this.#evicted,
      streamsRefused: this.streams.refused,
      ...this.streams.totals(),
    };
  }

  #insertDiscovered(lo: number, hi: number, nextHop: SocketAddress, metric: number, nowMs: number): boolean {
    if (this.#store.count >= this.#maxRoutes) {
      this.#refused += 1;
      return false;
    }
    this.#store.insert(lo, hi, nextHop, metric, false, nowMs);
    return true;
  }

  #find(destination: bigint): number {
    return this.#store.find(low32(destination), high32(destination));
  }

  #routeAt(slot: number): Route {
    const store = this.#store;
    return {
      destination: joinU64(store.lo(slot), store.hi(slot)),
      nextHop: store.nextHop(slot),
      metric: store.metric(slot),
      isActive: store.isActive(slot),
      isSession: store.isSession(slot),
      updatedAtMs: store.updatedAtMs(slot),
    };
  }

  /**
   * Removes the discovered route confirmed longest ago; false when there is none. Ages only shrink, so
   * a candidate that has not been touched since the pass is still the stalest.
   */
  #evictStalest(): boolean {
    if (this.#evictOneOf(this.#evictionCandidates)) return true;
    this.#evictionCandidates = this.#findStalest();
    return this.#evictOneOf(this.#evictionCandidates);
  }

  #evictOneOf(candidates: EvictionCandidate[]): boolean {
    for (let next = candidates.pop(); next !== undefined; next = candidates.pop()) {
      const slot = this.#store.find(next.lo, next.hi);
      if (slot < 0 || this.#store.isSession(slot) || this.#store.updatedAtMs(slot) !== next.updatedAtMs)
        continue;
      this.#store.remove(slot);
      this.#evicted += 1;
      return true;
    }
    return false;
  }

  #findStalest(): EvictionCandidate[] {
    const store = this.#store;
    const found: EvictionCandidate[] = [];
    for (let slot = 0; slot < store.capacity; slot++) {
      if (!store.isUsed(slot) || store.isSession(slot)) continue;
      const updatedAtMs = store.updatedAtMs(slot);
      if (found.length === EVICTION_BATCH) {
        if (updatedAtMs >= (found[0] as EvictionCandidate).updatedAtMs) continue;
        found.shift();
      }
      const at = found.findIndex((each) => each.updatedAtMs <= updatedAtMs);
      found.splice(at < 0 ? found.length : at, 0, { lo: store.lo(slot), hi: store.hi(slot), updatedAtMs });
    }
    return found;
  }
}

function requireMetric(metric: number): void {
  if (Number.isInteger(metric) && metric >= 0 && metric <= MAX_METRIC) return;
  throw new RoutingError("invalid-metric", `a metric is an integer 0..${MAX_METRIC}, got ${metric}`, metric);
}

interface EvictionCandidate {
  readonly lo: number;
  readonly hi: number;
  readonly updatedAtMs: number;
}
