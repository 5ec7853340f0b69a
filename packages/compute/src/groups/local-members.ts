import type { DaemonHost, DeliveryGate } from "../daemon-host.ts";
import type { DaemonRegistry } from "../daemon-registry.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import type { StateSnapshot } from "../state/snapshot.ts";
import type { MemberAddress, MemberPlan, RemoteMembers } from "./member-hosting.ts";

/** What members need of the runtime that they live in. */
export interface LocalMembersOwner {
  readonly daemons: DaemonRegistry;
  /** Makes the daemon of a plan, and its entry. */
  spawnMember(member: MemberPlan): Promise<void>;
  /** Removes a daemon and its entry. */
  stopMember(originHash: bigint): Promise<void>;
  /** As the runtime's. */
  deliver(originHash: bigint, event: CausalEvent): Promise<readonly CausalEvent[]>;
}

/** The members of groups that live on this node: in its runtime, as any other daemon. */
export class LocalMembers implements RemoteMembers {
  readonly #owner: LocalMembersOwner;
  /** Those that were placed here and not removed: as many as groups have. */
  readonly #origins: Set<bigint> = new Set();

  constructor(owner: LocalMembersOwner) {
    this.#owner = owner;
  }

  /** As `DaemonRuntime.spawn`. */
  async place(member: MemberPlan): Promise<void> {
    const { originHash } = member.identity;
    await this.#owner.spawnMember(member);
    this.#origins.add(originHash);
  }

  /** Whether it is a daemon that was placed here. */
  has(originHash: bigint): boolean {
    return this.#origins.has(originHash);
  }

  /** As `DaemonRuntime.stop`, whether it is there or not. */
  async remove({ originHash }: MemberAddress): Promise<void> {
    this.#origins.delete(originHash);
    if (this.#owner.daemons.get(originHash) !== undefined) await this.#owner.stopMember(originHash);
  }

  /** Whether it is registered here. */
  isLive({ originHash }: MemberAddress): boolean {
    return this.#owner.daemons.get(originHash) !== undefined;
  }

  /** As `DaemonRuntime.deliver`. */
  deliver({ originHash }: MemberAddress, event: CausalEvent): Promise<readonly CausalEvent[]> {
    return this.#owner.deliver(originHash, event);
  }

  /** As `DaemonHost.replay`. */
  async replay(member: MemberAddress, event: CausalEvent): Promise<void> {
    await this.#host(member).replay(event);
  }

  /** As `DaemonHost.snapshot`: `onTaken` is called in the turn in which it was taken. */
  async snapshot(member: MemberAddress, onTaken?: () => void): Promise<StateSnapshot | undefined> {
    return await this.#host(member).snapshot(onTaken);
  }

  /** As `DaemonHost.restoreFrom`. */
  async restore(member: MemberAddress, snapshot: StateSnapshot): Promise<void> {
    await this.#host(member).restoreFrom(snapshot);
  }

  /** Watches what is delivered to a member, until it is called back or the member replaced. */
  watch({ originHash }: MemberAddress, gate: DeliveryGate): () => void {
    const host = this.#owner.daemons.get(originHash);
    if (host === undefined) return () => {};
    host.gate = gate;
    return () => {
      if (host.gate === gate) host.gate = undefined;
    };
  }

  #host({ originHash }: MemberAddress): DaemonHost {
    return this.#owner.daemons.require(originHash);
  }
}
