import { Worker } from "node:worker_threads";
import type { DaemonHealth, DaemonOutput } from "../daemon.ts";
import { DaemonError, messageOf } from "../errors.ts";
import type { ThreadAnswer, ThreadCall, ThreadDaemon, ThreadPlan } from "./daemon-thread-message.ts";
import { threadUrl } from "./thread-url.ts";

/** Limits of a thread. */
export interface DaemonWorkerLimits {
  /** JavaScript heap, in MiB. */
  readonly memoryLimitMb: number;
  /** Longest start, in milliseconds. */
  readonly startTimeoutMs: number;
}

interface PendingCall {
  readonly resolve: (value: DaemonOutput) => void;
  readonly reject: (error: Error) => void;
}

/** One thread with one daemon, from its start to its end. Only while a call is under way it keeps the process alive. */
export class DaemonWorker {
  /** What is known of the daemon. */
  readonly daemon: ThreadDaemon;
  /** How the daemon said that it is doing, after its last call. */
  health: DaemonHealth | undefined;
  /** How busy it said it is. */
  saturation: number | undefined;
  readonly #worker: Worker;
  readonly #originHash: bigint;
  #pending: PendingCall | undefined;
  #isEnding = false;
  /** Why there is no thread any more. */
  #end: DaemonError | undefined;
  /** Resolves when the thread is no more. */
  readonly ended: Promise<void>;

  private constructor(
    worker: Worker,
    plan: ThreadPlan,
    daemon: ThreadDaemon,
    onCrash: (error: DaemonError, worker: DaemonWorker) => void,
  ) {
    this.daemon = daemon;
    this.#worker = worker;
    this.#originHash = plan.context.originHash;
    let cause: unknown;
    worker.on("message", (answer: ThreadAnswer) => this.#settle(answer));
    worker.on("messageerror", (error) => this.#reject(error));
    worker.on("error", (error) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      worker.once("exit", (code) => {
        const error = crashed(
          this.#originHash,
          cause === undefined ? `exit ${code}` : messageOf(cause),
          cause,
        );
        this.#end = error;
        this.#reject(error);
        resolve();
        if (!this.#isEnding) onCrash(error, this);
      });
    });
    worker.unref();
  }

  /**
   * Starts a thread and makes its daemon. Rejects with the code of what refused it, `callback-timeout` when it takes too long, and `crashed`
   * when the thread ends first; the thread is no more then. `onCrash` is told when it ends later without having been asked to.
   */
  static async start(
    plan: ThreadPlan,
    limits: DaemonWorkerLimits,
    onCrash: (error: DaemonError, worker: DaemonWorker) => void,
  ): Promise<DaemonWorker> {
    const { context } = plan;
    const worker = new Worker(threadUrl("daemon-thread"), {
      workerData: plan,
      name: `daemon ${context.kind}`,
      resourceLimits: { maxOldGenerationSizeMb: limits.memoryLimitMb },
    });
    let timer: NodeJS.Timeout | undefined;
    try {
      const first = await new Promise<ThreadAnswer>((resolve, reject) => {
        const late = `the thread of ${context.kind} took more than ${limits.startTimeoutMs} ms to start`;
        timer = setTimeout(
          () => reject(new DaemonError("callback-timeout", late, context)),
          limits.startTimeoutMs,
        );
        worker.once("message", resolve);
        worker.once("error", (error) => reject(crashed(context.originHash, messageOf(error), error)));
        worker.once("exit", (code) => reject(crashed(context.originHash, `exit ${code}`)));
      });
      if (first.kind === "made") return new DaemonWorker(worker, plan, first.daemon, onCrash);
      if (first.kind === "refused") throw new DaemonError(first.code, first.message, context);
      throw new DaemonError("invalid-daemon", "the thread said something else than its daemon", context);
    } catch (error) {
      await worker.terminate();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Performs a call; the one before must have settled. Rejects with what the daemon threw, and `crashed` when the thread ends. */
  call(call: ThreadCall): Promise<DaemonOutput> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#worker.ref();
      this.#worker.postMessage(call);
    });
  }

  /** Ends the thread at once, whatever it is doing. */
  async terminate(): Promise<void> {
    this.#isEnding = true;
    await this.#worker.terminate();
  }

  /** Lets the daemon free what it holds, and ends the thread, at the latest after `graceMs`. Rejects with what the daemon threw. */
  async dispose(graceMs: number): Promise<void> {
    if (this.#isEnding) return await this.ended;
    this.#isEnding = true;
    const timer = setTimeout(() => void this.#worker.terminate(), graceMs);
    try {
      await this.call({ call: "dispose" });
    } finally {
      await this.ended;
      clearTimeout(timer);
    }
  }

  #settle(answer: ThreadAnswer): void {
    if (answer.kind === "threw") this.#reject(new Error(answer.message));
    if (answer.kind !== "returned") return;
    this.health = answer.health;
    this.saturation = answer.saturation;
    this.#take()?.resolve(answer.value);
  }

  #reject(error: Error): void {
    this.#take()?.reject(error);
  }

  #take(): PendingCall | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    this.#worker.unref();
    return pending;
  }
}

function crashed(originHash: bigint, reason: string, cause?: unknown): DaemonError {
  return new DaemonError("crashed", `the daemon's thread ended: ${reason}`, { originHash, cause });
}
