import { CircuitBreaker } from "@netmesh/routing";
import type { SocketAddress } from "@netmesh/wire";

/** Failures of a path in a row after which nothing returns to it for a while. */
const FAILURES = 3;
/** That while, in milliseconds. */
const RESET_MS = 30_000;
/** A path that has not failed for this long has a clean record. */
const FORGIVEN_AFTER_MS = 120_000;
/** Addresses remembered; the one that failed first makes room. */
const MAX_ADDRESSES = 4_096;

/** Keeps sessions from returning again and again to a path that comes and goes. */
export class FlapGuard {
  readonly #records = new Map<string, { readonly breaker: CircuitBreaker; failedMs: number }>();

  /** A path over that address has failed while it was in use. */
  failed({ key }: SocketAddress, nowMs: number): void {
    let record = this.#records.get(key);
    if (record === undefined) {
      if (this.#records.size >= MAX_ADDRESSES)
        this.#records.delete(this.#records.keys().next().value as string);
      const limits = { failureThreshold: FAILURES, successThreshold: 1, resetTimeoutMs: RESET_MS };
      record = { breaker: new CircuitBreaker(limits, nowMs), failedMs: nowMs };
      this.#records.set(key, record);
    }
    record.failedMs = nowMs;
    const { breaker } = record;
    // The peer has brought the session back meanwhile, in vain: the pause begins anew.
    const isOpen = breaker.state === "open";
    if (isOpen) breaker.reset(nowMs);
    for (let i = isOpen ? FAILURES : 1; i > 0; i--) breaker.recordFailure(nowMs);
  }

  /** Whether what left the path may try to return to it. */
  mayReturn({ key }: SocketAddress, nowMs: number): boolean {
    return this.#records.get(key)?.breaker.allow(nowMs) ?? true;
  }

  /** Forgets paths that have not failed for two minutes. */
  sweep(nowMs: number): void {
    for (const [key, { failedMs }] of this.#records) {
      if (nowMs - failedMs > FORGIVEN_AFTER_MS) this.#records.delete(key);
    }
  }
}
