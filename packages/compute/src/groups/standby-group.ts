import { copyBytes } from "@netmesh/wire";
import type { DaemonHostConfig, DeliveryGate } from "../daemon-host.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import { parentHash } from "../state/causal-link.ts";
import { type ForkRecord, forkRecord } from "../state/fork-record.ts";
import type { StateSnapshot } from "../state/snapshot.ts";
import { DaemonGroup } from "./daemon-group.ts";
import { EventBacklog } from "./event-backlog.ts";
import { GroupError, invalidConfig, memberFailure } from "./group-error.ts";
import type { GroupContext, SpreadOptions } from "./group-members.ts";
import type { LocalMembers } from "./local-members.ts";
import { replicaGroupId, replicaIdentity, requireMemberCount } from "./member-keys.ts";
import type { MemberInfo } from "./member-roster.ts";

/**
 * What a promoted member appends to.
 *
 * `continue`: the chain of the active member before, as Net does. It then speaks with another's origin hash, and cannot migrate.
 * `fresh`: a chain of its own, whose first link names the sequence of the old one that it branched off. It can migrate.
 */
export type PromotionChain = "continue" | "fresh";

/** How a standby group is made. */
export interface StandbyGroupConfig extends SpreadOptions {
  /** Members, 2 to 256: one active, the others waiting. */
  readonly count: number;
  /** Where the keys of the members come from, 32 bytes; whoever has it has their keys. */
  readonly seed: Uint8Array;
  /** What promoted members append to; `continue` by default. */
  readonly chain?: PromotionChain;
  /** Events kept for the standbys, 1 or more; 65 536 by default. Of more, deliveries to the active member fail with `backpressure`. */
  readonly maxBacklog?: number;
  /** Limits of each member. */
  readonly config?: DaemonHostConfig;
}

/** A member, with its part in the group. */
export interface StandbyMemberInfo extends MemberInfo {
  /** Whether it is the one that events go to. */
  readonly isActive: boolean;
  /** Through which sequence of the output chain it has the active member's state; undefined when it never had. */
  readonly syncedThrough: bigint | undefined;
}

/** What a member has of the active one's state. */
interface SyncPoint {
  /** Sequence of the output chain. */
  readonly through: bigint;
  /** Events that had come when the state was taken. */
  readonly mark: number;
  /** Whose chain the sequence is of. */
  readonly owner: ChainOwner;
}

/** Whom a chain belongs to. */
type ChainOwner = Pick<MemberInfo, "originHash" | "entityId">;

const NO_BYTES = new Uint8Array(0);

/**
 * One daemon that answers, and others of its kind that take its place (§25). What is delivered to it is kept until they have its state, and
 * played to the one that is promoted.
 *
 * A group lives in one runtime, and its term is that runtime's: two that run the same group do not know of each other.
 */
export class StandbyGroup extends DaemonGroup {
  /** The group's 32-bit id. */
  readonly groupId: number;
  readonly #local: LocalMembers;
  readonly #chain: PromotionChain;
  readonly #backlog: EventBacklog;
  /** By index; none for members that never had a state. */
  readonly #synced: Map<number, SyncPoint> = new Map();
  #activeIndex = 0;
  #term = 0;
  /** Whose chain the active member appends to. */
  #owner: ChainOwner = { originHash: 0n, entityId: NO_BYTES };
  #lastFork: ForkRecord | undefined;
  #unwatch: () => void = () => {};

  private constructor(context: GroupContext, config: StandbyGroupConfig) {
    super(context, config);
    this.groupId = replicaGroupId(config.seed);
    this.#local = context.local;
    this.#chain = config.chain ?? "continue";
    this.#backlog = new EventBacklog(config.maxBacklog);
  }

  /** @internal */
  static async create(
    context: GroupContext,
    kind: string,
    config: StandbyGroupConfig,
  ): Promise<StandbyGroup> {
    const { count, maxBacklog = 1, chain = "continue" } = config;
    requireMemberCount(count, 2);
    requireChain(chain);
    if (!(maxBacklog >= 1)) throw invalidConfig(`maxBacklog must be 1 or more, got ${maxBacklog}`);
    const group = new StandbyGroup(context, config);
    const seed = copyBytes(config.seed);
    try {
      for (let index = 0; index < count; index++) {
        const identity = replicaIdentity(seed, index);
        await group.members_.add({ kind, identity, config: config.config ?? {} });
      }
    } catch (error) {
      await group.close();
      throw error;
    } finally {
      seed.fill(0);
    }
    group.#owner = group.active;
    group.#watch();
    return group;
  }

  /** The member that events go to. */
  get active(): StandbyMemberInfo {
    return this.#info(this.members_.roster.get(this.#activeIndex) as MemberInfo);
  }

  /** The members by index, with their parts; copies. */
  override get members(): StandbyMemberInfo[] {
    return super.members.map((member) => this.#info(member));
  }

  /** How often the group has changed: a promotion, or members made anew. A local count. */
  get term(): number {
    return this.#term;
  }

  /** Events that the standbys do not have yet. */
  get bufferedEvents(): number {
    return this.#backlog.length;
  }

  /** Where the chain of the active member branched off that of the one before; undefined when it did not. */
  get forkRecord(): ForkRecord | undefined {
    return this.#lastFork;
  }

  /**
   * Gives the standbys the state of the active member; resolves to the sequence of its output chain that they have then. The events kept for
   * them are dropped once all have it.
   *
   * Rejects with `registry-failed` when the active member is stateless, cannot be asked, or a standby refuses: those before it have the
   * state, and all events are kept.
   */
  syncStandbys(): Promise<bigint> {
    return this.changing(() => this.#sync());
  }

  /**
   * Puts a standby in the place of the active member: the one with the latest state, to which the events since are played. Resolves to its
   * origin hash. Also for an active member that is alive: it gets no more events from the group, but is not ended.
   *
   * Rejects with `no-healthy-member`, and with `registry-failed` when the new chain cannot be begun: then all roles are as before.
   */
  promote(chain: PromotionChain = this.#chain): Promise<bigint> {
    requireChain(chain);
    return this.changing(() => this.#promote(chain));
  }

  /**
   * A node has failed: its members are no longer healthy, and if the active one was there, a standby is promoted. Resolves to the origin
   * hash of the new active member, undefined when the active one did not change. Rejects as `promote`.
   */
  onNodeFailure(nodeId: bigint): Promise<bigint | undefined> {
    return this.changing(async () => {
      const affected = this.members_.fail(nodeId);
      return affected.includes(this.#activeIndex) ? await this.#promote(this.#chain) : undefined;
    });
  }

  /**
   * As of every group, but never of the active member; those made anew are blank, so that the standbys then are synced, as far as that
   * works.
   */
  override recover(): Promise<number[]> {
    return this.changing(async () => {
      const replaced = await this.replaceUnhealthy(({ index }) => index !== this.#activeIndex);
      for (const index of replaced) this.#synced.delete(index);
      if (replaced.length === 0) return replaced;
      this.#term++;
      await this.#trySync();
      return replaced;
    });
  }

  /** @internal */
  override forget(): void {
    this.#unwatch();
    super.forget();
  }

  /** @internal */
  protected override route(): MemberInfo {
    const active = this.members_.roster.entries[this.#activeIndex];
    if (active === undefined || !this.members_.isAvailable(active))
      throw new GroupError("no-healthy-member", "the active member is not healthy");
    return active;
  }

  /** @internal */
  protected override deliverTo(member: MemberInfo, event: CausalEvent): Promise<readonly CausalEvent[]> {
    if (this.members_.isLocal(member)) return super.deliverTo(member, event);
    // Nobody watches it there, so that it is asked for its state between deliveries only.
    return this.changing(async () => {
      this.#backlog.requireRoom();
      const outputs = await super.deliverTo(member, event);
      this.#backlog.push(event);
      return outputs;
    });
  }

  async #sync(): Promise<bigint> {
    const { active } = this;
    const { snapshot, mark } = await this.#snapshotOf(active);
    const point = { through: snapshot.throughSeq, mark, owner: this.#owner };
    for (const member of this.members) {
      if (member.isActive || !member.isHealthy) continue;
      try {
        await this.members_.hosting(member).restore(member, snapshot);
      } catch (error) {
        throw memberFailure(error);
      }
      this.#synced.set(member.index, point);
    }
    this.#synced.set(active.index, point);
    this.#backlog.dropThrough(mark);
    return snapshot.throughSeq;
  }

  async #trySync(): Promise<void> {
    try {
      await this.#sync();
    } catch {
      // The standbys stay as they are until the next sync; events are kept until then.
    }
  }

  /** State and chain of the active member, in the name of whose chain it is, with the events that it contains. */
  async #snapshotOf(active: MemberInfo): Promise<{ snapshot: StateSnapshot; mark: number }> {
    let { mark } = this.#backlog;
    let snapshot: StateSnapshot | undefined;
    try {
      snapshot = this.members_.isLocal(active)
        ? await this.#local.snapshot(active, () => {
            mark = this.#backlog.mark;
          })
        : await this.members_.hosting(active).snapshot(active);
    } catch (error) {
      throw memberFailure(error);
    }
    if (snapshot === undefined) throw new GroupError("registry-failed", "the active member is stateless");
    return { snapshot: { ...snapshot, entityId: this.#owner.entityId }, mark };
  }

  async #promote(chain: PromotionChain): Promise<bigint> {
    const chosen = this.#bestStandby();
    if (chosen === undefined) throw new GroupError("no-healthy-member", "no standby is healthy");
    const fork = chain === "fresh" ? await this.#beginChain(chosen) : undefined;
    this.#unwatch();
    this.members_.roster.markUnhealthy(this.#activeIndex);
    this.#activeIndex = chosen.index;
    this.#term++;
    this.#owner = fork === undefined ? (this.#synced.get(chosen.index)?.owner ?? chosen) : chosen;
    this.#lastFork = fork;
    await this.#replay(chosen);
    this.#backlog.dropThrough(this.#backlog.mark);
    this.#watch();
    // Whoever was not chosen lacks the events just dropped.
    await this.#trySync();
    return chosen.originHash;
  }

  /** The healthy standby with the latest state, by when it was taken; of equals the one with the lowest index. */
  #bestStandby(): StandbyMemberInfo | undefined {
    const markOf = ({ index }: MemberInfo): number => this.#synced.get(index)?.mark ?? -1;
    const standbys = this.members.filter((member) => !member.isActive && member.isHealthy);
    return standbys.reduce<StandbyMemberInfo | undefined>(
      (best, member) => (best === undefined || markOf(member) > markOf(best) ? member : best),
      undefined,
    );
  }

  /** Puts a member at the beginning of a chain of its own that branches off the one it has; undefined when that is its own already. */
  async #beginChain(member: StandbyMemberInfo): Promise<ForkRecord | undefined> {
    const { owner, through } = this.#synced.get(member.index) ?? { owner: this.#owner, through: 0n };
    if (owner.originHash === member.originHash) return undefined;
    const hosting = this.members_.hosting(member);
    const fork = forkRecord(owner.originHash, member.originHash, through);
    const { forkGenesis } = fork;
    try {
      const before = await hosting.snapshot(member);
      await hosting.restore(member, {
        state: NO_BYTES,
        bindings: NO_BYTES,
        createdAt: 0n,
        ...before,
        entityId: member.entityId,
        throughSeq: forkGenesis.sequence,
        chainLink: forkGenesis,
        headHash: parentHash(forkGenesis, NO_BYTES),
      });
    } catch (error) {
      throw memberFailure(error);
    }
    return fork;
  }

  /** Plays the events that a member does not have; what it does not take, it does not take. */
  async #replay(member: MemberInfo): Promise<void> {
    const hosting = this.members_.hosting(member);
    for (const event of this.#backlog.since(this.#synced.get(member.index)?.mark ?? 0)) {
      try {
        await hosting.replay(member, event);
      } catch {
        // The active member may have refused it, too.
      }
    }
  }

  /** Keeps what is delivered to the active member, in the turn in which it is. */
  #watch(): void {
    this.#unwatch = () => {};
    if (!this.members_.isLocal(this.active)) return;
    const gate: DeliveryGate = {
      admit: () => this.#backlog.requireRoom(),
      delivered: (event) => this.#backlog.push(event),
    };
    this.#unwatch = this.#local.watch(this.active, gate);
  }

  #info(member: MemberInfo): StandbyMemberInfo {
    return {
      ...member,
      isActive: member.index === this.#activeIndex,
      syncedThrough: this.#synced.get(member.index)?.through,
    };
  }
}

/** Throws `invalid-config` for what is no way to go on. */
function requireChain(chain: PromotionChain): void {
  if (chain !== "continue" && chain !== "fresh") throw invalidConfig(`no chain ${String(chain)}`);
}
