import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { within } from "./deadline.ts";
import type { Calls, Request, Response } from "./protocol.ts";
import type { RivalName } from "./rivals/rival.ts";

/** How long a call may take beyond what it is meant to take. */
const CALL_MS = 15_000;
/** How long a worker may take to end before it is killed. */
const STOP_MS = 2_000;
const STDERR_CHARACTERS = 2_000;

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A worker, seen from the process that measures. */
export class WorkerProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  #nextId = 0;
  #hasExited = false;
  #stderr = "";

  /** Starts a worker with the arguments that Node.js itself was started with, so that it runs the same sources. */
  constructor(name: string, rival: RivalName) {
    this.#name = name;
    this.#child = fork(fileURLToPath(new URL("./worker.ts", import.meta.url)), [rival], {
      execArgv: process.execArgv,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.#child.stderr?.on("data", (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-STDERR_CHARACTERS);
    });
    this.#child.on("message", (response: Response) => this.#settle(response));
    this.#child.on("error", (error) => this.#fail(error));
    this.#exited = new Promise((resolve) => {
      // Not "close": Node.js leaves it out after `disconnect`.
      this.#child.once("exit", () => {
        this.#hasExited = true;
        this.#fail(new Error(`has ended. ${this.#stderr}`.trimEnd()));
        resolve();
      });
    });
  }

  /** The operating system's process id. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Has the worker do something that takes about `expectedMs`; rejects when it fails, ends, or takes far longer. */
  async call<C extends keyof Calls>(
    call: C,
    params: Calls[C]["params"],
    expectedMs = 0,
  ): Promise<Calls[C]["result"]> {
    const id = this.#nextId++;
    try {
      const answer = new Promise<unknown>((resolve, reject) => {
        if (this.#hasExited) throw new Error("has ended");
        this.#pending.set(id, { resolve, reject });
        const request: Request = { id, call, params };
        this.#child.send(request, (error) => {
          if (error !== null) reject(error);
        });
      });
      return (await within(CALL_MS + expectedMs, call, answer)) as Calls[C]["result"];
    } catch (error) {
      throw new Error(`${this.#name} ${(error as Error).message}`, { cause: error });
    } finally {
      this.#pending.delete(id);
    }
  }

  /** Kills the worker without warning. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Lets the worker end, kills it when it does not, and resolves when it is gone. Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #settle(response: Response): void {
    const pending = this.#pending.get(response.id);
    if ("error" in response) pending?.reject(new Error(response.error));
    else pending?.resolve(response.result);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
  }
}

/** Starts a worker that runs a rival; the name appears in errors. */
export type StartWorker = (name: string, rival: RivalName) => WorkerProcess;

/** Runs `use`, and stops all the workers that it has started, whatever happens. */
export async function withWorkers<T>(use: (start: StartWorker) => Promise<T>): Promise<T> {
  const workers: WorkerProcess[] = [];
  try {
    return await use((name, rival) => {
      const worker = new WorkerProcess(name, rival);
      workers.push(worker);
      return worker;
    });
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
  }
}
