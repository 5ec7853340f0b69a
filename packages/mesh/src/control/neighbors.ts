import type { PingwaveNeighbor } from "@netmesh/routing";
import type { SocketAddress } from "@netmesh/wire";
import type { Session } from "../session/session.ts";

/** A peer that is reached without a relay. */
export interface Neighbor {
  readonly nodeId: bigint;
  readonly address: SocketAddress;
  /** The session in use with it. */
  readonly session: Session;
  /** What it may tell of others. */
  readonly pingwaves: PingwaveNeighbor;
  /** Its path has failed: nothing goes over it that can go another way. */
  isDown: boolean;
}

/** The neighbours of this node; one for each confirmed session with a direct path, so `maxPeers` bounds them. */
export class Neighbors {
  readonly #byAddress = new Map<string, Neighbor>();
  readonly #byId = new Map<bigint, Neighbor>();

  /** How many there are. */
  get size(): number {
    return this.#byId.size;
  }

  /** The neighbour at that address. */
  at(address: SocketAddress): Neighbor | undefined {
    return this.#byAddress.get(address.key);
  }

  /** The neighbour of that node id. */
  get(nodeId: bigint): Neighbor | undefined {
    return this.#byId.get(nodeId);
  }

  /** The neighbours, in the order in which they were added. */
  [Symbol.iterator](): Iterator<Neighbor> {
    return this.#byId.values();
  }

  /** Adds a neighbour; at an address that another one had, it is there instead. */
  add(neighbor: Neighbor): void {
    this.#byId.set(neighbor.nodeId, neighbor);
    this.#byAddress.set(neighbor.address.key, neighbor);
  }

  /** Takes a neighbour out. */
  remove(neighbor: Neighbor): void {
    if (this.#byId.get(neighbor.nodeId) === neighbor) this.#byId.delete(neighbor.nodeId);
    const { key } = neighbor.address;
    if (this.#byAddress.get(key) === neighbor) this.#byAddress.delete(key);
  }
}
