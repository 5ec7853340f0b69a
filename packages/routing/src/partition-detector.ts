import type { FailureVerdict } from "./correlated-failures.ts";
import { requireCount, requireLimit } from "./routing-error.ts";

/** How far a partition has come. */
export type PartitionPhase = "suspected" | "confirmed" | "healing" | "healed";

/** A set of nodes that became unreachable together. */
export interface Partition {
  readonly id: number;
  readonly phase: PartitionPhase;
  /** Nodes on the other side. */
  readonly unreachable: readonly bigint[];
  /** Those that were heard again, in that order. */
  readonly reappeared: readonly bigint[];
  /** Share of them that is back, 1 once healed. */
  readonly progress: number;
}

/** Parameters of a {@link PartitionDetector}. */
export interface PartitionDetectorOptions {
  /** Share of the unreachable nodes whose return heals a partition; default 0.5. */
  readonly healedRatio?: number;
  /** Partitions followed at a time; default 64. Beyond it the oldest is given up. */
  readonly maxPartitions?: number;
}

/**
 * Follows partitions of the mesh: suspected when a whole subnet fails, confirmed by the caller, healing
 * when nodes come back, healed when half of them are. A library only; see {@link CorrelatedFailures}.
 */
export class PartitionDetector {
  readonly #healedRatio: number;
  readonly #maxPartitions: number;
  readonly #active: Map<number, Tracked> = new Map();
  #nextId = 1;

  /** @throws RoutingError `invalid-limit` */
  constructor(options: PartitionDetectorOptions = {}) {
    const { healedRatio = 0.5, maxPartitions = 64 } = options;
    requireLimit("healedRatio", healedRatio);
    requireCount("maxPartitions", maxPartitions);
    this.#healedRatio = healedRatio;
    this.#maxPartitions = maxPartitions;
  }

  /** Partitions followed, healed ones that nobody has taken included. */
  get activeCount(): number {
    return this.#active.size;
  }

  /** Starts to follow a partition when a subnet failed; its id, or `undefined` for any other verdict. */
  detect(verdict: FailureVerdict): number | undefined {
    if (verdict.kind !== "mass-failure" || verdict.cause.kind !== "subnet") return undefined;
    if (this.#active.size >= this.#maxPartitions) {
      const [oldest] = this.#active.keys();
      this.#active.delete(oldest as number);
    }
    const id = this.#nextId++;
    this.#active.set(id, { phase: "suspected", unreachable: [...verdict.failedNodes], reappeared: [] });
    return id;
  }

  /** The caller is sure; false unless the partition was suspected. */
  confirm(id: number): boolean {
    const partition = this.#active.get(id);
    if (partition?.phase !== "suspected") return false;
    partition.phase = "confirmed";
    return true;
  }

  /** A node was heard again. */
  onRecovery(node: bigint): void {
    for (const partition of this.#active.values()) {
      const { unreachable, reappeared } = partition;
      if (!unreachable.includes(node) || reappeared.includes(node)) continue;
      reappeared.push(node);
      const isHealed = reappeared.length / unreachable.length >= this.#healedRatio;
      partition.phase = isHealed ? "healed" : "healing";
    }
  }

  /** Removes the healed partitions and returns them. */
  takeHealed(): Partition[] {
    const healed = [...this.#active].filter(([, partition]) => partition.phase === "healed");
    for (const [id] of healed) this.#active.delete(id);
    return healed.map(([id, partition]) => describe(id, partition));
  }

  /** A copy of the partition, `undefined` when it is not followed. */
  partition(id: number): Partition | undefined {
    const partition = this.#active.get(id);
    return partition && describe(id, partition);
  }
}

interface Tracked {
  phase: PartitionPhase;
  readonly unreachable: readonly bigint[];
  readonly reappeared: bigint[];
}

function describe(id: number, { phase, unreachable, reappeared }: Tracked): Partition {
  const progress = phase === "healed" ? 1 : reappeared.length / unreachable.length;
  return { id, phase, unreachable: [...unreachable], reappeared: [...reappeared], progress };
}
