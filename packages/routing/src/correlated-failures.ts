import { requireCount, requireLimit } from "./routing-error.ts";

/** Why many nodes failed at once, as far as their subnets tell. */
export type FailureCause =
  /** `affectedRatio` of the failed nodes are in that subnet. */
  | { readonly kind: "subnet"; readonly subnet: number; readonly affectedRatio: number }
  /** They are spread over subnets. */
  | { readonly kind: "broad-outage" }
  /** No failed node has a known subnet. */
  | { readonly kind: "unknown" };

/** What a group of failures is. */
export type FailureVerdict =
  | { readonly kind: "independent"; readonly failedNodes: readonly bigint[] }
  | {
      readonly kind: "mass-failure";
      /** Everything that failed within the window. */
      readonly failedNodes: readonly bigint[];
      /** Their share of the tracked nodes. */
      readonly failureRatio: number;
      readonly cause: FailureCause;
    };

/** Parameters of {@link CorrelatedFailures}. */
export interface CorrelatedFailuresOptions {
  /** Failures this close together count as one event, in milliseconds; default 2000. */
  readonly windowMs?: number;
  /** Share of the tracked nodes from which it is a mass failure; default 0.3. */
  readonly massFailureRatio?: number;
  /** Share of the failed nodes that makes a subnet the cause; default 0.8. */
  readonly subnetRatio?: number;
  /** Recoveries at a time during a mass failure; default 3. */
  readonly recoveryBudget?: number;
  /** Failures remembered; default 4096. Beyond it, the oldest leave the window early. */
  readonly maxFailures?: number;
}

/**
 * Tells failures of single nodes from one event that takes many down, so that a mesh does not reroute
 * and reconnect everything at once.
 *
 * @remarks A subnet id has one byte per level, the highest first; zero bytes end it.
 */
export class CorrelatedFailures {
  readonly #subnetOf: (node: bigint) => number | undefined;
  readonly #windowMs: number;
  readonly #massFailureRatio: number;
  readonly #subnetRatio: number;
  readonly #recoveryBudget: number;
  readonly #maxFailures: number;
  /** In the order of time. */
  #recent: { readonly node: bigint; readonly atMs: number }[] = [];
  #inMassFailure = false;

  /**
   * @param subnetOf subnet id of a node, `undefined` when it is not known
   * @throws RoutingError `invalid-limit`
   */
  constructor(subnetOf: (node: bigint) => number | undefined, options: CorrelatedFailuresOptions = {}) {
    const { windowMs = 2_000, massFailureRatio = 0.3, subnetRatio = 0.8 } = options;
    const { recoveryBudget = 3, maxFailures = 4_096 } = options;
    requireLimit("windowMs", windowMs);
    requireLimit("massFailureRatio", massFailureRatio);
    requireLimit("subnetRatio", subnetRatio);
    requireCount("recoveryBudget", recoveryBudget);
    requireCount("maxFailures", maxFailures);
    this.#subnetOf = subnetOf;
    this.#windowMs = windowMs;
    this.#massFailureRatio = massFailureRatio;
    this.#subnetRatio = subnetRatio;
    this.#recoveryBudget = recoveryBudget;
    this.#maxFailures = maxFailures;
  }

  /** Whether the last failures were a mass failure. */
  get inMassFailure(): boolean {
    return this.#inMassFailure;
  }

  /** Failures in the window. */
  get windowSize(): number {
    return this.#recent.length;
  }

  /** Nodes that may be recovered at a time: few during a mass failure, otherwise `Infinity`. */
  get recoveryBudget(): number {
    return this.#inMassFailure ? this.#recoveryBudget : Number.POSITIVE_INFINITY;
  }

  /**
   * Judges nodes that have just failed, together with those that failed within the window.
   *
   * @param totalTracked nodes there are; with none, there is no ratio and nothing changes but the window
   */
  onFailures(failed: readonly bigint[], totalTracked: number, nowMs: number): FailureVerdict {
    this.#recent = this.#recent.filter(({ atMs }) => nowMs - atMs <= this.#windowMs);
    for (const node of failed) this.#recent.push({ node, atMs: nowMs });
    this.#recent.splice(0, this.#recent.length - this.#maxFailures);
    if (totalTracked <= 0) return { kind: "independent", failedNodes: [...failed] };
    const nodes = [...new Set(this.#recent.map(({ node }) => node))];
    const failureRatio = nodes.length / totalTracked;
    this.#inMassFailure = failureRatio >= this.#massFailureRatio;
    if (!this.#inMassFailure) return { kind: "independent", failedNodes: [...failed] };
    return { kind: "mass-failure", failedNodes: nodes, failureRatio, cause: this.#causeOf(nodes) };
  }

  /** The narrowest subnet that holds enough of the nodes. */
  #causeOf(nodes: readonly bigint[]): FailureCause {
    const subnets = nodes.map((node) => this.#subnetOf(node)).filter((subnet) => subnet !== undefined);
    if (subnets.length === 0) return { kind: "unknown" };
    for (let levels = 4; levels > 0; levels--) {
      const counts = new Map<number, number>();
      for (const subnet of subnets) {
        if (depthOf(subnet) < levels) continue;
        const ancestor = truncate(subnet, levels);
        counts.set(ancestor, (counts.get(ancestor) ?? 0) + 1);
      }
      for (const [subnet, count] of counts) {
        const affectedRatio = count / nodes.length;
        if (affectedRatio >= this.#subnetRatio) return { kind: "subnet", subnet, affectedRatio };
      }
    }
    return { kind: "broad-outage" };
  }
}

/** Levels of a subnet id. */
function depthOf(subnet: number): number {
  let depth = 4;
  while (depth > 0 && ((subnet >>> (8 * (4 - depth))) & 0xff) === 0) depth -= 1;
  return depth;
}

function truncate(subnet: number, levels: number): number {
  return levels === 4 ? subnet >>> 0 : (subnet & (0xffff_ffff << (8 * (4 - levels)))) >>> 0;
}
