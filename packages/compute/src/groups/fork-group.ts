import { Identity } from "@netmesh/crypto";
import { copyBytes, MAX_U64 } from "@netmesh/wire";
import type { DaemonHostConfig } from "../daemon-host.ts";
import { type ForkRecord, forkRecord, isConsistentFork } from "../state/fork-record.ts";
import type { StateSnapshot } from "../state/snapshot.ts";
import type { GroupConfig } from "./daemon-group.ts";
import { invalidConfig } from "./group-error.ts";
import type { GroupContext } from "./group-members.ts";
import type { MemberPlan } from "./member-hosting.ts";
import { requireMemberCount } from "./member-keys.ts";
import { ScalableGroup } from "./scalable-group.ts";

/** How a group of forks is made. */
export interface ForkGroupConfig extends GroupConfig {
  /** Members, 1 to 256. */
  readonly count: number;
  /** Origin hash of the chain that they branch off. */
  readonly parentOrigin: bigint;
  /** Sequence of that chain at which they do. */
  readonly forkSeq: bigint;
  /** What they begin with, whose sequence their records then carry; a new daemon's state without. The bytes are copied. */
  readonly from?: StateSnapshot;
  /** Limits of each member. */
  readonly config?: DaemonHostConfig;
}

/** Independent descendants of one chain, each with a key and a chain of its own (§25). */
export class ForkGroup extends ScalableGroup {
  /** Origin hash of the chain that they branched off. */
  readonly parentOrigin: bigint;
  /** Where they did. */
  readonly forkSeq: bigint;
  readonly #kind: string;
  readonly #config: DaemonHostConfig;
  readonly #context: GroupContext;
  readonly #state: Uint8Array | undefined;
  readonly #stateSeq: bigint | undefined;

  private constructor(context: GroupContext, kind: string, config: ForkGroupConfig) {
    super(context, config);
    const { parentOrigin, forkSeq, from } = config;
    this.parentOrigin = parentOrigin;
    this.forkSeq = forkSeq;
    this.#kind = kind;
    this.#config = config.config ?? {};
    this.#context = context;
    this.#state = from === undefined ? undefined : copyBytes(from.state);
    this.#stateSeq = from?.throughSeq;
  }

  /** @internal */
  static async create(context: GroupContext, kind: string, config: ForkGroupConfig): Promise<ForkGroup> {
    requireMemberCount(config.count, 1);
    for (const value of [config.parentOrigin, config.forkSeq]) {
      const isU64 = typeof value === "bigint" && value >= 0n && value <= MAX_U64;
      if (!isU64) throw invalidConfig("parentOrigin and forkSeq are 64-bit numbers");
    }
    const group = new ForkGroup(context, kind, config);
    await group.start(config.count);
    return group;
  }

  /** Where each member branched off, by index. */
  get records(): ForkRecord[] {
    return this.members.map(({ index }) => this.members_.plan(index)?.fork as ForkRecord);
  }

  /** Whether all records follow from parent and sequence. Arithmetic, no proof of lineage: records are not signed. */
  verifyLineage(): boolean {
    return this.members.every(({ originHash, index }) => {
      const record = this.records[index] as ForkRecord;
      return (
        isConsistentFork(record) &&
        record.originalOrigin === this.parentOrigin &&
        record.forkSeq === this.forkSeq &&
        record.forkedOrigin === originHash
      );
    });
  }

  /** @internal */
  protected override planOf(): MemberPlan {
    const identity = Identity.generate(this.#context.random);
    const fork = forkRecord(this.parentOrigin, identity.originHash, this.forkSeq, this.#stateSeq);
    const plan = { kind: this.#kind, identity, config: this.#config, fork };
    return this.#state === undefined ? plan : { ...plan, state: this.#state };
  }
}
