import { copyBytes } from "@netmesh/wire";
import type { DaemonHostConfig } from "../daemon-host.ts";
import type { GroupConfig } from "./daemon-group.ts";
import type { GroupContext } from "./group-members.ts";
import type { MemberPlan } from "./member-hosting.ts";
import { replicaGroupId, replicaIdentity, requireMemberCount } from "./member-keys.ts";
import { ScalableGroup } from "./scalable-group.ts";

/** How a group of replicas is made. */
export interface ReplicaGroupConfig extends GroupConfig {
  /** Members, 1 to 256. */
  readonly count: number;
  /** Where the keys of the members come from, 32 bytes; copied. Whoever has it has their keys. */
  readonly seed: Uint8Array;
  /** Limits of each member. */
  readonly config?: DaemonHostConfig;
}

/** Workers of one kind, with keys that follow from a seed: a member made anew is the same entity (§25). Their states are their own. */
export class ReplicaGroup extends ScalableGroup {
  /** The group's 32-bit id. */
  readonly groupId: number;
  readonly #kind: string;
  readonly #seed: Uint8Array;
  readonly #config: DaemonHostConfig;

  private constructor(context: GroupContext, kind: string, config: ReplicaGroupConfig) {
    super(context, config);
    this.groupId = replicaGroupId(config.seed);
    this.#kind = kind;
    this.#seed = copyBytes(config.seed);
    this.#config = config.config ?? {};
  }

  /** @internal */
  static async create(
    context: GroupContext,
    kind: string,
    config: ReplicaGroupConfig,
  ): Promise<ReplicaGroup> {
    requireMemberCount(config.count, 1);
    const group = new ReplicaGroup(context, kind, config);
    await group.start(config.count);
    return group;
  }

  /** @internal */
  override forget(): void {
    super.forget();
    this.#seed.fill(0);
  }

  /** @internal */
  protected override planOf(index: number): MemberPlan {
    return { kind: this.#kind, identity: replicaIdentity(this.#seed, index), config: this.#config };
  }
}
