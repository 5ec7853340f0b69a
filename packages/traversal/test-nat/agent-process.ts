import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { NatLab, Place } from "@netmesh/nat-lab";
import type { AgentLine } from "./udp-agent.ts";

const PROGRAM = fileURLToPath(new URL("./udp-agent.ts", import.meta.url));

type Got = Extract<AgentLine, { readonly event: "got" }>;

/** A `udp-agent.ts` that runs in a laboratory. */
export class AgentProcess {
  readonly #child: ChildProcess;
  readonly #lines: AgentLine[] = [];
  #wake: () => void = () => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("no output");
    createInterface(child.stdout).on("line", (line) => {
      this.#lines.push(JSON.parse(line) as AgentLine);
      this.#wake();
    });
  }

  /** Starts one that has these ports. */
  static async start(lab: NatLab, place: Place, ...ports: readonly number[]): Promise<AgentProcess> {
    const args = [...process.execArgv, PROGRAM, ...ports.map(String)];
    const agent = new AgentProcess(lab.spawn(place, process.execPath, args));
    await agent.#until(({ event }) => event === "ready");
    return agent;
  }

  /** Sends a datagram; resolves when the system has it. */
  async send(text: string, to: string, port: number, from: number): Promise<void> {
    this.#child.stdin?.write(`${JSON.stringify({ text, to, port, from })}\n`);
    await this.#until((line) => line.event === "sent" && line.text === text);
  }

  /** The datagram with that text, which may have arrived already. */
  async got(text: string): Promise<Got> {
    return (await this.#until((line) => line.event === "got" && line.text === text)) as Got;
  }

  /** Texts of everything that has arrived so far. */
  get texts(): readonly string[] {
    return this.#lines.flatMap((line) => (line.event === "got" ? [line.text] : []));
  }

  async #until(matches: (line: AgentLine) => boolean): Promise<AgentLine> {
    for (;;) {
      const line = this.#lines.find(matches);
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
