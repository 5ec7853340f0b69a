import { requireCount, requireLimit } from "./routing-error.ts";

/** `closed` lets everything pass, `open` nothing, `half-open` a few trials. */
export type CircuitState = "closed" | "open" | "half-open";

/** Parameters of a {@link CircuitBreaker} (routing §7.2). */
export interface CircuitBreakerOptions {
  /** Failures in a row that open it. */
  readonly failureThreshold: number;
  /** Successes of trials that close it. */
  readonly successThreshold: number;
  /** Time it stays open before trials are allowed, in milliseconds. */
  readonly resetTimeoutMs: number;
  /** Trials under way at a time; default `successThreshold`. */
  readonly maxTrials?: number;
}

/**
 * Stops calls to what keeps failing, and tries carefully after a while (routing §7.2).
 *
 * While half open it allows `maxTrials` calls without an answer. A trial whose outcome nobody records
 * is written off after another reset timeout.
 */
export class CircuitBreaker {
  readonly #failureThreshold: number;
  readonly #successThreshold: number;
  readonly #resetTimeoutMs: number;
  readonly #maxTrials: number;
  #state: CircuitState = "closed";
  #sinceMs: number;
  #failures = 0;
  #successes = 0;
  #trials = 0;
  #lastTrialMs = 0;
  #totalTrips = 0;

  /** @throws RoutingError `invalid-limit` when a threshold is no integer from 1 or the timeout negative. */
  constructor(options: CircuitBreakerOptions, nowMs: number) {
    const { failureThreshold, successThreshold, resetTimeoutMs, maxTrials = successThreshold } = options;
    requireCount("failureThreshold", failureThreshold);
    requireCount("successThreshold", successThreshold);
    requireLimit("resetTimeoutMs", resetTimeoutMs);
    requireCount("maxTrials", maxTrials);
    this.#failureThreshold = failureThreshold;
    this.#successThreshold = successThreshold;
    this.#resetTimeoutMs = resetTimeoutMs;
    this.#maxTrials = maxTrials;
    this.#sinceMs = nowMs;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** Times it opened. */
  get totalTrips(): number {
    return this.#totalTrips;
  }

  /** Whether to make a call now; each call allowed while half open is a trial. */
  allow(nowMs: number): boolean {
    if (this.#state === "closed") return true;
    if (this.#state === "open") {
      if (nowMs - this.#sinceMs < this.#resetTimeoutMs) return false;
      this.#enter("half-open", nowMs);
    } else if (this.#trials >= this.#maxTrials && nowMs - this.#lastTrialMs >= this.#resetTimeoutMs) {
      this.#trials = 0;
    }
    if (this.#trials >= this.#maxTrials) return false;
    this.#trials += 1;
    this.#lastTrialMs = nowMs;
    return true;
  }

  /** A call succeeded; without effect while open. */
  recordSuccess(nowMs: number): void {
    if (this.#state === "closed") this.#failures = 0;
    if (this.#state !== "half-open") return;
    this.#trials = Math.max(0, this.#trials - 1);
    this.#successes += 1;
    if (this.#successes >= this.#successThreshold) this.#enter("closed", nowMs);
  }

  /** A call failed; without effect while open. */
  recordFailure(nowMs: number): void {
    if (this.#state === "open") return;
    this.#failures += 1;
    if (this.#state === "half-open" || this.#failures >= this.#failureThreshold) this.#enter("open", nowMs);
  }

  /** Closes it and starts counting over. */
  reset(nowMs: number): void {
    this.#enter("closed", nowMs);
  }

  #enter(state: CircuitState, nowMs: number): void {
    this.#state = state;
    this.#sinceMs = nowMs;
    this.#failures = 0;
    this.#successes = 0;
    this.#trials = 0;
    if (state === "open") this.#totalTrips += 1;
  }
}
