import { writeU32, writeU64 } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  type Daemon,
  type DaemonFactory,
  DaemonHost,
  encodeMigrationMessage,
  encodeSnapshot,
  type Migration,
  type MigrationMessage,
  type SnapshotReady,
  sealSnapshot,
} from "../src/index.ts";
import { bytes, CounterDaemon, codeOf, fromU64, identity, input, u64 } from "./support/daemons.ts";
import { MigrationNet, type NodeOptions, streamPair, type TestNode } from "./support/migration-net.ts";

const A = 1n;
const B = 2n;
const C = 3n;
const ID = identity(1);
const ORIGIN = ID.originHash;

/** The two ways in which a daemon moves. */
const FORMS = [
  ["in the messages of Net", false],
  ["in a stream", true],
] as const;

/** A counter whose state is padded to as many bytes. */
class Heavy extends CounterDaemon {
  readonly #size: number;

  constructor(size: number) {
    super();
    this.#size = size;
  }

  override snapshot(): Uint8Array {
    const state = new Uint8Array(this.#size);
    writeU64(state, 0, this.count);
    return state;
  }

  override restore(state: Uint8Array): void {
    this.count = fromU64(state);
  }
}

interface Bench {
  readonly net: MigrationNet;
  readonly a: TestNode;
  readonly b: TestNode;
}

/** A daemon on A that has counted to 3, and B that expects it; how B makes it can be chosen. */
async function bench(
  options: { readonly isNetmesh?: boolean; readonly atTarget?: DaemonFactory; readonly size?: number } = {},
): Promise<Bench> {
  const { isNetmesh = false, size = 8 } = options;
  const net = new MigrationNet();
  const node: NodeOptions = { isNetmesh };
  const [a, b] = [await net.node(A, node), await net.node(B, node)];
  const factory = (): Daemon => new Heavy(size);
  a.runtime.registerFactory("heavy", factory);
  b.runtime.registerFactory("heavy", options.atTarget ?? factory);
  await a.runtime.spawn("heavy", { identity: ID });
  for (const n of [1, 2, 3]) await a.runtime.deliver(ORIGIN, event(n));
  b.runtime.expectMigration("heavy", ORIGIN);
  return { net, a, b };
}

const event = (n: number): CausalEvent => input(7n, BigInt(n), `e${n}`);

async function moved({ net, a }: Bench, options = {}): Promise<Migration> {
  const migration = await a.migrator.startMigration(ORIGIN, B, options);
  await net.run(90_000, () => migration.phase === undefined);
  await net.flush();
  return migration;
}

/** The source has the daemon, which serves; the target has nothing but its expectation. */
async function expectStayed({ net, a, b }: Bench): Promise<void> {
  const before = a.runtime.stats(ORIGIN).eventsProcessed;
  await a.runtime.deliver(ORIGIN, event(4));
  expect(a.runtime.stats(ORIGIN).eventsProcessed).toBe(before + 1);
  expect([b.runtime.daemonCount, b.runtime.factoryCount, net.pending]).toEqual([0, 1, 0]);
}

/** The snapshot of a daemon as it travels, with its key sealed for a node. */
async function travelling(net: MigrationNet, target = B): Promise<Uint8Array> {
  const host = DaemonHost.create(ID, new Heavy(8));
  await host.deliver(event(1));
  const snapshot = await host.snapshot();
  if (snapshot === undefined) throw new Error("no snapshot");
  return encodeSnapshot(sealSnapshot(snapshot, ID, { targetPublicKey: net.keyOf(target).publicKey }));
}

const chunk = (bytesOfChunk: Uint8Array, fields: Partial<SnapshotReady> = {}): SnapshotReady => ({
  type: "snapshot-ready",
  originHash: ORIGIN,
  seqThrough: 1n,
  chunkIndex: 0,
  totalChunks: 1,
  chunk: bytesOfChunk,
  ...fields,
});

const send = (net: MigrationNet, message: MigrationMessage, to = B): void =>
  net.inject(A, to, encodeMigrationMessage(message));

describe.each(FORMS)("a target %s", (_, isNetmesh) => {
  it.each<[string, DaemonFactory]>([
    ["throws", () => raise("no memory")],
    ["rejects", () => Promise.reject(new Error("no memory"))],
    ["gives nothing", (() => undefined) as unknown as DaemonFactory],
    ["gives something without process", (() => ({ name: "x" })) as unknown as DaemonFactory],
    ["hangs", () => new Promise<Daemon>(() => undefined)],
  ])("whose factory %s leaves the daemon where it is, and nothing behind", async (_case, atTarget) => {
    const at = await bench({ isNetmesh, atTarget });
    const migration = await moved(at);
    expect(migration.error?.code).toMatch(/state-failed|timeout/);
    expect(migration.liveCopy).toEqual({ kind: "live", node: A });
    // A factory that hangs is given up after its own time limit.
    await at.net.run(60_000);
    await expectStayed(at);
  });

  it.each<[string, (state: Uint8Array) => void | Promise<void>]>([
    ["throws", () => raise("not mine")],
    ["rejects", () => Promise.reject(new Error("not mine"))],
    ["hangs", () => new Promise<void>(() => undefined)],
  ])("whose restore %s leaves the daemon where it is, and nothing behind", async (_case, restore) => {
    const atTarget = (): Daemon => ({
      name: "heavy",
      process: () => undefined,
      snapshot: () => u64(0n),
      restore,
    });
    const at = await bench({ isNetmesh, atTarget });
    const migration = await moved(at);
    expect(migration.error?.code).toMatch(/state-failed|timeout/);
    await at.net.run(60_000);
    await expectStayed(at);
  });

  it("whose daemon fails at the events that come along leaves it where it is", async () => {
    const atTarget = (): Daemon => {
      const daemon = new Heavy(8);
      daemon.process = () => raise("not this one");
      return daemon;
    };
    const at = await bench({ isNetmesh, atTarget });
    at.net.fault = ({ type }) => {
      if (type === "restore-complete" || type === "type-135") void at.a.runtime.deliver(ORIGIN, event(9));
      return undefined;
    };
    const starting = at.a.migrator.startMigration(ORIGIN, B);
    void at.a.runtime.deliver(ORIGIN, event(5));
    const migration = await starting;
    await at.net.run(90_000, () => migration.phase === undefined);
    expect(migration.error?.code).toBe("state-failed");
    await at.net.flush();
    await expectStayed(at);
  });

  it("takes two daemons at once, each with its own events", async () => {
    const { net, a, b } = await bench({ isNetmesh, size: 3 * 7000 });
    const other = identity(2);
    await a.runtime.spawn("heavy", { identity: other });
    await a.runtime.deliver(other.originHash, event(1));
    b.runtime.expectMigration("heavy", other.originHash);
    const moves = [
      await a.migrator.startMigration(ORIGIN, B),
      await a.migrator.startMigration(other.originHash, B),
    ];
    await net.run(30_000, () => moves.every(({ phase }) => phase === undefined));
    expect(moves.map(({ outcome }) => outcome?.node)).toEqual([B, B]);
    const counts = await Promise.all(
      [ORIGIN, other.originHash].map(
        async (origin) => (await b.runtime.deliver(origin, event(9)))[0]?.payload,
      ),
    );
    expect(counts.map((count) => fromU64(count as Uint8Array))).toEqual([4n, 2n]);
    await net.flush();
    expect(net.pending).toBe(0);
  });

  it("takes a daemon after its source had refused a second of the same identity", async () => {
    const at = await bench({ isNetmesh });
    expect(await codeOf(() => at.a.runtime.spawn("heavy", { identity: ID }))).toBe("core");
    expect((await moved(at)).outcome?.node).toBe(B);
    expect([at.a.runtime.daemonCount, at.b.runtime.daemonCount]).toEqual([0, 1]);
  });

  it("hears nothing of a failure that was told before the move", async () => {
    const at = await bench({ isNetmesh });
    const reason = { kind: "state-failed", detail: "long ago" } as const;
    at.net.inject(B, A, encodeMigrationMessage({ type: "migration-failed", originHash: ORIGIN, reason }));
    expect((await moved(at)).outcome?.node).toBe(B);
  });

  it("that is lost in the middle of the transfer does not keep the daemon from going to another", async () => {
    const at = await bench({ isNetmesh, size: 3 * 7000 + 4096 });
    const { net, a } = at;
    const c = await net.node(C, { isNetmesh });
    c.runtime.registerFactory("heavy", () => new Heavy(3 * 7000 + 4096));
    c.runtime.expectMigration("heavy", ORIGIN);
    let sent = 0;
    net.fault = ({ to }) => (to === B && ++sent > 2 ? { copies: 0 } : undefined);
    const first = await a.migrator.startMigration(ORIGIN, B);
    for (const stream of net.streams) stream.abort();
    await net.run(500);
    if (first.phase !== undefined) first.cancel();
    expect(await codeOf(() => first.done)).toMatch(/cancelled|state-failed|target-unavailable/);
    net.fault = () => undefined;
    const second = await a.migrator.startMigration(ORIGIN, C);
    await net.run(30_000, () => second.phase === undefined);
    expect(second.outcome?.node).toBe(C);
    expect([a.runtime.daemonCount, c.runtime.daemonCount]).toEqual([0, 1]);
  });
});

describe("a source in the messages of Net", () => {
  it("that sends no snapshot is told so, and may try again", async () => {
    const at = await bench();
    send(at.net, chunk(bytes("no snapshot at all")));
    await at.net.flush();
    expect(at.net.log).toContain("2>1 migration-failed");
    expect([at.b.runtime.daemonCount, at.b.runtime.factoryCount, at.net.pending]).toEqual([0, 1, 0]);
    expect((await moved(at)).outcome?.node).toBe(B);
  });

  it.each<[string, (snapshot: Uint8Array, net: MigrationNet) => SnapshotReady[] | Promise<SnapshotReady[]>]>([
    ["a snapshot cut short", (snapshot) => [chunk(snapshot.subarray(0, -1))]],
    ["a snapshot with a byte too many", (snapshot) => [chunk(Uint8Array.of(...snapshot, 0))]],
    [
      "a state that claims to be larger than what there is",
      (snapshot) => {
        const expanding = snapshot.slice();
        writeU32(expanding, 85, 0xffff_ffff);
        return [chunk(expanding)];
      },
    ],
    ["another sequence than it announces", (snapshot) => [chunk(snapshot, { seqThrough: 9n })]],
    ["a key sealed for another node", async (_snapshot, net) => [chunk(await travelling(net, C))]],
    [
      "an envelope that was tampered with",
      (snapshot) => {
        const tampered = snapshot.slice();
        const last = tampered.length - 1;
        tampered[last] = (tampered[last] as number) ^ 1;
        return [chunk(tampered)];
      },
    ],
  ])("with %s is refused, and nothing is left of it", async (_, hostile) => {
    const { net, b } = await bench();
    for (const message of await hostile(await travelling(net), net)) send(net, message);
    await net.flush();
    expect(net.log.at(-1)).toBe("2>1 migration-failed");
    expect([b.runtime.daemonCount, b.runtime.factoryCount, b.migrator.pending]).toEqual([0, 1, 0]);
  });

  it("that sends chunks twice, backwards and between those of an older snapshot is understood", async () => {
    const { net, b } = await bench();
    const whole = await travelling(net);
    const half = Math.ceil(whole.length / 2);
    const parts = [whole.subarray(0, half), whole.subarray(half)];
    const part = (index: number): SnapshotReady =>
      chunk(parts[index] as Uint8Array, { chunkIndex: index, totalChunks: 2 });
    const older = chunk(bytes("older"), { seqThrough: 0n, totalChunks: 2 });
    for (const message of [older, part(1), { ...older, chunkIndex: 1 }, part(1), part(0)]) send(net, message);
    await net.flush();
    expect(net.log.at(-1)).toBe("2>1 restore-complete");
    expect(b.migrator.stats().refusedChunks).toBe(1);
  });

  it("that sends its snapshot again hears the same, and no second daemon is made", async () => {
    let made = 0;
    const at = await bench({
      atTarget: () => {
        made++;
        return new Heavy(8);
      },
    });
    const snapshots: Uint8Array[] = [];
    at.net.fault = ({ type, bytes: sent }) => {
      if (type === "snapshot-ready") snapshots.push(sent);
      return undefined;
    };
    expect((await moved(at)).outcome?.node).toBe(B);
    at.net.log.length = 0;
    at.net.inject(A, B, snapshots[0] as Uint8Array);
    await at.net.flush();
    expect(at.net.log).toEqual(["2>1 restore-complete"]);
    expect([made, at.b.runtime.daemonCount, at.net.pending]).toEqual([1, 1, 0]);
  });

  it("that begins daemons which nobody expects leaves no trace of them", async () => {
    const { net, b } = await bench();
    for (let origin = 1n; origin <= 1000n; origin++) {
      send(net, chunk(new Uint8Array(7000), { originHash: origin, totalChunks: 700_000 }));
    }
    await net.flush();
    expect([b.migrator.pending, b.runtime.factoryCount]).toEqual([0, 1]);
  });

  it("that never sends the rest is forgotten after five minutes", async () => {
    const { net, b } = await bench();
    send(net, chunk(new Uint8Array(7000), { totalChunks: 4 }));
    await net.flush();
    expect(b.migrator.pending).toBe(1);
    await net.run(301_000, () => b.migrator.pending === 0);
    expect(b.migrator.pending).toBe(0);
  });
});

describe("a target that lies", () => {
  it("about what it has restored, replayed or activated, before it can have, is not believed", async () => {
    const at = await bench();
    const { net, a } = at;
    const targetHead = { originHash: ORIGIN, horizon: 0n, sequence: 3n, parentHash: 0n };
    const lies: MigrationMessage[] = [
      { type: "replay-complete", originHash: ORIGIN, replayedSeq: 99n, targetHead },
      { type: "activate-ack", originHash: ORIGIN, replayedSeq: 99n },
    ];
    net.fault = ({ from, type }) => {
      if (type !== "snapshot-ready" || from !== A) return undefined;
      for (const lie of lies) net.inject(B, A, encodeMigrationMessage(lie));
      return { copies: 0 };
    };
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(3000);
    expect([migration.phase, a.runtime.daemonCount]).toEqual(["transfer", 1]);
    expect(a.migrator.stats().unexpected).toBeGreaterThan(0);
    migration.cancel();
    await net.flush();
    await expectStayed(at);
  });

  it("and says less than it was sent does not get the daemon", async () => {
    const at = await bench();
    const { net, a } = at;
    net.fault = ({ type, from, to, bytes: sent }) => {
      if (type === "restore-complete") void a.runtime.deliver(ORIGIN, event(5));
      if (type === "replay-complete" && from === B && to === A) writeU64(sent, 9, 0n);
      return undefined;
    };
    const migration = await moved(at);
    expect(migration.error?.code).toBe("timeout");
    expect(migration.liveCopy).toEqual({ kind: "live", node: A });
    expect(a.runtime.daemonCount).toBe(1);
    net.fault = () => undefined;
    await net.run(1000);
    await expectStayed(at);
  });

  it("that it has committed, before it was told to, changes nothing", async () => {
    const at = await bench({ isNetmesh: true });
    const { net, a } = at;
    net.fault = ({ from, to, type, bytes: sent }) => {
      // In the place of "prepared" and "query".
      if (from === B && to === A && (type === "type-129" || type === "type-132")) sent[0] = 0x83;
      return undefined;
    };
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(2000);
    expect([a.runtime.daemonCount, migration.phase]).toEqual([1, "cutover"]);
    migration.cancel();
    await net.flush();
    await expectStayed(at);
  });
});

describe("a source in a stream", () => {
  const frame = (type: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array => {
    const framed = new Uint8Array(5 + payload.length);
    framed[0] = type;
    writeU32(framed, 1, payload.length);
    framed.set(payload, 5);
    return framed;
  };
  const open = (size = 0, originHash = ORIGIN): Uint8Array => {
    const payload = new Uint8Array(25);
    payload[0] = 1;
    writeU64(payload, 1, originHash);
    writeU64(payload, 9, 1n);
    writeU64(payload, 17, BigInt(size));
    return frame(1, payload);
  };
  const HASH = new Uint8Array(8);
  const whole = (snapshot: Uint8Array): Uint8Array[] => [
    open(snapshot.length),
    frame(2, snapshot),
    frame(3, HASH),
  ];

  /** What the target answers to those frames. */
  async function answerTo({ net, b }: Bench, frames: readonly Uint8Array[]): Promise<number> {
    const [near, far] = streamPair();
    b.migrator.acceptStream(far, A);
    try {
      for (const part of frames) await near.write(part);
      await near.close();
    } catch {
      // The target has ended the stream.
    }
    for await (const part of near.readable) {
      await net.flush();
      return part[0] as number;
    }
    return 0;
  }

  it.each<[string, (snapshot: Uint8Array) => Uint8Array[]]>([
    ["another version", () => [open().fill(9, 5, 6)]],
    ["nothing but the beginning", () => [open()]],
    ["no snapshot", () => [open(7), frame(2, bytes("nothing")), frame(3, HASH)]],
    ["less than it announced", (snapshot) => [open(snapshot.length + 1), frame(2, snapshot), frame(3, HASH)]],
    ["more than it announced", (snapshot) => [open(snapshot.length - 1), frame(2, snapshot), frame(3, HASH)]],
    ["more than any snapshot may have", () => [open(1024 ** 3 + 1)]],
    ["an end before the state", () => [open(), frame(8, new Uint8Array(4))]],
    ["an event before the state", () => [open(), frame(7, new Uint8Array(44))]],
    [
      "another number of events than it says",
      (snapshot) => [...whole(snapshot), frame(8, Uint8Array.of(1, 0, 0, 0))],
    ],
    ["an event that is none", (snapshot) => [...whole(snapshot), frame(7, bytes("x"))]],
    ["two states", (snapshot) => [...whole(snapshot), frame(2, snapshot), frame(3, HASH)]],
    [
      "a part of a state that does not end",
      () => [open(), ...Array.from({ length: 65 }, () => frame(5, new Uint8Array(1024 * 1024)))],
    ],
  ])("with %s is refused, and nothing is left of it", async (_, frames) => {
    const at = await bench({ isNetmesh: true });
    expect(await answerTo(at, frames(await travelling(at.net)))).toBe(9);
    expect([at.b.runtime.daemonCount, at.b.runtime.factoryCount, at.b.migrator.pending]).toEqual([0, 1, 0]);
    expect((await moved(at)).outcome?.node).toBe(B);
  });

  it("with a key for another node is refused, and nothing is left of it", async () => {
    const at = await bench({ isNetmesh: true });
    expect(await answerTo(at, whole(await travelling(at.net, C)))).toBe(9);
    expect([at.b.runtime.daemonCount, at.b.runtime.factoryCount, at.b.migrator.pending]).toEqual([0, 1, 0]);
  });

  it("that begins one daemon twice is refused the second", async () => {
    const at = await bench({ isNetmesh: true });
    const [near, far] = streamPair();
    at.b.migrator.acceptStream(far, A);
    await near.write(open());
    await at.net.flush();
    expect(await answerTo(at, [open()])).toBe(9);
    expect(at.b.migrator.pending).toBe(1);
    near.abort();
    await at.net.flush();
    expect(at.b.migrator.pending).toBe(0);
  });

  it("that announces a gigabyte and sends nothing keeps others from it for a minute", async () => {
    const at = await bench({ isNetmesh: true });
    at.b.runtime.acceptMigration("heavy", () => true);
    const [near, far] = streamPair();
    at.b.migrator.acceptStream(far, C);
    await near.write(open(1024 ** 3, 7n));
    await at.net.run(59_000);
    expect(at.b.migrator.pending).toBe(1);
    await at.net.run(2000);
    expect(at.b.migrator.pending).toBe(0);
    expect((await moved(at)).outcome?.node).toBe(B);
  });

  it("that is slow, but not silent, is waited for", async () => {
    const at = await bench({ isNetmesh: true });
    const [near, far] = streamPair();
    at.b.migrator.acceptStream(far, A);
    await near.write(open(1000));
    for (let minutes = 0; minutes < 3; minutes++) {
      await at.net.run(50_000);
      await near.write(frame(2, new Uint8Array(1)));
      await at.net.flush();
    }
    expect(at.b.migrator.pending).toBe(1);
    near.abort();
    await at.net.flush();
    expect(at.b.migrator.pending).toBe(0);
  });

  it("that opens streams and says nothing has sixty-four of them, for a minute", async () => {
    const { net, b } = await bench({ isNetmesh: true });
    const streams = Array.from({ length: 65 }, () => {
      const [near, far] = streamPair();
      b.migrator.acceptStream(far, C);
      return near;
    });
    await net.flush();
    expect(streams.filter((stream) => stream.isOver)).toEqual([streams[64]]);
    await net.run(61_000);
    expect(streams.every((stream) => stream.isOver)).toBe(true);
    expect(b.migrator.pending).toBe(0);
  });

  it("that fills a gigabyte with parts that do not end is refused more", async () => {
    const { net, b } = await bench({ isNetmesh: true });
    b.runtime.acceptMigration("heavy", () => true);
    const [near, far] = streamPair();
    b.migrator.acceptStream(far, A);
    await near.write(open(1024 ** 3 - 100_000, 7n));
    const [other, end] = streamPair();
    b.migrator.acceptStream(end, C);
    await other.write(open(0, 8n));
    await other.write(frame(5, new Uint8Array(200_000)));
    await net.flush();
    expect(b.migrator.pending).toBe(1);
    near.abort();
    await net.flush();
    expect(b.migrator.pending).toBe(0);
  });

  it("that begins more than sixteen daemons is refused the others", async () => {
    const { net, b } = await bench({ isNetmesh: true });
    b.runtime.acceptMigration("heavy", () => true);
    const streams = Array.from({ length: 17 }, (_, index) => {
      const [near, far] = streamPair();
      b.migrator.acceptStream(far, A);
      void near.write(open(0, BigInt(1000 + index)));
      return near;
    });
    await net.flush();
    expect(b.migrator.pending).toBe(16);
    for (const stream of streams) stream.abort();
    await net.flush();
    expect(b.migrator.pending).toBe(0);
  });
});

it("a node without the private half of its key refuses sealed daemons, and they stay", async () => {
  const at = await bench();
  const blind = await at.net.node(C, {
    staticKey: { publicKey: at.net.keyOf(C).publicKey, privateKey: new Uint8Array(0) },
  });
  blind.runtime.registerFactory("heavy", () => new Heavy(8));
  blind.runtime.expectMigration("heavy", ORIGIN);
  const migration = await at.a.migrator.startMigration(ORIGIN, C);
  await at.net.run(30_000, () => migration.phase === undefined);
  expect(migration.error?.code).toBe("identity-transport-failed");
  await expectStayed(at);
});

function raise(text: string): never {
  throw new Error(text);
}
