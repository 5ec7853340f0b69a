import { afterEach, describe, expect, it } from "vitest";
import { DaemonRuntime, type DaemonRuntimeOptions, type Mesh } from "../src/index.ts";
import { counter, KIND, number, toNumber } from "./counting-daemon.ts";
import { openMesh } from "./open-mesh.ts";

/** Silence after which a node counts as lost, short enough to be waited for. */
const HEARTBEAT_MS = 100;
const SEED = new Uint8Array(32).fill(5);

interface Site {
  readonly mesh: Mesh;
  readonly runtime: DaemonRuntime;
}

const runtimes: DaemonRuntime[] = [];

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.shutdown(0)));
});

async function site(options: DaemonRuntimeOptions = {}): Promise<Site> {
  const mesh = await openMesh({ heartbeatMs: HEARTBEAT_MS, sessionTimeoutMs: 10 * HEARTBEAT_MS });
  const runtime = new DaemonRuntime(mesh, options);
  runtimes.push(runtime);
  runtime.register(KIND, counter);
  await runtime.start();
  return { mesh, runtime };
}

const willing: DaemonRuntimeOptions = { acceptMembers: ({ kind }) => kind === KIND };

/** A node that is connected to as many that take members in. */
async function cluster(others: number): Promise<[Site, ...Site[]]> {
  const home = await site();
  const hosts = await Promise.all(Array.from({ length: others }, () => site(willing)));
  for (const { mesh } of hosts) await home.mesh.connect(mesh.contact);
  return [home, ...hosts];
}

const event = {
  link: { originHash: 7n, horizon: 0n, sequence: 1n, parentHash: 0n },
  payload: number(0),
  receivedAt: 0n,
};

async function counted(group: {
  deliver(input: typeof event): Promise<readonly { payload: Uint8Array }[]>;
}): Promise<number> {
  return toNumber((await group.deliver(event))[0]?.payload);
}

describe("a group on a mesh", () => {
  it("spreads over the nodes that take members in, and answers from there", async () => {
    const [home, b, c] = (await cluster(2)) as [Site, Site, Site];
    const group = await home.runtime.replicaGroup(KIND, { count: 3, seed: SEED });
    const nodes = group.members.map(({ nodeId }) => nodeId);
    expect(new Set(nodes)).toEqual(new Set([home, b, c].map(({ mesh }) => mesh.nodeId)));
    expect([home, b, c].map(({ runtime }) => runtime.daemonCount)).toEqual([1, 1, 1]);
    for (let i = 0; i < 6; i++) await counted(group);
    for (const { runtime } of [home, b, c]) {
      const [daemon] = runtime.daemons();
      expect(daemon?.stats().eventsProcessed).toBe(2);
    }
    await group.close();
    expect([home, b, c].map(({ runtime }) => runtime.daemonCount)).toEqual([0, 0, 0]);
  });

  it("also reaches nodes that have made the connection", async () => {
    const [home, host] = [await site(), await site(willing)];
    await host.mesh.connect(home.mesh.contact);
    await expect.poll(() => home.mesh.peer(host.mesh.nodeId)?.connected).toBe(true);
    const group = await home.runtime.replicaGroup(KIND, { count: 2, seed: SEED });
    expect(group.membersOnNode(host.mesh.nodeId)).toEqual([1]);
    expect(host.runtime.daemonCount).toBe(1);
  });

  it("leaves out nodes that are not ready yet", async () => {
    const home = await site();
    const mesh = await openMesh();
    await home.mesh.connect(mesh.contact);
    const late = new DaemonRuntime(mesh, willing);
    runtimes.push(late);
    late.register(KIND, counter);
    const first = await home.runtime.replicaGroup(KIND, { count: 2, seed: SEED });
    expect(first.membersOnNode(mesh.nodeId)).toEqual([]);
    await late.start();
    const second = await home.runtime.replicaGroup(KIND, { count: 2, seed: new Uint8Array(32) });
    expect(second.membersOnNode(mesh.nodeId)).toEqual([1]);
  });

  it("stays here when no other node takes members in", async () => {
    const [home, other] = [await site(), await site()];
    await home.mesh.connect(other.mesh.contact);
    const group = await home.runtime.replicaGroup(KIND, { count: 2, seed: SEED });
    expect(group.membersOnNode(home.mesh.nodeId)).toEqual([0, 1]);
    expect(other.runtime.daemonCount).toBe(0);
  });

  it("goes only where its filter allows", async () => {
    const [home, b, c] = (await cluster(2)) as [Site, Site, Site];
    await c.mesh.announceCapabilities({ tags: ["worker"] });
    await expect.poll(() => home.mesh.findNodes({ requireTags: ["worker"] })).toEqual([c.mesh.nodeId]);
    const filter = { requireTags: ["worker"] };
    const group = await home.runtime.forkGroup(KIND, { parentOrigin: 9n, forkSeq: 4n, count: 2, filter });
    expect(group.membersOnNode(c.mesh.nodeId)).toEqual([0, 1]);
    expect([group.verifyLineage(), b.runtime.daemonCount]).toEqual([true, 0]);
    const none = { count: 1, seed: SEED, filter: { requireGpu: true } };
    await expect(home.runtime.replicaGroup(KIND, none)).rejects.toMatchObject({ code: "placement-failed" });
  });

  it("makes the members of a node that is lost anew elsewhere, as the same", async () => {
    const [home, b] = (await cluster(1)) as [Site, Site];
    const group = await home.runtime.replicaGroup(KIND, { count: 2, seed: SEED });
    const [index] = group.membersOnNode(b.mesh.nodeId);
    const before = group.member(index as number);
    await b.mesh.shutdown({ graceMs: 0 });
    await expect.poll(() => home.runtime.daemonCount, { timeout: 10_000 }).toBe(2);
    const after = group.member(index as number);
    expect(after).toMatchObject({
      originHash: before?.originHash,
      nodeId: home.mesh.nodeId,
      isHealthy: true,
    });
  });

  it("puts a standby on another node in the place of the active member when that is lost, with every event", async () => {
    const [home, b, c] = (await cluster(2)) as [Site, Site, Site];
    await Promise.all([b, c].map(({ mesh }) => mesh.announceCapabilities({ tags: ["stateful"] })));
    const filter = { requireTags: ["stateful"] };
    await expect.poll(() => home.mesh.findNodes(filter)).toHaveLength(2);
    const group = await home.runtime.standbyGroup(KIND, { count: 2, seed: SEED, filter, chain: "fresh" });
    expect([b, c].map(({ runtime }) => runtime.daemonCount)).toEqual([1, 1]);
    for (let i = 0; i < 3; i++) await counted(group);
    await group.syncStandbys();
    expect([await counted(group), await counted(group)]).toEqual([4, 5]);
    const { active } = group;
    const lost = active.nodeId === b.mesh.nodeId ? b : c;
    await lost.mesh.shutdown({ graceMs: 0 });
    await expect.poll(() => group.active.nodeId, { timeout: 10_000 }).not.toBe(active.nodeId);
    expect(await counted(group)).toBe(6);
    expect(group.term).toBe(1);
  });

  it("takes its members back when the connection to their node was lost for a while", async () => {
    const [home, b] = (await cluster(1)) as [Site, Site];
    const group = await home.runtime.standbyGroup(KIND, { count: 2, seed: SEED });
    expect(group.membersOnNode(b.mesh.nodeId)).toEqual([1]);
    home.mesh.block(b.mesh.contact.address);
    b.mesh.block(home.mesh.contact.address);
    await expect.poll(() => group.health.status, { timeout: 10_000 }).toBe("degraded");
    home.mesh.unblock(b.mesh.contact.address);
    b.mesh.unblock(home.mesh.contact.address);
    await home.mesh.connect(b.mesh.contact);
    await expect.poll(() => group.health.status, { timeout: 10_000 }).toBe("healthy");
    expect(b.runtime.daemonCount).toBe(1);
  });

  it("leaves no members behind on nodes that it has lost for good", async () => {
    const home = await site();
    const host = await site({ ...willing, memberLeaseMs: 200 });
    await home.mesh.connect(host.mesh.contact);
    await home.runtime.replicaGroup(KIND, { count: 2, seed: SEED });
    expect(host.runtime.daemonCount).toBe(1);
    await home.mesh.shutdown({ graceMs: 0 });
    await expect.poll(() => host.runtime.daemonCount, { timeout: 10_000 }).toBe(0);
  });
});
