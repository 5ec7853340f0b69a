import { equalBytes, type Identity } from "@netmesh/crypto";
import { CallQueue, isPromiseLike } from "./call-queue.ts";
import {
  type Awaitable,
  type ControlEvent,
  type Daemon,
  type DaemonCall,
  type DaemonHealth,
  type DaemonOutput,
  hasDeltas,
  isStateful,
  type StateDelta,
} from "./daemon.ts";
import { CoreDaemonError, DaemonError, hexId, messageOf } from "./errors.ts";
import { CausalChain } from "./state/causal-chain.ts";
import type { CausalEvent } from "./state/causal-event.ts";
import { type CausalLink, parentHash } from "./state/causal-link.ts";
import type { ForkRecord } from "./state/fork-record.ts";
import { DEFAULT_MAX_ORIGINS, ObservedHorizon } from "./state/horizon.ts";
import type { StateSnapshot } from "./state/snapshot.ts";
import { SubscriptionLedger } from "./state/subscription-ledger.ts";
import { type DaemonTime, platformTime } from "./time.ts";

/** Longest call of a daemon unless configured otherwise. */
export const DEFAULT_CALL_TIMEOUT_MS = 60_000;
/** Calls that may wait for a daemon's turn unless configured otherwise. */
export const DEFAULT_MAX_PENDING = 1024;
/** Longest delay that timers take. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** Limits of one daemon. */
export interface DaemonHostConfig {
  /** Longest call of the daemon in milliseconds, from 1 to 2^31 − 1; 60 000 by default. */
  readonly callTimeoutMs?: number;
  /** Calls that may wait while one is under way, 0 or more; 1024 by default. Of more, `deliver` fails with `backpressure`. */
  readonly maxPending?: number;
  /** Origins that its horizon remembers exactly, 1 or more; 65 536 by default. */
  readonly maxOrigins?: number;
}

/** What a daemon has done since it was started here. */
export interface DaemonStats {
  /** Events processed without an error. */
  readonly eventsProcessed: number;
  /** Events emitted. */
  readonly eventsEmitted: number;
  /** Calls that threw, said nonsense or exceeded their time limit. */
  readonly errors: number;
  /** Snapshots taken. */
  readonly snapshotsTaken: number;
  /** Results that came after the time limit of their call, or after the daemon was removed, and were discarded. */
  readonly lateResults: number;
  /** Calls waiting for their turn. */
  readonly pending: number;
}

/** Watches what is delivered to a daemon, and may refuse it: what a migration or a group puts in front of a host. */
export interface DeliveryGate {
  /** Called in the turn of a delivery, before the daemon sees the event. Throwing refuses it, and nothing has changed. */
  admit?(event: CausalEvent): void;
  /** Called in the same turn, once the event was processed and its outputs are in the chain. Must not throw. */
  delivered?(event: CausalEvent, outputs: readonly CausalEvent[]): void;
}

/** A daemon whose turn is taken: nothing is delivered to it until it is released. */
export interface HeldDaemon {
  /** As `DaemonHost.snapshot`, in the turn that is held. */
  snapshot(): Awaitable<StateSnapshot | undefined>;
  /** A snapshot but for the state, for a daemon whose state travels in parts. */
  head(): StateSnapshot;
  /** As `DaemonHost.snapshotDelta`, in the turn that is held. */
  snapshotDelta(since: bigint | undefined): Awaitable<StateDelta>;
  /** Gives the turn to whoever waits for it. Idempotent. */
  release(): void;
}

/** What a host is told of its surroundings. */
export interface DaemonHostOptions {
  readonly config?: DaemonHostConfig;
  /** The platform's by default. */
  readonly time?: DaemonTime;
  /** Told of a daemon that no longer can be relied on: a call exceeded its limit, or freeing it failed. */
  readonly onCrash?: (reason: string) => void;
  /** Kind of the factory that has made the daemon. */
  readonly kind?: string;
}

const NO_OUTPUTS: readonly CausalEvent[] = Object.freeze([]);
const NO_BYTES = new Uint8Array(0);
const HEALTHY: DaemonHealth = Object.freeze({ status: "healthy" });

/** Throws `invalid-argument` for a limit outside of its range. */
export function requireHostConfig(config: DaemonHostConfig): void {
  const { callTimeoutMs = 1, maxPending = 1, maxOrigins = 1 } = config;
  if (!(callTimeoutMs >= 1 && callTimeoutMs <= MAX_TIMEOUT_MS)) {
    throw new DaemonError("invalid-argument", `callTimeoutMs must be 1..2^31 - 1, got ${callTimeoutMs}`);
  }
  if (!(maxPending >= 0)) {
    throw new DaemonError("invalid-argument", `maxPending must be 0 or more, got ${maxPending}`);
  }
  if (!(maxOrigins >= 1)) {
    throw new DaemonError("invalid-argument", `maxOrigins must be 1 or more, got ${maxOrigins}`);
  }
}

/**
 * A daemon with its key, the chain of its outputs, its horizon, its subscriptions and its statistics (§10).
 *
 * Calls on the daemon have turns, in the order in which they come. Where the daemon answers at once and its turn is free, so does
 * the host: methods that return an `Awaitable` only return a promise when there is something to wait for.
 */
export class DaemonHost {
  /** Key of the daemon: the host's own copy, wiped when it is closed. */
  readonly identity: Identity;
  /** Origin hash of that key. */
  readonly originHash: bigint;
  /** Kind of the factory that has made the daemon, where that is known. */
  readonly kind: string | undefined;
  /** Channels that the daemon is subscribed to. */
  ledger: SubscriptionLedger = new SubscriptionLedger();
  /** What stands in front of deliveries. */
  gate: DeliveryGate | undefined;
  readonly #daemon: Daemon;
  readonly #time: DaemonTime;
  readonly #onCrash: ((reason: string) => void) | undefined;
  readonly #calls: CallQueue;
  #chain: CausalChain;
  #horizon: ObservedHorizon;
  #eventsProcessed = 0;
  #eventsEmitted = 0;
  #errors = 0;
  #snapshotsTaken = 0;
  #lateResults = 0;
  #closing: Promise<void> | undefined;

  private constructor(identity: Identity, daemon: Daemon, options: DaemonHostOptions, chain: CausalChain) {
    const { config = {}, time = platformTime, onCrash, kind } = options;
    requireHostConfig(config);
    const {
      callTimeoutMs = DEFAULT_CALL_TIMEOUT_MS,
      maxPending = DEFAULT_MAX_PENDING,
      maxOrigins = DEFAULT_MAX_ORIGINS,
    } = config;
    this.identity = identity.copy();
    this.originHash = identity.originHash;
    this.kind = kind;
    this.#daemon = daemon;
    this.#time = time;
    this.#onCrash = onCrash;
    this.#chain = chain;
    this.#horizon = new ObservedHorizon(maxOrigins);
    const limits = { callTimeoutMs, maxPending };
    this.#calls = new CallQueue(this.originHash, limits, time, (call) => this.#timedOut(call));
  }

  /** A daemon at the beginning of its chain (§10.3). Throws `invalid-argument`. */
  static create(identity: Identity, daemon: Daemon, options: DaemonHostOptions = {}): DaemonHost {
    return new DaemonHost(identity, daemon, options, CausalChain.genesis(identity.originHash));
  }

  /**
   * A daemon that goes on from a snapshot of its own (§10.4). Its first output follows the snapshot's link and head, or its state
   * where the head is not known, as it is not after a journey.
   *
   * Fails with `restore-failed` before the daemon is asked when the snapshot is another entity's or its bindings are malformed;
   * afterwards when the daemon refuses the state, or is stateless and there is some. `callback-timeout` when it takes too long. The
   * daemon is disposed of then. With `givesState` the daemon gets the snapshot's bytes themselves.
   */
  static async fromSnapshot(
    snapshot: StateSnapshot,
    identity: Identity,
    daemon: Daemon,
    options: DaemonHostOptions & { readonly givesState?: boolean } = {},
  ): Promise<DaemonHost> {
    const host = DaemonHost.create(identity, daemon, options);
    try {
      if (!equalBytes(snapshot.entityId, identity.entityId)) {
        throw new CoreDaemonError("restore-failed", "the snapshot is of another entity than the key", {
          originHash: host.originHash,
        });
      }
      await host.restoreFrom(snapshot, options);
      return host;
    } catch (error) {
      void host.close();
      throw error;
    }
  }

  /** A daemon at the beginning of a fork (§8.3). Throws `restore-failed` when the fork is another entity's. */
  static fromFork(
    record: ForkRecord,
    identity: Identity,
    daemon: Daemon,
    options: DaemonHostOptions = {},
  ): DaemonHost {
    if (record.forkedOrigin !== identity.originHash) {
      const text = `the fork belongs to ${hexId(record.forkedOrigin)}, the key to ${hexId(identity.originHash)}`;
      throw new CoreDaemonError("restore-failed", text, { originHash: identity.originHash });
    }
    return new DaemonHost(identity, daemon, options, CausalChain.resume(record.forkGenesis));
  }

  /** The daemon's label. */
  get name(): string {
    return this.#daemon.name;
  }

  /** Head of the output chain. */
  get head(): CausalLink {
    return this.#chain.head;
  }

  /** What the daemon has seen; the host's own. */
  get horizon(): ObservedHorizon {
    return this.#horizon;
  }

  /** Whether the daemon can give and take a state. */
  get isStateful(): boolean {
    return isStateful(this.#daemon);
  }

  /** Whether the host was closed. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** What the daemon has done so far. */
  stats(): DaemonStats {
    return {
      eventsProcessed: this.#eventsProcessed,
      eventsEmitted: this.#eventsEmitted,
      errors: this.#errors,
      snapshotsTaken: this.#snapshotsTaken,
      lateResults: this.#lateResults,
      pending: this.#calls.pending,
    };
  }

  /** How the daemon says it is doing; unhealthy while a call exceeds its time limit, or when asking throws. */
  health(): DaemonHealth {
    const { stalled } = this.#calls;
    if (stalled !== undefined) return { status: "unhealthy", reason: `${stalled} has not returned` };
    try {
      return this.#daemon.health?.() ?? HEALTHY;
    } catch (error) {
      return { status: "unhealthy", reason: messageOf(error) };
    }
  }

  /** How busy the daemon says it is, from 0 to 1; 0 when it says nonsense. */
  saturation(): number {
    try {
      const level = this.#daemon.saturation?.() ?? 0;
      return level >= 0 ? Math.min(1, level) : 0;
    } catch {
      return 0;
    }
  }

  /**
   * Gives the daemon an event and appends what it says to its chain (§10.1). No input is refused for its link: order, gaps and
   * repetitions are the caller's business. Outputs belong to whoever takes them, but must not be changed.
   *
   * Fails with `process-failed`, `callback-timeout`, `backpressure`, `stale` once closed, or what the gate throws. `onTaken` is called when
   * the daemon is about to see the event; it must not throw.
   */
  deliver(event: CausalEvent, onTaken?: () => void): Awaitable<readonly CausalEvent[]> {
    const calls = this.#calls;
    if (!calls.tryEnter()) return calls.run("process", () => this.#process(event, this.gate, onTaken));
    let outputs: Awaitable<readonly CausalEvent[]>;
    try {
      outputs = this.#process(event, this.gate, onTaken);
    } catch (error) {
      calls.leave();
      throw error;
    }
    if (isPromiseLike(outputs)) return calls.settle("process", outputs);
    calls.leave();
    return outputs;
  }

  /** As `deliver`, past the gate and without outputs to pass on: the daemon's chain goes on as if they had been (§21). */
  replay(event: CausalEvent): Awaitable<void> {
    return this.#calls.run("process", () => {
      const outputs = this.#process(event, undefined);
      return isPromiseLike(outputs) ? outputs.then(() => undefined) : undefined;
    });
  }

  /**
   * A snapshot in the daemon's turn, so that nothing is under way; undefined when it is stateless or has no state (§10.2). In the
   * same turn `onTaken` is called with it: no delivery is between the two.
   *
   * Fails with `snapshot-failed`, `callback-timeout`, `backpressure`, or `stale` once closed.
   */
  snapshot(onTaken?: (snapshot: StateSnapshot) => void): Awaitable<StateSnapshot | undefined> {
    return this.#calls.run("snapshot", () => this.#snapshotNow(onTaken));
  }

  /** Whether the daemon can give and take its state in parts. */
  get hasDeltas(): boolean {
    return hasDeltas(this.#daemon);
  }

  /** A part of the state, in the daemon's turn. Fails as `snapshot`; `snapshot-failed` too for a daemon that gives no parts, or nonsense. */
  snapshotDelta(since: bigint | undefined): Awaitable<StateDelta> {
    return this.#calls.run("snapshot", () => this.#deltaNow(since));
  }

  /** Gives the daemon a part of its state, which must not change before this has settled. Fails with `restore-failed` or `callback-timeout`. */
  applyDelta(delta: Uint8Array): Awaitable<void> {
    return this.#calls.run("restore", () => {
      let applied: Awaitable<void>;
      try {
        if (!this.hasDeltas) throw new Error("the daemon takes no parts of a state");
        applied = this.#daemon.applyDelta?.(delta);
      } catch (error) {
        throw this.#failed("restore-failed", error);
      }
      if (!isPromiseLike(applied)) return undefined;
      return applied.then(undefined, (error: unknown) => {
        throw this.#failed("restore-failed", error);
      });
    });
  }

  /** Takes over chain and subscriptions of a snapshot, for a daemon that has got its state in parts. Throws `restore-failed`. */
  adoptHead(snapshot: StateSnapshot): void {
    const ledger = SubscriptionLedger.decode(snapshot.bindings);
    if (ledger === undefined) throw this.#failed("restore-failed", "the bindings are malformed");
    const { chainLink, headHash } = snapshot;
    this.#chain = CausalChain.resume(chainLink, headHash);
    this.#horizon = new ObservedHorizon(this.#horizon.maxOrigins);
    this.ledger = ledger;
  }

  /**
   * Takes the daemon's turn until released, which it always has to be: then nothing is under way, deliveries wait, and the daemon does not
   * change. Fails with `callback-timeout`, `backpressure`, or `stale` once closed.
   */
  async hold(): Promise<HeldDaemon> {
    const release = await this.#calls.hold();
    return {
      snapshot: () => this.#snapshotNow(undefined),
      head: () => this.#snapshotOf(NO_BYTES),
      snapshotDelta: (since) => this.#deltaNow(since),
      release,
    };
  }

  /**
   * Takes over state, chain and horizon of a snapshot, as `fromSnapshot` does for a new host; the key stays. The chain may be
   * another entity's: that of the active member of a standby group (§10.5).
   *
   * Fails with `restore-failed` or `callback-timeout`. Chain, horizon and bindings are as before then; what the daemon made of the
   * state only it knows.
   */
  restoreFrom(
    snapshot: StateSnapshot,
    { givesState = false }: { readonly givesState?: boolean } = {},
  ): Awaitable<void> {
    const ledger = SubscriptionLedger.decode(snapshot.bindings);
    if (ledger === undefined) throw this.#failed("restore-failed", "the bindings are malformed");
    return this.#calls.run("restore", () => {
      const adopt = (): void => {
        this.#refuseLate("restore");
        const { chainLink, horizon } = snapshot;
        this.#chain = CausalChain.resume(chainLink, headHash);
        this.#horizon = horizon?.copy() ?? new ObservedHorizon(this.#horizon.maxOrigins);
        this.ledger = ledger;
      };
      const { state, headHash = parentHash(snapshot.chainLink, state) } = snapshot;
      let restored: Awaitable<void>;
      try {
        restored = this.#restoreState(givesState ? state : new Uint8Array(state));
      } catch (error) {
        throw this.#failed("restore-failed", error);
      }
      if (!isPromiseLike(restored)) return adopt();
      return restored.then(adopt, (error: unknown) => {
        throw this.#failed("restore-failed", error);
      });
    });
  }

  /** Tells the daemon about its surroundings, in its turn. Fails with `process-failed` when it throws. */
  control(event: ControlEvent): Awaitable<void> {
    return this.#calls.run("control", () => {
      let handled: Awaitable<void>;
      try {
        handled = this.#daemon.onControl?.(event);
      } catch (error) {
        throw this.#failed("process-failed", error);
      }
      if (!isPromiseLike(handled)) return undefined;
      return handled.then(undefined, (error: unknown) => {
        throw this.#failed("process-failed", error);
      });
    });
  }

  /** Runs `action` in the daemon's turn, while no call is under way. It must not wait for this daemon. */
  exclusive<T>(action: () => Awaitable<T>): Awaitable<T> {
    return this.#calls.run("control", action);
  }

  /**
   * Ends the host: all calls fail with `error`, by default `stale`, and the key is wiped. Resolves when the daemon is disposed of, which is
   * when its call under way has returned or exceeded its limit. Idempotent, never rejects.
   */
  close(error: DaemonError = this.#stale()): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.identity.zeroize();
      this.#calls.close(error, () => void this.#dispose().then(resolve));
    });
    return this.#closing;
  }

  #process(
    event: CausalEvent,
    gate: DeliveryGate | undefined,
    onTaken?: () => void,
  ): Awaitable<readonly CausalEvent[]> {
    gate?.admit?.(event);
    onTaken?.();
    this.#horizon.observe(event.link.originHash, event.link.sequence);
    let output: Awaitable<DaemonOutput>;
    try {
      output = this.#daemon.process(event);
    } catch (error) {
      throw this.#failed("process-failed", error);
    }
    if (isPromiseLike(output)) return this.#processLater(event, gate, output);
    return this.#emit(event, gate, output);
  }

  async #processLater(
    event: CausalEvent,
    gate: DeliveryGate | undefined,
    pending: PromiseLike<DaemonOutput>,
  ): Promise<readonly CausalEvent[]> {
    let output: DaemonOutput;
    try {
      output = await pending;
    } catch (error) {
      throw this.#failed("process-failed", error);
    }
    this.#refuseLate("process");
    return this.#emit(event, gate, output);
  }

  #emit(event: CausalEvent, gate: DeliveryGate | undefined, output: DaemonOutput): readonly CausalEvent[] {
    const outputs = output === undefined ? NO_OUTPUTS : this.#append(output);
    this.#eventsProcessed++;
    this.#eventsEmitted += outputs.length;
    gate?.delivered?.(event, outputs);
    return outputs;
  }

  /** All outputs with one horizon, or none of them. */
  #append(output: Uint8Array | readonly Uint8Array[]): readonly CausalEvent[] {
    const horizon = this.#horizon.encoded;
    const now = this.#time.unixTimeNs();
    if (output instanceof Uint8Array) {
      if (!this.#chain.hasRoomFor(1)) throw this.#failed("process-failed", "sequence overflow");
      return [this.#chain.append(output, horizon, now)];
    }
    if (!Array.isArray(output) || !output.every((payload) => payload instanceof Uint8Array)) {
      throw this.#failed("process-failed", "the output is neither bytes nor a list of bytes");
    }
    if (!this.#chain.hasRoomFor(output.length)) throw this.#failed("process-failed", "sequence overflow");
    return output.map((payload) => this.#chain.append(payload, horizon, now));
  }

  #snapshotNow(
    onTaken: ((snapshot: StateSnapshot) => void) | undefined,
  ): Awaitable<StateSnapshot | undefined> {
    let state: Awaitable<Uint8Array | undefined>;
    try {
      state = isStateful(this.#daemon) ? this.#daemon.snapshot?.() : undefined;
    } catch (error) {
      throw this.#failed("snapshot-failed", error);
    }
    if (!isPromiseLike(state)) return this.#takeSnapshot(state, onTaken);
    return state.then(
      (bytes) => this.#takeSnapshot(bytes, onTaken),
      (error: unknown) => {
        throw this.#failed("snapshot-failed", error);
      },
    );
  }

  #takeSnapshot(
    state: Uint8Array | undefined,
    onTaken: ((snapshot: StateSnapshot) => void) | undefined,
  ): StateSnapshot | undefined {
    this.#refuseLate("snapshot");
    if (state === undefined) return undefined;
    if (!(state instanceof Uint8Array)) throw this.#failed("snapshot-failed", "the state is not bytes");
    const snapshot = this.#snapshotOf(state.length === 0 ? NO_BYTES : new Uint8Array(state));
    this.#snapshotsTaken++;
    onTaken?.(snapshot);
    return snapshot;
  }

  #snapshotOf(state: Uint8Array): StateSnapshot {
    const { head, headHash } = this.#chain;
    return {
      entityId: this.identity.entityId,
      throughSeq: head.sequence,
      chainLink: head,
      createdAt: this.#time.unixTimeNs(),
      state,
      bindings: this.ledger.encode(),
      horizon: this.#horizon.copy(),
      headHash,
    };
  }

  #deltaNow(since: bigint | undefined): Awaitable<StateDelta> {
    let delta: Awaitable<StateDelta> | undefined;
    try {
      delta = this.hasDeltas ? this.#daemon.snapshotDelta?.(since) : undefined;
    } catch (error) {
      throw this.#failed("snapshot-failed", error);
    }
    if (delta === undefined) throw this.#failed("snapshot-failed", "the daemon gives no parts of its state");
    if (!isPromiseLike(delta)) return this.#checkedDelta(delta);
    return delta.then(
      (part) => this.#checkedDelta(part),
      (error: unknown) => {
        throw this.#failed("snapshot-failed", error);
      },
    );
  }

  #checkedDelta(delta: StateDelta): StateDelta {
    this.#refuseLate("snapshot");
    const { bytes, version, remaining } = delta;
    const isDelta = bytes instanceof Uint8Array && typeof version === "bigint" && remaining >= 0;
    if (!isDelta) throw this.#failed("snapshot-failed", "not a part of a state");
    return { bytes, version, remaining };
  }

  #restoreState(state: Uint8Array): Awaitable<void> {
    if (this.#daemon.restore !== undefined) return this.#daemon.restore(state);
    if (state.length > 0) throw new Error(`a stateless daemon was given ${state.length} bytes of state`);
  }

  /** Throws when nobody waits for the result any more, which then must have no effect. */
  #refuseLate(call: DaemonCall): void {
    if (this.#calls.stalled === undefined && !this.#calls.isClosed) return;
    this.#lateResults++;
    throw new CoreDaemonError("stale", `late result of ${call}`, { originHash: this.originHash });
  }

  #timedOut(call: DaemonCall): void {
    this.#errors++;
    this.#onCrash?.(`${call} exceeded its time limit`);
    try {
      this.#daemon.interrupt?.(call);
    } catch (error) {
      this.#onCrash?.(`interrupt failed: ${messageOf(error)}`);
    }
  }

  async #dispose(): Promise<void> {
    try {
      await this.#daemon.dispose?.();
    } catch (error) {
      this.#onCrash?.(`dispose failed: ${messageOf(error)}`);
    }
  }

  /** Counts a failure of the daemon and says what it was. */
  #failed(reason: "process-failed" | "snapshot-failed" | "restore-failed", error: unknown): CoreDaemonError {
    this.#errors++;
    return new CoreDaemonError(reason, messageOf(error), { originHash: this.originHash, cause: error });
  }

  #stale(): CoreDaemonError {
    return new CoreDaemonError("stale", `daemon ${hexId(this.originHash)}`, { originHash: this.originHash });
  }
}
