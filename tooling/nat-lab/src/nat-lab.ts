import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attempt, run, runIn } from "./commands.ts";
import { DelayLine, type DelayOptions } from "./delay-line.ts";
import { carrierRules, lossRules, routerRules, type Unsolicited } from "./nat-rules.ts";
import { HOUSEHOLDS, type Household, type NatKind, type Place, PUBLIC_HOSTS, type Side } from "./plan.ts";
import { RouterDaemon } from "./router-daemon.ts";

const PLACES: readonly Place[] = ["home-a", "router-a", "core", "router-b", "home-b", "public-1", "public-2"];

/** What can be changed about a household while the laboratory runs. */
interface HouseholdState {
  kind: NatKind;
  unsolicited: Unsolicited;
  /** WAN address of the router. */
  wan: string;
  hasCarrierNat: boolean;
  delay: DelayLine | undefined;
}

/** How a laboratory begins. */
export interface NatLabOptions {
  /** Default `port-preserving`, as most home routers are. */
  readonly a?: NatKind;
  /** The same for the other household. */
  readonly b?: NatKind;
}

/**
 * Two households behind routers, two public hosts, and the Internet between them, in network namespaces of this machine that
 * have no way out. Several can run side by side. Needs root; see `whyUnavailable`.
 */
export class NatLab implements AsyncDisposable {
  static #made = 0;
  /** First part of the namespaces' names. */
  readonly #prefix: string;
  readonly #folder: string;
  readonly #children = new Set<ChildProcess>();
  #isDown = false;
  readonly #state: Readonly<Record<Side, HouseholdState>>;
  readonly #daemons: Readonly<Record<Side, RouterDaemon>>;

  private constructor(options: NatLabOptions) {
    NatLab.#made += 1;
    this.#prefix = `lab${process.pid}x${NatLab.#made}`;
    this.#folder = mkdtempSync(join(tmpdir(), "nat-lab-"));
    const state = (side: Side): HouseholdState => ({
      kind: options[side] ?? "port-preserving",
      unsolicited: "drop",
      wan: HOUSEHOLDS[side].wan,
      hasCarrierNat: false,
      delay: undefined,
    });
    this.#state = { a: state("a"), b: state("b") };
    const daemon = (side: Side): RouterDaemon =>
      new RouterDaemon(this.namespace(`router-${side}`), HOUSEHOLDS[side], this.#folder, side);
    this.#daemons = { a: daemon("a"), b: daemon("b") };
  }

  /** Builds one. */
  static create(options: NatLabOptions = {}): NatLab {
    const lab = new NatLab(options);
    for (const place of PLACES) lab.#addNamespace(lab.namespace(place));
    for (const place of ["router-a", "core", "router-b"] as const) forwards(lab.namespace(place));
    for (const side of ["a", "b"] as const) {
      const home = HOUSEHOLDS[side];
      const [host, router] = [lab.namespace(`home-${side}`), lab.namespace(`router-${side}`)];
      link([host, "eth0", home.host], [router, "lan", home.gateway]);
      route(host, home.gateway);
      lab.#connect(side);
    }
    for (const [place, host] of Object.entries(PUBLIC_HOSTS)) {
      const gateway = host.replace(/\.\d+$/, ".1");
      const namespace = lab.namespace(place as Place);
      link([namespace, "eth0", host], [lab.namespace("core"), place, gateway]);
      route(namespace, gateway);
    }
    return lab;
  }

  /** The network namespace of a place. */
  namespace(place: Place): string {
    return `${this.#prefix}-${place}`;
  }

  /** The WAN address of a household as the Internet sees it. */
  publicAddress(side: Side): string {
    return this.#state[side].hasCarrierNat ? HOUSEHOLDS[side].wan : this.#state[side].wan;
  }

  /** The daemon of a household's router; it does not run until it is started. */
  daemon(side: Side): RouterDaemon {
    return this.#daemons[side];
  }

  /** Changes what a router does, and forgets its flows. */
  nat(side: Side, kind: NatKind): void {
    this.#state[side].kind = kind;
    this.#apply(side);
  }

  /** Changes what a router does with packets from outside that belong to nothing, and forgets its flows. */
  unsolicited(side: Side, verdict: Unsolicited): void {
    this.#state[side].unsolicited = verdict;
    this.#apply(side);
  }

  /** Gives a router another WAN address of its network, as a provider does over night. */
  wanAddress(side: Side, host: string): void {
    const state = this.#state[side];
    const router = this.namespace(`router-${side}`);
    run("ip", ["-n", router, "addr", "del", `${state.wan}/24`, "dev", "wan"]);
    run("ip", ["-n", router, "addr", "add", `${host}/24`, "dev", "wan"]);
    state.wan = host;
    route(router, this.#upstream(side));
    this.#apply(side);
  }

  /** Puts a carrier's NAT between a router and the Internet, or takes it away. */
  carrierNat(side: Side, isOn: boolean): void {
    const state = this.#state[side];
    this.#disconnect(side);
    state.hasCarrierNat = isOn;
    state.wan = isOn ? HOUSEHOLDS[side].carrierWan : HOUSEHOLDS[side].wan;
    this.#connect(side);
  }

  /** Loses a percentage of UDP packets in the core, in each direction; 0 for none. */
  loss(percent: number): void {
    runIn(this.namespace("core"), "nft", ["-f", "-"], lossRules(percent));
  }

  /** Delays what passes a household's WAN link, each way; undefined for not at all. Not together with a carrier's NAT. */
  async delay(side: Side, options: DelayOptions | undefined): Promise<void> {
    const state = this.#state[side];
    if (state.hasCarrierNat) throw new Error("not behind a carrier's NAT");
    await state.delay?.close();
    state.delay = undefined;
    this.#disconnect(side);
    if (options === undefined) return this.#connect(side);
    const [router, core] = [this.namespace(`router-${side}`), this.namespace("core")];
    state.delay = await DelayLine.open([router, "wan"], [core, `to-${side}`], options);
    const { upstream } = HOUSEHOLDS[side];
    for (const [namespace, device, own, other] of [
      [router, "wan", state.wan, upstream],
      [core, `to-${side}`, upstream, state.wan],
    ] as const) {
      run("ip", ["-n", namespace, "addr", "add", own, "peer", other, "dev", device]);
      run("ip", ["-n", namespace, "link", "set", device, "up"]);
    }
    route(router, upstream);
    this.#apply(side);
  }

  /** Makes a router forget all flows; what the daemon mapped stays. */
  forgetFlows(side: Side): void {
    const router = this.namespace(`router-${side}`);
    attempt("ip", ["netns", "exec", router, "conntrack", "-F"]);
    runIn(router, "nft", ["flush", "set", "inet", "filter", "contacted"]);
  }

  /** Turns a router off and on: flows and mappings are gone, the daemon begins anew. */
  async reboot(side: Side): Promise<void> {
    await this.#daemons[side].stop();
    this.forgetFlows(side);
    await this.#daemons[side].restart();
  }

  /** Runs a program to its end; gives what it prints. */
  run(place: Place, program: string, args: readonly string[] = []): string {
    return runIn(this.namespace(place), program, args);
  }

  /** Starts a program with pipes for input and output; it ends with the laboratory. */
  spawn(place: Place, program: string, args: readonly string[] = []): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.namespace(place), program, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** Ends what runs and removes everything. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDown) return;
    this.#isDown = true;
    const ended = [...this.#children].map(
      (child) => new Promise<void>((resolve) => void child.once("exit", () => resolve())),
    );
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(ended);
    for (const side of ["a", "b"] as const) {
      await this.#daemons[side].stop();
      await this.#state[side].delay?.close();
      if (this.#state[side].hasCarrierNat) attempt("ip", ["netns", "del", this.#carrier(side)]);
    }
    for (const place of PLACES) attempt("ip", ["netns", "del", this.namespace(place)]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #carrier(side: Side): string {
    return `${this.#prefix}-carrier-${side}`;
  }

  #upstream(side: Side): string {
    const home: Household = HOUSEHOLDS[side];
    return this.#state[side].hasCarrierNat ? home.carrierUpstream : home.upstream;
  }

  #addNamespace(namespace: string): void {
    run("ip", ["netns", "add", namespace]);
    run("ip", ["-n", namespace, "link", "set", "lo", "up"]);
  }

  /** The link from a router to the core, with a carrier between or without. */
  #connect(side: Side): void {
    const { wan, upstream, carrierUpstream } = HOUSEHOLDS[side];
    const state = this.#state[side];
    const router = this.namespace(`router-${side}`);
    const core: Endpoint = [this.namespace("core"), `to-${side}`, upstream];
    if (state.hasCarrierNat) {
      const carrier = this.#carrier(side);
      this.#addNamespace(carrier);
      forwards(carrier);
      link([carrier, "wan", wan], core);
      link([router, "wan", state.wan], [carrier, "lan", carrierUpstream]);
      route(carrier, upstream);
      runIn(carrier, "nft", ["-f", "-"], carrierRules());
    } else {
      link([router, "wan", state.wan], core);
    }
    route(router, this.#upstream(side));
    this.#apply(side);
  }

  #disconnect(side: Side): void {
    attempt("ip", ["-n", this.namespace(`router-${side}`), "link", "del", "wan"]);
    if (this.#state[side].hasCarrierNat) attempt("ip", ["netns", "del", this.#carrier(side)]);
    attempt("ip", ["-n", this.namespace("core"), "link", "del", `to-${side}`]);
  }

  #apply(side: Side): void {
    const { kind, wan, unsolicited } = this.#state[side];
    const home = HOUSEHOLDS[side];
    const core = this.namespace("core");
    runIn(this.namespace(`router-${side}`), "nft", ["-f", "-"], routerRules(home, wan, kind, unsolicited));
    attempt("ip", ["-n", core, "route", "del", home.network]);
    if (kind === "none") run("ip", ["-n", core, "route", "add", home.network, "via", wan]);
    this.forgetFlows(side);
  }
}

type Endpoint = readonly [namespace: string, device: string, host: string];

function link([left, leftDevice, leftHost]: Endpoint, [right, rightDevice, rightHost]: Endpoint): void {
  const peer = ["peer", "name", rightDevice, "netns", right];
  run("ip", ["link", "add", leftDevice, "netns", left, "type", "veth", ...peer]);
  for (const [namespace, device, host] of [
    [left, leftDevice, leftHost],
    [right, rightDevice, rightHost],
  ] as const) {
    run("ip", ["-n", namespace, "addr", "add", `${host}/24`, "dev", device]);
    run("ip", ["-n", namespace, "link", "set", device, "up"]);
  }
}

function route(namespace: string, gateway: string): void {
  run("ip", ["-n", namespace, "route", "replace", "default", "via", gateway]);
}

function forwards(namespace: string): void {
  const settings = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
  ];
  runIn(namespace, "sysctl", ["-qw", ...settings]);
}
