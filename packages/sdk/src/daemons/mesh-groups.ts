import {
  MemberHost,
  type MemberHostOptions,
  type MemberInfo,
  MemberLinks,
  type RuntimePlacement,
} from "@netmesh/compute";
import type { Mesh } from "../mesh.ts";
import type { MeshDaemons } from "./mesh-daemons.ts";
import { MeshDirectory } from "./mesh-directory.ts";

/** What is done with a group when nodes come and go. */
export interface WatchedGroup {
  readonly members: readonly MemberInfo[];
  onNodeFailure(nodeId: bigint): Promise<unknown>;
  onNodeRecovery(nodeId: bigint): unknown;
}

/** The groups of a runtime across the mesh: which nodes host members, and what becomes of those whose node is lost. */
export class MeshGroups {
  /** Where members can live. */
  readonly placement: RuntimePlacement;
  readonly #mesh: Mesh;
  readonly #network: MeshDaemons;
  readonly #links: MemberLinks;
  /** Groups that have not been seen empty: as many as the application makes. */
  readonly #groups: Set<WatchedGroup> = new Set();
  #host: MemberHost | undefined;
  readonly #onPeer = ({ peer }: { readonly peer: { readonly nodeId: bigint } }): void => {
    if (this.#groups.size > 0) void this.#reach(peer.nodeId);
  };

  constructor(mesh: Mesh, network: MeshDaemons) {
    this.#mesh = mesh;
    this.#network = network;
    this.#links = new MemberLinks({ network, onLost: (node) => void this.#lose(node) });
    const isHosting = (nodeId: bigint): boolean => this.#links.isReached(nodeId);
    this.placement = { directory: new MeshDirectory(mesh, network, isHosting), members: this.#links };
    mesh.addEventListener("peer-connected", this.#onPeer);
    mesh.addEventListener("peer-recovered", this.#onPeer);
  }

  /** Hosts members of other nodes. Throws as `MemberHost`. */
  host(options: MemberHostOptions): void {
    const host = new MemberHost(options);
    this.#host = host;
    this.#network.setMemberHandler((stream, from) => void host.accept(stream, from));
  }

  /** Asks the peers that have not been asked whether they host members. Never rejects. */
  async probe(): Promise<void> {
    const netmesh = this.#network.peers().filter(({ nodeId }) => this.#network.isNetmesh(nodeId));
    await Promise.all(netmesh.map(({ nodeId }) => this.#links.probe(nodeId)));
  }

  /** Has the group told when nodes of its members are lost, and when they are back. */
  watch<G extends WatchedGroup>(group: G): G {
    this.#groups.add(group);
    return group;
  }

  /** Ends the links to other nodes, and what they have here. Idempotent. */
  close(): void {
    this.#mesh.removeEventListener("peer-connected", this.#onPeer);
    this.#mesh.removeEventListener("peer-recovered", this.#onPeer);
    this.#groups.clear();
    this.#links.close();
    if (this.#host === undefined) return;
    this.#host.close();
    this.#network.setMemberHandler(undefined);
  }

  /** A node that had members is not reached: unless all of them still are, they have failed. */
  async #lose(node: bigint): Promise<void> {
    const isBack = this.#network.isHeard(node) && (await this.#links.probe(node));
    for (const group of this.#groupsOn(node)) {
      const isWhole = group.members.every((member) => member.nodeId !== node || this.#links.isLive(member));
      if (isBack && isWhole) continue;
      // A group with nobody to take over stays as it is until the node is back.
      await group.onNodeFailure(node).catch(() => undefined);
      if (isBack) group.onNodeRecovery(node);
    }
  }

  /** A node is there, perhaps again. */
  async #reach(node: bigint): Promise<void> {
    // The first attempt may be one that was begun in the session before this one.
    if (!(await this.#links.probe(node)) && !(await this.#links.probe(node))) return;
    for (const group of this.#groupsOn(node)) group.onNodeRecovery(node);
  }

  #groupsOn(node: bigint): WatchedGroup[] {
    const found: WatchedGroup[] = [];
    for (const group of this.#groups) {
      const { members } = group;
      if (members.length === 0) this.#groups.delete(group);
      else if (members.some(({ nodeId }) => nodeId === node)) found.push(group);
    }
    return found;
  }
}
