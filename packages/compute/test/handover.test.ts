import { writeU32, writeU64 } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  type Daemon,
  type Migration,
  parentHash,
  type StateDelta,
  type StateSnapshot,
  VolatileHandoverStore,
} from "../src/index.ts";
import { bytes, codeOf, deferred, identity, input, text } from "./support/daemons.ts";
import { MigrationNet, type NodeOptions, streamPair, type TestNode } from "./support/migration-net.ts";
import { settle } from "./support/virtual-time.ts";

const A = 1n;
const B = 2n;
const ID = identity(1);
const ORIGIN = ID.originHash;

/** Remembers each payload. */
class Diary implements Daemon {
  readonly name: string = "diary";
  entries: string[] = [];

  process(event: CausalEvent): Uint8Array[] {
    this.entries.push(text(event.payload));
    // No output, one, or two, so that outputs count differently from inputs.
    return Array.from({ length: this.entries.length % 3 }, () => event.payload);
  }

  snapshot(): Uint8Array {
    return bytes(this.entries.join(","));
  }

  restore(state: Uint8Array): void {
    this.entries = text(state) === "" ? [] : text(state).split(",");
  }
}

/** Gives its state in parts of at most ten entries. */
class Archive extends Diary {
  parts = 0;

  snapshotDelta(since = 0n): StateDelta {
    this.parts++;
    const version = Math.min(this.entries.length, Number(since) + 10);
    const part = bytes(this.entries.slice(Number(since), version).join(","));
    return { bytes: part, version: BigInt(version), remaining: this.entries.length - version };
  }

  applyDelta(delta: Uint8Array): void {
    if (delta.length > 0) this.entries.push(...text(delta).split(","));
  }
}

interface Pair {
  readonly net: MigrationNet;
  readonly a: TestNode;
  readonly b: TestNode;
  readonly made: Diary[];
  readonly stores: VolatileHandoverStore[];
}

async function pair(make: () => Diary = () => new Diary()): Promise<Pair> {
  const net = new MigrationNet();
  const stores = [new VolatileHandoverStore(), new VolatileHandoverStore()];
  const made: Diary[] = [];
  const nodes: TestNode[] = [];
  for (const [index, id] of [A, B].entries()) {
    const node = await net.node(id, { isNetmesh: true, store: stores[index] as VolatileHandoverStore });
    node.runtime.registerFactory("diary", () => {
      const diary = make();
      made.push(diary);
      return diary;
    });
    nodes.push(node);
  }
  const [a, b] = nodes as [TestNode, TestNode];
  await a.runtime.spawn("diary", { identity: ID });
  b.runtime.expectMigration("diary", ORIGIN, { from: A });
  return { net, a, b, made, stores };
}

const event = (n: number): CausalEvent => input(0xaaaan, BigInt(n), `e${n}`);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `e${i + 1}`);

const options = (store: VolatileHandoverStore | undefined): NodeOptions => ({
  isNetmesh: true,
  store: store as VolatileHandoverStore,
});

/** A frame of a handover's stream. */
function frame(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + payload.length);
  bytes[0] = type;
  writeU32(bytes, 1, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

/** The first frame of a handover of the daemon, with a snapshot of that many bytes. */
function opening(size: bigint): Uint8Array {
  const payload = new Uint8Array(25);
  payload[0] = 1;
  writeU64(payload, 1, ORIGIN);
  writeU64(payload, 17, size);
  return frame(1, payload);
}

async function finished(net: MigrationNet, migration: Migration): Promise<Migration> {
  await net.run(40_000, () => migration.phase === undefined);
  return migration;
}

describe("a daemon that is handed over to a netmesh node", () => {
  it("arrives with its state, its key and its chain, and nothing is left under way", async () => {
    const { net, a, b, made, stores } = await pair();
    for (let n = 1; n <= 5; n++) await a.runtime.deliver(ORIGIN, event(n));
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(migration.error).toBeUndefined();
    expect(migration.outcome).toMatchObject({ node: B, form: "netmesh" });
    expect([a.runtime.daemonCount, b.runtime.daemonCount, b.runtime.factoryCount]).toEqual([0, 1, 0]);
    await net.flush();
    expect(net.pending).toBe(0);
    const outputs = await b.runtime.deliver(ORIGIN, event(6));
    expect(made[1]?.entries).toEqual(numbers(6));
    expect(outputs).toHaveLength(0);
    expect((await b.runtime.deliver(ORIGIN, event(7)))[0]?.link.sequence).toBe(7n);
    expect(await stores[0]?.listMarkers()).toEqual([]);
    expect(await codeOf(() => a.runtime.deliver(ORIGIN, event(8)))).toBe("migrated");
  });

  it.each([
    ["whole", () => new Diary()],
    ["in parts", () => new Archive()],
  ] as const)("goes on with its chain where it was, and leaves no stream open: %s", async (_, make) => {
    const { net, a, b } = await pair(make);
    await a.runtime.deliver(ORIGIN, event(1));
    const [last] = (await a.runtime.deliver(ORIGIN, event(2))).slice(-1);
    await finished(net, await a.migrator.startMigration(ORIGIN, B));
    await b.runtime.deliver(ORIGIN, event(3));
    const [next] = await b.runtime.deliver(ORIGIN, event(4));
    if (last === undefined) throw new Error("there is no output");
    expect(next?.link.parentHash).toBe(parentHash(last.link, last.payload));
    await net.flush();
    expect(net.streams.map(({ isOver }) => isOver)).toEqual([true, true]);
  });

  it("moves although it changes faster than it travels", async () => {
    /** Has always as much left as it has given. */
    class Restless extends Diary {
      given = 0n;
      snapshotDelta(): StateDelta {
        return {
          bytes: new Uint8Array(200_000),
          version: ++this.given,
          remaining: this.held ? 0 : 1_000_000,
        };
      }
      applyDelta(): void {}
      held = false;
    }
    const daemon = new Restless();
    const { net, a } = await pair(() => daemon);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    void (async () => {
      for await (const phase of migration) if (phase === "cutover") daemon.held = true;
    })();
    await finished(net, migration);
    expect(migration.outcome?.node).toBe(B);
    // Two times what it has said to have at first, the rest once it was stopped.
    expect(migration.outcome?.bytes).toBeLessThan(3_200_000);
  });

  it("may come by a rule, from those that it accepts", async () => {
    const { net, a, b } = await pair();
    b.runtime.forget(ORIGIN);
    const asked: bigint[] = [];
    b.runtime.acceptMigration("diary", (_, from) => asked.push(from) > 1);
    const refused = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(refused.error?.code).toBe("factory-not-found");
    const accepted = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(accepted.outcome?.node).toBe(B);
    expect(asked).toEqual([A, A]);
  });

  it.each([
    ["whole", () => new Diary()],
    ["in parts", () => new Archive()],
  ] as const)("takes along every event of a steady stream, once and in order: %s", async (_, make) => {
    const { net, a, b, made } = await pair(make);
    for (let n = 1; n <= 500; n++) await a.runtime.deliver(ORIGIN, event(n));
    let next = 501;
    let where = a;
    let isOver = false;
    // One event after the other; whoever is told that the daemon has moved goes on there with the same.
    const producer = (async () => {
      while (!isOver || next < 520) {
        try {
          await where.runtime.deliver(ORIGIN, event(next));
          next++;
        } catch {
          where = b;
        }
        await settle();
      }
    })();
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    isOver = true;
    await producer;
    expect(migration.outcome?.node).toBe(B);
    expect(where).toBe(b);
    expect(made[1]?.entries).toEqual(numbers(next - 1));
  });

  it("can go there and back, again and again", async () => {
    const { net, a, b, made } = await pair();
    let n = 0;
    let [here, there] = [a, b];
    for (let move = 0; move < 6; move++) {
      await here.runtime.deliver(ORIGIN, event(++n));
      const migration = await finished(net, await here.migrator.startMigration(ORIGIN, there.id));
      expect(migration.outcome?.node).toBe(there.id);
      [here, there] = [there, here];
      there.runtime.forget(ORIGIN);
      there.runtime.expectMigration("diary", ORIGIN);
    }
    expect(made.at(-1)?.entries).toEqual(numbers(n));
  });

  it("takes the messages of Net when asked to, or when the target is none of netmesh", async () => {
    const { net, a } = await pair();
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B, { form: "net" }));
    expect(migration.outcome?.form).toBe("net");
    expect(net.streams).toHaveLength(0);
  });
});

describe("a handover that cannot be", () => {
  it("is refused by a target that does not expect it, and the daemon serves on", async () => {
    const { net, a, b, made } = await pair();
    b.runtime.forget(ORIGIN);
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(migration.error?.code).toBe("factory-not-found");
    await a.runtime.deliver(ORIGIN, event(1));
    expect(made[0]?.entries).toEqual(numbers(1));
    expect(net.pending).toBe(0);
  });

  it("is refused by a target that expects the daemon from somebody else", async () => {
    const { net, a, b } = await pair();
    b.runtime.forget(ORIGIN);
    b.runtime.expectMigration("diary", ORIGIN, { from: 77n });
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(migration.error?.code).toBe("state-failed");
    expect([a.runtime.daemonCount, b.migrator.stats().wrongPeer]).toEqual([1, 1]);
  });

  it("waits for a target that is not ready yet, and can be cancelled meanwhile", async () => {
    const { net, a } = await pair();
    const late = await net.node(3n, { isNetmesh: true, isStarted: false });
    late.runtime.registerFactory("diary", () => new Diary());
    late.runtime.expectMigration("diary", ORIGIN);
    const given = await a.migrator.startMigration(ORIGIN, 3n);
    await net.run(200);
    expect(await codeOf(() => a.migrator.startMigration(ORIGIN, 3n))).toBe("already-migrating");
    given.cancel();
    expect(await codeOf(() => given.done)).toBe("cancelled");
    const short = await finished(net, await a.migrator.startMigration(ORIGIN, 3n, { retryNotReadyMs: 1000 }));
    expect(short.error?.failure).toEqual({ kind: "not-ready-timeout", attempts: 3 });
    const migration = await a.migrator.startMigration(ORIGIN, 3n);
    await net.run(200);
    await late.runtime.start();
    await finished(net, migration);
    expect(migration.outcome).toMatchObject({ node: 3n, attempts: 2 });
  });

  it("can be cancelled while another attempt takes its snapshot", async () => {
    const second = deferred();
    let snapshots = 0;
    /** Takes its time for the second snapshot. */
    class Slow extends Diary {
      override snapshot(): Uint8Array {
        const state = super.snapshot();
        return ++snapshots === 2 ? (second.promise.then(() => state) as unknown as Uint8Array) : state;
      }
    }
    const { net, a } = await pair(() => new Slow());
    await net.node(3n, { isNetmesh: true, isStarted: false });
    const migration = await a.migrator.startMigration(ORIGIN, 3n);
    await net.run(1000);
    expect(snapshots).toBe(2);
    migration.cancel();
    expect(await codeOf(() => migration.done)).toBe("cancelled");
    second.resolve();
    await net.run(1000);
    expect([net.pending, a.runtime.daemonCount]).toEqual([0, 1]);
    expect(net.streams.every((stream) => stream.isOver)).toBe(true);
  });

  it("ends when the daemon is stopped, and it lives nowhere then", async () => {
    const { net, a, b } = await pair();
    net.fault = ({ from }) => (from === B ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    await a.runtime.stop(ORIGIN);
    expect(migration.error?.code).toBe("cancelled");
    net.fault = () => undefined;
    await net.run(3000);
    expect([net.pending, a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 0, 0]);
  });

  it("in the messages of Net ends when the daemon is stopped, too, whoever conducts it", async () => {
    for (const conductor of [A, 3n]) {
      const net = new MigrationNet();
      const a = await net.node(A, { authorize: () => true });
      const b = await net.node(B);
      const c = await net.node(3n);
      await a.runtime.spawn("counter", { identity: ID });
      b.runtime.expectMigration("counter", ORIGIN);
      net.fault = ({ type }) => (type === "replay-complete" ? { copies: 0 } : undefined);
      const { migrator } = conductor === A ? a : c;
      const migration = await migrator.startMigration(ORIGIN, B, { source: A });
      await net.run(200);
      await a.runtime.stop(ORIGIN);
      await net.flush();
      expect(migration.error?.message).toMatch(/stopped|cancelled/);
      expect([net.pending, a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 0, 0]);
    }
  });

  it("is no longer stopped when it is being recorded that it is the target's", async () => {
    const { net, a, b, stores } = await pair();
    const store = stores[0] as VolatileHandoverStore;
    const { promise, resolve } = deferred();
    const put = store.putMarker.bind(store);
    store.putMarker = (name, value) => promise.then(() => put(name, value));
    await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    const stopping = codeOf(() => a.runtime.stop(ORIGIN));
    await net.flush();
    resolve();
    await net.run(500);
    expect(await stopping).toBe("migrated");
    expect([net.pending, a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 0, 1]);
  });

  it("is stopped after all when that cannot be recorded", async () => {
    const { net, a, b, stores } = await pair();
    const store = stores[0] as VolatileHandoverStore;
    const { promise, reject } = deferred();
    store.putMarker = () => promise;
    await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    const stopping = a.runtime.stop(ORIGIN);
    reject(new Error("disk full"));
    await net.run(500);
    await stopping;
    expect([net.pending, a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 0, 0]);
  });

  it("ends when the stream breaks, whenever it does", async () => {
    for (const pieces of [0, 1, 2, 3]) {
      const { net, a, b } = await pair();
      for (let n = 1; n <= 200; n++) await a.runtime.deliver(ORIGIN, event(n));
      const starting = a.migrator.startMigration(ORIGIN, B);
      for (let i = 0; i < pieces; i++) await Promise.resolve();
      for (const stream of net.streams) stream.abort();
      const migration = await starting.catch(() => undefined);
      for (const stream of net.streams) stream.abort();
      if (migration !== undefined) await finished(net, migration);
      await net.flush();
      expect(a.runtime.daemonCount + b.runtime.daemonCount).toBe(1);
      expect(net.pending).toBe(0);
    }
  });

  it("can be cancelled while the target has not confirmed; events that waited are served", async () => {
    const { net, a, b, made } = await pair();
    net.fault = ({ from }) => (from === B ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    const waiting = a.runtime.deliver(ORIGIN, event(1));
    migration.cancel();
    expect(await codeOf(() => migration.done)).toBe("cancelled");
    await waiting;
    await net.flush();
    expect(made[0]?.entries).toEqual(numbers(1));
    expect([net.pending, b.runtime.daemonCount]).toEqual([0, 0]);
  });

  it.each([
    ["no bytes at all", []],
    ["bytes that are no frames", [Uint8Array.of(99, 1, 2, 3, 4, 5)]],
    ["a frame of four gigabytes", [Uint8Array.of(2, 255, 255, 255, 255, 0)]],
    ["a frame that ends early", [Uint8Array.of(1, 17, 0, 0, 0, 1)]],
    ["state before the beginning", [Uint8Array.of(2, 1, 0, 0, 0, 7)]],
    ["more than a gigabyte to come", [opening(2n ** 30n + 1n)]],
    ["more state than announced", [opening(1000n), frame(2, new Uint8Array(1001))]],
    [
      "less state than announced",
      [opening(2n ** 30n), frame(2, new Uint8Array(10)), frame(3, new Uint8Array(8))],
    ],
    ["state of zeros", [opening(1000n), frame(2, new Uint8Array(1000)), frame(3, new Uint8Array(8))]],
    ["a head without a snapshot", [opening(0n), frame(4, new Uint8Array(8))]],
    ["a part before the head", [opening(0n), frame(5, new Uint8Array(8)), frame(6, new Uint8Array(0))]],
    ["an event before the state", [opening(0n), frame(7, new Uint8Array(44))]],
    ["positions before the daemon", [opening(0n), frame(12, new Uint8Array(0))]],
    ["nothing but an end", [opening(0n), frame(8, new Uint8Array(4))]],
    ["a mark that is answered, and no more", [opening(0n), frame(10, new Uint8Array(0))], [11, 9]],
  ])("leaves nothing behind at a target that is sent %s", async (_, written, answers = [9]) => {
    const { net, b } = await pair();
    const [near, far] = streamPair();
    b.migrator.acceptStream(far, A);
    for (const part of written) await near.write(part);
    await near.close();
    const answered: (number | undefined)[] = [];
    for await (const part of near.readable) answered.push(part[0]);
    expect(answered).toEqual(answers);
    await net.flush();
    expect([net.pending, b.runtime.daemonCount, b.runtime.factoryCount]).toEqual([0, 0, 1]);
  });
});

describe("a shutdown", () => {
  it("of the source while the handover is being recorded serves nothing that waited", async () => {
    const { net, a, made, stores } = await pair();
    const store = stores[0] as VolatileHandoverStore;
    store.putMarker = () => new Promise(() => {});
    await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    const waiting = codeOf(() => a.runtime.deliver(ORIGIN, event(1)));
    await a.runtime.shutdown(0);
    expect(await waiting).toBe("shutting-down");
    expect(made[0]?.entries).toEqual([]);
  });

  it("of the target while it stores that the daemon lives there leaves that to its next start", async () => {
    const { net, a, b, stores } = await pair();
    const store = stores[1] as VolatileHandoverStore;
    const { promise, resolve } = deferred();
    const put = store.putMarker.bind(store);
    store.putMarker = async (name, value) => {
      if (value.at(-1) === 1) await promise;
      await put(name, value);
    };
    await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    await b.runtime.shutdown(0);
    resolve();
    await net.run(200);
    expect([b.runtime.daemonCount, net.log.includes("2>1 type-131")]).toEqual([0, false]);
    const b2 = await net.node(B, { ...options(store), isStarted: false });
    b2.runtime.registerFactory("diary", () => new Diary());
    await b2.runtime.start();
    // It lives there: a snapshot that nothing holds back.
    expect(b2.migrator.heldBack()).toEqual([]);
    await net.run(2000);
    expect(a.migrator.pending).toBe(0);
    expect(await store.get(ID.entityId)).toBeDefined();
  });
});

describe("a crash", () => {
  it("of the target before it has confirmed, and of the source after it has recorded: the store decides", async () => {
    const { net, a, b, stores } = await pair();
    await a.runtime.deliver(ORIGIN, event(1));
    // The source records the handover, but nobody hears of it.
    net.fault = ({ type }) => (type === "type-130" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(500);
    expect(migration.liveCopy).toEqual({ kind: "undecided", source: A, target: B });
    expect([a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 0]);
    await a.runtime.shutdown(0);
    await b.runtime.shutdown(0);
    net.fault = () => undefined;
    const made: Diary[] = [];
    const again: TestNode[] = [];
    for (const [index, id] of [A, B].entries()) {
      const node = await net.node(id, {
        isNetmesh: true,
        isStarted: false,
        store: stores[index] as VolatileHandoverStore,
      });
      node.runtime.registerFactory("diary", () => {
        const diary = new Diary();
        made.push(diary);
        return diary;
      });
      await node.runtime.start();
      again.push(node);
    }
    const [a2, b2] = again as [TestNode, TestNode];
    expect(await codeOf(() => a2.runtime.deliver(ORIGIN, event(2)))).toBe("migrated");
    await net.run(5000);
    await b2.runtime.deliver(ORIGIN, event(2));
    expect(made[0]?.entries).toEqual(numbers(2));
    expect(await stores[0]?.listMarkers()).toEqual([]);
    expect(net.pending).toBe(0);
  });

  it("of the source before it has recorded: the target asks, and discards what it has", async () => {
    const { net, a, b, stores } = await pair();
    net.fault = ({ from, type }) => (from === B && type === "type-129" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.flush();
    net.down.add(A);
    expect(b.migrator.pending).toBe(1);
    expect(await stores[1]?.listMarkers()).toHaveLength(1);
    await a.runtime.shutdown(0);
    expect(migration.error?.code).toBe("shutting-down");
    net.down.delete(A);
    await net.node(A, { isNetmesh: true, store: stores[0] as VolatileHandoverStore });
    await net.run(3000);
    expect([b.migrator.pending, b.runtime.daemonCount]).toEqual([0, 0]);
    expect(await stores[1]?.listMarkers()).toEqual([]);
  });

  it("of the source after it has recorded: until its store is read the target is told nothing", async () => {
    const { net, a, b, stores } = await pair();
    net.fault = ({ type }) => (type === "type-130" ? { copies: 0 } : undefined);
    await a.migrator.startMigration(ORIGIN, B);
    await net.run(500);
    await a.runtime.shutdown(0);
    net.fault = () => undefined;
    const a2 = await net.node(A, { ...options(stores[0]), isStarted: false });
    await net.run(3000);
    expect(b.migrator.pending).toBe(1);
    await a2.runtime.start();
    expect(a2.migrator.heldBack()).toHaveLength(1);
    await net.run(3000);
    expect([net.pending, b.runtime.daemonCount]).toEqual([0, 1]);
    expect(await stores[0]?.listMarkers()).toEqual([]);
    expect(a2.migrator.heldBack()).toEqual([]);
  });

  it("of a source to which the daemon is on its way back, before it has heard that it had arrived", async () => {
    const { net, a, b, stores } = await pair();
    net.fault = ({ from, type }) => (from === B && type === "type-131" ? { copies: 0 } : undefined);
    const away = await a.migrator.startMigration(ORIGIN, B);
    await net.run(500);
    await b.runtime.deliver(ORIGIN, event(1));
    // The way back is recorded, and nobody hears of it; but A hears that the daemon had arrived at B.
    net.fault = ({ from, type }) => (from === B && type === "type-130" ? { copies: 0 } : undefined);
    await b.migrator.startMigration(ORIGIN, A);
    await net.run(3000);
    expect(away.outcome?.node).toBe(B);
    expect([a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 0]);
    await a.runtime.shutdown(0);
    const a2 = await net.node(A, { ...options(stores[0]), isStarted: false });
    const diary = new Diary();
    a2.runtime.registerFactory("diary", () => diary);
    await a2.runtime.start();
    expect(a2.migrator.heldBack()).toHaveLength(1);
    await net.run(3000);
    net.fault = () => undefined;
    await net.run(3000);
    expect([net.pending, a2.runtime.daemonCount]).toEqual([0, 1]);
    expect(diary.entries).toEqual(numbers(1));
    expect(a2.migrator.heldBack()).toEqual([]);
    expect(await stores[1]?.listMarkers()).toEqual([]);
  });

  it("leaves what the other node decides about, or has, out of what is restored", async () => {
    const { net, a, stores } = await pair();
    net.fault = ({ type }) => (type === "type-130" ? { copies: 0 } : undefined);
    await a.migrator.startMigration(ORIGIN, B);
    await net.run(500);
    for (const node of net.nodes.values()) await node.runtime.shutdown(0);
    const [a2, b2] = [await net.node(A, options(stores[0])), await net.node(B, options(stores[1]))];
    expect(a2.migrator.heldBack()).toEqual([{ originHash: ORIGIN, node: B, why: "handed-over" }]);
    expect(b2.migrator.heldBack()).toEqual([{ originHash: ORIGIN, node: A, why: "arriving" }]);
    // Neither is the application's to decide.
    for (const { migrator } of [a2, b2]) {
      expect(await codeOf(() => migrator.reclaim(ORIGIN))).toBe("already-migrating");
    }
    // Nor is another made beside it.
    for (const { runtime } of [a2, b2]) {
      expect(await codeOf(() => runtime.spawn("counter", { identity: ID }))).toBe("already-migrating");
    }
    expect(await a2.migrator.reclaim(7n)).toBe(false);
  });

  it("in the messages of Net, unconfirmed, leaves the daemon to the application", async () => {
    const { net, a, b, stores } = await pair();
    await a.runtime.deliver(ORIGIN, event(1));
    net.fault = ({ type }) => (type === "activate-target" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B, { form: "net" });
    await net.run(500);
    expect(migration.liveCopy).toEqual({ kind: "undecided", source: A, target: B });
    for (const { runtime } of [a, b]) await runtime.shutdown(0);
    const a2 = await net.node(A, options(stores[0]));
    expect(a2.migrator.heldBack()).toEqual([{ originHash: ORIGIN, node: B, why: "departed" }]);
    expect(await codeOf(() => a2.runtime.deliver(ORIGIN, event(2)))).toBe("migrated");
    expect(await a2.migrator.reclaim(ORIGIN)).toBe(true);
    expect(a2.migrator.heldBack()).toEqual([]);
    expect(await codeOf(() => a2.runtime.deliver(ORIGIN, event(2)))).toBe("core");
    expect(await stores[0]?.listMarkers()).toEqual([]);
  });

  it("in the messages of Net that is never confirmed leaves the daemon to the application at once", async () => {
    const { net, a } = await pair();
    net.fault = ({ type }) => (type === "activate-target" ? { copies: 0 } : undefined);
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B, { form: "net" }));
    expect(migration.error?.code).toBe("timeout");
    expect(migration.liveCopy).toEqual({ kind: "undecided", source: A, target: B });
    expect(a.migrator.heldBack()).toEqual([{ originHash: ORIGIN, node: B, why: "departed" }]);
    expect(await a.migrator.reclaim(ORIGIN)).toBe(true);
  });

  it("after a move in the messages of Net finds nothing of the daemon at its source", async () => {
    const { net, a, stores } = await pair();
    const snapshot = await a.runtime.snapshot(ORIGIN);
    await stores[0]?.put(snapshot as StateSnapshot, "diary");
    const migration = await a.migrator.startMigration(ORIGIN, B, { form: "net" });
    await finished(net, migration);
    expect(migration.error).toBeUndefined();
    expect(await stores[0]?.listMarkers()).toEqual([]);
    expect(await stores[0]?.get(ID.entityId)).toBeUndefined();
  });

  it("of a store, in the messages of Net: the daemon stays where it is", async () => {
    const { net, a, stores } = await pair();
    const store = stores[0] as VolatileHandoverStore;
    store.putMarker = () => Promise.reject(new Error("disk full"));
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B, { form: "net" }));
    expect(migration.error?.code).toBe("state-failed");
    await a.runtime.deliver(ORIGIN, event(1));
    await net.flush();
    expect(net.pending).toBe(0);
  });

  it("of a store: the daemon stays where it is", async () => {
    const { net, a, stores } = await pair();
    const store = stores[0] as VolatileHandoverStore;
    store.putMarker = () => Promise.reject(new Error("disk full"));
    const migration = await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(migration.error?.code).toBe("state-failed");
    await a.runtime.deliver(ORIGIN, event(1));
    await net.flush();
    expect(net.pending).toBe(0);
  });
});
