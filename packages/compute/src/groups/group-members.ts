import type { RandomSource } from "@netmesh/crypto";
import type { CapabilityFilter } from "../capability-filter.ts";
import { messageOf } from "../errors.ts";
import { Scheduler } from "../placement/scheduler.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import { GroupError, memberFailure } from "./group-error.ts";
import type { LocalMembers } from "./local-members.ts";
import type { MemberPlan, RemoteMembers, RuntimePlacement } from "./member-hosting.ts";
import { type MemberInfo, MemberRoster } from "./member-roster.ts";

/** What a group needs of the runtime that made it. */
export interface GroupContext {
  /** Id of this node. */
  readonly nodeId: bigint;
  /** Members that live here. */
  readonly local: LocalMembers;
  /** Where others can; without, all live here. */
  readonly placement: RuntimePlacement | undefined;
  /** Chooses where strategies do at random, and makes the keys of forks. */
  readonly random: RandomSource | undefined;
  /** The group is no more. */
  readonly onClose: (group: { forget(): void }) => void;
}

/** Where members go. */
export interface SpreadOptions {
  /** What their nodes must have; anything by default. */
  readonly filter?: CapabilityFilter;
  /**
   * `prefer`, the default: nodes without a member first, then those with the fewest. `require`: only nodes without one, else
   * `placement-failed`. `none`: wherever the scheduler says, which is this node if it matches.
   */
  readonly spread?: "prefer" | "require" | "none";
}

const NO_NODES: ReadonlySet<bigint> = new Set();

/** The members of a group: made, moved and removed, each on the node that it is said to be on. */
export class GroupMembers {
  /** Who they are. */
  readonly roster: MemberRoster = new MemberRoster();
  /** Nodes that have failed and not come back, but for this one; only those that had members, so no more than they were. */
  readonly #failedNodes: Set<bigint> = new Set();
  /** What members are made of, by index; keys are the group's own. */
  readonly #plans: MemberPlan[] = [];
  readonly #context: GroupContext;
  readonly #spread: SpreadOptions;
  readonly #scheduler: Scheduler | undefined;

  constructor(context: GroupContext, spread: SpreadOptions) {
    this.#context = context;
    this.#spread = spread;
    const { placement } = context;
    this.#scheduler = placement === undefined ? undefined : new Scheduler(placement.directory);
  }

  /** Whether a member lives on this node. */
  isLocal({ nodeId }: Pick<MemberInfo, "nodeId">): boolean {
    return nodeId === this.#context.nodeId;
  }

  /** How to reach the members of a node. */
  hosting(member: Pick<MemberInfo, "nodeId">): RemoteMembers {
    const { placement, local } = this.#context;
    return placement === undefined || this.isLocal(member) ? local : placement.members;
  }

  /** What a member was made of. */
  plan(index: number): MemberPlan | undefined {
    return this.#plans[index];
  }

  /** The members that events can go to; the roster's own. */
  available(): MemberInfo[] {
    return this.roster.entries.filter((member) => this.isAvailable(member));
  }

  /** Whether events can go to a member. */
  isAvailable(member: MemberInfo): boolean {
    return member.isHealthy && this.hosting(member).isLive(member);
  }

  /** Makes a member with the next index; its key is the group's from then on. Rejects as `memberFailure`, and wipes the key. */
  async add(plan: MemberPlan): Promise<void> {
    try {
      const nodeId = this.#chooseNode(this.roster.entries, NO_NODES);
      await this.#place(plan, nodeId);
      this.#plans.push(plan);
      this.roster.add(plan.identity.originHash, plan.identity.entityId, nodeId);
    } catch (error) {
      plan.identity.zeroize();
      throw memberFailure(error);
    }
  }

  /** Ends the member with the highest index; resolves to it. */
  async removeLast(): Promise<MemberInfo | undefined> {
    const member = this.roster.removeLast();
    this.#plans.pop()?.identity.zeroize();
    if (member !== undefined) await this.#end(member);
    return member;
  }

  /** Gives an event to a member. */
  async deliver(member: MemberInfo, event: CausalEvent): Promise<readonly CausalEvent[]> {
    return await this.hosting(member).deliver(member, event);
  }

  /** A node has failed: its members no longer are healthy. Returns their indices. This node, which says so, has not. */
  fail(nodeId: bigint): number[] {
    const affected = this.roster.membersOnNode(nodeId);
    if (affected.length > 0 && nodeId !== this.#context.nodeId) this.#failedNodes.add(nodeId);
    for (const index of affected) this.roster.markUnhealthy(index);
    return affected;
  }

  /** A node is back: what still lives there is healthy. Returns the indices. */
  recover(nodeId: bigint): number[] {
    this.#failedNodes.delete(nodeId);
    return this.roster.onNodeRecovery(nodeId, (member) => this.hosting(member).isLive(member));
  }

  /**
   * Makes a member anew, with the same key, on a node that has not failed; what is left of the one before is ended. Whether it worked: if not,
   * it stays as unhealthy as it was.
   */
  async replace(index: number): Promise<boolean> {
    const member = this.roster.get(index);
    const plan = this.#plans[index];
    if (member === undefined || plan === undefined) return false;
    try {
      const others = this.roster.entries.filter((other) => other.index !== index);
      const nodeId = this.#chooseNode(others, this.#failedNodes);
      if (!this.#failedNodes.has(member.nodeId)) await this.#end(member);
      await this.#place(plan, nodeId);
      this.roster.movedTo(index, nodeId);
      return true;
    } catch {
      return false;
    }
  }

  /** Ends all members. */
  async close(): Promise<void> {
    while (this.roster.size > 0) await this.removeLast();
  }

  /** Wipes the keys; the members stay as they are. */
  forget(): void {
    for (const { identity } of this.#plans.splice(0)) identity.zeroize();
    while (this.roster.removeLast() !== undefined);
  }

  #place(plan: MemberPlan, nodeId: bigint): Promise<void> {
    return this.hosting({ nodeId }).place(plan, nodeId);
  }

  async #end(member: MemberInfo): Promise<void> {
    try {
      await this.hosting(member).remove(member);
    } catch {
      // Its node may be gone; then so is the member.
    }
  }

  #chooseNode(others: readonly MemberInfo[], failed: ReadonlySet<bigint>): bigint {
    if (this.#scheduler === undefined) return this.#context.nodeId;
    const { filter = {}, spread = "prefer" } = this.#spread;
    try {
      const first = this.#scheduler.placeWithLocality(filter, failed).nodeId;
      if (spread === "none") return first;
      const nodes = this.#scheduler.matchingNodes(filter).filter((nodeId) => !failed.has(nodeId));
      const countOn = (nodeId: bigint): number => others.filter((other) => other.nodeId === nodeId).length;
      // The scheduler's choice goes before the others, which are in the order of their ids.
      const best = [first, ...nodes].reduce((a, b) => (countOn(b) < countOn(a) ? b : a));
      if (spread === "prefer" || countOn(best) === 0) return best;
    } catch (error) {
      throw new GroupError("placement-failed", messageOf(error), { cause: error });
    }
    throw new GroupError("placement-failed", `all nodes that match have one of ${others.length} members`);
  }
}
