import type { CapabilityFilter } from "../capability-filter.ts";
import type { ControlEvent, Daemon, DaemonHealth, DaemonOutput } from "../daemon.ts";
import type { DaemonContext, DaemonFactory } from "../daemon-factory.ts";
import { DaemonError, messageOf } from "../errors.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import { type DaemonTime, platformTime } from "../time.ts";
import { compact, type ThreadCall, type ThreadPlan } from "./daemon-thread-message.ts";
import { DaemonWorker, type DaemonWorkerLimits } from "./daemon-worker.ts";

/** Heap of a daemon's thread unless told otherwise, in MiB. */
export const DEFAULT_MEMORY_LIMIT_MB = 256;
/** Longest start of a thread unless told otherwise. */
export const DEFAULT_START_TIMEOUT_MS = 10_000;
/** What a thread has to come to an end unless told otherwise. */
export const DEFAULT_DISPOSE_GRACE_MS = 1000;
/** Restarts one after the other unless told otherwise. */
export const DEFAULT_MAX_RESTARTS = 5;
/** Delay before the first restart unless told otherwise. */
export const DEFAULT_BACKOFF_MS = 100;
/** Longest delay before a restart. */
export const MAX_BACKOFF_MS = 30_000;
/** After so long without a crash the next one counts as the first, unless told otherwise. */
export const DEFAULT_STABLE_AFTER_MS = 60_000;

/** What happened to the thread of a daemon. */
export type IsolationEvent =
  /** It ended; the daemon is made again after `restartInMs`, or not any more when that is undefined. */
  | {
      readonly kind: "crashed";
      readonly originHash: bigint;
      readonly error: DaemonError;
      readonly restartInMs: number | undefined;
    }
  /** The daemon goes on from its last snapshot, or from its beginning; the effect of `eventsLost` events on its state is gone. */
  | {
      readonly kind: "restarted";
      readonly originHash: bigint;
      readonly restarts: number;
      readonly eventsLost: number;
    };

/** How daemons of a kind live in threads of their own. */
export interface IsolationOptions {
  /** URL of the module that makes the daemon, in each thread anew; a string is taken as a URL or the name of a package. */
  readonly module: URL | string;
  /** Name of its export, a `DaemonFactory`; `default` by default. */
  readonly exportName?: string;
  /** JavaScript heap of a thread in MiB, 1 or more; 256 by default. What is in array buffers does not count. */
  readonly memoryLimitMb?: number;
  /** Longest start of a thread in milliseconds, 1 or more; 10 000 by default. */
  readonly startTimeoutMs?: number;
  /** What a daemon has to free what it holds before its thread is ended, in milliseconds; 1000 by default. */
  readonly disposeGraceMs?: number;
  /** Restarts one after the other, 0 or more; 5 by default. */
  readonly maxRestarts?: number;
  /** Delay before the first of them in milliseconds, doubled for each one after it up to 30 s; 100 by default. */
  readonly backoffMs?: number;
  /** After so many milliseconds without a crash restarts are counted anew; 60 000 by default. */
  readonly stableAfterMs?: number;
  /** Told of crashes and restarts. What it throws is ignored. */
  readonly onEvent?: (event: IsolationEvent) => void;
  /** The platform's by default. */
  readonly time?: DaemonTime;
}

/**
 * A factory of daemons that each live in a worker thread of their own: one that is busy, hangs or runs out of memory delays and harms
 * nobody else. To be given to `DaemonRuntime.registerFactory`. Throws `invalid-argument`.
 *
 * A thread that ends, or is ended because a call exceeded the host's `callTimeoutMs`, fails that call, and is started again after a delay.
 * The daemon then goes on from the last state that `snapshot` gave or `restore` took, and from its beginning before there was one; its
 * chain goes on unbroken. Calls that come meanwhile wait. After too many restarts all calls fail with a cause of code `crashed`, and its
 * health is unhealthy.
 *
 * Threads protect from accidents, not from malice: the module can do whatever the process can.
 */
export function isolatedDaemon(options: IsolationOptions): DaemonFactory {
  const settings = settingsOf(options);
  return (context) => IsolatedDaemon.start(context, settings);
}

interface Settings {
  readonly module: string;
  readonly exportName: string;
  readonly limits: DaemonWorkerLimits;
  readonly disposeGraceMs: number;
  readonly maxRestarts: number;
  readonly backoffMs: number;
  readonly stableAfterMs: number;
  readonly onEvent: ((event: IsolationEvent) => void) | undefined;
  readonly time: DaemonTime;
}

function settingsOf(options: IsolationOptions): Settings {
  const {
    memoryLimitMb = DEFAULT_MEMORY_LIMIT_MB,
    startTimeoutMs = DEFAULT_START_TIMEOUT_MS,
    disposeGraceMs = DEFAULT_DISPOSE_GRACE_MS,
    maxRestarts = DEFAULT_MAX_RESTARTS,
    backoffMs = DEFAULT_BACKOFF_MS,
    stableAfterMs = DEFAULT_STABLE_AFTER_MS,
    exportName = "default",
    onEvent,
    time = platformTime,
  } = options;
  const module = options.module instanceof URL ? options.module.href : options.module;
  if (typeof module !== "string" || module === "") {
    throw new DaemonError("invalid-argument", "an isolated daemon needs the URL of its module");
  }
  for (const [name, value, least] of [
    ["memoryLimitMb", memoryLimitMb, 1],
    ["startTimeoutMs", startTimeoutMs, 1],
    ["disposeGraceMs", disposeGraceMs, 0],
    ["maxRestarts", maxRestarts, 0],
    ["backoffMs", backoffMs, 0],
    ["stableAfterMs", stableAfterMs, 0],
  ] as const) {
    if (value >= least) continue;
    throw new DaemonError("invalid-argument", `${name} must be ${least} or more, got ${value}`);
  }
  const limits = { memoryLimitMb, startTimeoutMs };
  return { module, exportName, limits, disposeGraceMs, maxRestarts, backoffMs, stableAfterMs, onEvent, time };
}

/** The worker, or why there is none. */
type ThreadState =
  | { readonly kind: "running"; readonly worker: DaemonWorker }
  | { readonly kind: "restarting"; readonly ready: Promise<void> }
  | { readonly kind: "given-up"; readonly error: DaemonError }
  | { readonly kind: "disposed" };

/** What stands for a daemon in a thread: a daemon like any other. Its host makes no two calls at once. */
class IsolatedDaemon implements Daemon {
  readonly name: string;
  readonly requirements?: CapabilityFilter;
  readonly requiredCapabilities?: readonly string[];
  readonly optionalCapabilities?: readonly string[];
  readonly snapshot?: () => Promise<Uint8Array | undefined>;
  readonly restore?: (state: Uint8Array) => Promise<void>;
  readonly #plan: ThreadPlan;
  readonly #settings: Settings;
  #thread: ThreadState;
  /** The state that a restart goes back to. */
  #lastState: Uint8Array | undefined;
  /** Events processed since. */
  #eventsSince = 0;
  #restarts = 0;
  /** When the thread was started, in unix nanoseconds. */
  #startedAt: bigint;
  /** Ends the wait for a restart. */
  #cancelWait: ((error: DaemonError) => void) | undefined;
  /** Ends the delay before a restart. */
  #cancelBackoff: (() => void) | undefined;

  private constructor(plan: ThreadPlan, settings: Settings, worker: DaemonWorker) {
    this.#plan = plan;
    this.#settings = settings;
    this.#thread = { kind: "running", worker };
    this.#startedAt = settings.time.unixTimeNs();
    const { name, requirements, requiredCapabilities, optionalCapabilities, isStateful } = worker.daemon;
    this.name = name;
    if (requirements !== undefined) this.requirements = requirements;
    if (requiredCapabilities !== undefined) this.requiredCapabilities = requiredCapabilities;
    if (optionalCapabilities !== undefined) this.optionalCapabilities = optionalCapabilities;
    if (!isStateful) return;
    this.snapshot = async () => {
      const eventsSince = this.#eventsSince;
      const state = (await this.#call({ call: "snapshot" })) as Uint8Array | undefined;
      if (state instanceof Uint8Array) {
        this.#lastState = state;
        this.#eventsSince -= eventsSince;
      }
      return state;
    };
    this.restore = async (state) => {
      await this.#call({ call: "restore", state: compact(state) });
      this.#lastState = state;
      this.#eventsSince = 0;
    };
  }

  static async start(context: DaemonContext, settings: Settings): Promise<IsolatedDaemon> {
    const { module, exportName, limits } = settings;
    const plan = { module, exportName, context, timeoutMs: limits.startTimeoutMs };
    let crashedBefore: DaemonError | undefined;
    let daemon: IsolatedDaemon | undefined;
    const worker = await DaemonWorker.start(plan, limits, (error) => {
      if (daemon === undefined) crashedBefore = error;
      else daemon.#crashed(error);
    });
    daemon = new IsolatedDaemon(plan, settings, worker);
    if (crashedBefore !== undefined) daemon.#crashed(crashedBefore);
    return daemon;
  }

  async process(event: CausalEvent): Promise<DaemonOutput> {
    const { link, payload, receivedAt } = event;
    const output = await this.#call({
      call: "process",
      event: { link, payload: compact(payload), receivedAt },
    });
    this.#eventsSince++;
    return output;
  }

  async onControl(event: ControlEvent): Promise<void> {
    await this.#call({ call: "control", event });
  }

  health(): DaemonHealth {
    switch (this.#thread.kind) {
      case "running":
        return this.#thread.worker.health ?? { status: "healthy" };
      case "restarting":
        return { status: "degraded", reason: "its thread is being restarted" };
      case "given-up":
        return { status: "unhealthy", reason: this.#thread.error.message };
      case "disposed":
        return { status: "unhealthy", reason: "it was disposed of" };
    }
  }

  saturation(): number {
    return this.#thread.kind === "running" ? (this.#thread.worker.saturation ?? 0) : 1;
  }

  /** The call hangs: nothing but the end of its thread ends it. */
  interrupt(call: string): void {
    const { originHash } = this.#plan.context;
    const error = new DaemonError("crashed", `${call} exceeded its time limit and its thread was ended`, {
      originHash,
    });
    if (this.#cancelWait !== undefined) {
      this.#cancelWait(error);
      return;
    }
    if (this.#thread.kind !== "running") return;
    const { worker } = this.#thread;
    void worker.terminate().then(() => {
      if (this.#thread.kind === "running" && this.#thread.worker === worker) this.#crashed(error);
    });
  }

  async dispose(): Promise<void> {
    const thread = this.#thread;
    this.#thread = { kind: "disposed" };
    this.#cancelBackoff?.();
    if (thread.kind === "restarting") await thread.ready;
    if (thread.kind === "running") await thread.worker.dispose(this.#settings.disposeGraceMs);
  }

  async #call(call: ThreadCall): Promise<DaemonOutput> {
    while (this.#thread.kind === "restarting") await this.#waitFor(this.#thread.ready);
    const thread = this.#thread;
    if (thread.kind === "running") return await thread.worker.call(call);
    if (thread.kind === "given-up") throw thread.error;
    throw new DaemonError("crashed", "the daemon was disposed of", this.#plan.context);
  }

  #waitFor(ready: Promise<void>): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#cancelWait = reject;
      void ready.then(resolve);
    }).finally(() => {
      this.#cancelWait = undefined;
    });
  }

  #crashed(error: DaemonError): void {
    if (this.#thread.kind === "disposed") return;
    const { time, stableAfterMs, maxRestarts, backoffMs } = this.#settings;
    const { originHash } = this.#plan.context;
    if (time.unixTimeNs() - this.#startedAt >= BigInt(Math.ceil(stableAfterMs)) * 1_000_000n)
      this.#restarts = 0;
    if (this.#restarts >= maxRestarts) {
      this.#thread = { kind: "given-up", error };
      this.#tell({ kind: "crashed", originHash, error, restartInMs: undefined });
      return;
    }
    const restartInMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2 ** this.#restarts);
    this.#restarts++;
    this.#thread = { kind: "restarting", ready: this.#restart(restartInMs) };
    this.#tell({ kind: "crashed", originHash, error, restartInMs });
  }

  /** Never rejects: whatever fails counts as another crash. */
  async #restart(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#settings.time.after(delayMs, resolve);
      this.#cancelBackoff = () => {
        this.#settings.time.cancel(timer);
        resolve();
      };
    });
    this.#cancelBackoff = undefined;
    if (this.#isDisposed) return;
    let worker: DaemonWorker | undefined;
    try {
      worker = await DaemonWorker.start(this.#plan, this.#settings.limits, (error, ended) => {
        if (this.#thread.kind === "running" && this.#thread.worker === ended) this.#crashed(error);
      });
      if (this.#lastState !== undefined) await this.#restoreLast(worker, this.#lastState);
      if (this.#isDisposed) {
        await worker.dispose(this.#settings.disposeGraceMs);
        return;
      }
    } catch (error) {
      await worker?.terminate();
      this.#startedAt = this.#settings.time.unixTimeNs();
      const { originHash } = this.#plan.context;
      this.#crashed(
        new DaemonError("crashed", `the restart failed: ${messageOf(error)}`, { originHash, cause: error }),
      );
      return;
    }
    this.#thread = { kind: "running", worker };
    this.#startedAt = this.#settings.time.unixTimeNs();
    const { originHash } = this.#plan.context;
    const eventsLost = this.#eventsSince;
    this.#eventsSince = 0;
    this.#tell({ kind: "restarted", originHash, restarts: this.#restarts, eventsLost });
  }

  /** Gives the state back, for as long as a start may take. */
  async #restoreLast(worker: DaemonWorker, state: Uint8Array): Promise<void> {
    const { time, limits } = this.#settings;
    const timer = time.after(limits.startTimeoutMs, () => void worker.terminate());
    try {
      await worker.call({ call: "restore", state });
    } finally {
      time.cancel(timer);
    }
  }

  get #isDisposed(): boolean {
    return this.#thread.kind === "disposed";
  }

  #tell(event: IsolationEvent): void {
    try {
      this.#settings.onEvent?.(event);
    } catch {
      // The thread is what it is.
    }
  }
}
