import { platformRandom } from "@netmesh/crypto";
import { DaemonError } from "../errors.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import { GroupError } from "./group-error.ts";
import { type GroupContext, GroupMembers, type SpreadOptions } from "./group-members.ts";
import type { GroupHealth, MemberInfo } from "./member-roster.ts";
import {
  type MemberLoad,
  MemberRouter,
  type RouteContext,
  type RoutingStrategy,
  requireStrategy,
} from "./member-router.ts";

/** Members that one recovery tick makes anew at most (§25). */
export const MAX_RECOVERIES_PER_TICK = 4;

/** What all groups have in common. */
export interface GroupConfig extends SpreadOptions {
  /** How events are spread; taking turns by default. */
  readonly strategy?: RoutingStrategy;
}

/**
 * Daemons that answer as one (§25). Made by a runtime, which also ends them when it shuts down. Changes to a group take turns, in the
 * order of the calls; routing and deliveries do not wait for them.
 */
export abstract class DaemonGroup implements AsyncDisposable {
  /** @internal */
  protected readonly members_: GroupMembers;
  readonly #router: MemberRouter;
  readonly #context: GroupContext;
  /** Settles when the change under way has; never rejects. */
  #changing: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** @internal */
  protected constructor(context: GroupContext, config: GroupConfig) {
    const { strategy = "round-robin" } = config;
    requireStrategy(strategy);
    this.#context = context;
    this.#router = new MemberRouter(strategy, context.random ?? platformRandom);
    this.members_ = new GroupMembers(context, config);
  }

  /** The members by index; copies. */
  get members(): MemberInfo[] {
    return this.members_.roster.members();
  }

  /** How many members there are, healthy or not. */
  get size(): number {
    return this.members_.roster.size;
  }

  /** How the group is doing. */
  get health(): GroupHealth {
    return this.members_.roster.health;
  }

  /** The member with that index; undefined when there is none. */
  member(index: number): MemberInfo | undefined {
    return this.members_.roster.get(index);
  }

  /** Indices of the members on a node. */
  membersOnNode(nodeId: bigint): number[] {
    return this.members_.roster.membersOnNode(nodeId);
  }

  /** Origin hash of the member that an event should go to. Throws `no-healthy-member`. */
  routeEvent(context: RouteContext = {}): bigint {
    return this.route(context).originHash;
  }

  /**
   * Gives an event to the member that it should go to, wherever that lives; resolves to the outputs. Rejects with `no-healthy-member` and as
   * `DaemonRuntime.deliver` does.
   */
  async deliver(event: CausalEvent, context: RouteContext = {}): Promise<readonly CausalEvent[]> {
    const member = this.route(context);
    const end = this.#router.begin(member.index);
    try {
      return await this.deliverTo(member, event);
    } finally {
      end();
    }
  }

  /** Tells the strategies how a member is doing. Throws `invalid-config`; an unknown index is ignored. */
  report(index: number, load: Partial<MemberLoad>): void {
    if (this.member(index) !== undefined) this.#router.report(index, load);
  }

  /** Takes a member out of routing, until its node is back or it is made anew. Whether there is one. */
  markUnhealthy(index: number): boolean {
    return this.members_.roster.markUnhealthy(index);
  }

  /** A node is back: members that still live there are healthy again. Returns their indices. */
  onNodeRecovery(nodeId: bigint): number[] {
    return this.members_.recover(nodeId);
  }

  /**
   * Makes unhealthy members anew, with their keys, at most four per call; to be called now and then. Resolves to the indices that were.
   * Those for which there is no node wait for the next call.
   */
  recover(): Promise<number[]> {
    return this.changing(() => this.replaceUnhealthy(() => true));
  }

  /** Ends the group and all its members. Idempotent, never rejects. */
  async close(): Promise<void> {
    try {
      await this.changing(() => this.members_.close());
    } catch {
      // It was closed before.
    }
    this.forget();
    this.#context.onClose(this);
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Wipes the keys, and leaves the members alone.
   * @internal
   */
  forget(): void {
    this.#isClosed = true;
    this.members_.forget();
  }

  /** @internal */
  protected route(context: RouteContext): MemberInfo {
    const member = this.#router.choose(this.members_.available(), context);
    if (member === undefined) throw new GroupError("no-healthy-member", "no member is healthy");
    return member;
  }

  /** @internal */
  protected deliverTo(member: MemberInfo, event: CausalEvent): Promise<readonly CausalEvent[]> {
    return this.members_.deliver(member, event);
  }

  /** @internal */
  protected async replaceUnhealthy(isWanted: (member: MemberInfo) => boolean): Promise<number[]> {
    const unhealthy = this.members.filter((member) => !member.isHealthy && isWanted(member));
    const replaced: number[] = [];
    for (const { index } of unhealthy) {
      if (await this.members_.replace(index)) replaced.push(index);
      if (replaced.length === MAX_RECOVERIES_PER_TICK) break;
    }
    return replaced;
  }

  /** @internal */
  protected async removeLast(): Promise<void> {
    const member = await this.members_.removeLast();
    if (member !== undefined) this.#router.forget(member.index);
  }

  /**
   * Runs one change after the other; fails with `shutting-down` once closed.
   * @internal
   */
  protected changing<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changing.then(() => {
      if (this.#isClosed) throw new DaemonError("shutting-down", "the group has been closed");
      return change();
    });
    this.#changing = result.catch(() => undefined);
    return result;
  }
}
