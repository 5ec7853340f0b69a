import { MAX_PINGWAVE_HOPS, type SocketAddress } from "@netmesh/wire";
import type { Route, RoutingTable } from "./routing-table.ts";

/** Metric of a detour over a peer of which nobody says that it has a path: any discovered route is better. */
export const BLIND_DETOUR_METRIC: number = MAX_PINGWAVE_HOPS + 2;

/** Where the connected peers are, by node id. */
export type PeerAddresses = ReadonlyMap<bigint, SocketAddress>;

/** What the policy asks the graph; a `ProximityGraph` fits. */
export interface PathSearch {
  /** Node ids from this node to the destination, both included. */
  pathTo(destination: bigint): bigint[] | undefined;
  /** Where word of the node comes from, and over how many hops. */
  node(id: bigint): { readonly address: SocketAddress; readonly hops: number } | undefined;
}

/** Plain counters of a {@link ReroutePolicy}. */
export interface RerouteStats {
  /** Destinations on a detour now. */
  readonly activeReroutes: number;
  /** Failures that sent at least one destination on a detour. */
  readonly rerouteCount: number;
  /** Recoveries that brought at least one back. */
  readonly recoveryCount: number;
}

/**
 * Sends what went through a failed peer another way, and back when the peer returns (routing §6).
 *
 * A detour has the metric of the path it takes, so discovery may improve it; one over a peer nobody
 * knows a path through has the worst metric. Where the failed peer's address is shared, as behind a relay,
 * no detour goes there. The choice is the same for the same knowledge: the graph's path, the graph's
 * best neighbour, the lowest peer id. A destination that found a better way meanwhile is left alone.
 *
 * Bounded by the table: one record per destination that was rerouted. Records of peers that never
 * return go with {@link ReroutePolicy.forgetPeer}.
 */
export class ReroutePolicy {
  readonly #table: RoutingTable;
  readonly #peers: PeerAddresses;
  readonly #graph: PathSearch | undefined;
  readonly #saved: Map<bigint, Saved> = new Map();
  #rerouteCount = 0;
  #recoveryCount = 0;

  /** @param peers live view of the peers with a session */
  constructor(table: RoutingTable, peers: PeerAddresses, graph?: PathSearch) {
    this.#table = table;
    this.#peers = peers;
    this.#graph = graph;
  }

  /** Plain counters. */
  stats(): RerouteStats {
    return {
      activeReroutes: this.#saved.size,
      rerouteCount: this.#rerouteCount,
      recoveryCount: this.#recoveryCount,
    };
  }

  /** The peer fails: everything that went to its address goes another way where there is one. Returns how many. */
  onFailure(failed: bigint, nowMs: number): number {
    const failedAddress = this.#peers.get(failed);
    if (failedAddress === undefined) return 0;
    let moved = 0;
    const blind = this.#blindDetour(failed, failedAddress);
    for (const destination of this.#table.destinationsVia(failedAddress)) {
      const detour = this.#graphDetour(failed, failedAddress, destination) ?? blind;
      if (detour === undefined) continue;
      const before = this.#table.route(destination) as Route;
      this.#table.setDetour(destination, detour.address, detour.metric, nowMs);
      moved += 1;
      const saved = this.#saved.get(destination);
      if (saved === undefined) {
        this.#saved.set(destination, {
          failedNode: failed,
          detour: detour.address,
          metric: before.metric,
          wasSession: before.isSession,
        });
      } else {
        saved.detour = detour.address;
      }
    }
    if (moved > 0) this.#rerouteCount += 1;
    return moved;
  }

  /**
   * The peer is back, wherever it is now: what it carried before goes through it again, unless a session
   * or a path that is no detour serves it better. Returns how many destinations moved.
   */
  onRecovery(node: bigint, nowMs: number): number {
    const address = this.#peers.get(node);
    if (address === undefined) return 0;
    let restored = 0;
    for (const [destination, saved] of this.#saved) {
      if (saved.failedNode !== node) continue;
      this.#saved.delete(destination);
      if (!this.#isOnDetour(destination, saved)) continue;
      if (saved.wasSession) this.#table.addRoute(destination, address, nowMs);
      else this.#table.setDetour(destination, address, saved.metric, nowMs);
      restored += 1;
    }
    if (restored > 0) this.#recoveryCount += 1;
    return restored;
  }

  /** The peer is evicted and will not be restored; its detours become ordinary routes. Returns how many. */
  forgetPeer(node: bigint): number {
    let forgotten = 0;
    for (const [destination, saved] of this.#saved) {
      if (saved.failedNode !== node) continue;
      this.#saved.delete(destination);
      forgotten += 1;
    }
    return forgotten;
  }

  /** Whether the destination still goes the way it was sent, or has no better one than it had. */
  #isOnDetour(destination: bigint, saved: Saved): boolean {
    const route = this.#table.route(destination);
    if (route === undefined || route.nextHop.equals(saved.detour)) return true;
    return !route.isSession && route.metric >= saved.metric;
  }

  /** The first connected peer on the graph's path to the destination, at the length of the path from there. */
  #graphDetour(failed: bigint, failedAddress: SocketAddress, destination: bigint): Detour | undefined {
    const path = this.#graph?.pathTo(destination);
    if (path !== undefined) {
      for (let i = 1; i < path.length; i++) {
        const address = this.#usable(path[i] as bigint, failed, failedAddress);
        if (address !== undefined) return { address, metric: path.length - i + 1 };
      }
    }
    const node = this.#graph?.node(destination);
    if (node === undefined || node.address.equals(failedAddress)) return undefined;
    for (const address of this.#peers.values()) {
      if (address.equals(node.address)) return { address, metric: node.hops + 1 };
    }
    return undefined;
  }

  /** The connected peer with the lowest id that the graph knows, else the lowest id. */
  #blindDetour(failed: bigint, failedAddress: SocketAddress): Detour | undefined {
    let best: bigint | undefined;
    let isBestKnown = false;
    for (const id of this.#peers.keys()) {
      if (id === 0n || this.#usable(id, failed, failedAddress) === undefined) continue;
      const isKnown = this.#graph?.node(id) !== undefined;
      const isBetter = isKnown === isBestKnown ? best === undefined || id < best : isKnown;
      if (!isBetter) continue;
      best = id;
      isBestKnown = isKnown;
    }
    const address = best === undefined ? undefined : this.#peers.get(best);
    return address && { address, metric: BLIND_DETOUR_METRIC };
  }

  #usable(id: bigint, failed: bigint, failedAddress: SocketAddress): SocketAddress | undefined {
    const address = id === failed ? undefined : this.#peers.get(id);
    return address?.equals(failedAddress) === true ? undefined : address;
  }
}

interface Detour {
  readonly address: SocketAddress;
  readonly metric: number;
}

interface Saved {
  /** The first peer that failed on the way; its recovery brings the destination back. */
  readonly failedNode: bigint;
  /** Of the route before. */
  readonly metric: number;
  readonly wasSession: boolean;
  detour: SocketAddress;
}
