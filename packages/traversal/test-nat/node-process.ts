import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NatLab, Place } from "@netmesh/nat-lab";
import type { MappedNodeLine, MappedNodeOptions } from "./mapped-node.ts";

const PROGRAM = fileURLToPath(new URL("./mapped-node.ts", import.meta.url));

/** Longest wait for a line, in milliseconds. */
const PATIENCE_MS = 20_000;

type LineOf<Event> = Extract<MappedNodeLine, { readonly event: Event }>;

/** A `mapped-node.ts` that runs in a laboratory. */
export class NodeProcess {
  readonly #child: ChildProcess;
  readonly #lines: MappedNodeLine[] = [];
  readonly #published: (string | null)[] = [];
  #wake: () => void = () => {};

  /** Starts one; the default is a node that renews every half hour and speaks all protocols. */
  constructor(lab: NatLab, place: Place, options: Partial<MappedNodeOptions> = {}) {
    const all: MappedNodeOptions = {
      port: 7000,
      protocols: ["pcp", "nat-pmp", "upnp"],
      renewalMs: 1_800_000,
      ...options,
    };
    this.#child = lab.spawn(place, process.execPath, [...process.execArgv, PROGRAM, JSON.stringify(all)]);
    const output = this.#child.stdout;
    if (output === null) throw new Error("no output");
    createInterface(output).on("line", (line) => {
      const parsed = JSON.parse(line) as MappedNodeLine;
      if (parsed.event === "published") this.#published.push(parsed.address);
      this.#lines.push(parsed);
      this.#wake();
    });
  }

  /** The next line about that event, which may have come already; lines before it are skipped. */
  async next<Event extends MappedNodeLine["event"]>(event: Event): Promise<LineOf<Event>> {
    const endMs = performance.now() + PATIENCE_MS;
    for (;;) {
      for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
        if (line.event === event) return line as LineOf<Event>;
      }
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw new Error(`no line about '${event}' came`);
      await new Promise<void>((resolve) => {
        const handle = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(handle);
          resolve();
        };
      });
    }
  }

  /** All addresses that it has published so far, null for a withdrawal. */
  get published(): readonly (string | null)[] {
    return this.#published;
  }

  /** Shuts it down, and gives its counters. */
  async shutDown(): Promise<Readonly<Record<string, number>>> {
    this.#child.stdin?.end();
    return (await this.next("exited")).counters;
  }
}
