import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NatLab, Place } from "@netmesh/nat-lab";
import type { Calls } from "./mesh-agent.ts";

const PROGRAM = fileURLToPath(new URL("./mesh-agent.ts", import.meta.url));

interface Reply {
  readonly id: number;
  readonly result: unknown;
  readonly error?: string;
}

/** A `mesh-agent.ts` that runs somewhere in a laboratory, and ends with it. */
export class MeshHost {
  readonly #child: ChildProcess;
  /** Calls without an answer yet, by their number. */
  readonly #calls = new Map<number, PromiseWithResolvers>();
  #made = 0;

  constructor(lab: NatLab, place: Place) {
    this.#child = lab.spawn(place, process.execPath, [...process.execArgv, PROGRAM]);
    const output = this.#child.stdout;
    if (output === null) throw new Error("no output");
    createInterface(output).on("line", (line) => {
      const { id, result, error } = JSON.parse(line) as Reply;
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(`${place}: ${error}`));
    });
    this.#child.once("exit", (code) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`${place} ended with ${code}`));
      this.#calls.clear();
    });
  }

  /** Calls a method of the program. Rejects with what it complains about, or when it ends. */
  call<Method extends keyof Calls>(
    method: Method,
    ...args: Parameters<Calls[Method]>
  ): Promise<ReturnType<Calls[Method]>> {
    const id = ++this.#made;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, method, args })}\n`);
    });
  }
}

interface PromiseWithResolvers {
  resolve(result: unknown): void;
  reject(error: Error): void;
}
