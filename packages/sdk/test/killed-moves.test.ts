import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bytesToHex } from "../src/index.ts";
import type { CrashPoint } from "./crashing-store.ts";
import type { Command } from "./daemon-process.ts";
import { PSK } from "./open-mesh.ts";

const FILE = fileURLToPath(new URL("./daemon-process.ts", import.meta.url));

let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "netmesh-killed-"));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true });
});

/** What a node process says of itself. */
interface State {
  readonly daemons: number;
  readonly moves: number;
}

/** A node in a process of its own, which can be started again with what its store has. */
class NodeProcess {
  readonly #seed: string = bytesToHex(crypto.getRandomValues(new Uint8Array(32)));
  readonly #path: string;
  #child!: ChildProcess;
  #lines!: Interface;
  contact!: { readonly address: string; readonly nodeId: string; readonly publicKey: string };

  private constructor(path: string) {
    this.#path = path;
  }

  static async start(name: string): Promise<NodeProcess> {
    const node = new NodeProcess(join(folder, name));
    await node.start();
    return node;
  }

  async start(): Promise<void> {
    const child = spawn(
      process.execPath,
      [...process.execArgv, FILE, bytesToHex(PSK), this.#seed, this.#path],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    children.push(child);
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout });
    this.contact = await this.ask({ do: "contact" });
  }

  async ask<T = object>(command: Command): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const [line] = await once(this.#lines, "line");
    return JSON.parse(line);
  }

  /** Resolves to the signal that has ended the process. */
  async end(): Promise<string | null> {
    if (this.#child.signalCode === null) await once(this.#child, "exit");
    return this.#child.signalCode;
  }
}

describe("a process that is killed in the middle of a move", () => {
  it.each<{ what: string; victim: "source" | "target"; at: CrashPoint }>([
    {
      what: "the source, once it has recorded that it hands the daemon over",
      victim: "source",
      at: { operation: 0, isDone: true },
    },
    {
      what: "the target, once it has stored the daemon",
      victim: "target",
      at: { operation: 2, isDone: true },
    },
  ])(
    "leaves one copy with every event: $what",
    async ({ victim, at }) => {
      const [source, target] = await Promise.all([
        NodeProcess.start("source.db"),
        NodeProcess.start("target.db"),
      ]);
      await source.ask({ do: "connect", ...target.contact });
      const { originHash } = await source.ask<{ originHash: string }>({ do: "spawn", events: 3 });
      await target.ask({ do: "expect", originHash });
      const [killed, other] = victim === "source" ? [source, target] : [target, source];
      await killed.ask({ do: "kill", at });
      // A source that is killed does not answer.
      const moving = source.ask({ do: "move", originHash, to: target.contact.nodeId });
      if (victim === "target") await moving;
      expect(await killed.end()).toBe("SIGKILL");
      await killed.start();
      await killed.ask({ do: "connect", ...other.contact });
      const states = () => Promise.all([source, target].map((node) => node.ask<State>({ do: "state" })));
      const totals = async () => {
        const all = await states();
        return [
          all.reduce((sum, { daemons }) => sum + daemons, 0),
          all.reduce((sum, { moves }) => sum + moves, 0),
        ];
      };
      await expect.poll(totals, { timeout: 10_000 }).toEqual([1, 0]);
      const live = (await states())[0]?.daemons === 1 ? source : target;
      expect(await live.ask({ do: "deliver", originHash })).toEqual({ count: 4 });
    },
    30_000,
  );
});
