import type { RandomSource } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import { MemberRoster } from "../src/groups/member-roster.ts";
import { MemberRouter } from "../src/groups/member-router.ts";
import {
  type DaemonGroup,
  DaemonRuntime,
  encodeSnapshot,
  forkSentinel,
  type GroupError,
  type RoutingStrategy,
  replicaGroupId,
  replicaIdentity,
} from "../src/index.ts";
import { Cluster } from "./support/cluster.ts";
import { CounterDaemon, codeOf, EchoDaemon, failure, fromU64, identity, input } from "./support/daemons.ts";
import { hex, toHex } from "./support/vectors.ts";
import vectors from "./vectors/groups.json" with { type: "json" };

const SEED = new Uint8Array(32).fill(0x11);
const CAUSE = 0xaaaan;

async function readyRuntime(): Promise<DaemonRuntime> {
  const runtime = new DaemonRuntime();
  runtime.registerFactory("counter", () => new CounterDaemon());
  runtime.registerFactory("echo", () => new EchoDaemon());
  await runtime.start();
  return runtime;
}

function origins(group: DaemonGroup): bigint[] {
  return group.members.map(({ originHash }) => originHash);
}

describe("keys of replicas", () => {
  it("follow from the seed", () => {
    const first = replicaIdentity(SEED, 0);
    expect(toHex(first.toBytes())).toBe("eaf2b377b54f048cbb4195e4ac798cfaafed2b82ce0fb42cec3b50ccc9bf5aba");
    expect(toHex(first.entityId)).toBe("6199a5ae1f61e3852302cd39f1c76e1e70936d6cb2cffd08fc19c42a49d2c449");
    expect(first.originHash).toBe(0x075b81cb778203b1n);
    const second = replicaIdentity(SEED, 1);
    expect(toHex(second.toBytes())).toBe("0c59736055ba74e6d52e0c0544bd991dd34f0cee48be65312af402754411c57c");
    expect(second.originHash).toBe(0x95f944c1651177aen);
    expect(replicaGroupId(SEED)).toBe(0x55995d5a);
  });

  it.each(vectors.replica_keypair)("vector $group_seed $index", (vector) => {
    const key = replicaIdentity(hex(vector.group_seed), vector.index);
    expect(toHex(key.toBytes())).toBe(vector.derived_seed);
    expect(toHex(key.entityId)).toBe(vector.entity_id);
    expect(key.originHash).toBe(BigInt(vector.origin_hash));
    expect(replicaGroupId(hex(vector.group_seed))).toBe(vector.group_id);
  });

  it("an index has one byte and a seed 32", async () => {
    for (const index of [-1, 256, 0.5]) {
      expect(await codeOf(() => replicaIdentity(SEED, index))).toBe("invalid-config");
    }
    expect(await codeOf(() => replicaIdentity(new Uint8Array(31), 0))).toBe("invalid-config");
    expect(await codeOf(() => replicaGroupId(new Uint8Array(33)))).toBe("invalid-config");
  });
});

describe("a group of replicas", () => {
  it("has as many daemons as asked for, all healthy, with the keys of its seed", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 3, seed: SEED });
    expect(runtime.daemonCount).toBe(3);
    expect(group.health).toEqual({ status: "healthy" });
    expect(group.groupId).toBe(0x55995d5a);
    expect(origins(group)).toEqual([0, 1, 2].map((index) => replicaIdentity(SEED, index).originHash));
    expect(origins(group)).toContain(group.routeEvent());
    expect(await group.deliver(input(CAUSE, 1n, "hello"))).toHaveLength(1);
    expect(group.member(2)?.index).toBe(2);
    expect(group.member(3)).toBeUndefined();
  });

  it("grows and shrinks, and the daemons with it", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 2, seed: SEED });
    const first = origins(group);
    await group.scaleTo(5);
    expect(runtime.daemonCount).toBe(5);
    expect(origins(group).slice(0, 2)).toEqual(first);
    await group.scaleTo(5);
    expect(runtime.daemonCount).toBe(5);
    await group.scaleTo(1);
    expect(runtime.daemonCount).toBe(1);
    expect(origins(group)).toEqual(first.slice(0, 1));
    expect(runtime.factoryCount).toBe(1);
  });

  it.each([0, -1, 1.5, 257])("cannot have %s members", async (count) => {
    const runtime = await readyRuntime();
    expect(await codeOf(() => runtime.replicaGroup("echo", { count, seed: SEED }))).toBe("invalid-config");
    const group = await runtime.replicaGroup("echo", { count: 2, seed: SEED });
    expect(await codeOf(() => group.scaleTo(count))).toBe("invalid-config");
    expect(group.size).toBe(2);
  });

  it("needs a seed, a strategy, a kind and a runtime that is ready", async () => {
    const runtime = await readyRuntime();
    const config = { count: 2, seed: SEED };
    const short = { count: 2, seed: new Uint8Array(31) };
    expect(await codeOf(() => runtime.replicaGroup("echo", short))).toBe("invalid-config");
    const strategy = "best" as RoutingStrategy;
    expect(await codeOf(() => runtime.replicaGroup("echo", { ...config, strategy }))).toBe("invalid-config");
    expect(await failure(() => runtime.replicaGroup("none", config))).toMatchObject({
      code: "factory-not-found",
      kind: "none",
    });
    expect(await codeOf(() => new DaemonRuntime().replicaGroup("echo", config))).toBe("not-ready");
    expect(runtime.daemonCount).toBe(0);
    await runtime.shutdown();
    expect(await codeOf(() => runtime.replicaGroup("echo", config))).toBe("shutting-down");
  });

  it("of a group that cannot be completed nothing is left", async () => {
    const runtime = await readyRuntime();
    const taken = await runtime.spawn("echo", { identity: replicaIdentity(SEED, 2) });
    const error = await failure(() => runtime.replicaGroup("echo", { count: 3, seed: SEED }));
    expect(error).toMatchObject({
      name: "GroupError",
      code: "registry-failed",
    } satisfies Partial<GroupError>);
    expect(error.message).toContain("already registered");
    expect(runtime.daemonCount).toBe(1);
    expect(runtime.stats(taken.originHash).pending).toBe(0);
  });

  it("growing that fails leaves it as it was", async () => {
    const runtime = await readyRuntime();
    await runtime.spawn("echo", { identity: replicaIdentity(SEED, 3) });
    const group = await runtime.replicaGroup("echo", { count: 2, seed: SEED });
    expect(await codeOf(() => group.scaleTo(4))).toBe("registry-failed");
    expect(group.size).toBe(2);
    expect(runtime.daemonCount).toBe(3);
  });

  it("closing it ends its daemons, and it can be asked nothing more", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 3, seed: SEED });
    await group.close();
    await group[Symbol.asyncDispose]();
    expect({ daemons: runtime.daemonCount, entries: runtime.factoryCount }).toEqual({
      daemons: 0,
      entries: 0,
    });
    expect(group.health).toEqual({ status: "dead" });
    expect(await codeOf(() => group.scaleTo(2))).toBe("shutting-down");
    expect(runtime.daemonCount).toBe(0);
  });

  it("a runtime that is shut down ends its groups", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 3, seed: SEED });
    await runtime.shutdown();
    expect(runtime.daemonCount).toBe(0);
    expect(group.size).toBe(0);
    expect(await codeOf(() => group.routeEvent())).toBe("no-healthy-member");
    expect(await codeOf(() => group.recover())).toBe("shutting-down");
  });

  it("a runtime that is shut down while a group is made keeps nothing of it", async () => {
    const runtime = await readyRuntime();
    const making = codeOf(() => runtime.replicaGroup("echo", { count: 3, seed: SEED }));
    await runtime.shutdown();
    expect(await making).toBe("shutting-down");
    expect({ daemons: runtime.daemonCount, entries: runtime.factoryCount }).toEqual({
      daemons: 0,
      entries: 0,
    });
  });

  it("a runtime that is shut down by the last member to come keeps nothing of the group", async () => {
    let ending: Promise<void> | undefined;
    const runtime: DaemonRuntime = new DaemonRuntime({
      onEvent: ({ kind }) => {
        if (kind === "registered" && runtime.daemonCount === 2) ending = runtime.shutdown();
      },
    });
    runtime.registerFactory("echo", () => new EchoDaemon());
    await runtime.start();
    expect(await codeOf(() => runtime.replicaGroup("echo", { count: 2, seed: SEED }))).toBe("shutting-down");
    await ending;
    expect({ daemons: runtime.daemonCount, entries: runtime.factoryCount }).toEqual({
      daemons: 0,
      entries: 0,
    });
  });

  it("a member that was stopped gets no events, and is made anew once it is marked", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 2, seed: SEED });
    const [first, second] = origins(group) as [bigint, bigint];
    await runtime.stop(first);
    for (let i = 0; i < 4; i++) expect(group.routeEvent()).toBe(second);
    expect(group.markUnhealthy(0)).toBe(true);
    expect(group.markUnhealthy(7)).toBe(false);
    expect(group.health).toEqual({ status: "degraded", healthy: 1, total: 2 });
    expect(await group.recover()).toEqual([0]);
    expect(origins(group)).toEqual([first, second]);
    expect(runtime.daemonCount).toBe(2);
  });

  it("one recovery makes four members anew", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 6, seed: SEED });
    for (let index = 0; index < 6; index++) group.markUnhealthy(index);
    expect(await codeOf(() => group.routeEvent())).toBe("no-healthy-member");
    expect(await group.recover()).toEqual([0, 1, 2, 3]);
    expect(group.health).toEqual({ status: "degraded", healthy: 4, total: 6 });
    expect(await group.recover()).toEqual([4, 5]);
    expect(await group.recover()).toEqual([]);
  });
});

describe("members on other nodes", () => {
  it("spread over the nodes that match, and answer from there", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const group = await runtime.replicaGroup("counter", { count: 4, seed: SEED });
    expect(group.members.map(({ nodeId }) => nodeId)).toEqual([1n, 2n, 3n, 1n]);
    expect([runtime.daemonCount, cluster.daemonsOn(2n), cluster.daemonsOn(3n)]).toEqual([2, 1, 1]);
    for (let i = 1n; i <= 8n; i++) await group.deliver(input(CAUSE, i, "tick"));
    const [output] = await group.deliver(input(CAUSE, 9n, "tick"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(3n);
    await group.close();
    expect([runtime.daemonCount, cluster.daemonsOn(2n), cluster.daemonsOn(3n)]).toEqual([0, 0, 0]);
  });

  it("only go where the filter allows, and there is room", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const filter = { requireTags: ["worker"] };
    const group = await runtime.replicaGroup("echo", { count: 2, seed: SEED, filter, spread: "require" });
    expect(group.members.map(({ nodeId }) => nodeId)).toEqual([2n, 3n]);
    expect(await failure(() => group.scaleTo(3))).toMatchObject({
      name: "GroupError",
      code: "placement-failed",
    });
    expect(group.size).toBe(2);
    await group.close();
    const packed = await runtime.replicaGroup("echo", { count: 3, seed: SEED, filter, spread: "none" });
    expect(packed.membersOnNode(2n)).toEqual([0, 1, 2]);
    const nowhere = { count: 1, seed: SEED, filter: { requireTags: ["gpu"] } };
    expect(await codeOf(() => runtime.replicaGroup("echo", nowhere))).toBe("placement-failed");
  });

  it("of a node that fails are made anew elsewhere, as the same entities", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const group = await runtime.replicaGroup("echo", { count: 3, seed: SEED });
    const before = origins(group);
    cluster.crash(2n);
    expect(await group.onNodeFailure(2n)).toEqual([1]);
    expect(origins(group)).toEqual(before);
    expect(group.health).toEqual({ status: "healthy" });
    expect(group.member(1)?.nodeId).not.toBe(2n);
    expect(await group.onNodeFailure(99n)).toEqual([]);
  });

  it("stay unhealthy while there is no node for them, and are taken back with theirs", async () => {
    const cluster = new Cluster(2n, 3n);
    const runtime = await cluster.runtime();
    const group = await runtime.replicaGroup("echo", { count: 3, seed: SEED, spread: "require" });
    cluster.crash(2n);
    expect(await group.onNodeFailure(2n)).toEqual([1]);
    expect(group.health).toEqual({ status: "degraded", healthy: 2, total: 3 });
    expect(await group.recover()).toEqual([]);
    (cluster.nodes.get(2n) as { isDown: boolean }).isDown = false;
    expect(group.onNodeRecovery(2n)).toEqual([1]);
    expect(group.health).toEqual({ status: "healthy" });
    expect(group.onNodeRecovery(2n)).toEqual([]);
  });

  it("a failure of this node, which it must have survived, makes its members anew here", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("counter", { count: 2, seed: SEED });
    const before = origins(group);
    await group.deliver(input(CAUSE, 1n, "x"));
    expect(await group.onNodeFailure(0n)).toEqual([0, 1]);
    expect(origins(group)).toEqual(before);
    expect(group.health).toEqual({ status: "healthy" });
    expect(runtime.stats(before[0] as bigint).eventsProcessed).toBe(0);
  });
});

describe("a group of forks", () => {
  it("branches off one chain with a key and a chain per member", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.forkGroup("counter", { count: 3, parentOrigin: CAUSE, forkSeq: 42n });
    expect(new Set(origins(group)).size).toBe(3);
    expect(group.verifyLineage()).toBe(true);
    for (const [index, record] of group.records.entries()) {
      expect(record).toMatchObject({
        originalOrigin: CAUSE,
        forkSeq: 42n,
        forkedOrigin: origins(group)[index],
      });
      expect(record.forkGenesis.parentHash).toBe(forkSentinel(CAUSE, 42n));
      expect(record.fromSnapshotSeq).toBeUndefined();
    }
    const [member] = origins(group) as [bigint];
    const [output] = await runtime.deliver(member, input(CAUSE, 1n, "x"));
    expect(output?.link).toMatchObject({ originHash: member, sequence: 1n });
    expect(output?.link.parentHash).not.toBe(0n);
  });

  it("after a failure is the same, with the same lineage", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.forkGroup("counter", { count: 2, parentOrigin: CAUSE, forkSeq: 7n });
    const before = { origins: origins(group), records: group.records };
    expect(await group.onNodeFailure(0n)).toEqual([0, 1]);
    expect({ origins: origins(group), records: group.records }).toEqual(before);
    expect(group.verifyLineage()).toBe(true);
    expect((await group.deliver(input(CAUSE, 1n, "x")))[0]?.link.sequence).toBe(1n);
    await group.scaleTo(3);
    expect(origins(group).slice(0, 2)).toEqual(before.origins);
    expect(group.verifyLineage()).toBe(true);
  });

  it("after five deliveries a member can leave with a snapshot through sequence five", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.forkGroup("counter", { count: 1, parentOrigin: CAUSE, forkSeq: 7n });
    for (let i = 1n; i <= 5n; i++) await group.deliver(input(CAUSE, i, "x"));
    const snapshot = await runtime.snapshot(group.routeEvent());
    expect(snapshot?.throughSeq).toBe(5n);
    if (snapshot !== undefined) expect(encodeSnapshot(snapshot).length).toBeGreaterThan(94);
  });

  it("may begin with the state of a snapshot, and then says so", async () => {
    const runtime = await readyRuntime();
    const parent = await runtime.spawn("counter", { identity: identity(1) });
    for (let i = 1n; i <= 3n; i++) await parent.deliver(input(CAUSE, i, "x"));
    const from = await parent.snapshot();
    if (from === undefined) throw new Error("stateless");
    const parentOrigin = parent.originHash;
    const group = await runtime.forkGroup("counter", { count: 2, parentOrigin, forkSeq: 3n, from });
    expect(group.records[0]?.fromSnapshotSeq).toBe(3n);
    const [output] = await group.deliver(input(CAUSE, 4n, "x"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(4n);
    expect(output?.link).toMatchObject({ originHash: origins(group)[0], sequence: 1n });
  });

  it("needs members, 64-bit numbers and a runtime that is ready", async () => {
    const config = { count: 1, parentOrigin: CAUSE, forkSeq: 7n };
    expect(await codeOf(() => new DaemonRuntime().forkGroup("counter", config))).toBe("not-ready");
    const runtime = await readyRuntime();
    for (const bad of [{ count: 0 }, { forkSeq: -1n }, { parentOrigin: 1n << 64n }]) {
      expect(await codeOf(() => runtime.forkGroup("counter", { ...config, ...bad }))).toBe("invalid-config");
    }
    const state = { ...((await (await runtime.spawn("counter")).snapshot()) as object), state: hex("01") };
    const broken = { ...config, from: state } as Parameters<DaemonRuntime["forkGroup"]>[1];
    expect(await codeOf(() => runtime.forkGroup("counter", broken))).toBe("registry-failed");
    expect(runtime.daemonCount).toBe(1);
  });

  it("a fork of another identity is refused before its daemon is made", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.forkGroup("counter", { count: 1, parentOrigin: CAUSE, forkSeq: 7n });
    const [record] = group.records;
    if (record === undefined) throw new Error("no record");
    const spawning = () => runtime.spawnFork("counter", record, { identity: identity(1) });
    expect(await failure(spawning)).toMatchObject({ code: "core", reason: "restore-failed" });
    expect(runtime.daemonCount).toBe(1);
  });
});

describe("who is in a group", () => {
  it("nobody: it is dead", () => {
    expect(new MemberRoster().health).toEqual({ status: "dead" });
    expect(new MemberRoster().removeLast()).toBeUndefined();
    expect(new MemberRoster().get(0)).toBeUndefined();
  });

  it("one of two is not well: it is degraded, and recovers only if it still lives", () => {
    const roster = new MemberRoster();
    roster.add(10n, new Uint8Array(32), 1n);
    roster.add(20n, new Uint8Array(32), 2n);
    roster.markUnhealthy(1);
    expect(roster.health).toEqual({ status: "degraded", healthy: 1, total: 2 });
    expect(roster.onNodeRecovery(2n, () => false)).toEqual([]);
    expect(roster.health.status).toBe("degraded");
    expect(roster.onNodeRecovery(2n, ({ originHash }) => originHash === 20n)).toEqual([1]);
    expect(roster.health.status).toBe("healthy");
    expect(roster.membersOnNode(2n)).toEqual([1]);
    expect(roster.removeLast()?.originHash).toBe(20n);
    expect(roster.size).toBe(1);
    roster.movedTo(5, 1n);
    expect(roster.members()).toHaveLength(1);
  });
});

describe("routing", () => {
  const MEMBERS = [0, 1, 2].map((index) => ({ index, originHash: BigInt(1000 + index) }));
  /** Gives the same bytes again and again. */
  const scripted = (...bytes: number[]): RandomSource => {
    let next = 0;
    return { fill: (target) => void target.fill(bytes[next++ % bytes.length] as number) };
  };
  const router = (strategy: RoutingStrategy, random: RandomSource = scripted(0)): MemberRouter =>
    new MemberRouter(strategy, random);
  const choices = (by: MemberRouter, count: number, key?: string): (number | undefined)[] =>
    Array.from(
      { length: count },
      () => by.choose(MEMBERS, key === undefined ? {} : { routingKey: key })?.index,
    );

  it("members take turns", () => {
    expect(choices(router("round-robin"), 5)).toEqual([0, 1, 2, 0, 1]);
    expect(router("round-robin").choose([])).toBeUndefined();
  });

  it("members take turns by weight, evenly spread", () => {
    const by = router("weighted-round-robin");
    by.report(0, { weight: 3 });
    expect(choices(by, 5)).toEqual([0, 1, 0, 2, 0]);
  });

  it("whoever has the fewest deliveries under way is next", () => {
    const by = router("least-connections");
    const end = by.begin(0);
    by.begin(1);
    expect(choices(by, 2)).toEqual([2, 2]);
    by.begin(2);
    end();
    expect(choices(by, 1)).toEqual([0]);
    by.forget(1);
    by.begin(0);
    expect(choices(by, 1)).toEqual([1]);
  });

  it("whoever has the fewest deliveries for its weight is next", () => {
    const by = router("weighted-least-connections");
    by.report(1, { weight: 4 });
    by.begin(1);
    by.begin(1);
    expect(choices(by, 1)).toEqual([1]);
    by.begin(1);
    by.begin(1);
    expect(choices(by, 1)).not.toEqual([1]);
  });

  it("anybody is next", () => {
    expect(choices(router("random", scripted(0, 0x60, 0xff)), 3)).toEqual([0, 1, 2]);
  });

  it("anybody is next, by weight", () => {
    const by = router("weighted-random", scripted(0, 0x7f, 0xc0, 0xff));
    by.report(1, { weight: 2 });
    expect(choices(by, 4)).toEqual([0, 1, 2, 2]);
  });

  it("one key goes to one member, and only the keys of a member that goes move", () => {
    const by = router("consistent-hash");
    const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`);
    const homes = keys.map((key) => choices(by, 1, key)[0]);
    expect(keys.map((key) => choices(by, 1, key)[0])).toEqual(homes);
    expect(new Set(homes).size).toBe(3);
    const rest = MEMBERS.slice(0, 2);
    const after = keys.map((routingKey) => by.choose(rest, { routingKey })?.index);
    expect(after.filter((_, i) => homes[i] !== 2)).toEqual(homes.filter((home) => home !== 2));
    expect(by.choose(MEMBERS, { routingKey: new TextEncoder().encode("key-0") })?.index).toBe(homes[0]);
    expect(choices(by, 3)).toEqual([0, 1, 2]);
  });

  it("the quickest and the idlest are next", () => {
    const quickest = router("least-latency");
    const idlest = router("least-load");
    for (const index of [0, 1]) {
      quickest.report(index, { latencyMs: 5 });
      idlest.report(index, { load: 0.5 });
    }
    expect([choices(quickest, 2), choices(idlest, 2)]).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });

  it("of any two the one with fewer deliveries is next", () => {
    const by = router("power-of-two", scripted(0));
    expect(choices(by, 1)).toEqual([0]);
    by.begin(0);
    expect(choices(by, 1)).toEqual([1]);
    expect(by.choose(MEMBERS.slice(0, 1))?.index).toBe(0);
  });

  it("deliveries, load and latency count together", () => {
    const by = router("adaptive");
    by.report(0, { latencyMs: 20 });
    by.report(1, { load: 1 });
    expect(choices(by, 1)).toEqual([2]);
    by.begin(2);
    by.begin(2);
    expect(choices(by, 1)).toEqual([1]);
    by.report(0, { weight: 10 });
    expect(choices(by, 1)).toEqual([0]);
  });

  it("nonsense about a member is refused, and unknown members are ignored", async () => {
    const runtime = await readyRuntime();
    const group = await runtime.replicaGroup("echo", { count: 2, seed: SEED, strategy: "least-load" });
    for (const bad of [{ weight: 0 }, { weight: Number.POSITIVE_INFINITY }, { latencyMs: -1 }, { load: 2 }]) {
      expect(await codeOf(() => group.report(0, bad))).toBe("invalid-config");
    }
    group.report(9, { load: 0 });
    group.report(0, { load: 1 });
    expect(group.routeEvent()).toBe(origins(group)[1]);
  });
});
