import { afterEach, describe, expect, it } from "vitest";
import { DaemonRuntime, type DaemonRuntimeOptions, Identity, type Mesh } from "../src/index.ts";
import { counter, KIND, number, toNumber } from "./counting-daemon.ts";
import { CrashingStore, type CrashPoint } from "./crashing-store.ts";
import { openMesh } from "./open-mesh.ts";

/** A node whose process can end and begin again: what lasts is its identity and its store. */
class DurableNode {
  readonly identity: Identity = Identity.generate();
  readonly store: CrashingStore = new CrashingStore();
  mesh!: Mesh;
  runtime!: DaemonRuntime;
  report!: Awaited<ReturnType<DaemonRuntime["start"]>>;

  static async start(options: DaemonRuntimeOptions = {}): Promise<DurableNode> {
    const node = new DurableNode();
    await node.start(options);
    return node;
  }

  async start(
    options: DaemonRuntimeOptions = {},
    prepare: (runtime: DaemonRuntime) => unknown = () => undefined,
  ): Promise<void> {
    this.store.restart();
    this.mesh = await openMesh({ identity: this.identity });
    const runtime = new DaemonRuntime(this.mesh, {
      store: this.store,
      snapshots: { intervalMs: 60_000 },
      ...options,
    });
    this.runtime = runtime;
    runtime.register(KIND, counter);
    prepare(runtime);
    this.report = await runtime.start();
    started.push(runtime);
  }

  /** The process is gone; what its store was asked is never answered. */
  async crash(): Promise<void> {
    this.store.crashAt({ operation: 0, isDone: false });
    await this.mesh.shutdown({ graceMs: 0 });
  }

  async count(originHash: bigint): Promise<number> {
    const [output] = await this.runtime.deliver(originHash, number(0));
    return toNumber(output?.payload);
  }
}

const started: DaemonRuntime[] = [];

afterEach(() => {
  // Those that have crashed wait for their stores for ever.
  for (const runtime of started.splice(0)) void runtime.shutdown(0);
});

async function pair(): Promise<[DurableNode, DurableNode]> {
  const [home, away] = [await DurableNode.start(), await DurableNode.start()];
  await home.mesh.connect(away.mesh.contact);
  return [home, away];
}

describe("a daemon with a store", () => {
  it("goes on after a crash, with its key and its count, as it was stored last", async () => {
    const node = await DurableNode.start();
    const daemon = await node.runtime.spawn(KIND);
    for (let i = 0; i < 3; i++) await daemon.deliver(number(0));
    expect(await daemon.save()).toBe(true);
    await node.crash();
    await node.start();
    expect(node.report).toMatchObject({ failed: [], heldBack: [], fellBack: [] });
    expect(node.report.restored.map(({ originHash }) => originHash)).toEqual([daemon.originHash]);
    expect(node.runtime.daemons()).toHaveLength(1);
    expect(node.runtime.daemon(daemon.originHash)?.entityId).toEqual(daemon.entityId);
    expect(await node.count(daemon.originHash)).toBe(4);
  });

  it("goes on although it is expected from elsewhere, too", async () => {
    const node = await DurableNode.start();
    const { originHash } = await node.runtime.spawn(KIND);
    await node.crash();
    await node.start({}, (runtime) => runtime.expectMigration(KIND, originHash));
    expect(node.report.restored.map((daemon) => daemon.originHash)).toEqual([originHash]);
  });

  it("is not kept with times that are none, and nothing of the runtime is left", async () => {
    const [node, peer] = [await openMesh(), await openMesh()];
    const store = new CrashingStore();
    const refused = [
      { store, snapshots: { intervalMs: 0 } },
      { acceptMembers: () => true, memberLeaseMs: -1 },
    ];
    for (const options of refused) {
      const make = () => new DaemonRuntime(node, options);
      expect(make).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    }
    await peer.connect(node.contact);
    peer.daemons.network.send(node.nodeId, Uint8Array.of(0x87, 1, 2, 3, 4, 5, 6, 7, 8));
    await expect.poll(() => node.stats().counters.daemonMessagesUnwanted).toBe(1);
  });

  it("is stored when it is spawned, after so many events, and at a shutdown", async () => {
    const stored: bigint[] = [];
    const node = await DurableNode.start({
      snapshots: { everyEvents: 2 },
      onEvent: (event) => {
        if (event.kind === "snapshot-stored") stored.push(event.throughSeq);
      },
    });
    const { originHash } = await node.runtime.spawn(KIND);
    expect(stored).toEqual([0n]);
    await node.count(originHash);
    await node.count(originHash);
    await expect.poll(() => stored).toEqual([0n, 2n]);
    await node.count(originHash);
    await node.runtime.shutdown();
    expect(stored).toEqual([0n, 2n, 3n]);
    await expect(node.runtime.deliver(originHash, number(0))).rejects.toMatchObject({
      code: "shutting-down",
    });
  });

  it("comes back after it was stopped, and not after it was destroyed", async () => {
    const node = await DurableNode.start();
    const [stopped, destroyed] = [await node.runtime.spawn(KIND), await node.runtime.spawn(KIND)];
    await stopped.deliver(number(0));
    await stopped.stop();
    await destroyed.destroy();
    await node.runtime.shutdown(0);
    await node.mesh.shutdown();
    await node.start();
    expect(node.report.restored.map(({ originHash }) => originHash)).toEqual([stopped.originHash]);
    expect(await node.count(stopped.originHash)).toBe(2);
  });

  it("is not begun anew while the store has an earlier life of it", async () => {
    const node = await DurableNode.start();
    const identity = Identity.generate();
    const daemon = await node.runtime.spawn(KIND, { identity });
    await daemon.deliver(number(0));
    await daemon.stop();
    await expect(node.runtime.spawn(KIND, { identity })).rejects.toMatchObject({ code: "invalid-argument" });
    expect(node.runtime.daemonCount).toBe(0);
  });

  it("whose key was sealed for another node, or whose kind is gone, is reported", async () => {
    const node = await DurableNode.start();
    const { originHash } = await node.runtime.spawn(KIND);
    await node.crash();
    const other = new DurableNode();
    Object.assign(other, { store: node.store });
    await other.start();
    expect(other.report.failed).toMatchObject([
      { originHash, kind: KIND, error: { code: "seal-open-failed" } },
    ]);
    expect(other.runtime.daemonCount).toBe(0);
  });

  it("is a member of its channels again, once their publisher is there", async () => {
    const [node, publisher] = [await DurableNode.start(), await openMesh()];
    publisher.registerChannel({ name: "news" });
    await node.mesh.connect(publisher.contact);
    const daemon = await node.runtime.spawn(KIND);
    await daemon.subscribe(publisher.nodeId, "news");
    await daemon.save();
    await node.crash();
    await node.start();
    expect(node.runtime.subscriptions(daemon.originHash)).toHaveLength(1);
    await node.mesh.connect(publisher.contact);
    await expect.poll(() => publisher.stats().channels.subscribers).toBeGreaterThan(0);
    await expect
      .poll(async () => {
        await publisher.publish("news", number(0), { reliability: "reliable", onFailure: "collect" });
        return node.runtime.stats(daemon.originHash).eventsProcessed;
      })
      .toBeGreaterThan(0);
  });
});

describe("a crash in the middle of a move", () => {
  /** Moves a daemon that has counted to 3, with a crash at that point of one node's store; says what is wrong afterwards. */
  async function faultsOf(role: "source" | "target", point: CrashPoint): Promise<string[]> {
    const [home, away] = await pair();
    const daemon = await home.runtime.spawn(KIND);
    const { originHash } = daemon;
    for (let i = 0; i < 3; i++) await daemon.deliver(number(0));
    await daemon.save();
    away.runtime.expectMigration(KIND, originHash);
    const [crashing, other] = role === "source" ? [home, away] : [away, home];
    const crashed = new Promise<void>((resolve) => {
      crashing.store.onCrash = resolve;
    });
    crashing.store.crashAt(point);
    const move = await daemon.migrate(away.mesh.nodeId);
    move.done.catch(() => undefined);
    await crashed;
    const last = crashing.store.operations.at(-1);
    await crashing.mesh.shutdown({ graceMs: 0 });
    await crashing.start();
    await crashing.mesh.connect(other.mesh.contact);
    const name = `${role} ${point.isDone ? "after" : "before"} ${point.operation}: ${last}`;
    try {
      await expect
        .poll(() => [home.runtime.daemonCount + away.runtime.daemonCount, home.runtime.migrations().length], {
          timeout: 10_000,
        })
        .toEqual([1, 0]);
    } catch (error) {
      return [`${name}: ${error}`];
    }
    const owner = home.runtime.daemonCount === 1 ? home : away;
    const count = await owner.count(originHash);
    return count === 4 ? [] : [`${name}: it counts ${count}`];
  }

  it.each([
    ["source", 4],
    ["target", 7],
  ] as const)(
    "at whatever step of its %s leaves one copy, which knows all that was stored",
    async (role, operations) => {
      const points = Array.from({ length: operations }, (_, operation) => operation).flatMap((operation) =>
        [false, true].map((isDone) => ({ operation, isDone })),
      );
      const faults = await Promise.all(points.map((point) => faultsOf(role, point)));
      expect(faults.flat()).toEqual([]);
    },
    30_000,
  );

  it("in the messages of Net is the application's to decide about", async () => {
    const [home, away] = await pair();
    const daemon = await home.runtime.spawn(KIND);
    await daemon.deliver(number(0));
    await daemon.save();
    away.runtime.expectMigration(KIND, daemon.originHash);
    home.store.crashAt({ operation: 0, isDone: true });
    const crashed = new Promise<void>((resolve) => {
      home.store.onCrash = resolve;
    });
    const move = await daemon.migrate(away.mesh.nodeId, { form: "net" });
    move.done.catch(() => undefined);
    await crashed;
    await Promise.all([home.mesh.shutdown({ graceMs: 0 }), away.mesh.shutdown({ graceMs: 0 })]);
    await home.start();
    expect(home.runtime.daemonCount).toBe(0);
    const { originHash } = daemon;
    expect(home.report.heldBack).toEqual([{ originHash, node: away.mesh.nodeId, why: "departed" }]);
    const back = await home.runtime.reclaim(originHash);
    expect(toNumber((await back?.deliver(number(0)))?.[0]?.payload)).toBe(2);
    expect(await home.runtime.reclaim(originHash)).toBeUndefined();
  });
});
