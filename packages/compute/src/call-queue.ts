import type { DaemonCall } from "./daemon.ts";
import { DaemonError, hexId } from "./errors.ts";
import type { DaemonTime } from "./time.ts";

/** Limits of the calls of one daemon. */
export interface CallLimits {
  /** What one call may take, in milliseconds. */
  readonly callTimeoutMs: number;
  /** Calls that may wait for their turn. */
  readonly maxPending: number;
}

interface Pending {
  readonly start: () => void;
  readonly reject: (error: DaemonError) => void;
}

/**
 * Gives the calls of one daemon their turns, one after the other in the order in which they came.
 *
 * A call that returns a promise keeps its turn until that settles. One that exceeds its time limit fails for whoever waits for it, and
 * with it all that wait for their turn; further calls fail at once until it does settle, and its result is discarded.
 */
export class CallQueue {
  readonly #originHash: bigint;
  readonly #limits: CallLimits;
  readonly #time: DaemonTime;
  /** Told which call has exceeded its limit. */
  readonly #onTimeout: (call: DaemonCall) => void;
  #isBusy = false;
  /** The call that has exceeded its limit and not returned yet. */
  #stalled: DaemonCall | undefined;
  /** Why there are no more turns. */
  #closed: DaemonError | undefined;
  /** Fails the call that has the turn, if it has returned a promise. */
  #abandon: ((error: DaemonError) => void) | undefined;
  /** Told once the queue is closed and no call is under way, or the one that is has exceeded its limit. */
  #onIdle: (() => void) | undefined;
  /** Whether `leave` is giving turns, so that calls that return at once do not nest. */
  #isDraining = false;
  /** Calls waiting for their turn: those from `#first` on. */
  #pending: Pending[] = [];
  #first = 0;

  constructor(
    originHash: bigint,
    limits: CallLimits,
    time: DaemonTime,
    onTimeout: (call: DaemonCall) => void,
  ) {
    this.#originHash = originHash;
    this.#limits = limits;
    this.#time = time;
    this.#onTimeout = onTimeout;
  }

  /** Calls waiting for their turn. */
  get pending(): number {
    return this.#pending.length - this.#first;
  }

  /** The call that has exceeded its time limit and not returned yet. */
  get stalled(): DaemonCall | undefined {
    return this.#stalled;
  }

  /** Takes the turn if it is free: then `leave` has to follow in any case. */
  tryEnter(): boolean {
    if (this.#isBusy || this.#closed !== undefined) return false;
    this.#isBusy = true;
    return true;
  }

  /** Ends the turn. */
  leave(): void {
    this.#isBusy = false;
    if (this.#onIdle !== undefined) this.#becomeIdle();
    if (this.pending === 0 || this.#isDraining) return;
    this.#isDraining = true;
    while (this.pending > 0 && !this.#isBusy) this.#startNext();
    this.#isDraining = false;
  }

  /**
   * Runs a call in its turn: at once when it is free, and then returns or throws what the call does. Otherwise, and when the call
   * returns a promise, returns a promise. Throws or rejects with `backpressure`, `callback-timeout`, or why the queue was closed.
   */
  run<T>(call: DaemonCall, action: () => T | PromiseLike<T>): T | Promise<T> {
    if (!this.tryEnter()) return this.#wait(call, action);
    let result: T | PromiseLike<T>;
    try {
      result = action();
    } catch (error) {
      this.leave();
      throw error;
    }
    if (isPromiseLike(result)) return this.settle(call, result);
    this.leave();
    return result;
  }

  /** Waits, in the turn that the caller has taken, for what the call returned; ends the turn when it settles. */
  settle<T>(call: DaemonCall, result: PromiseLike<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { callTimeoutMs } = this.#limits;
      const timer = this.#time.after(callTimeoutMs, () => this.#stall(call));
      this.#abandon = reject;
      const end = (): void => {
        this.#time.cancel(timer);
        this.#abandon = undefined;
        this.#stalled = undefined;
        this.leave();
      };
      // Once abandoned, the promise is settled and what follows has no effect on it.
      Promise.resolve(result).then(
        (value) => {
          resolve(value);
          end();
        },
        (error: unknown) => {
          reject(error);
          end();
        },
      );
    });
  }

  /**
   * Waits for the turn and keeps it, without a time limit, until the function that it resolves to is called, once or more. Rejects as `run`.
   */
  hold(): Promise<() => void> {
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      this.leave();
    };
    if (this.tryEnter()) return Promise.resolve(release);
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#pending.push({ start: () => resolve(release), reject });
    });
  }

  /** Whether the queue was closed. */
  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /**
   * Refuses all further calls, and those that wait; only the first time. The call under way fails too, although it goes on:
   * `onIdle` is called when it has returned or exceeds its limit.
   */
  close(error: DaemonError, onIdle: () => void): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.#onIdle = onIdle;
    this.#abandon?.(error);
    this.#rejectPending(error);
    if (!this.#isBusy || this.#stalled !== undefined) this.#becomeIdle();
  }

  #becomeIdle(): void {
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    onIdle?.();
  }

  #wait<T>(call: DaemonCall, action: () => T | PromiseLike<T>): Promise<T> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise<T>((resolve, reject) => {
      const start = (): void => {
        let result: T | PromiseLike<T>;
        try {
          result = action();
        } catch (error) {
          reject(error);
          this.leave();
          return;
        }
        if (isPromiseLike(result)) {
          this.settle(call, result).then(resolve, reject);
          return;
        }
        resolve(result);
        this.leave();
      };
      this.#pending.push({ start, reject });
    });
  }

  #refusal(): DaemonError | undefined {
    if (this.#closed !== undefined) return this.#closed;
    if (this.#stalled !== undefined) return this.#timeoutError(this.#stalled);
    if (this.pending < this.#limits.maxPending) return undefined;
    const text = `${this.pending} calls wait for daemon ${hexId(this.#originHash)}`;
    return new DaemonError("backpressure", text, { originHash: this.#originHash });
  }

  #startNext(): void {
    const next = this.#pending[this.#first++] as Pending;
    if (this.#first === this.#pending.length) {
      this.#pending = [];
      this.#first = 0;
    }
    this.#isBusy = true;
    next.start();
  }

  #stall(call: DaemonCall): void {
    this.#stalled = call;
    const error = this.#timeoutError(call);
    this.#abandon?.(error);
    this.#rejectPending(error);
    this.#onTimeout(call);
    this.#becomeIdle();
  }

  #rejectPending(error: DaemonError): void {
    const pending = this.#pending.slice(this.#first);
    this.#pending = [];
    this.#first = 0;
    for (const { reject } of pending) reject(error);
  }

  #timeoutError(call: DaemonCall): DaemonError {
    const { callTimeoutMs } = this.#limits;
    const text = `${call} of daemon ${hexId(this.#originHash)} took more than ${callTimeoutMs} ms`;
    return new DaemonError("callback-timeout", text, { originHash: this.#originHash });
  }
}

/** Whether a result has to be waited for. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === "object" && value !== null && typeof (value as PromiseLike<T>).then === "function";
}
