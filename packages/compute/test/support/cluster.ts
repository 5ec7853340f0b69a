import { DaemonHost } from "../../src/daemon-host.ts";
import { DaemonRegistry } from "../../src/daemon-registry.ts";
import { LocalMembers, type LocalMembersOwner } from "../../src/groups/local-members.ts";
import {
  type CausalEvent,
  DaemonRuntime,
  type MemberAddress,
  type MemberPlan,
  type NodeCapabilities,
  type PlacementCandidate,
  type RemoteMembers,
  type RuntimePlacement,
  type StateSnapshot,
} from "../../src/index.ts";
import { CounterDaemon, EchoDaemon } from "./daemons.ts";

/** A node that only hosts members. */
class MemberNode {
  readonly daemons: DaemonRegistry = new DaemonRegistry();
  readonly members: LocalMembers;
  isDown = false;

  constructor() {
    const owner: LocalMembersOwner = {
      daemons: this.daemons,
      spawnMember: async ({ kind, identity, fork, config }) => {
        const daemon = kind === "counter" ? new CounterDaemon() : new EchoDaemon();
        this.daemons.register(
          fork === undefined
            ? DaemonHost.create(identity, daemon, { config })
            : DaemonHost.fromFork(fork, identity, daemon, { config }),
        );
      },
      stopMember: (originHash) => this.daemons.unregister(originHash),
      deliver: async (originHash, event) => await this.daemons.deliver(originHash, event),
    };
    this.members = new LocalMembers(owner);
  }
}

/** Nodes around one that runs groups, with a network that never loses anything. */
export class Cluster implements RemoteMembers {
  readonly nodes: Map<bigint, MemberNode> = new Map();
  readonly removed: MemberAddress[] = [];
  local: NodeCapabilities = {};
  readonly placement: RuntimePlacement;

  constructor(...nodeIds: bigint[]) {
    for (const nodeId of nodeIds) this.nodes.set(nodeId, new MemberNode());
    this.placement = {
      members: this,
      directory: { nodeId: 1n, localCapabilities: () => this.local, candidates: () => this.#candidates() },
    };
  }

  /** The runtime of node 1, ready, that knows the kinds `counter` and `echo`. */
  async runtime(): Promise<DaemonRuntime> {
    const runtime = new DaemonRuntime({ placement: this.placement });
    runtime.registerFactory("counter", () => new CounterDaemon());
    runtime.registerFactory("echo", () => new EchoDaemon());
    await runtime.start();
    return runtime;
  }

  daemonsOn(nodeId: bigint): number {
    return this.nodes.get(nodeId)?.daemons.size ?? 0;
  }

  /** The node cannot be reached any more, and is not listed. */
  crash(nodeId: bigint): void {
    (this.nodes.get(nodeId) as MemberNode).isDown = true;
  }

  async place(member: MemberPlan, nodeId: bigint): Promise<void> {
    await this.#members({ nodeId }).place(member);
  }

  async remove(member: MemberAddress): Promise<void> {
    this.removed.push({ originHash: member.originHash, nodeId: member.nodeId });
    await this.#members(member).remove(member);
  }

  isLive(member: MemberAddress): boolean {
    return this.nodes.get(member.nodeId)?.isDown === false && this.#members(member).isLive(member);
  }

  deliver(member: MemberAddress, event: CausalEvent): Promise<readonly CausalEvent[]> {
    return this.#members(member).deliver(member, event);
  }

  replay(member: MemberAddress, event: CausalEvent): Promise<void> {
    return this.#members(member).replay(member, event);
  }

  snapshot(member: MemberAddress): Promise<StateSnapshot | undefined> {
    return this.#members(member).snapshot(member);
  }

  restore(member: MemberAddress, snapshot: StateSnapshot): Promise<void> {
    return this.#members(member).restore(member, snapshot);
  }

  #members({ nodeId }: { nodeId: bigint }): LocalMembers {
    const node = this.nodes.get(nodeId);
    if (node === undefined || node.isDown) throw new Error(`no session with node ${nodeId}`);
    return node.members;
  }

  #candidates(): PlacementCandidate[] {
    const up = [...this.nodes].filter(([, { isDown }]) => !isDown);
    return up.map(([nodeId]) => ({ nodeId, capabilities: { tags: ["worker"] } }));
  }
}
