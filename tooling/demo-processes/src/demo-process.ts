import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { FailedMessage } from "./message.ts";

/** How long a process may take to say what is waited for. */
const SILENCE_MS = 60_000;
/** How long a process may take to stop before it is killed. */
const STOP_MS = 5_000;

/** A process of a demo, by what it prints: one JSON object of the type `M` a line. */
export class DemoProcess<M extends { readonly event: string }> {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #messages: (M | FailedMessage)[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #exited: Promise<void>;
  #hasExited = false;
  #stderr = "";

  /** Starts the module as it is, from its TypeScript source. */
  constructor(
    name: string,
    module: URL,
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
  ) {
    this.name = name;
    this.#child = spawn(process.execPath, [...process.execArgv, fileURLToPath(module), ...args], {
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    // A process that has gone reads nothing more; whoever waits for it is told so.
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stderr?.on("data", (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-4_000);
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      this.#messages.push(JSON.parse(line) as M);
      for (const listener of [...this.#listeners]) listener();
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("close", () => {
        this.#hasExited = true;
        for (const listener of [...this.#listeners]) listener();
        resolve();
      });
    });
  }

  /** The operating system's process id. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Has the process do something; see `onCommand`. */
  command(command: object): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Calls back with every message from now on. */
  onMessage(callback: (message: M | FailedMessage) => void): void {
    let seen = this.#messages.length;
    this.#listeners.add(() => {
      for (; seen < this.#messages.length; seen++) callback(this.#messages[seen] as M);
    });
  }

  /** The first message that fits. Rejects when the process fails, ends or stays silent before it. */
  expect<T extends M | FailedMessage>(fits: (message: M | FailedMessage) => message is T): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        settle();
      };
      const timer = setTimeout(
        () => finish(() => reject(new Error(`${this.name} did not answer for ${SILENCE_MS / 1_000} s`))),
        SILENCE_MS,
      );
      let seen = this.#messages.length;
      const look = () => {
        const found = this.#messages.find(fits);
        const failed = this.#messages.find((message): message is FailedMessage => message.event === "failed");
        if (this.#messages.length > seen) {
          seen = this.#messages.length;
          timer.refresh();
        }
        if (found !== undefined) finish(() => resolve(found));
        else if (failed !== undefined) {
          finish(() => reject(new Error(`${this.name}: ${failed.message} (${failed.code})`)));
        } else if (this.#hasExited) {
          finish(() => reject(new Error(`${this.name} has ended. ${this.#stderr}`)));
        }
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** The failure that the process reports. */
  failure(): Promise<FailedMessage> {
    return this.expect((message): message is FailedMessage => message.event === "failed");
  }

  /** Asks the process to stop, kills it when it does not, and resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.#hasExited) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Kills the process without warning. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
