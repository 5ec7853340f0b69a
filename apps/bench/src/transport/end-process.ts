import { type ChildProcess, execFile, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { within } from "../deadline.ts";

/** How long an answer may take beyond what it is meant to take. */
const ANSWER_MS = 15_000;

/** The C compiler of this machine; undefined where there is none, and where its program would not run. */
export const C_COMPILER: string | undefined =
  process.platform === "linux"
    ? ["cc", "gcc", "clang"].map(inPath).find((path) => path !== undefined)
    : undefined;

function inPath(name: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** What runs an end: this program and arguments before the role. */
export type Command = readonly [string, ...string[]];

/** The sockets of netmesh. */
export const NODE_COMMAND: Command = [
  process.execPath,
  ...process.execArgv,
  fileURLToPath(new URL("./end.ts", import.meta.url)),
];

/** Compiles a C program with those libraries, lets `use` run it, and removes it. */
export async function withC<T>(
  compiler: string,
  source: string,
  libraries: readonly string[],
  use: (command: Command) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "netmesh-bench-"));
  try {
    const program = join(folder, "end");
    await promisify(execFile)(compiler, ["-O2", "-o", program, source, ...libraries]);
    return await use([program]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One end of a measurement, in a process of its own: a line asks, a line answers. */
export class EndProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #answers: ((line: string) => void)[] = [];

  constructor([program, ...before]: Command, args: readonly string[]) {
    this.#name = args.join(" ");
    this.#child = spawn(program, [...before, ...args], { stdio: ["pipe", "pipe", "ignore"] });
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", () => resolve());
    });
    // A process that has ended answers no more: the deadline says so.
    this.#child.stdin?.on("error", () => undefined);
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on("line", (line) => this.#answers.shift()?.(line));
    }
  }

  /** The next answer. */
  async answer<T>(expectedMs = 0): Promise<T> {
    const line = new Promise<string>((resolve) => this.#answers.push(resolve));
    return JSON.parse(await within(ANSWER_MS + expectedMs, this.#name, line)) as T;
  }

  /** Asks, and returns the answer. */
  ask<T>(line: string, expectedMs = 0): Promise<T> {
    this.#child.stdin?.write(`${line}\n`);
    return this.answer(expectedMs);
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }
}

/** Runs `use`, and stops all the ends that it has started, whatever happens. */
export async function withEnds<T>(
  use: (start: (command: Command, ...args: string[]) => EndProcess) => Promise<T>,
): Promise<T> {
  const ends: EndProcess[] = [];
  try {
    return await use((command, ...args) => {
      const end = new EndProcess(command, args);
      ends.push(end);
      return end;
    });
  } finally {
    await Promise.all(ends.map((end) => end.stop()));
  }
}
