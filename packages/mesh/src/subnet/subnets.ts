import type { CapabilityIndex, IndexedNode } from "../capability/capability-index.ts";
import type { CoreState } from "../core/state.ts";
import type { Peer } from "../session/peer.ts";
import type { Session } from "../session/session.ts";
import { GLOBAL_SUBNET, type SubnetId } from "./subnet-id.ts";

/** Which subnets this node and its peers are in. */
export class Subnets {
  readonly #state: CoreState;
  readonly #index: CapabilityIndex;
  /** This node's announcement that {@link own} was last taken from. */
  #ownNode: IndexedNode | undefined;
  #own: SubnetId = GLOBAL_SUBNET;

  constructor(state: CoreState, index: CapabilityIndex) {
    this.#state = state;
    this.#index = index;
  }

  /** Whether nodes are assigned to subnets; without a policy all peers are in the global one. */
  get hasPolicy(): boolean {
    return this.#state.config.subnetPolicy !== undefined;
  }

  /** This node's subnet: the configured one, else that of its own tags. */
  get own(): SubnetId {
    const { subnet, subnetPolicy, nodeId } = this.#state.config;
    if (subnet !== undefined || subnetPolicy === undefined) return subnet ?? GLOBAL_SUBNET;
    const node = this.#index.get(nodeId);
    if (node !== this.#ownNode) {
      this.#ownNode = node;
      this.#own = subnetPolicy.assign(node?.announced.tags ?? []);
    }
    return this.#own;
  }

  /** Takes what a peer has announced of itself, signed. */
  learn(peer: Peer, tags: readonly string[]): void {
    peer.subnet = this.#state.config.subnetPolicy?.assign(tags);
  }

  /** The subnet of a session's peer; undefined while it is not known, or not who the peer is. */
  of(session: Session): SubnetId | undefined {
    if (!this.hasPolicy) return GLOBAL_SUBNET;
    return session.entityId === undefined ? undefined : session.peer.subnet;
  }

  /** Whether a query of this node's own subnet is about that node (spec/mesh.md §10.3). */
  isSame(nodeId: bigint): boolean {
    if (nodeId === this.#state.config.nodeId) return true;
    const subnet = this.#state.peers.getId(nodeId)?.subnet;
    return subnet === undefined ? this.hasPolicy : subnet === this.own;
  }
}
