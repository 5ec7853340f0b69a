import type { ChannelLimits } from "./channel-limits.ts";

/** Peers whose failures are remembered; the one that has failed longest ago leaves first. */
const MAX_RECORDS = 4_096;

interface Failures {
  /** When each of the last ones happened, oldest first; at most as many as it takes to be throttled. */
  readonly timesMs: number[];
  throttledUntilMs: number;
}

/** Throttles peers whose requests are refused too often (spec/mesh.md §12.4). */
export class AuthFailures {
  readonly #limits: ChannelLimits;
  /** By node id, in the order of the last failures. */
  readonly #peers = new Map<bigint, Failures>();

  constructor(limits: ChannelLimits) {
    this.#limits = limits;
  }

  /** Peers with a record. */
  get size(): number {
    return this.#peers.size;
  }

  /** Whether the peer has failed so often that it has to wait. */
  isThrottled(nodeId: bigint, nowMs: number): boolean {
    const failures = this.#peers.get(nodeId);
    return failures !== undefined && nowMs < failures.throttledUntilMs;
  }

  /** Counts a refused request. */
  add(nodeId: bigint, nowMs: number): void {
    const { maxAuthFailures, authFailureWindowMs, authThrottleMs } = this.#limits;
    const failures = this.#peers.get(nodeId) ?? { timesMs: [], throttledUntilMs: Number.NEGATIVE_INFINITY };
    const { timesMs } = failures;
    timesMs.push(nowMs);
    while (nowMs - (timesMs[0] as number) > authFailureWindowMs) timesMs.shift();
    if (timesMs.length >= maxAuthFailures) {
      timesMs.length = 0;
      failures.throttledUntilMs = nowMs + authThrottleMs;
    }
    this.#peers.delete(nodeId);
    this.#peers.set(nodeId, failures);
    if (this.#peers.size <= MAX_RECORDS) return;
    const [oldest] = this.#peers.keys();
    this.#peers.delete(oldest as bigint);
  }

  /** Forgets a peer's failures: a request of it was accepted. */
  clear(nodeId: bigint): void {
    this.#peers.delete(nodeId);
  }
}
