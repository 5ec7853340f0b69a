import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runIn } from "./commands.ts";
import { daemonResetRules } from "./nat-rules.ts";
import type { Household } from "./plan.ts";

/** How a router's daemon behaves. */
export interface DaemonOptions {
  /** NAT-PMP and PCP; the daemon has both or none. Default true. */
  readonly gateway?: boolean;
  /** Default true. */
  readonly upnp?: boolean;
  /** Version 1 of IGD, which cannot choose ports. Default false. */
  readonly isVersion1?: boolean;
  /** Refuses every mapping. Default false. */
  readonly denies?: boolean;
  /** Longest lease in seconds. Default a day. */
  readonly maxLease?: number;
}

/** How long the daemon may take to come up or go down. */
const PATIENCE_MS = 5_000;

/** A miniupnpd in the namespace of a router. */
export class RouterDaemon {
  readonly #namespace: string;
  readonly #home: Household;
  readonly #folder: string;
  readonly #name: string;
  #options: DaemonOptions | undefined;

  constructor(namespace: string, home: Household, folder: string, name: string) {
    this.#namespace = namespace;
    this.#home = home;
    this.#folder = folder;
    this.#name = name;
  }

  /** Starts it with nothing mapped, as after a reboot of the router. */
  async start(options: DaemonOptions = {}): Promise<void> {
    await this.stop();
    this.#options = options;
    const leases = this.#path("leases");
    writeFileSync(leases, "");
    writeFileSync(this.#path("conf"), this.#configuration(options, leases));
    runIn(this.#namespace, "miniupnpd", ["-f", this.#path("conf"), "-P", this.#path("pid")]);
    // Hexadecimal in the kernel's table: 1900 and 5351.
    await until(() => existsSync(this.#path("pid")) && / 0*[0-9A-F]+:(076C|14E7) /.test(this.#udpTable()));
  }

  /** Ends it, and with it all that it mapped. Nothing happens when it does not run. */
  async stop(): Promise<void> {
    const file = this.#path("pid");
    if (existsSync(file)) {
      const pid = Number(readFileSync(file, "utf8"));
      rmSync(file, { force: true });
      if (isDaemon(pid, this.#path("conf"))) {
        process.kill(pid);
        await until(() => !isDaemon(pid, this.#path("conf")));
      }
    }
    runIn(this.#namespace, "nft", ["-f", "-"], daemonResetRules());
  }

  /** As the router's reboot has it: everything forgotten, the same settings again. */
  async restart(): Promise<void> {
    await this.start(this.#options ?? {});
  }

  /** What it maps at present, as the router's firewall shows it. */
  get rules(): string {
    return runIn(this.#namespace, "nft", ["list", "chain", "inet", "filter", "prerouting_miniupnpd"]);
  }

  #path(suffix: string): string {
    return join(this.#folder, `${this.#name}.${suffix}`);
  }

  #udpTable(): string {
    return runIn(this.#namespace, "cat", ["/proc/net/udp"]);
  }

  #configuration(options: DaemonOptions, leases: string): string {
    const { gateway = true, upnp = true, isVersion1 = false, denies = false, maxLease = 86_400 } = options;
    const yes = (value: boolean): string => (value ? "yes" : "no");
    const settings: Readonly<Record<string, string | number>> = {
      ext_ifname: "wan",
      listening_ip: "lan",
      http_port: 5000,
      enable_natpmp: yes(gateway),
      enable_upnp: yes(upnp),
      force_igd_desc_v1: yes(isVersion1),
      min_lifetime: 1,
      max_lifetime: maxLease,
      secure_mode: "yes",
      system_uptime: "no",
      ipv6_disable: "yes",
      lease_file: leases,
      uuid: `0e7e5a00-0000-4000-8000-0000000000${this.#name.padStart(2, "0").slice(-1) === "a" ? "0a" : "0b"}`,
    };
    const rules = [
      ...(denies ? [] : [`allow 1024-65535 ${this.#home.network} 1024-65535`]),
      "deny 0-65535 0.0.0.0/0 0-65535",
    ];
    return [...Object.entries(settings).map(([key, value]) => `${key}=${value}`), ...rules, ""].join("\n");
  }
}

/** Whether the process is still the daemon that we started: ids are used again. */
function isDaemon(pid: number, configuration: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(configuration);
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error("the router daemon takes too long");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
