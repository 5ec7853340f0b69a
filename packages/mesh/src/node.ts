import type { DatagramBatch } from "@netmesh/wire";
import type { CoreOptions } from "./core/config.ts";
import type { Counters } from "./core/counters.ts";
import type { CoreEvent } from "./core/events.ts";
import { type CoreSink, MeshCore } from "./core/mesh-core.ts";
import { SideSockets } from "./side-sockets.ts";
import type { Transport } from "./transport.ts";

/** Timers of the platform or of a simulation. */
export interface Scheduler {
  /** Runs the callback once, after `delayMs`; returns what `cancel` takes. */
  after(delayMs: number, callback: () => void): unknown;
  /** Takes `after` back. */
  cancel(handle: unknown): void;
  /** Runs the callback after the code that runs now, and after what it has scheduled as microtasks. */
  soon(callback: () => void): void;
}

/** A node's settings: those of its core, and who gets its events. */
export interface NodeOptions extends CoreOptions {
  readonly transport: Transport;
  readonly scheduler?: Scheduler;
  /** Takes every event, in order; may call the core. What it throws is passed to `onError`. */
  readonly onEvent: (event: CoreEvent) => void;
  /** Takes what `onEvent` threw, and the reason when the transport ends by itself. */
  readonly onError: (error: unknown) => void;
}

/**
 * The loop around a {@link MeshCore}: moves batches between core and transport, arms one timer for the next deadline,
 * and joins the application's calls of one turn into one input.
 */
export class MeshNode implements CoreSink {
  /** The engine. After calling it from outside of `onEvent`, call {@link touch}. */
  readonly core: MeshCore;
  readonly transport: Transport;
  /** Further sockets, for peers that are not reached from the main one. */
  readonly sides: SideSockets;
  readonly #scheduler: Scheduler;
  readonly #options: NodeOptions;
  #timer: unknown;
  #timerAtMs: number = Number.POSITIVE_INFINITY;
  #isTouched = false;
  #isDraining = false;
  #isClosed = false;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.transport = options.transport;
    this.#scheduler = options.scheduler ?? platformScheduler;
    this.core = new MeshCore({ ...options, fragments: options.transport.fragments ?? true });
    const receive = (batch: DatagramBatch): void => {
      if (this.#isClosed) return;
      this.core.receive(batch);
      this.#drain();
    };
    const writable = (): void => this.touch();
    this.sides = new SideSockets(options.transport, receive, writable);
    options.transport.listen({
      receive,
      writable,
      closed: (error) => {
        if (error !== undefined) options.onError(error);
      },
    });
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Live counters of the engine. */
  get counters(): Readonly<Counters> {
    return this.core.counters;
  }

  /** Lets the outputs of calls to the core go out, once this turn's code has run; packets at once when there are many. */
  touch(): void {
    if (this.core.isFlushDue && !this.#isDraining && !this.#isClosed) this.core.flush(this);
    if (this.#isTouched || this.#isDraining || this.#isClosed) return;
    this.#isTouched = true;
    this.#scheduler.soon(this.#onSoon);
  }

  /** Ends streams, wipes keys, closes the transport. Idempotent. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.core.close();
      this.#drain();
      this.#isClosed = true;
      this.#cancelTimer();
    }
    this.sides.close();
    await this.transport.close();
  }

  send(batch: DatagramBatch): number {
    return this.sides.isIdle ? this.transport.send(batch) : this.sides.send(batch);
  }

  event(event: CoreEvent): void {
    try {
      this.#options.onEvent(event);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  readonly #onSoon = (): void => {
    this.#isTouched = false;
    if (!this.#isClosed) this.#drain();
  };

  /** Not at once: acknowledgements that wait in the socket come before time-outs are declared. */
  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#scheduler.soon(this.#onDue);
  };

  readonly #onDue = (): void => {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (this.#isClosed) return;
    this.core.wake();
    this.#drain();
  };

  #drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    try {
      this.#arm(this.core.drain(this));
    } finally {
      this.#isDraining = false;
    }
  }

  /** One timer; an earlier one is left to fire for nothing rather than moved for each packet. */
  #arm(deadlineMs: number): void {
    if (deadlineMs >= this.#timerAtMs || this.#isClosed) return;
    this.#cancelTimer();
    if (deadlineMs === Number.POSITIVE_INFINITY) return;
    this.#timerAtMs = deadlineMs;
    const delayMs = Math.max(0, deadlineMs - this.#options.clock.now());
    this.#timer = this.#scheduler.after(delayMs, this.#onTimer);
  }

  #cancelTimer(): void {
    if (this.#timer !== undefined) this.#scheduler.cancel(this.#timer);
    this.#timer = undefined;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }
}

/** Longest delay that `setTimeout` takes. */
const MAX_DELAY_MS = 2 ** 31 - 1;

const soon: (callback: () => void) => void =
  (globalThis as { setImmediate?: (callback: () => void) => void }).setImmediate ??
  ((callback) => setTimeout(callback, 0));

/** `setTimeout` and `setImmediate`. */
export const platformScheduler: Scheduler = {
  after: (delayMs, callback) => setTimeout(callback, Math.min(MAX_DELAY_MS, Math.ceil(delayMs))),
  cancel: (handle) => clearTimeout(handle as Parameters<typeof clearTimeout>[0]),
  soon: (callback) => {
    soon(callback);
  },
};
