import {
  type DelayOptions,
  MESH_PORT,
  type NatKind,
  NatLab,
  type Place,
  PUBLIC_HOSTS,
  type Side,
} from "@netmesh/nat-lab";
import type { Contact, OpenOptions, Reached, Standing } from "./mesh-agent.ts";
import { MeshHost } from "./mesh-host.ts";

/** What a household has: a NAT of some kind, or one whose router also maps ports for who asks. */
export type Home = NatKind | "mapped";

/** All of them, from the easiest to the hardest. */
export const HOMES: readonly Home[] = [
  "none",
  "mapped",
  "full-cone",
  "addr-restricted",
  "port-restricted",
  "port-preserving",
  "symmetric",
];

/** Longest wait for something to come about, in milliseconds. */
const PATIENCE_MS = 20_000;
const POLL_MS = 20;

/** A mesh in one of the households. */
export interface HomeMesh {
  readonly name: string;
  readonly host: MeshHost;
  readonly contact: Contact;
  readonly standing: Standing;
}

/** What came of one household's reaching the other. */
export interface Meeting extends Reached {
  /** Until the first byte arrived at the other end, from the call. */
  readonly firstByteMs: number;
  /** From the first introduction by a coordinator to the end; undefined when nobody had to introduce. */
  readonly sinceIntroductionMs: number | undefined;
}

/** A laboratory with a relay on each public host, and a process in each household that opens meshes. */
export class NatWorld implements AsyncDisposable {
  readonly lab: NatLab;
  readonly homes: Readonly<Record<Side, MeshHost>>;
  readonly #relayHosts: readonly MeshHost[];
  #relays: readonly Contact[] = [];
  readonly #kinds: Partial<Record<Side, Home>> = {};
  #made = 0;

  private constructor() {
    this.lab = NatLab.create();
    const host = (place: Place) => new MeshHost(this.lab, place);
    this.#relayHosts = [host("public-1"), host("public-2")];
    this.homes = { a: host("home-a"), b: host("home-b") };
  }

  /** Builds one, its WAN links with a delay in each direction. */
  static async create(delay?: DelayOptions): Promise<NatWorld> {
    const world = new NatWorld();
    try {
      if (delay !== undefined) await Promise.all([world.lab.delay("a", delay), world.lab.delay("b", delay)]);
      await world.renewRelays();
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the relays anew, which then know none of the meshes that were there before. */
  async renewRelays(): Promise<void> {
    const hosts = this.#relayHosts;
    if (this.#relays.length > 0) await Promise.all(hosts.map((host) => host.call("close", "relay")));
    this.#relays = await Promise.all(
      Object.values(PUBLIC_HOSTS).map(async (address, i) => {
        const host = hosts[i] as MeshHost;
        const contact = await host.call("open", "relay", { port: MESH_PORT, upgrade: false });
        return { ...contact, address: `${address}:${MESH_PORT}` };
      }),
    );
    await hosts[0]?.call("meet", "relay", this.#relays.slice(1));
  }

  /** Gives a household a NAT. */
  async home(side: Side, kind: Home): Promise<void> {
    if (this.#kinds[side] === kind) {
      this.lab.forgetFlows(side);
      return;
    }
    const wasMapped = this.#kinds[side] === "mapped";
    this.#kinds[side] = kind;
    if (wasMapped) await this.lab.daemon(side).stop();
    this.lab.nat(side, kind === "mapped" ? "port-preserving" : kind);
    if (kind === "mapped") await this.lab.daemon(side).start();
  }

  /** Opens a mesh in a household, that knows how it is seen from outside. */
  async open(side: Side, options: Partial<OpenOptions> = {}): Promise<HomeMesh> {
    const isMapped = this.#kinds[side] === "mapped";
    const { port = MESH_PORT, upgrade = false, portMapping = isMapped } = options;
    const host = this.homes[side];
    const name = `${side}${++this.#made}`;
    const contact = await host.call("open", name, { port, portMapping, upgrade });
    await host.call("meet", name, this.#relays);
    const standing = await until(async () => {
      const now = await host.call("standing", name);
      const isThere = isMapped ? now.mappedMs !== null : now.knownMs !== null;
      return isThere ? now : undefined;
    }, `${name} learns how it is seen`);
    return { name, host, contact, standing };
  }

  /** One mesh reaches another, of which it has heard how it is seen; both ends know their path when it is over. */
  async reach(from: HomeMesh, to: HomeMesh): Promise<Meeting> {
    const { nodeId } = to.contact;
    await until(async () => {
      const heard = await from.host.call("peerNatType", from.name, nodeId);
      return heard === to.standing.natType ? heard : undefined;
    }, "the announcement arrives");
    const reached = await from.host.call("reach", from.name, to.contact);
    const first = await until(async () => {
      const [moment] = await to.host.call("arrivals", to.name, from.contact.nodeId);
      return moment;
    }, "the first byte arrives");
    const introduced = await this.#introducedSince(reached.startMs);
    return {
      ...reached,
      firstByteMs: first - reached.startMs,
      sinceIntroductionMs: introduced === undefined ? undefined : reached.endMs - introduced,
    };
  }

  /** The paths of two meshes to each other, once they are what is expected or time is up. */
  async paths(a: HomeMesh, b: HomeMesh, isExpected: (path: string) => boolean): Promise<readonly string[]> {
    let paths: readonly string[] = [];
    await until(async () => {
      paths = await Promise.all([
        a.host.call("path", a.name, b.contact.nodeId),
        b.host.call("path", b.name, a.contact.nodeId),
      ]);
      return paths.every(isExpected) ? true : undefined;
    }, "").catch(() => {});
    return paths;
  }

  async close(...meshes: readonly HomeMesh[]): Promise<void> {
    await Promise.all(meshes.map(({ host, name }) => host.call("close", name)));
  }

  /** Ends what runs and removes everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }

  async #introducedSince(startMs: number): Promise<number | undefined> {
    const all = await Promise.all(this.#relayHosts.map((host) => host.call("introductions", "relay")));
    return all
      .flat()
      .sort((a, b) => a - b)
      .find((moment) => moment >= startMs);
  }
}

/** Looks until there is something. Rejects when that takes too long. */
export async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`it takes too long until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
