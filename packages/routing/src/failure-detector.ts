import { high32, low32, type SocketAddress, U64Map } from "@netmesh/wire";
import { RoutingError, requireCount, requireLimit } from "./routing-error.ts";

/** What a detector thinks of a node. */
export type NodeStatus = "unknown" | "healthy" | "suspected" | "failed";

/** Parameters of a {@link FailureDetector} (routing §7). */
export interface FailureDetectorOptions {
  /** Silence that counts as one miss, in milliseconds; default 5000. */
  readonly timeoutMs?: number;
  /** Misses at which a node has failed; default 3. */
  readonly missThreshold?: number;
  /** Misses at which it is suspected; default 2. */
  readonly suspicionThreshold?: number;
  /** Pause between two cleanups, in milliseconds; default 30 000. */
  readonly cleanupIntervalMs?: number;
  /** Nodes tracked; default 65 536. Heartbeats of further nodes are counted as refused. */
  readonly maxNodes?: number;
  /** 32 random bits, against ids chosen to collide; default 0. */
  readonly hashSeed?: number;
  /** Called once for each node that fails, after everything else about the check is done. */
  readonly onFailure?: (node: bigint) => void;
  /** Called when a failed node is heard again. */
  readonly onRecovery?: (node: bigint) => void;
}

/** Plain counters of a failure detector. */
export interface FailureDetectorStats {
  readonly tracked: number;
  readonly healthy: number;
  readonly suspected: number;
  readonly failed: number;
  /** Times a node failed, ever. */
  readonly totalFailures: number;
  /** Times a failed node came back, ever. */
  readonly totalRecoveries: number;
  /** Nodes left untracked because `maxNodes` were. */
  readonly refused: number;
}

/**
 * Declares nodes failed by the time since their last heartbeat, as Net 0.27 does (routing §7): after
 * two timeouts suspected, after three failed, until the next heartbeat.
 *
 * `nowMs` is a monotonic clock in milliseconds, the same one for every call. Callbacks may call back
 * into the detector. A mesh uses the faster {@link AdaptiveFailureDetector}.
 */
export class FailureDetector {
  readonly #timeoutMs: number;
  readonly #missThreshold: number;
  readonly #suspicionThreshold: number;
  readonly #cleanupIntervalMs: number;
  readonly #maxNodes: number;
  readonly #onFailure: (node: bigint) => void;
  readonly #onRecovery: (node: bigint) => void;
  readonly #nodes: U64Map<Node>;
  #lastCleanupMs: number;
  #totalFailures = 0;
  #totalRecoveries = 0;
  #refused = 0;

  /**
   * @param nowMs construction counts as the first cleanup
   * @throws RoutingError `invalid-limit` when a parameter is negative, or a threshold not an integer from 1.
   */
  constructor(options: FailureDetectorOptions, nowMs: number) {
    const { timeoutMs = 5_000, missThreshold = 3, suspicionThreshold = 2 } = options;
    const { cleanupIntervalMs = 30_000, maxNodes = 65_536 } = options;
    if (!(timeoutMs > 0)) {
      throw new RoutingError("invalid-limit", `timeoutMs must be more than 0, got ${timeoutMs}`, timeoutMs);
    }
    requireCount("missThreshold", missThreshold);
    requireCount("suspicionThreshold", suspicionThreshold);
    requireLimit("cleanupIntervalMs", cleanupIntervalMs);
    requireLimit("maxNodes", maxNodes);
    this.#timeoutMs = timeoutMs;
    this.#missThreshold = missThreshold;
    this.#suspicionThreshold = suspicionThreshold;
    this.#cleanupIntervalMs = cleanupIntervalMs;
    this.#maxNodes = maxNodes;
    this.#onFailure = options.onFailure ?? (() => undefined);
    this.#onRecovery = options.onRecovery ?? (() => undefined);
    this.#nodes = new U64Map(options.hashSeed);
    this.#lastCleanupMs = nowMs;
  }

  /** Nodes tracked. */
  get nodeCount(): number {
    return this.#nodes.size;
  }

  /** A heartbeat of `node`, which starts to be tracked with it; the address is the one it last came from. */
  heartbeat(node: bigint, address: SocketAddress, nowMs: number): void {
    const known = this.#nodes.getId(node);
    if (known === undefined) {
      if (this.#nodes.size >= this.#maxNodes) this.#refused += 1;
      else this.#nodes.setId(node, { id: node, lastMs: nowMs, status: "healthy", address });
      return;
    }
    const hadFailed = known.status === "failed";
    known.lastMs = nowMs;
    known.status = "healthy";
    known.address = address;
    if (!hadFailed) return;
    this.#totalRecoveries += 1;
    this.#onRecovery(node);
  }

  /** Looks at every node and returns those that have failed since the last check. */
  checkAll(nowMs: number): bigint[] {
    const failed: bigint[] = [];
    for (const node of this.#nodes) {
      const silenceMs = nowMs - node.lastMs;
      if (silenceMs <= this.#timeoutMs) continue;
      const missed = Math.floor(silenceMs / this.#timeoutMs);
      if (missed >= this.#missThreshold) {
        if (node.status !== "failed") failed.push(node.id);
        node.status = "failed";
      } else if (missed >= this.#suspicionThreshold) {
        node.status = "suspected";
      }
    }
    this.#totalFailures += failed.length;
    for (const id of failed) this.#onFailure(id);
    return failed;
  }

  /** Forgets failed nodes silent for more than ten timeouts, at most once per interval; returns how many. */
  cleanup(nowMs: number): number {
    if (nowMs - this.#lastCleanupMs < this.#cleanupIntervalMs) return 0;
    this.#lastCleanupMs = nowMs;
    return this.#nodes.removeIf(
      (node) => node.status === "failed" && nowMs - node.lastMs > 10 * this.#timeoutMs,
    );
  }

  /** Stops tracking the node; false when it was not. */
  remove(node: bigint): boolean {
    return this.#nodes.delete(low32(node), high32(node));
  }

  /** What is thought of the node, `unknown` when it is not tracked. */
  status(node: bigint): NodeStatus {
    return this.#nodes.getId(node)?.status ?? "unknown";
  }

  /** Where the node's last heartbeat came from. */
  address(node: bigint): SocketAddress | undefined {
    return this.#nodes.getId(node)?.address;
  }

  /** The nodes with that status, in no particular order. */
  nodesWith(status: NodeStatus): bigint[] {
    return [...this.#nodes].filter((node) => node.status === status).map((node) => node.id);
  }

  /** Plain counters. */
  stats(): FailureDetectorStats {
    return {
      tracked: this.#nodes.size,
      healthy: this.nodesWith("healthy").length,
      suspected: this.nodesWith("suspected").length,
      failed: this.nodesWith("failed").length,
      totalFailures: this.#totalFailures,
      totalRecoveries: this.#totalRecoveries,
      refused: this.#refused,
    };
  }
}

interface Node {
  readonly id: bigint;
  lastMs: number;
  status: NodeStatus;
  address: SocketAddress;
}
