import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  type ChannelMembership,
  type Daemon,
  type Migration,
  type PreparedChannel,
  type StateDelta,
  VolatileHandoverStore,
} from "../src/index.ts";
import { decodePositions, encodePositions } from "../src/migration/handover/channel-positions.ts";
import { codeOf, deferred, identity, input } from "./support/daemons.ts";
import { MigrationNet, type TestNode } from "./support/migration-net.ts";

const A = 1n;
const B = 2n;
const PUBLISHER = 9n;
const ID = identity(1);
const ORIGIN = ID.originHash;

/** Counts events; its state is their number. */
class Tally implements Daemon {
  readonly name: string = "tally";
  count = 0;

  process(): void {
    this.count++;
  }

  snapshot(): Uint8Array {
    return Uint8Array.of(this.count);
  }

  restore([count = 0]: Uint8Array): void {
    this.count = count;
  }
}

/** As that, giving its state in parts. */
class Parted extends Tally {
  snapshotDelta(): StateDelta {
    return { bytes: Uint8Array.of(this.count), version: BigInt(this.count), remaining: 0 };
  }

  applyDelta([count = 0]: Uint8Array): void {
    this.count = count;
  }
}

/** What the channels of one node are asked, and how they answer. */
class Channels implements ChannelMembership {
  readonly #node: string;
  readonly #log: string[];
  /** What is waited for before a channel is prepared, or followed. */
  readonly gates: Map<string, Promise<void>> = new Map();
  /** How far daemons are. */
  readonly positions: Map<string, bigint> = new Map();
  underWay = 0;
  most = 0;

  constructor(node: string, log: string[]) {
    this.#node = node;
    this.#log = log;
  }

  /** Makes a request wait until the function is called. */
  gate(request: string): () => void {
    const { promise, resolve } = deferred();
    this.gates.set(request, promise);
    return resolve;
  }

  async subscribe(_: bigint, channel: string): Promise<void> {
    this.#say("subscribe", channel);
    await this.gates.get(`subscribe ${channel}`);
  }

  async unsubscribe(_: bigint, channel: string): Promise<void> {
    this.#say("unsubscribe", channel);
  }

  async prepare(_: bigint, channel: string): Promise<PreparedChannel> {
    this.#say("prepare", channel);
    this.most = Math.max(this.most, ++this.underWay);
    await Promise.resolve();
    this.underWay--;
    await this.gates.get(`prepare ${channel}`);
    this.#say("prepared", channel);
    return {
      begin: (position) => this.#say("begin", `${channel} ${position}`),
      end: () => this.#say("end", channel),
    };
  }

  async follow(_: bigint, channel: string): Promise<() => bigint | undefined> {
    this.#say("follow", channel);
    await this.gates.get(`follow ${channel}`);
    return () => this.positions.get(channel);
  }

  #say(what: string, channel: string): void {
    this.#log.push(`${this.#node} ${what} ${channel}`);
  }
}

interface Scene {
  readonly net: MigrationNet;
  readonly a: TestNode;
  readonly b: TestNode;
  readonly log: string[];
  readonly channelsOf: { readonly a: Channels; readonly b: Channels };
  readonly stores: readonly VolatileHandoverStore[];
}

async function scene(subscribed: readonly string[], make: () => Tally = () => new Tally()): Promise<Scene> {
  const net = new MigrationNet();
  const log: string[] = [];
  const channelsOf = { a: new Channels("a", log), b: new Channels("b", log) };
  const stores = [new VolatileHandoverStore(), new VolatileHandoverStore()] as const;
  const a = await net.node(A, { isNetmesh: true, channels: channelsOf.a, store: stores[0] });
  const b = await net.node(B, { isNetmesh: true, channels: channelsOf.b, store: stores[1] });
  for (const { runtime } of [a, b]) runtime.registerFactory("tally", make);
  await a.runtime.spawn("tally", { identity: ID });
  for (const channel of subscribed) {
    await a.runtime.subscribeChannel(ORIGIN, { publisher: PUBLISHER, channel });
  }
  b.runtime.expectMigration("tally", ORIGIN, { from: A });
  log.length = 0;
  return { net, a, b, log, channelsOf, stores };
}

async function finished(net: MigrationNet, migration: Migration): Promise<Migration> {
  await net.run(40_000, () => migration.phase === undefined);
  await net.flush();
  return migration;
}

const event = (n: number): CausalEvent => input(0xaaaan, BigInt(n), `e${n}`);

describe("the channels of a daemon that is handed over", () => {
  it.each([
    ["whole", () => new Tally()],
    ["in parts", () => new Parted()],
  ] as const)("are subscribed before it stops, and go on from where it has stopped: %s", async (_, make) => {
    const { net, a, log, channelsOf } = await scene(["news", "chat"], make);
    const caughtUp = channelsOf.a.gate("follow chat");
    channelsOf.a.positions.set("news", 1n);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    // What it processes until it stops counts, too.
    await a.runtime.deliver(ORIGIN, event(1));
    channelsOf.a.positions.set("news", 500n);
    caughtUp();
    expect((await finished(net, migration)).error).toBeUndefined();
    expect(log).toEqual([
      "b prepare news",
      "b prepare chat",
      "b prepared news",
      "b prepared chat",
      "a follow news",
      "a follow chat",
      "a unsubscribe news",
      "a unsubscribe chat",
      "b begin news 500",
      // Of which the source does not know how far it is.
      "b begin chat undefined",
    ]);
  });

  it("are subscribed as before where the node cannot prepare any", async () => {
    const { net, a, log, channelsOf } = await scene(["news"]);
    Object.assign(channelsOf.b, { prepare: undefined });
    Object.assign(channelsOf.a, { follow: undefined });
    expect((await finished(net, await a.migrator.startMigration(ORIGIN, B))).error).toBeUndefined();
    expect(log).toEqual(["a unsubscribe news", "b subscribe news"]);
  });

  it("are asked for again when one could not be prepared, and the failure is told once", async () => {
    const { net, a, b, log, channelsOf } = await scene(["news", "closed"]);
    for (const what of ["prepare", "subscribe"]) {
      const refusal = Promise.reject(new Error("refused"));
      refusal.catch(() => undefined);
      channelsOf.b.gates.set(`${what} closed`, refusal);
    }
    expect((await finished(net, await a.migrator.startMigration(ORIGIN, B))).error).toBeUndefined();
    expect(log).toContain("b begin news undefined");
    expect(log).toContain("b subscribe closed");
    expect(b.events.filter(({ kind }) => kind === "subscription-failed")).toHaveLength(1);
  });

  it("do not hold it up for more than five seconds, and one that is prepared too late is left again", async () => {
    const { net, a, log, channelsOf } = await scene(["news", "late"]);
    const prepared = channelsOf.b.gate("prepare late");
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(4_900);
    expect([migration.phase, a.runtime.daemonCount]).toEqual(["restore", 1]);
    await a.runtime.deliver(ORIGIN, event(1));
    await finished(net, migration);
    expect(log.slice(-3)).toEqual(["a unsubscribe late", "b begin news undefined", "b subscribe late"]);
    prepared();
    await net.flush();
    expect(log.slice(-2)).toEqual(["b prepared late", "b end late"]);
  });

  it("go on with all that was held when the daemon does not catch up in ten seconds", async () => {
    const { net, a, log, channelsOf } = await scene(["news"]);
    channelsOf.a.positions.set("news", 500n);
    channelsOf.a.gate("follow news");
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(9_900);
    expect([migration.phase, a.runtime.daemonCount]).toEqual(["restore", 1]);
    await finished(net, migration);
    expect(migration.error).toBeUndefined();
    expect(log.at(-1)).toBe("b begin news undefined");
  });

  it("are left by the target when the move is given up, and kept by the source", async () => {
    const { net, a, log, channelsOf } = await scene(["news"]);
    channelsOf.a.gate("follow news");
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    migration.cancel();
    expect(await codeOf(() => migration.done)).toBe("cancelled");
    await net.flush();
    expect(log.slice(-2)).toEqual(["a follow news", "b end news"]);
    expect(log).not.toContain("a unsubscribe news");
    expect(net.pending).toBe(0);
    // Another move is not disturbed by what is left of the first.
    channelsOf.a.gates.clear();
    await a.runtime.deliver(ORIGIN, event(1));
    const again = await a.migrator.startMigration(ORIGIN, B);
    await net.run(12_000);
    expect(again.outcome?.node).toBe(B);
    expect(log.at(-1)).toBe("b begin news undefined");
  });

  it.each([
    ["whole", () => new Tally()],
    ["in parts", () => new Parted()],
  ] as const)("that it has joined meanwhile are joined at the target, too: %s", async (_, make) => {
    const { net, a, b, log, channelsOf } = await scene(["old"], make);
    const caughtUp = channelsOf.a.gate("follow old");
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    await a.runtime.subscribeChannel(ORIGIN, { publisher: PUBLISHER, channel: "new" });
    caughtUp();
    expect((await finished(net, migration)).error).toBeUndefined();
    expect(log.slice(-2)).toEqual(["b begin old undefined", "b subscribe new"]);
    expect(b.runtime.subscriptions(ORIGIN).map(({ channel }) => channel)).toEqual(["old", "new"]);
  });

  it("are left by a target that has restored it of the messages of Net, when the move is given up", async () => {
    const { net, a, b, log, channelsOf } = await scene(["news", "slow"]);
    const subscribed = channelsOf.b.gate("subscribe slow");
    net.fault = ({ type }) => (type === "replay-complete" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B, { form: "net" });
    await net.run(200);
    migration.cancel();
    await net.flush();
    expect(log).toContain("b unsubscribe news");
    log.length = 0;
    subscribed();
    await net.flush();
    expect(log).toEqual(["b unsubscribe slow"]);
    expect(b.migrator.pending).toBe(0);
  });

  it("that answers when the daemon has moved on is left again", async () => {
    const { net, a, log, channelsOf } = await scene([]);
    const accepted = channelsOf.a.gate("subscribe late");
    const subscribing = codeOf(() =>
      a.runtime.subscribeChannel(ORIGIN, { publisher: PUBLISHER, channel: "late" }),
    );
    await finished(net, await a.migrator.startMigration(ORIGIN, B));
    accepted();
    expect(await subscribing).toBe("migrated");
    expect(log).toEqual(["a subscribe late", "a unsubscribe late"]);
  });

  it.each([
    ["whole", () => new Tally()],
    ["in parts", () => new Parted()],
  ] as const)("that it has left meanwhile are left at the target, too: %s", async (_, make) => {
    const { net, a, log, channelsOf } = await scene(["news", "old"], make);
    const caughtUp = channelsOf.a.gate("follow old");
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    await a.runtime.unsubscribeChannel(ORIGIN, PUBLISHER, "old");
    caughtUp();
    await finished(net, migration);
    expect(log.slice(-2)).toEqual(["b begin news undefined", "b end old"]);
  });

  it("are left when the target shuts down while it waits for the decision", async () => {
    const { net, a, b, log } = await scene(["news"]);
    net.fault = ({ from, type }) => (from === B && type === "type-129" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(200);
    await b.runtime.shutdown(0);
    expect(log.at(-1)).toBe("b end news");
    migration.cancel();
    await net.flush();
  });

  it("are subscribed anew by a target that has crashed when it was prepared", async () => {
    const { net, a, b, log, stores } = await scene(["news"]);
    net.fault = ({ type }) => (type === "type-130" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(ORIGIN, B);
    await net.run(500);
    await b.runtime.shutdown(0);
    net.fault = () => undefined;
    const restarted = await net.node(B, {
      isNetmesh: true,
      isStarted: false,
      channels: new Channels("b2", log),
      store: stores[1] as VolatileHandoverStore,
    });
    restarted.runtime.registerFactory("tally", () => new Tally());
    await restarted.runtime.start();
    await finished(net, migration);
    expect(restarted.runtime.daemonCount).toBe(1);
    expect(log.at(-1)).toBe("b2 subscribe news");
  });

  it("are prepared some at a time, all of as many as there can be, with their positions", async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `n${index}/${"x".repeat(240)}`);
    const { net, a, log, channelsOf } = await scene(names);
    for (const [index, name] of names.entries()) channelsOf.a.positions.set(name, BigInt(index));
    await finished(net, await a.migrator.startMigration(ORIGIN, B));
    expect(channelsOf.b.most).toBe(32);
    const begun = log.filter((line) => line.startsWith("b begin"));
    expect(begun).toEqual(names.map((name, index) => `b begin ${name} ${index}`));
  });
});

describe("positions on the way to the target", () => {
  const positions = [
    { publisher: 2n ** 64n - 1n, channel: "a", position: 2n ** 64n - 1n },
    { publisher: 7n, channel: "sensors/temperature", position: 0n },
  ];

  it("come through as they were", () => {
    expect(decodePositions(encodePositions(positions))).toEqual(positions);
    expect(decodePositions(encodePositions([]))).toEqual([]);
  });

  it("that are cut, name no channel, or are more than a daemon can have, are none", () => {
    const bytes = encodePositions(positions);
    const boundary = encodePositions(positions.slice(0, 1)).length;
    for (let length = 1; length < bytes.length; length++) {
      if (length !== boundary)
        expect(decodePositions(bytes.subarray(0, length)), `${length}`).toBeUndefined();
    }
    const unnamed = bytes.slice();
    unnamed[9] = 0x41;
    expect(decodePositions(unnamed)).toBeUndefined();
    const many = Array.from({ length: 1001 }, () => ({ publisher: 1n, channel: "a", position: 1n }));
    expect(decodePositions(encodePositions(many.slice(1)))).toHaveLength(1000);
    expect(decodePositions(encodePositions(many))).toBeUndefined();
    expect(decodePositions(new Uint8Array(300_000))).toBeUndefined();
  });
});
