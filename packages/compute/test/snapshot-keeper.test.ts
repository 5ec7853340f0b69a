import { StaticKeyPair } from "@netmesh/crypto";
import { expect, it } from "vitest";
import {
  type Daemon,
  DaemonRuntime,
  type KeeperEvent,
  MemorySnapshotStore,
  SnapshotKeeper,
  type SnapshotKeeperOptions,
  SnapshotStoreError,
  type StateSnapshot,
} from "../src/index.ts";
import {
  CounterDaemon,
  codeOf,
  type Deferred,
  deferred,
  EchoDaemon,
  fromU64,
  identity,
  input,
} from "./support/daemons.ts";
import { settle, VirtualTime } from "./support/virtual-time.ts";

const A = identity(1);
const B = identity(2);

/** Counts without saying so. */
class MuteCounter extends CounterDaemon {
  override process(): undefined {
    this.count++;
  }
}

/** Stores when it is told to. */
class SlowStore extends MemorySnapshotStore {
  readonly puts: Deferred<void>[] = [];

  override async put(snapshot: StateSnapshot, kind: string): Promise<boolean> {
    const turn = deferred();
    this.puts.push(turn);
    await turn.promise;
    return await super.put(snapshot, kind);
  }
}

interface Bench {
  readonly runtime: DaemonRuntime;
  readonly keeper: SnapshotKeeper;
  readonly time: VirtualTime;
  readonly events: KeeperEvent[];
  deliver(originHash: bigint, times: number): Promise<void>;
}

async function bench(
  store: MemorySnapshotStore,
  options: Partial<SnapshotKeeperOptions> = {},
  time = new VirtualTime(),
): Promise<Bench> {
  const runtime = new DaemonRuntime({ time });
  runtime.registerFactory("counter", () => new CounterDaemon());
  runtime.registerFactory("mute", () => new MuteCounter());
  runtime.registerFactory("echo", () => new EchoDaemon());
  await runtime.start();
  const events: KeeperEvent[] = [];
  const onEvent = (event: KeeperEvent): void => void events.push(event);
  const keeper = new SnapshotKeeper({ runtime, store, time, onEvent, ...options });
  const deliver = async (originHash: bigint, times: number): Promise<void> => {
    for (let i = 1; i <= times; i++) await runtime.deliver(originHash, input(9n, BigInt(i), "x"));
  };
  return { runtime, keeper, time, events, deliver };
}

async function countIn(store: MemorySnapshotStore, entity = A): Promise<bigint | undefined> {
  const stored = await store.get(entity.entityId);
  return stored === undefined ? undefined : fromU64(stored.snapshot.state);
}

it("stores a daemon every so many events", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver, events } = await bench(store, { everyEvents: 3 });
  await runtime.spawn("counter", { identity: A });
  await deliver(A.originHash, 2);
  await settle();
  expect(await countIn(store)).toBeUndefined();
  await deliver(A.originHash, 1);
  await settle();
  expect(await countIn(store)).toBe(3n);
  await deliver(A.originHash, 3);
  await settle();
  expect(await countIn(store)).toBe(6n);
  expect(keeper.stats()).toMatchObject({ stored: 2, failed: 0, underWay: 0 });
  expect(events.map(({ kind }) => kind)).toEqual(["stored", "stored"]);
});

it("stores after the interval whatever has changed, and nothing else", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver, time } = await bench(store, { intervalMs: 1000 });
  for (const entity of [A, B]) await runtime.spawn("counter", { identity: entity });
  await deliver(A.originHash, 5);
  await time.advance(999);
  expect(await store.list()).toEqual([]);
  await time.advance(1);
  expect(await countIn(store, A)).toBe(5n);
  expect(await countIn(store, B)).toBeUndefined();
  await time.advance(1000);
  expect(keeper.stats().stored).toBe(1);
  await deliver(B.originHash, 1);
  await time.advance(1000);
  expect(await countIn(store, B)).toBe(1n);
});

it("stores a daemon that emits nothing again, although sequence and clock stand still", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver } = await bench(store);
  await runtime.spawn("mute", { identity: A });
  for (const count of [1n, 2n, 3n]) {
    await deliver(A.originHash, 1);
    expect(await keeper.snapshot(A.originHash)).toBe(true);
    expect(await countIn(store)).toBe(count);
  }
});

it("many requests while the store is slow end in one snapshot more, which has all that came before them", async () => {
  const store = new SlowStore();
  const { runtime, keeper, deliver } = await bench(store, { everyEvents: 1 });
  await runtime.spawn("counter", { identity: A });
  await deliver(A.originHash, 50);
  const asked = keeper.snapshot(A.originHash);
  await settle();
  expect(store.puts).toHaveLength(1);
  store.puts[0]?.resolve();
  await settle();
  expect(store.puts).toHaveLength(2);
  store.puts[1]?.resolve();
  expect(await asked).toBe(true);
  expect(await countIn(store)).toBe(50n);
  expect(keeper.stats()).toMatchObject({ stored: 2, underWay: 0, waiting: 0 });
  expect(keeper.stats().coalesced).toBeGreaterThan(0);
});

it("no more snapshots are under way at once than may", async () => {
  const store = new SlowStore();
  const { runtime, keeper, deliver } = await bench(store, { maxConcurrent: 2 });
  const entities = [1, 2, 3, 4, 5].map(identity);
  for (const entity of entities) {
    await runtime.spawn("counter", { identity: entity });
    await deliver(entity.originHash, 1);
  }
  const all = keeper.snapshotAll();
  await settle();
  expect(keeper.stats()).toMatchObject({ underWay: 2, waiting: 3 });
  for (let i = 0; i < entities.length; i++) {
    expect(store.puts.length).toBeLessThanOrEqual(i + 2);
    store.puts[i]?.resolve();
    await settle();
  }
  await all;
  expect(await store.list()).toHaveLength(5);
  expect(keeper.stats()).toMatchObject({ stored: 5, underWay: 0, waiting: 0 });
});

it("a store that fails is reported, and the daemon is stored after the next interval", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver, time, events } = await bench(store, { intervalMs: 10 });
  await runtime.spawn("counter", { identity: A });
  await deliver(A.originHash, 1);
  const put = store.put.bind(store);
  store.put = () => Promise.reject(new SnapshotStoreError("unavailable", "the disk is full"));
  await time.advance(10);
  expect(keeper.stats()).toMatchObject({ stored: 0, failed: 1 });
  expect(events).toMatchObject([
    { kind: "failed", originHash: A.originHash, error: { code: "unavailable" } },
  ]);
  store.put = put;
  await time.advance(10);
  expect(await countIn(store)).toBe(1n);
});

it("a daemon whose snapshot throws fails alone", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver, time } = await bench(store, { intervalMs: 10 });
  const broken: Daemon = {
    name: "broken",
    process: () => undefined,
    snapshot: () => {
      throw new Error("cannot");
    },
    restore: () => {},
  };
  runtime.registerFactory("broken", () => broken);
  await runtime.spawn("broken", { identity: A });
  await runtime.spawn("counter", { identity: B });
  for (const entity of [A, B]) await deliver(entity.originHash, 1);
  await time.advance(10);
  expect(keeper.stats()).toMatchObject({ stored: 1, failed: 1 });
  expect(await countIn(store, B)).toBe(1n);
});

it("a stateless daemon is not stored", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver } = await bench(store, { everyEvents: 1 });
  await runtime.spawn("echo", { identity: A });
  await deliver(A.originHash, 3);
  expect(await keeper.snapshot(A.originHash)).toBe(false);
  expect(await store.list()).toEqual([]);
});

it("a daemon that was stopped is not asked any more", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper, deliver, time } = await bench(store, { intervalMs: 10 });
  const handle = await runtime.spawn("counter", { identity: A });
  await deliver(A.originHash, 1);
  await handle.stop();
  await time.advance(10);
  await time.advance(10);
  expect(keeper.stats()).toMatchObject({ stored: 0, failed: 1 });
  expect(await codeOf(() => keeper.snapshot(A.originHash))).toBe("factory-not-found");
});

it("after a crash daemons go on from their last snapshots, their chains unbroken", async () => {
  const store = new MemorySnapshotStore();
  const before = await bench(store, { everyEvents: 2 });
  await before.runtime.spawn("counter", { identity: A });
  await before.deliver(A.originHash, 4);
  await settle();

  const after = await bench(store);
  const report = await after.keeper.restore({
    identityOf: ({ kind }) => (kind === "counter" ? A : undefined),
  });
  expect(report).toMatchObject({ skipped: [], failed: [], fellBack: [] });
  expect(report.restored.map(({ originHash }) => originHash)).toEqual([A.originHash]);
  const [expected] = await before.runtime.deliver(A.originHash, input(9n, 5n, "x"));
  const [output] = await after.runtime.deliver(A.originHash, input(9n, 5n, "x"));
  expect(output?.payload).toEqual(expected?.payload);
  expect(output?.link.sequence).toBe(5n);
  expect(output?.link.parentHash).toBe(expected?.link.parentHash);
});

it("a snapshot that carries its daemon's key, sealed for this node, needs no other, and opens nowhere else", async () => {
  const store = new MemorySnapshotStore();
  const staticKey = StaticKeyPair.generate();
  const before = await bench(store, { staticKey });
  await before.runtime.spawn("counter", { identity: A });
  await before.deliver(A.originHash, 3);
  await before.keeper.snapshotAll();

  const elsewhere = await bench(store, { staticKey: StaticKeyPair.generate() });
  const refused = await elsewhere.keeper.restore();
  expect(refused.failed).toMatchObject([{ error: { code: "seal-open-failed" } }]);
  expect([elsewhere.runtime.daemonCount, elsewhere.runtime.factoryCount]).toEqual([0, 0]);

  const after = await bench(store, { staticKey });
  const { restored } = await after.keeper.restore();
  expect(restored.map(({ originHash }) => originHash)).toEqual([A.originHash]);
  const [output] = await after.runtime.deliver(A.originHash, input(9n, 1n, "x"));
  expect(fromU64(output?.payload as Uint8Array)).toBe(4n);
  // It has the key, so that it can be stored with it again.
  await after.keeper.snapshotAll();
  expect((await (await bench(store, { staticKey })).keeper.restore()).restored).toHaveLength(1);
});

it("the members of groups are left to their groups", async () => {
  const store = new MemorySnapshotStore();
  const { runtime, keeper } = await bench(store, { everyEvents: 1 });
  const group = await runtime.replicaGroup("counter", { count: 2, seed: new Uint8Array(32) });
  await group.deliver(input(9n, 1n, "x"));
  await keeper.snapshotAll();
  expect(await store.list()).toEqual([]);
  await runtime.spawn("counter", { identity: A });
  expect([runtime.isMember(A.originHash), runtime.daemons().length]).toEqual([false, 3]);
  expect(runtime.daemon(A.originHash)?.originHash).toBe(A.originHash);
});

it("a daemon that does not belong here is left out", async () => {
  const store = new MemorySnapshotStore();
  const before = await bench(store);
  await before.runtime.spawn("counter", { identity: A });
  await before.keeper.snapshot(A.originHash);
  const { keeper, runtime } = await bench(store);
  const report = await keeper.restore({ identityOf: () => A, isOwn: () => false });
  expect(report.skipped.map(({ originHash }) => originHash)).toEqual([A.originHash]);
  expect(runtime.daemonCount).toBe(0);
});

it("a daemon without identity, of an unknown kind, or alive already is left out and reported", async () => {
  const store = new MemorySnapshotStore();
  const before = await bench(store);
  before.runtime.registerFactory("rare", () => new CounterDaemon());
  const kinds = ["counter", "counter", "rare"];
  for (const [i, kind] of kinds.entries()) {
    await before.runtime.spawn(kind, { identity: identity(i + 1) });
    await before.deliver(identity(i + 1).originHash, 1);
  }
  await before.keeper.snapshotAll();

  const after = await bench(store);
  await after.runtime.spawn("counter", { identity: A });
  const known = [identity(1), identity(3)];
  const identityOf = ({ originHash }: { originHash: bigint }) =>
    known.find((id) => id.originHash === originHash);
  const report = await after.keeper.restore({ identityOf });
  expect(report.restored).toEqual([]);
  expect(report.skipped.map(({ originHash }) => originHash)).toEqual([A.originHash, B.originHash]);
  expect(report.failed).toMatchObject([{ summary: { kind: "rare" }, error: { code: "factory-not-found" } }]);
  expect(after.runtime.daemonCount).toBe(1);
  expect(await store.list()).toHaveLength(3);
});

it("closing waits for what is under way, and nothing begins afterwards", async () => {
  const store = new SlowStore();
  const { runtime, keeper, deliver, time } = await bench(store, { intervalMs: 10, everyEvents: 1 });
  await runtime.spawn("counter", { identity: A });
  await deliver(A.originHash, 1);
  await settle();
  const closing = keeper.close();
  store.puts[0]?.resolve();
  await closing;
  expect(await countIn(store)).toBe(1n);
  await deliver(A.originHash, 5);
  await time.advance(100);
  expect(store.puts).toHaveLength(1);
  expect(await codeOf(() => keeper.snapshot(A.originHash))).toBe("cancelled");
  expect(time.pending).toBe(0);
});

it("numbers outside of their range are refused", async () => {
  const store = new MemorySnapshotStore();
  for (const options of [{ intervalMs: 0 }, { everyEvents: 0 }, { maxConcurrent: Number.NaN }]) {
    expect(await codeOf(() => bench(store, options))).toBe("invalid-argument");
  }
});
