import { type ChildProcess, execFile, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Why there are no network namespaces here; undefined when there are. */
export const noChains: string | undefined =
  process.platform !== "linux"
    ? `network namespaces need Linux, this is ${process.platform}`
    : process.getuid?.() !== 0
      ? "network namespaces need root"
      : hasProgram("ip")
        ? undefined
        : "network namespaces need the program ip";

function hasProgram(name: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What is between the two ends. */
export interface ChainOptions {
  /** The MTU of each link from end to end; between two links is a router. */
  readonly mtus: readonly number[];
  readonly family: 4 | 6;
  /** Whether routers say that a datagram was too large (ICMP); else it vanishes. Default true. */
  readonly reports?: boolean;
}

let chains = 0;

/** Two ends and the routers between them, each in a network namespace of its own, over links of the kernel. */
export class Chain implements AsyncDisposable {
  readonly #names: readonly string[];
  readonly #family: 4 | 6;
  readonly #ends: End[] = [];

  private constructor(names: readonly string[], family: 4 | 6) {
    this.#names = names;
    this.#family = family;
  }

  static async create({ mtus, family, reports = true }: ChainOptions): Promise<Chain> {
    const id = `netmesh-${process.pid}-${chains++}`;
    const chain = new Chain(
      [...mtus, 0].map((_, place) => `${id}-${place}`),
      family,
    );
    try {
      await chain.#build(mtus, reports);
      return chain;
    } catch (error) {
      await chain[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A mesh at the first place or the last one. */
  async start(place: "first" | "last", settings: object = {}): Promise<End> {
    const index = place === "first" ? 0 : this.#names.length - 1;
    const host = place === "first" ? this.#host(0, 1) : this.#host(index - 1, 2);
    const end = new End(this.#names[index] as string, JSON.stringify({ host, ...settings }));
    this.#ends.push(end);
    await end.started;
    return end;
  }

  /** IP fragments made and IP fragments received, in all namespaces since they began. */
  async fragments(): Promise<{ made: number; received: number }> {
    const total = { made: 0, received: 0 };
    for (const name of this.#names) {
      const files = ["/proc/net/snmp", "/proc/net/snmp6"];
      const { stdout } = await run("ip", ["netns", "exec", name, "cat", ...files]);
      const [names = [], values = []] = stdout
        .split("\n")
        .filter((line) => line.startsWith("Ip: "))
        .map((line) => line.split(" "));
      const count = (ipv4: string): number => {
        const ipv6 = new RegExp(`^Ip6${ipv4}\\s+(\\d+)$`, "m").exec(stdout)?.[1];
        return Number(values[names.indexOf(ipv4)]) + Number(ipv6);
      };
      total.made += count("FragCreates");
      total.received += count("ReasmReqds");
    }
    return total;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ends.map((end) => end.stop()));
    // Links go with their namespaces.
    for (const name of this.#names) await run("ip", ["netns", "del", name]).catch(() => undefined);
  }

  async #build(mtus: readonly number[], reports: boolean): Promise<void> {
    const names = this.#names;
    const ip = (...args: string[]) => run("ip", args);
    const version = this.#family === 4 ? "-4" : "-6";
    for (const name of names) {
      await ip("netns", "add", name);
      await ip("-n", name, "link", "set", "lo", "up");
      const forwarding = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map(
        (file) => `/proc/sys/net/${file}`,
      );
      await ip("netns", "exec", name, "sh", "-c", forwarding.map((file) => `echo 1 > ${file}`).join("; "));
    }
    for (const [link, mtu] of mtus.entries()) {
      const [left, right] = [names[link] as string, names[link + 1] as string];
      const size = ["mtu", String(mtu)];
      await ip(
        "link",
        "add",
        "right",
        ...size,
        "netns",
        left,
        "type",
        "veth",
        "peer",
        "left",
        ...size,
        "netns",
        right,
      );
      for (const [name, device, side] of [
        [left, "right", 1],
        [right, "left", 2],
      ] as const) {
        const extra = this.#family === 6 ? ["nodad"] : [];
        await ip(
          "-n",
          name,
          "addr",
          "add",
          `${this.#host(link, side)}/${this.#prefix}`,
          "dev",
          device,
          ...extra,
        );
        await ip("-n", name, "link", "set", device, "up");
      }
    }
    for (const [place, name] of names.entries()) {
      for (let link = 0; link < mtus.length; link++) {
        if (link === place || link === place - 1) continue;
        const via = link > place ? this.#host(place, 2) : this.#host(place - 1, 1);
        await ip("-n", name, version, "route", "add", `${this.#host(link, 0)}/${this.#prefix}`, "via", via);
      }
      const isRouter = place > 0 && place < names.length - 1;
      // What a router itself says goes nowhere.
      if (isRouter && !reports) await ip("-n", name, version, "rule", "add", "iif", "lo", "blackhole");
    }
  }

  get #prefix(): number {
    return this.#family === 4 ? 24 : 64;
  }

  /** The address at the left (1) or right (2) side of a link; 0 is the link itself. */
  #host(link: number, side: 0 | 1 | 2): string {
    return this.#family === 4
      ? `10.77.${link}.${side}`
      : side === 0
        ? `fd77:0:0:${link}::`
        : `fd77:0:0:${link}::${side}`;
  }
}

/** A mesh in a process of its own in a namespace: a line asks, a line answers. */
export class End {
  /** Resolves with what others have to know to connect. */
  readonly started: Promise<string>;
  readonly #child: ChildProcess;
  readonly #answers: ((line: string) => void)[] = [];
  #failure = "";

  constructor(namespace: string, settings: string) {
    const file = fileURLToPath(new URL("./chain-end.ts", import.meta.url));
    const command = ["netns", "exec", namespace, process.execPath, ...process.execArgv, file, settings];
    this.#child = spawn("ip", command, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr?.on("data", (text) => {
      this.#failure += text;
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
      this.#answers.shift()?.(line),
    );
    this.#child.once("exit", () => {
      for (const answer of this.#answers.splice(0)) answer(JSON.stringify({ error: this.#failure }));
    });
    this.started = this.#next<{ contact: string }>().then(({ contact }) => contact);
  }

  /** Asks, and returns the answer. */
  ask<T>(request: object): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    return this.#next();
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await exited;
  }

  async #next<T>(): Promise<T> {
    const answer = JSON.parse(await new Promise<string>((resolve) => this.#answers.push(resolve)));
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer as T;
  }
}
