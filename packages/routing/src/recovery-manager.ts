import { U64Map } from "@netmesh/wire";
import { requireLimit } from "./routing-error.ts";

const BASE_DELAY_MS = 100;
/** The delay doubles this often. */
const MAX_DOUBLINGS = 6;

/** What to do about a failed node. */
export type RecoveryAction =
  /** Go through one of these nodes instead. */
  | { readonly kind: "reroute"; readonly via: readonly bigint[] }
  /** Keep what is meant for it. */
  | { readonly kind: "queue" }
  /** Try again after that time. */
  | { readonly kind: "retry"; readonly delayMs: number }
  /** Give up. */
  | { readonly kind: "drop"; readonly reason: "max retries exceeded" };

/** Plain counters of a {@link RecoveryManager}. */
export interface RecoveryStats {
  readonly reroutes: number;
  readonly retries: number;
  readonly dropped: number;
  readonly queued: number;
  /** Mean outage of the nodes that came back, whole milliseconds, 0 when none has. */
  readonly meanRecoveryMs: number;
  /** Failures not remembered because `maxNodes` were. */
  readonly refused: number;
}

/**
 * Says, failure by failure, whether to go around a node, wait and retry, or give up (routing §7.1).
 *
 * Bounded by `maxNodes` failed nodes, each kept until {@link RecoveryManager.onRecovery} or
 * {@link RecoveryManager.forget}; a further node is counted as refused, and its action is always to retry.
 */
export class RecoveryManager {
  readonly #maxNodes: number;
  readonly #failed: U64Map<FailedNode> = new U64Map();
  #reroutes = 0;
  #retries = 0;
  #dropped = 0;
  #queued = 0;
  #refused = 0;
  #recoveries = 0;
  #outageMs = 0;

  /** @throws RoutingError `invalid-limit` when `maxNodes` is negative. */
  constructor(maxNodes = 65_536) {
    requireLimit("maxNodes", maxNodes);
    this.#maxNodes = maxNodes;
  }

  /** Nodes that have failed and not recovered. */
  get failedCount(): number {
    return this.#failed.size;
  }

  /** Whether the node has failed and not recovered. */
  isFailed(node: bigint): boolean {
    return this.#failed.hasId(node);
  }

  /**
   * A failure: around it when there are alternates. A repeated one keeps the time of the first and the
   * retries made since, and its alternates count only when there are some.
   */
  onFailure(node: bigint, alternates: readonly bigint[], nowMs: number): RecoveryAction {
    const known = this.#failed.getId(node);
    const via = [...alternates];
    if (known !== undefined) {
      if (via.length > 0) known.alternates = via;
    } else if (this.#failed.size < this.#maxNodes) {
      this.#failed.setId(node, { failedAtMs: nowMs, retries: 0, alternates: via });
    } else {
      this.#refused += 1;
    }
    if (via.length === 0) {
      this.#queued += 1;
      return { kind: "queue" };
    }
    this.#reroutes += 1;
    return { kind: "reroute", via };
  }

  /** What to do now: reroute when there are alternates, else retry, 200 ms doubling to 6.4 s, else drop. */
  getAction(node: bigint, maxRetries: number): RecoveryAction {
    const known = this.#failed.getId(node);
    if (known === undefined) return { kind: "retry", delayMs: BASE_DELAY_MS };
    if (known.alternates.length > 0) return { kind: "reroute", via: known.alternates };
    if (known.retries >= maxRetries) {
      this.#dropped += 1;
      return { kind: "drop", reason: "max retries exceeded" };
    }
    known.retries += 1;
    this.#retries += 1;
    return { kind: "retry", delayMs: BASE_DELAY_MS * 2 ** Math.min(known.retries, MAX_DOUBLINGS) };
  }

  /** The node is back: its outage goes into the mean. */
  onRecovery(node: bigint, nowMs: number): void {
    const known = this.#failed.getId(node);
    if (known === undefined) return;
    this.#failed.deleteId(node);
    this.#recoveries += 1;
    this.#outageMs += nowMs - known.failedAtMs;
  }

  /** The node will not come back; false when it had not failed. */
  forget(node: bigint): boolean {
    return this.#failed.deleteId(node);
  }

  /** Plain counters. */
  stats(): RecoveryStats {
    return {
      reroutes: this.#reroutes,
      retries: this.#retries,
      dropped: this.#dropped,
      queued: this.#queued,
      meanRecoveryMs: this.#recoveries === 0 ? 0 : Math.floor(this.#outageMs / this.#recoveries),
      refused: this.#refused,
    };
  }
}

interface FailedNode {
  readonly failedAtMs: number;
  retries: number;
  alternates: readonly bigint[];
}
