import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  type Daemon,
  DaemonRuntime,
  decodeSnapshot,
  encodeSnapshot,
  forkSentinel,
  type PromotionChain,
  replicaIdentity,
  type StandbyGroup,
  type StandbyGroupConfig,
} from "../src/index.ts";
import { Cluster } from "./support/cluster.ts";
import {
  CounterDaemon,
  codeOf,
  EchoDaemon,
  failure,
  fromU64,
  input,
  SlowDaemon,
  u64,
} from "./support/daemons.ts";
import { settle } from "./support/virtual-time.ts";

const SEED = new Uint8Array(32).fill(0x22);
const CAUSE = 0xaaaan;

/** A counter that refuses states while told to. */
class PickyCounter extends CounterDaemon {
  static refusesState = false;

  override restore(state: Uint8Array): void {
    if (PickyCounter.refusesState) throw new Error("not now");
    super.restore(state);
  }
}

/** A stateful daemon whose calls end when told to. */
class SlowCounter extends SlowDaemon {
  count = 0n;

  override process(event: CausalEvent): Promise<Uint8Array> {
    return Promise.resolve(super.process(event)).then(() => u64(++this.count));
  }

  snapshot(): Uint8Array {
    return u64(this.count);
  }

  restore(state: Uint8Array): void {
    this.count = fromU64(state);
  }
}

async function readyRuntime(): Promise<DaemonRuntime> {
  const runtime = new DaemonRuntime();
  runtime.registerFactory("counter", () => new CounterDaemon());
  runtime.registerFactory("picky", () => new PickyCounter());
  runtime.registerFactory("echo", () => new EchoDaemon());
  PickyCounter.refusesState = false;
  await runtime.start();
  return runtime;
}

async function counters(
  count: number,
  more: Partial<StandbyGroupConfig> = {},
): Promise<{ runtime: DaemonRuntime; group: StandbyGroup }> {
  const runtime = await readyRuntime();
  return { runtime, group: await runtime.standbyGroup("counter", { count, seed: SEED, ...more }) };
}

/** Delivers `count` events to the active member; the payloads as numbers. */
async function tick(group: StandbyGroup, count: number): Promise<bigint[]> {
  const said: bigint[] = [];
  for (let i = 0; i < count; i++) {
    const [output] = await group.deliver(input(CAUSE, 1n, "tick"));
    said.push(fromU64(output?.payload as Uint8Array));
  }
  return said;
}

function roles(group: StandbyGroup): boolean[] {
  return group.members.map(({ isActive }) => isActive);
}

const origin = (index: number): bigint => replicaIdentity(SEED, index).originHash;

describe("a standby group", () => {
  it("begins with member 0 active, and the others waiting", async () => {
    const { runtime, group } = await counters(3);
    expect(runtime.daemonCount).toBe(3);
    expect(roles(group)).toEqual([true, false, false]);
    expect(group.active).toMatchObject({ index: 0, originHash: origin(0), syncedThrough: undefined });
    expect(group.routeEvent()).toBe(origin(0));
    expect([group.term, group.bufferedEvents, group.forkRecord]).toEqual([0, 0, undefined]);
  });

  it("has at least two members, of a kind that is known, and settings that make sense", async () => {
    const runtime = await readyRuntime();
    const make = (kind: string, config: object): Promise<unknown> =>
      runtime.standbyGroup(kind, { count: 2, seed: SEED, ...config });
    expect(await codeOf(() => make("counter", { count: 1 }))).toBe("invalid-config");
    expect(await codeOf(() => make("counter", { seed: new Uint8Array(3) }))).toBe("invalid-config");
    expect(await codeOf(() => make("counter", { maxBacklog: 0 }))).toBe("invalid-config");
    expect(await codeOf(() => make("counter", { chain: "new" }))).toBe("invalid-config");
    expect(await codeOf(() => make("none", {}))).toBe("factory-not-found");
    await runtime.spawn("echo", { identity: replicaIdentity(SEED, 1) });
    expect(await codeOf(() => make("counter", {}))).toBe("registry-failed");
    expect(runtime.daemonCount).toBe(1);
  });

  it("keeps what is delivered to the active member, however it is", async () => {
    const { runtime, group } = await counters(2);
    await tick(group, 3);
    await runtime.deliver(origin(0), input(CAUSE, 4n, "tick"));
    expect(group.bufferedEvents).toBe(4);
    await runtime.deliver(origin(1), input(CAUSE, 1n, "not for the active one"));
    expect(group.bufferedEvents).toBe(4);
  });

  it("forgets them once the standbys have the state", async () => {
    const { group } = await counters(3);
    await tick(group, 10);
    expect(await group.syncStandbys()).toBe(10n);
    expect(group.bufferedEvents).toBe(0);
    expect(group.members.map(({ syncedThrough }) => syncedThrough)).toEqual([10n, 10n, 10n]);
    await tick(group, 3);
    expect(group.bufferedEvents).toBe(3);
  });

  it("goes on where it was when a standby is promoted, in the name of the one before", async () => {
    const { runtime, group } = await counters(3);
    await tick(group, 10);
    await group.syncStandbys();
    await tick(group, 3);
    expect(await group.promote()).toBe(origin(1));
    expect(group.bufferedEvents).toBe(0);
    expect(roles(group)).toEqual([false, true, false]);
    expect([group.term, group.health]).toEqual([1, { status: "degraded", healthy: 2, total: 3 }]);
    const [output] = await runtime.deliver(group.routeEvent(), input(CAUSE, 14n, "tick"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(14n);
    expect(output?.link).toMatchObject({ originHash: origin(0), sequence: 14n });
    expect(group.bufferedEvents).toBe(1);
  });

  it("a standby that never had the state is played everything", async () => {
    const { group } = await counters(2);
    expect(await tick(group, 5)).toHaveLength(5);
    await group.promote();
    expect(await tick(group, 10)).toEqual([6n, 7n, 8n, 9n, 10n, 11n, 12n, 13n, 14n, 15n]);
  });

  it("is promoted with nothing kept", async () => {
    const { group } = await counters(2);
    await tick(group, 2);
    await group.syncStandbys();
    expect(await group.promote()).toBe(origin(1));
    expect(await tick(group, 1)).toEqual([3n]);
  });

  it("events count by when they came, not by their sequences", async () => {
    const { group } = await counters(2);
    // Two outputs would carry sequences 1 and 2; the inputs all have sequence 1.
    await tick(group, 2);
    await group.syncStandbys();
    await tick(group, 2);
    await group.promote();
    expect(await tick(group, 1)).toEqual([5n]);
  });

  it("with nobody to promote stays as it is", async () => {
    const { group } = await counters(2);
    await group.promote();
    expect(await codeOf(() => group.promote())).toBe("no-healthy-member");
    expect(roles(group)).toEqual([false, true]);
    expect(group.term).toBe(1);
    expect(await tick(group, 1)).toEqual([1n]);
  });

  it("without state cannot be synced", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.standbyGroup("echo", { count: 2, seed: SEED });
    await group.deliver(input(CAUSE, 1n, "x"));
    expect(await failure(() => group.syncStandbys())).toMatchObject({
      name: "GroupError",
      code: "registry-failed",
    });
    expect(group.bufferedEvents).toBe(1);
    expect(await group.promote("fresh")).toBe(origin(1));
  });

  it("of which one refuses the state keeps everything", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.standbyGroup("picky", { count: 3, seed: SEED });
    await tick(group, 3);
    await group.syncStandbys();
    await tick(group, 2);
    PickyCounter.refusesState = true;
    expect(await codeOf(() => group.syncStandbys())).toBe("registry-failed");
    expect(group.bufferedEvents).toBe(2);
    expect(group.members.map(({ syncedThrough }) => syncedThrough)).toEqual([3n, 3n, 3n]);
    expect(await codeOf(() => group.promote("fresh"))).toBe("registry-failed");
    expect([roles(group), group.term, group.health.status]).toEqual([[true, false, false], 0, "healthy"]);
    PickyCounter.refusesState = false;
    await group.promote("fresh");
    expect(await tick(group, 1)).toEqual([6n]);
  });

  it("prefers whoever has the latest state, and anybody who ever had one", async () => {
    const { group } = await counters(3);
    group.markUnhealthy(1);
    await tick(group, 2);
    await group.syncStandbys();
    expect(group.onNodeRecovery(0n)).toEqual([1]);
    await tick(group, 1);
    expect(await group.promote()).toBe(origin(2));
    expect(await tick(group, 1)).toEqual([4n]);
  });

  it("whoever was not promoted has the state of who was", async () => {
    const { group } = await counters(3);
    await tick(group, 4);
    await group.promote();
    await group.promote();
    expect(group.active.index).toBe(2);
    expect(await tick(group, 1)).toEqual([5n]);
  });

  it("with no room for more events refuses them, and none is lost", async () => {
    const { runtime, group } = await counters(2, { maxBacklog: 2 });
    await tick(group, 2);
    expect(await codeOf(() => tick(group, 1))).toBe("backpressure");
    expect(runtime.stats(origin(0)).eventsProcessed).toBe(2);
    await group.syncStandbys();
    expect(await tick(group, 1)).toEqual([3n]);
  });

  it("an event that its deliverer changes afterwards is played as it was", async () => {
    const runtime = await readyRuntime();
    const seen: number[] = [];
    const sum = (): Daemon => ({
      name: "sum",
      process: ({ payload }) => void seen.push(payload[0] as number),
    });
    runtime.registerFactory("sum", sum);
    const group = await runtime.standbyGroup("sum", { count: 2, seed: SEED });
    const event = input(CAUSE, 1n, "A");
    await group.deliver(event);
    event.payload[0] = 0;
    await group.promote();
    expect(seen).toEqual([65, 65]);
  });

  it("events that nobody takes are left out when they are played", async () => {
    const runtime = await readyRuntime();
    let made = 0;
    runtime.registerFactory("moody", () => {
      const isStandby = made++ > 0;
      const seen: Daemon = {
        name: "moody",
        process: ({ payload }) => {
          if (isStandby && payload[0] === 0x62) throw new Error("not b");
          return payload;
        },
      };
      return seen;
    });
    const group = await runtime.standbyGroup("moody", { count: 2, seed: SEED });
    for (const letter of "abc") await group.deliver(input(CAUSE, 1n, letter));
    await group.promote();
    expect(runtime.stats(origin(1))).toMatchObject({ eventsProcessed: 2, errors: 1 });
  });

  it("an event that is processed while the state is taken is neither lost nor played twice", async () => {
    const runtime = await readyRuntime();
    const made: SlowCounter[] = [];
    runtime.registerFactory("slow", () => {
      const daemon = new SlowCounter();
      made.push(daemon);
      return daemon;
    });
    const group = await runtime.standbyGroup("slow", { count: 2, seed: SEED });
    const [active, standby] = made as [SlowCounter, SlowCounter];
    const first = group.deliver(input(CAUSE, 1n, "a"));
    const syncing = group.syncStandbys();
    await settle();
    const second = group.deliver(input(CAUSE, 2n, "b"));
    active.calls[0]?.resolve(undefined);
    await first;
    await settle();
    active.calls[1]?.resolve(undefined);
    await second;
    expect(await syncing).toBe(1n);
    expect([standby.count, group.bufferedEvents]).toEqual([1n, 1]);
    const promoting = group.promote();
    await settle();
    standby.calls[0]?.resolve(undefined);
    await promoting;
    expect([standby.count, standby.seen]).toEqual([2n, ["b"]]);
  });
});

describe("a failing node", () => {
  it("makes a standby active only when the active member was there", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const group = await runtime.standbyGroup("counter", { count: 3, seed: SEED });
    expect(group.members.map(({ nodeId }) => nodeId)).toEqual([1n, 2n, 3n]);
    cluster.crash(2n);
    expect(await group.onNodeFailure(2n)).toBeUndefined();
    expect([group.active.index, group.term]).toEqual([0, 0]);
    expect(await group.onNodeFailure(1n)).toBe(origin(2));
    expect([group.active.index, group.term]).toEqual([2, 1]);
    expect(await codeOf(() => group.onNodeFailure(3n))).toBe("no-healthy-member");
    expect(await codeOf(() => group.deliver(input(CAUSE, 1n, "x")))).toBe("no-healthy-member");
  });

  it("loses nothing of an active member on another node", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const filter = { requireTags: ["worker"] };
    const group = await runtime.standbyGroup("counter", { count: 2, seed: SEED, filter });
    expect(group.active.nodeId).toBe(2n);
    await tick(group, 2);
    expect(await group.syncStandbys()).toBe(2n);
    await tick(group, 3);
    expect(group.bufferedEvents).toBe(3);
    cluster.crash(2n);
    expect(await group.onNodeFailure(2n)).toBe(origin(1));
    expect(await tick(group, 1)).toEqual([6n]);
  });

  it("a full backlog also holds for an active member on another node", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const filter = { requireTags: ["worker"] };
    const group = await runtime.standbyGroup("counter", { count: 2, seed: SEED, filter, maxBacklog: 1 });
    await tick(group, 1);
    expect(await codeOf(() => tick(group, 1))).toBe("backpressure");
    cluster.crash(2n);
    expect(await codeOf(() => group.syncStandbys())).toBe("registry-failed");
  });

  it("is followed by a recovery that makes at most four standbys anew and gives them the state", async () => {
    const { runtime, group } = await counters(7);
    await tick(group, 3);
    for (let index = 1; index < 7; index++) group.markUnhealthy(index);
    expect(await group.recover()).toEqual([1, 2, 3, 4]);
    expect(group.term).toBe(1);
    expect(group.active.index).toBe(0);
    expect(group.members.map(({ syncedThrough }) => syncedThrough).slice(1)).toEqual([
      ...[3n, 3n, 3n, 3n],
      ...[undefined, undefined],
    ]);
    expect(await group.recover()).toEqual([5, 6]);
    expect(await group.recover()).toEqual([]);
    expect(group.term).toBe(2);
    expect(runtime.daemonCount).toBe(7);
    await group.promote();
    expect(await tick(group, 1)).toEqual([4n]);
  });

  it("never makes the active member anew", async () => {
    const { group } = await counters(2);
    await tick(group, 2);
    group.markUnhealthy(0);
    expect(await group.recover()).toEqual([]);
    expect(await codeOf(() => tick(group, 1))).toBe("no-healthy-member");
    expect(group.onNodeRecovery(0n)).toEqual([0]);
    expect(await tick(group, 1)).toEqual([3n]);
  });

  it("of a stateless group makes blank members anew", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.standbyGroup("echo", { count: 2, seed: SEED });
    group.markUnhealthy(1);
    expect(await group.recover()).toEqual([1]);
    expect(group.member(1)?.isHealthy).toBe(true);
    expect(group.members[1]?.syncedThrough).toBeUndefined();
  });
});

describe("the chain of a promoted member", () => {
  async function promoted(chain: PromotionChain): Promise<{ runtime: DaemonRuntime; group: StandbyGroup }> {
    const made = await counters(3, { chain });
    await tick(made.group, 5);
    await made.group.syncStandbys();
    await tick(made.group, 2);
    await made.group.promote();
    return made;
  }

  it("that continues the one before has a snapshot that cannot be encoded: it cannot migrate", async () => {
    const { runtime, group } = await promoted("continue");
    const snapshot = await runtime.snapshot(group.routeEvent());
    expect(snapshot?.chainLink).toMatchObject({ originHash: origin(0), sequence: 7n });
    expect(() => snapshot && encodeSnapshot(snapshot)).toThrow("the chain belongs to another entity");
    expect(group.forkRecord).toBeUndefined();
  });

  it("that is fresh is its own, branches off where the state was taken, and can migrate", async () => {
    const { runtime, group } = await promoted("fresh");
    const member = group.routeEvent();
    expect(group.forkRecord).toMatchObject({ originalOrigin: origin(0), forkedOrigin: member, forkSeq: 5n });
    expect(group.forkRecord?.forkGenesis.parentHash).toBe(forkSentinel(origin(0), 5n));
    const [output] = await group.deliver(input(CAUSE, 1n, "tick"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(8n);
    // Two events were played to it after the fork.
    expect(output?.link).toMatchObject({ originHash: member, sequence: 3n });
    const snapshot = await runtime.snapshot(member);
    if (snapshot === undefined) throw new Error("stateless");
    const decoded = decodeSnapshot(encodeSnapshot(snapshot));
    expect(decoded?.throughSeq).toBe(3n);
    const elsewhere = await readyRuntime();
    const identity = replicaIdentity(SEED, 1);
    const arrived = await elsewhere.spawnFromSnapshot("counter", encodeSnapshot(snapshot), { identity });
    const [next] = await arrived.deliver(input(CAUSE, 1n, "tick"));
    expect(fromU64(next?.payload as Uint8Array)).toBe(9n);
  });

  it("that is fresh is what the other standbys have from then on", async () => {
    const { group } = await promoted("fresh");
    expect(group.members[2]?.syncedThrough).toBe(2n);
    await tick(group, 1);
    expect(await group.promote("continue")).toBe(origin(2));
    const [output] = await group.deliver(input(CAUSE, 1n, "tick"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(9n);
    expect(output?.link).toMatchObject({ originHash: origin(1), sequence: 4n });
  });

  it("of a member that never had the state branches off the beginning", async () => {
    const { group } = await counters(2, { chain: "fresh" });
    await tick(group, 2);
    await group.promote();
    expect(group.forkRecord).toMatchObject({ originalOrigin: origin(0), forkSeq: 0n });
    expect(await tick(group, 1)).toEqual([3n]);
  });

  it("of the member that the chain was of first is not branched off again", async () => {
    const { group } = await counters(2);
    await tick(group, 2);
    await group.syncStandbys();
    await group.promote("continue");
    expect(await group.recover()).toEqual([0]);
    await tick(group, 1);
    expect(await group.promote("fresh")).toBe(origin(0));
    expect(group.forkRecord).toBeUndefined();
    const [output] = await group.deliver(input(CAUSE, 1n, "tick"));
    expect(output?.link).toMatchObject({ originHash: origin(0), sequence: 4n });
    expect(fromU64(output?.payload as Uint8Array)).toBe(4n);
  });

  it("is one of two kinds", async () => {
    const { group } = await counters(2);
    expect(await codeOf(() => group.promote("new" as PromotionChain))).toBe("invalid-config");
  });
});
