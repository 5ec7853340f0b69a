import type { CapabilityFilter } from "./capability-filter.ts";
import type { CausalEvent } from "./state/causal-event.ts";

/** A value, or the promise of one. */
export type Awaitable<T> = T | PromiseLike<T>;

/** What one event made a daemon say: nothing, one payload, or several. The runtime owns the bytes from then on. */
// biome-ignore lint/suspicious/noConfusingVoidType: what a method without a return statement gives
export type DaemonOutput = Uint8Array | readonly Uint8Array[] | undefined | void;

/** A part of a daemon's state on its way to another node. */
export interface StateDelta {
  /** What `applyDelta` needs; the runtime's, and nobody changes it any more. Best up to some hundred kilobytes. */
  readonly bytes: Uint8Array;
  /** How far this part goes: the `since` of the next. */
  readonly version: bigint;
  /** Bytes, about, that the parts so far lack of the state as it is now; 0 when it is nothing. The daemon is stopped once they are few. */
  readonly remaining: number;
}

/** How a daemon says that it is doing. */
export type DaemonHealth =
  | { readonly status: "healthy" }
  | { readonly status: "degraded"; readonly reason: string }
  | { readonly status: "unhealthy"; readonly reason: string };

/** What a daemon is told about its surroundings (§9). */
export type ControlEvent =
  /** The daemon will be removed; it has `graceMs` to come to an end. */
  | { readonly kind: "shutdown"; readonly graceMs: number }
  /** Events stop soon, as before a migration. */
  | { readonly kind: "drain-start"; readonly graceMs: number }
  /** Events come again. */
  | { readonly kind: "drain-finish" }
  /** Outputs are more than can be taken; `level` from 0 to 1. */
  | { readonly kind: "backpressure-on"; readonly level: number }
  /** Outputs can be taken again. */
  | { readonly kind: "backpressure-off" };

/** The calls of a daemon that have a time limit. */
export type DaemonCall = "process" | "snapshot" | "restore" | "control";

/**
 * An event processor with a key of its own (§9). Calls on one daemon never overlap, also when they return promises; the calls
 * of different daemons may.
 *
 * It has both `snapshot` and `restore`, or neither and then is stateless: it cannot migrate.
 */
export interface Daemon {
  /** A label for logs. */
  readonly name: string;
  /** Where it can run; anywhere by default. */
  readonly requirements?: CapabilityFilter;
  /** Tags without which it is not placed on a node. */
  readonly requiredCapabilities?: readonly string[];
  /** Tags that make a node the better place. */
  readonly optionalCapabilities?: readonly string[];

  /**
   * Handles one event. Meant to return at once; may return a promise, which delays the daemon's other calls. Throwing fails the
   * delivery and leaves chain and statistics as if it had not been made, except for one more error.
   */
  process(event: CausalEvent): Awaitable<DaemonOutput>;

  /** All that `restore` needs, or undefined while there is nothing to keep. The bytes are copied. */
  snapshot?(): Awaitable<Uint8Array | undefined>;

  /** Takes over a state before any `process`; the bytes are the daemon's. Throwing refuses it. */
  restore?(state: Uint8Array): Awaitable<void>;

  /**
   * For large states: what changed since a version, in parts, from the beginning when undefined. Parts are copied to another node while the
   * daemon runs, so that it pauses only for the last ones. Goes with `applyDelta`, beside `snapshot` and `restore`.
   */
  snapshotDelta?(since: bigint | undefined): Awaitable<StateDelta>;

  /**
   * Takes over a part, in the order in which they were given, before any `process`; the bytes are valid until it has settled. Throwing
   * refuses it.
   */
  applyDelta?(delta: Uint8Array): Awaitable<void>;

  /** Healthy by default. */
  health?(): DaemonHealth;

  /** How busy it is, from 0 to 1; 0 by default. */
  saturation?(): number;

  /** Told about its surroundings. */
  onControl?(event: ControlEvent): Awaitable<void>;

  /**
   * Told that a call took longer than its time limit and has failed for whoever waits for it. Until it does return, all other calls
   * fail at once.
   */
  interrupt?(call: DaemonCall): void;

  /** Frees what the daemon holds, after its last call. */
  dispose?(): Awaitable<void>;
}

/** Whether the daemon can give and take a state. */
export function isStateful(daemon: Daemon): boolean {
  return daemon.snapshot !== undefined && daemon.restore !== undefined;
}

/** Whether the daemon can give and take its state in parts. */
export function hasDeltas(daemon: Daemon): boolean {
  return isStateful(daemon) && daemon.snapshotDelta !== undefined && daemon.applyDelta !== undefined;
}
