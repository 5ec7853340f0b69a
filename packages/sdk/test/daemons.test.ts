import { decodeSnapshot } from "@netmesh/compute";
import { afterEach, describe, expect, it } from "vitest";
import {
  type Daemon,
  type DaemonFactory,
  DaemonRuntime,
  type DaemonRuntimeOptions,
  Identity,
  type Mesh,
  type Migration,
} from "../src/index.ts";
import { counter, KIND, number, toNumber } from "./counting-daemon.ts";
import { openMesh } from "./open-mesh.ts";

const runtimes: DaemonRuntime[] = [];
const commuters: Commuter[] = [];

afterEach(async () => {
  await Promise.all(commuters.splice(0).map((commuter) => commuter.stop()));
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.shutdown(0)));
});

async function startRuntime(mesh: Mesh, options: DaemonRuntimeOptions = {}): Promise<DaemonRuntime> {
  const runtime = new DaemonRuntime(mesh, options);
  runtimes.push(runtime);
  runtime.register(KIND, counter);
  await runtime.start();
  return runtime;
}

/** Two connected meshes with a runtime each. */
async function pair(): Promise<{ a: Mesh; b: Mesh; home: DaemonRuntime; away: DaemonRuntime }> {
  const [a, b] = [await openMesh(), await openMesh()];
  await a.connect(b.contact);
  return { a, b, home: await startRuntime(a), away: await startRuntime(b) };
}

describe("a daemon on a mesh", () => {
  it("takes events and bare payloads, and says what it says to whoever listens", async () => {
    const { home } = await pair();
    const daemon = await home.spawn(KIND);
    const outputs = daemon.outputs();
    for (let i = 1; i <= 3; i++) {
      const [output] = await daemon.deliver(number(0));
      expect(toNumber(output?.payload)).toBe(i);
    }
    for (let i = 1; i <= 3; i++) expect(toNumber((await outputs.next()).value?.payload)).toBe(i);
    await outputs.return?.();
    expect(daemon.stats().eventsProcessed).toBe(3);
    await daemon.stop();
    await expect(daemon.deliver(number(0))).rejects.toMatchObject({ code: "core", reason: "not-found" });
  });

  it("goes on from a snapshot", async () => {
    const { home } = await pair();
    const daemon = await home.spawn(KIND);
    await daemon.deliver(number(0));
    const snapshot = (await daemon.snapshot()) as Uint8Array;
    expect(snapshot.length).toBeGreaterThan(0);
    await expect(home.spawnFromSnapshot(KIND, snapshot.subarray(1), {} as never)).rejects.toMatchObject({
      code: "snapshot-invalid",
    });
  });

  it("moves to another node with its count and its key, and is not here any more", async () => {
    const { a, b, home, away } = await pair();
    const daemon = await home.spawn(KIND);
    for (let i = 0; i < 3; i++) await daemon.deliver(number(0));
    away.acceptMigration(KIND, (_, from) => from === a.nodeId);
    const move = await daemon.migrate(b.nodeId);
    const phases: string[] = [];
    for await (const phase of move.phases()) phases.push(phase);
    expect(await move.done).toMatchObject({ node: b.nodeId, attempts: 1 });
    expect(phases.at(-1)).toBe("complete");
    expect([home.daemonCount, away.daemonCount]).toEqual([0, 1]);
    const [output] = await away.deliver(daemon.originHash, number(0));
    expect(toNumber(output?.payload)).toBe(4);
    await expect(daemon.deliver(number(0))).rejects.toMatchObject({ code: "migrated", node: b.nodeId });
    await expect.poll(() => a.stats().streams + b.stats().streams).toBe(0);
  });

  it("moves to a node that fits, which has announced that it runs daemons", async () => {
    const { a, b, home, away } = await pair();
    const daemon = await home.spawn(KIND);
    const filter = { requireTags: ["roomy"] };
    await expect(home.migrateAnywhere(daemon.originHash, { filter })).rejects.toMatchObject({
      code: "no-target-available",
    });
    await b.announceCapabilities({ tags: ["roomy"] });
    await expect.poll(() => a.findNodes(filter)).toEqual([b.nodeId]);
    away.expectMigration(KIND, daemon.originHash);
    await (await home.migrateAnywhere(daemon.originHash, { filter })).done;
    expect(away.daemonCount).toBe(1);
  });

  it("moves through a relay", async () => {
    const [a, relay, b] = [await openMesh({ nat: false }), await openMesh(), await openMesh({ nat: false })];
    await a.connect(relay.contact);
    await b.connect(relay.contact);
    await a.connectVia(relay.nodeId, b.contact);
    const [home, away] = [await startRuntime(a), await startRuntime(b)];
    const daemon = await home.spawn(KIND);
    await daemon.deliver(number(0));
    away.expectMigration(KIND, daemon.originHash);
    await (await daemon.migrate(b.nodeId)).done;
    expect(a.peer(b.nodeId)?.path).toBe("relayed");
    expect(toNumber((await away.deliver(daemon.originHash, number(0)))[0]?.payload)).toBe(2);
  });

  it("moves with its key also to a node that has made the connection, and back", async () => {
    const [a, b] = [await openMesh(), await openMesh()];
    await b.connect(a.contact);
    const home = await startRuntime(a);
    const daemon = await home.spawn(KIND);
    await expect.poll(() => a.peer(b.nodeId)?.verified).toBe(true);
    await expect(daemon.migrate(b.nodeId)).rejects.toMatchObject({ code: "compute-not-supported" });
    const away = await startRuntime(b);
    for (const [from, to, node] of [
      [home, away, b],
      [away, home, a],
      [home, away, b],
    ] as const) {
      await from.deliver(daemon.originHash, number(0));
      to.forget(daemon.originHash);
      to.expectMigration(KIND, daemon.originHash);
      await (await from.migrate(daemon.originHash, node.nodeId)).done;
    }
    expect(toNumber((await away.deliver(daemon.originHash, number(0)))[0]?.payload)).toBe(4);
  });

  it("stays when the target runs no daemons, has no such kind, or is not there", async () => {
    const [a, b] = [await openMesh(), await openMesh()];
    await a.connect(b.contact);
    const home = await startRuntime(a);
    const daemon = await home.spawn(KIND);
    await expect(daemon.migrate(42n)).rejects.toMatchObject({ code: "target-unavailable" });
    await expect((await daemon.migrate(b.nodeId)).done).rejects.toMatchObject({
      code: "compute-not-supported",
      node: b.nodeId,
    });
    const away = new DaemonRuntime(b);
    runtimes.push(away);
    await away.start();
    await expect((await daemon.migrate(b.nodeId)).done).rejects.toMatchObject({
      code: "factory-not-found",
    });
    expect(toNumber((await daemon.deliver(number(0)))[0]?.payload)).toBe(1);
    expect(b.stats().counters.daemonMessagesUnwanted).toBeGreaterThan(0);
  });

  it("is refused by a node that runs none, which says nothing to anything else", async () => {
    const [a, b] = [await openMesh(), await openMesh()];
    await a.connect(b.contact);
    const heard: number[][] = [];
    a.daemons.network.setHandler({ receive: (message) => void heard.push([...message]) });
    const origin = [1, 2, 3, 4, 5, 6, 7, 8];
    for (let type = 0; type <= 9; type++) {
      a.daemons.network.send(b.nodeId, Uint8Array.of(type, ...origin, ...new Array<number>(20).fill(0)));
    }
    await expect.poll(() => b.stats().counters.daemonMessagesUnwanted).toBe(10);
    await expect
      .poll(() => heard)
      .toEqual([
        [6, ...origin, 2, 0],
        [6, ...origin, 2, 0],
      ]);
  });

  it("is given what is published on its channels, also where it has moved to", async () => {
    const { a, b, home, away } = await pair();
    const publisher = await openMesh();
    publisher.registerChannel({ name: "news" });
    for (const mesh of [a, b]) await mesh.connect(publisher.contact);
    const daemon = await home.spawn(KIND);
    await daemon.subscribe(publisher.nodeId, "news");
    const publish = () => publisher.publish("news", number(0), { reliability: "reliable" });
    await publish();
    await expect.poll(() => daemon.stats().eventsProcessed).toBe(1);
    away.expectMigration(KIND, daemon.originHash);
    await (await daemon.migrate(b.nodeId)).done;
    await expect.poll(() => publisher.stats().channels.subscribers).toBe(1);
    expect(away.subscriptions(daemon.originHash)).toHaveLength(1);
    const before = away.stats(daemon.originHash).eventsProcessed;
    await publish();
    await expect.poll(() => away.stats(daemon.originHash).eventsProcessed).toBe(before + 1);
  });
});

const LISTER = "lister";
const NEWS = "news";

/** Remembers the number in each of its events, in order. */
const lister: DaemonFactory = () => {
  let numbers: number[] = [];
  return {
    name: LISTER,
    process: ({ payload }) => void numbers.push(toNumber(payload)),
    snapshot: () => new TextEncoder().encode(JSON.stringify(numbers)),
    restore: (state) => {
      numbers = JSON.parse(new TextDecoder().decode(state));
    },
  };
};

/** As that, but takes a millisecond for each event, so that some of them wait. */
const slowLister: DaemonFactory = (...context) => {
  const daemon = lister(...context) as Daemon;
  const process = daemon.process.bind(daemon);
  return {
    ...daemon,
    process: async (event) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return process(event);
    },
  };
};

/** Between two publications. */
const nextInterval = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

/** A daemon that lists what a third node publishes, and two nodes between which it can move. */
class Commuter {
  readonly identity: Identity = Identity.generate();
  readonly #publisher: Mesh;
  readonly #homes: readonly (readonly [Mesh, DaemonRuntime])[];
  #at = 0;
  #published = 0;
  #isOver = false;
  #publishing: Promise<void> | undefined;

  private constructor(publisher: Mesh, homes: readonly (readonly [Mesh, DaemonRuntime])[]) {
    this.#publisher = publisher;
    this.#homes = homes;
  }

  static async start(
    publisher: Mesh,
    nodes: readonly [Mesh, Mesh],
    factory: DaemonFactory = lister,
  ): Promise<Commuter> {
    publisher.registerChannel({ name: NEWS, reliable: true });
    const homes: [Mesh, DaemonRuntime][] = [];
    for (const mesh of nodes) {
      const runtime = await startRuntime(mesh);
      runtime.register(LISTER, factory);
      homes.push([mesh, runtime]);
    }
    const commuter = new Commuter(publisher, homes);
    const daemon = await commuter.here.spawn(LISTER, { identity: commuter.identity });
    await daemon.subscribe(publisher.nodeId, NEWS);
    commuter.#publishing = commuter.#publish();
    commuters.push(commuter);
    return commuter;
  }

  get here(): DaemonRuntime {
    return (this.#homes[this.#at] as readonly [Mesh, DaemonRuntime])[1];
  }

  /** Begins to move the daemon to the other node, which has just been sent more than it takes at once. */
  async leave(): Promise<Migration> {
    for (let i = 0; i < 30; i++) await this.#publishNext();
    const [mesh, runtime] = this.#homes[1 - this.#at] as readonly [Mesh, DaemonRuntime];
    const { originHash } = this.identity;
    runtime.forget(originHash);
    runtime.registerMigrationTargetIdentity(LISTER, this.identity);
    return await this.here.migrate(originHash, mesh.nodeId, { transportIdentity: false });
  }

  async move(): Promise<void> {
    await (await this.leave()).done;
    this.#at = 1 - this.#at;
    await this.published(20);
  }

  /** Resolves when so many events more were published. */
  async published(count: number): Promise<void> {
    const until = this.#published + count;
    while (this.#published < until && !this.#isOver) await nextInterval();
  }

  async #publish(): Promise<void> {
    while (!this.#isOver) {
      await this.#publishNext();
      await nextInterval();
    }
  }

  async #publishNext(): Promise<void> {
    const { errors } = await this.#publisher.publish(NEWS, number(++this.#published));
    expect(errors).toEqual([]);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#publishing;
  }

  /** Ends the publications; resolves to what the daemon has listed when nothing more comes, and what was published. */
  async finish(): Promise<{ readonly listed: readonly number[]; readonly published: readonly number[] }> {
    await this.stop();
    let listed: number[] = [];
    const list = async (): Promise<number> => {
      const snapshot = (await this.here.snapshot(this.identity.originHash)) as Uint8Array;
      listed = JSON.parse(new TextDecoder().decode(decodeSnapshot(snapshot)?.state));
      return listed.at(-1) ?? 0;
    };
    await expect.poll(list, { timeout: 20_000 }).toBe(this.#published);
    return { listed, published: Array.from({ length: this.#published }, (_, index) => index + 1) };
  }
}

describe("a daemon that moves while events are published for it", () => {
  it.each([
    ["at once", lister, 10],
    ["one after the other", slowLister, 4],
  ] as const)("has each of them once, and in order, when it takes them %s", async (_, factory, moves) => {
    const [publisher, a, b] = [await openMesh(), await openMesh(), await openMesh()];
    for (const mesh of [a, b]) await mesh.connect(publisher.contact);
    await a.connect(b.contact);
    const commuter = await Commuter.start(publisher, [a, b], factory);
    for (let i = 0; i < moves; i++) await commuter.move();
    const { listed, published } = await commuter.finish();
    expect(listed).toEqual(published);
    expect(publisher.stats().counters.positionsAnswered).toBeGreaterThanOrEqual(2 * moves);
    expect(publisher.stats().channels.subscribers).toBe(1);
  });

  it("has each of them once, and in order, when all of it goes through a relay", async () => {
    const relay = await openMesh();
    const [publisher, a, b] = [
      await openMesh({ nat: false }),
      await openMesh({ nat: false }),
      await openMesh({ nat: false }),
    ];
    for (const mesh of [publisher, a, b]) await mesh.connect(relay.contact);
    for (const mesh of [a, b]) await mesh.connectVia(relay.nodeId, publisher.contact);
    await a.connectVia(relay.nodeId, b.contact);
    const commuter = await Commuter.start(publisher, [a, b]);
    for (let i = 0; i < 10; i++) await commuter.move();
    const { listed, published } = await commuter.finish();
    expect(listed).toEqual(published);
    expect(a.peer(publisher.nodeId)?.path).toBe("relayed");
  });

  it("has each of them once when moves are given up in any phase", async () => {
    const [publisher, a, b] = [await openMesh(), await openMesh(), await openMesh()];
    for (const mesh of [a, b]) await mesh.connect(publisher.contact);
    await a.connect(b.contact);
    const commuter = await Commuter.start(publisher, [a, b]);
    for (const last of ["transfer", "restore", "replay", "cutover"] as const) {
      const move = await commuter.leave();
      for await (const phase of move.phases()) if (phase === last) break;
      move.cancel();
      await expect(move.done).rejects.toMatchObject({ code: "cancelled" });
      await commuter.published(20);
      await commuter.move();
    }
    const { listed, published } = await commuter.finish();
    expect(listed).toEqual(published);
    await expect.poll(() => publisher.stats().channels.subscribers).toBe(1);
  });
});
