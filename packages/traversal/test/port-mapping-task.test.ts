import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  effectiveRenewalMs,
  NullPortMapper,
  PortMappingError,
  type PortMappingStats,
  PortMappingTask,
  type PortMappingTaskOptions,
  type PublishedReflex,
  ReflexMappingSink,
} from "../src/index.ts";
import { MockPortMapper } from "../src/testing/index.ts";
import { mappingOf } from "./mappings.ts";
import { seededRandom } from "./scripted-random.ts";
import { VirtualTimers } from "./virtual-timers.ts";

const minute = 60_000;

/** A node that maps its port 9001 with a client whose answers are queued. */
function node(options: Partial<PortMappingTaskOptions> = {}) {
  const timers = new VirtualTimers();
  const router = new MockPortMapper();
  const published: PublishedReflex = { natClass: "unknown", reflex: undefined, pinnedBy: undefined };
  const stats: PortMappingStats = {
    portMappingActive: false,
    portMappingExternal: undefined,
    portMappingRenewals: 0,
  };
  const announced: (string | undefined)[] = [];
  const sink = new ReflexMappingSink(published, stats, () => announced.push(published.reflex?.key));
  const task = new PortMappingTask({
    client: router,
    sink,
    internalPort: 9001,
    timers,
    random: seededRandom(1),
    reprobeMs: [],
    ...options,
  });
  const shutdown = new AbortController();
  let ended = false;
  const start = (): void => {
    void task.run(shutdown.signal).then(() => {
      ended = true;
    });
  };
  return { timers, router, published, stats, announced, sink, task, shutdown, start, hasEnded: () => ended };
}

/** The same, with a mapping that was just installed. */
async function mapped(options: Partial<PortMappingTaskOptions> = {}, mapping = mappingOf()) {
  const it = node(options);
  it.router.probes.push("ok");
  it.router.installs.push(mapping);
  it.start();
  await it.timers.advance(0);
  return it;
}

describe("a node whose router answers", () => {
  it("is open under the address of the router at once", async () => {
    const { router, stats, published, announced, task } = await mapped();
    expect(router.installed).toEqual([{ internalPort: 9001, ttlMs: 3_600_000 }]);
    expect(stats).toMatchObject({ portMappingActive: true, portMappingRenewals: 0 });
    expect(stats.portMappingExternal?.key).toBe("44.128.1.2:9001");
    expect(published).toMatchObject({ natClass: "open", pinnedBy: "mapping" });
    expect(announced).toEqual(["44.128.1.2:9001"]);
    expect(task.phase).toBe("installed");
  });

  it("renews every half hour without announcing anything again", async () => {
    const { timers, router, stats, announced } = await mapped();
    for (let round = 0; round < 3; round += 1) router.renewals.push(mappingOf());
    await timers.advance(30 * minute - 1);
    expect(router.renewed).toHaveLength(0);
    await timers.advance(60 * minute + 1);
    expect(stats.portMappingRenewals).toBe(3);
    expect(announced).toHaveLength(1);
  });

  it("announces another address when a renewal brings one", async () => {
    const { timers, router, stats, published, announced } = await mapped();
    router.renewals.push(mappingOf("44.128.1.77:9001"));
    await timers.advance(30 * minute);
    expect(published).toMatchObject({ natClass: "open", pinnedBy: "mapping" });
    expect(published.reflex?.key).toBe("44.128.1.77:9001");
    expect(stats.portMappingExternal?.key).toBe("44.128.1.77:9001");
    expect(announced).toEqual(["44.128.1.2:9001", "44.128.1.77:9001"]);
  });

  it("renews within half of a short lease, and changes its pace when the lease does", async () => {
    const { timers, router } = await mapped({}, mappingOf(undefined, { ttlMs: 60_000 }));
    router.renewals.push(mappingOf(undefined, { ttlMs: 20_000 }), mappingOf(undefined, { ttlMs: 20_000 }));
    await timers.advance(30_000);
    expect(router.renewed).toHaveLength(1);
    await timers.advance(10_000);
    expect(router.renewed).toHaveLength(2);
  });
});

describe("renewals that fail", () => {
  it("are tried a second time after a fifth of a second, and one failed try is no failed round", async () => {
    const { timers, router, stats } = await mapped();
    router.renewals.push(new PortMappingError("timeout"), mappingOf());
    await timers.advance(30 * minute);
    expect(router.renewed).toHaveLength(1);
    await timers.advance(200);
    expect(router.renewed).toHaveLength(2);
    expect(stats).toMatchObject({ portMappingActive: true, portMappingRenewals: 1 });
  });

  it("three rounds of them end the mapping within half a minute", async () => {
    const { timers, router, stats, published, announced, hasEnded } = await mapped();
    await timers.advance(30 * minute + 19_000);
    expect(stats.portMappingActive).toBe(true);
    await timers.advance(11_000);
    expect(router.renewed).toHaveLength(6);
    expect(router.removed).toEqual([mappingOf()]);
    expect(stats).toMatchObject({ portMappingActive: false, portMappingExternal: undefined });
    expect(published).toEqual({ natClass: "unknown", reflex: undefined, pinnedBy: undefined });
    expect(announced.at(-1)).toBeUndefined();
    expect(hasEnded()).toBe(true);
  });

  it("end a mapping of a short period within its third round", async () => {
    const { timers, stats, router } = await mapped({ renewalMs: 20 });
    await timers.advance(1_000);
    expect(stats.portMappingActive).toBe(false);
    expect(router.removed).toHaveLength(1);
  });

  it("end the mapping with its lease, whatever rounds are left", async () => {
    const { timers, stats } = await mapped({}, mappingOf(undefined, { ttlMs: 4_000 }));
    await timers.advance(4_500);
    expect(stats.portMappingActive).toBe(false);
  });

  it("count from zero again after a success", async () => {
    const { timers, router, stats } = await mapped();
    const no = new PortMappingError("timeout");
    router.renewals.push(no, no, no, no, mappingOf(), no, no, no, no, mappingOf());
    await timers.advance(62 * minute);
    expect(stats).toMatchObject({ portMappingActive: true, portMappingRenewals: 2 });
  });
});

describe("a node whose router offers nothing", () => {
  it("notices nothing of it", async () => {
    const { timers, router, start, stats, published, announced, hasEnded, task } = node();
    start();
    await timers.advance(0);
    expect(hasEnded()).toBe(true);
    expect(stats.portMappingActive).toBe(false);
    expect(published.natClass).toBe("unknown");
    expect(announced).toEqual([]);
    expect(router.removed).toEqual([]);
    expect(task.lastError?.kind).toBe("unavailable");
  });

  it("stays as it is when the install is refused", async () => {
    const { timers, router, start, hasEnded, announced, task } = node();
    router.probes.push("ok");
    router.installs.push(new PortMappingError("refused", "not-authorized"));
    start();
    await timers.advance(0);
    expect(hasEnded()).toBe(true);
    expect([announced, router.removed]).toEqual([[], []]);
    expect(task.lastError?.message).toBe("refused: not-authorized");
  });

  it("asks again after 1, 5 and then every 15 minutes", async () => {
    const { timers, router, start, stats } = node({ reprobeMs: [minute, 5 * minute, 15 * minute] });
    const no = new PortMappingError("unavailable");
    router.probes.push(no, no, no, no, "ok");
    router.installs.push(mappingOf());
    start();
    await timers.advance(36 * minute - 1);
    expect(stats.portMappingActive).toBe(false);
    await timers.advance(1);
    expect(stats.portMappingActive).toBe(true);
  });

  it("asks at once when the network has changed", async () => {
    const { timers, router, start, task, stats } = node({ reprobeMs: [minute] });
    start();
    await timers.advance(1_000);
    expect(task.phase).toBe("waiting");
    router.probes.push("ok");
    router.installs.push(mappingOf());
    task.recheck();
    await timers.advance(0);
    expect(stats.portMappingActive).toBe(true);
  });

  it("gets a mapping again when the router is back after it was given up", async () => {
    const { timers, router, stats } = await mapped({ reprobeMs: [minute] });
    await timers.advance(30 * minute + 21_000);
    expect(stats.portMappingActive).toBe(false);
    router.probes.push("ok");
    router.installs.push(mappingOf("44.128.1.9:9001"));
    await timers.advance(minute);
    expect(stats.portMappingExternal?.key).toBe("44.128.1.9:9001");
  });

  it("can be told so without a client of its own", async () => {
    const nobody = new NullPortMapper();
    await expect(nobody.probe()).rejects.toMatchObject({ kind: "unavailable" });
    await expect(nobody.install()).rejects.toMatchObject({ kind: "unavailable" });
    await expect(nobody.renew()).rejects.toMatchObject({ kind: "unavailable" });
    await expect(nobody.remove()).resolves.toBeUndefined();
  });
});

describe("a client whose answers a test queues up", () => {
  it("gives them in their order, then has nothing to offer, and keeps what it was asked", async () => {
    const client = new MockPortMapper();
    const refused = new PortMappingError("refused", "not-authorized");
    client.probes.push("ok", refused);
    await expect(client.probe()).resolves.toBeUndefined();
    expect(client.probes).toHaveLength(1);
    await expect(client.probe()).rejects.toBe(refused);
    for (const call of [client.probe(), client.install(9001, 1), client.renew(mappingOf())]) {
      await expect(call).rejects.toMatchObject({ kind: "unavailable" });
    }
    client.installs.push(mappingOf());
    expect(await client.install(9001, 2)).toEqual(mappingOf());
    await client.remove(mappingOf());
    expect(client.installed.map(({ ttlMs }) => ttlMs)).toEqual([1, 2]);
    expect([client.renewed.length, client.removed.length]).toEqual([1, 1]);
  });
});

describe("errors of port mapping", () => {
  it.each([
    ["unavailable", "unavailable"],
    ["timeout", "timeout"],
    ["transport", "transport: why"],
    ["refused", "refused: why"],
  ] as const)("of the kind %s read %j", (kind, message) => {
    const error = new PortMappingError(kind, "why");
    expect([error.kind, error.code, error.message]).toEqual([kind, kind, message]);
  });
});

describe("shutting down", () => {
  it("removes the mapping once and withdraws the address", async () => {
    const { timers, router, stats, published, shutdown, hasEnded } = await mapped();
    shutdown.abort();
    await timers.advance(0);
    expect(hasEnded()).toBe(true);
    expect(router.removed).toEqual([mappingOf()]);
    expect(stats).toMatchObject({ portMappingActive: false, portMappingExternal: undefined });
    expect(published.reflex).toBeUndefined();
    expect(timers.pending).toBe(0);
  });

  it("before the start leaves the router alone", async () => {
    const { timers, router, start, shutdown, hasEnded } = node();
    router.probes.push("ok");
    shutdown.abort();
    start();
    await timers.advance(0);
    expect(hasEnded()).toBe(true);
    expect(router.probes).toHaveLength(1);
  });

  it("during the probe installs nothing", async () => {
    const { timers, router, start, shutdown, hasEnded } = node();
    router.probes.push("ok");
    start();
    shutdown.abort();
    await timers.advance(0);
    expect(hasEnded()).toBe(true);
    expect([router.installed, router.removed]).toEqual([[], []]);
  });

  it("during the pause of a failed renewal does not try a second time", async () => {
    const { timers, router, shutdown, hasEnded } = await mapped();
    await timers.advance(30 * minute + 100);
    shutdown.abort();
    await timers.advance(0);
    expect(hasEnded()).toBe(true);
    expect(router.renewed).toHaveLength(1);
    expect(router.removed).toHaveLength(1);
  });

  it("does not wait for a router that does not answer the removal", async () => {
    const { timers, router, shutdown, hasEnded, published } = await mapped();
    router.remove = () => new Promise(() => {});
    shutdown.abort();
    await timers.advance(3_000);
    expect(hasEnded()).toBe(true);
    expect(published.reflex).toBeUndefined();
  });
});

describe("a router that tells unasked", () => {
  it("that its address changed is asked at once", async () => {
    const { timers, router, published } = await mapped();
    await timers.advance(minute);
    router.renewals.push(mappingOf("44.128.1.77:9001"));
    expect(router.notify("address-changed")).toBe(true);
    await timers.advance(0);
    expect(published.reflex?.key).toBe("44.128.1.77:9001");
  });

  it("that it restarted is asked within five seconds", async () => {
    const { timers, router, stats } = await mapped();
    await timers.advance(minute);
    router.renewals.push(mappingOf());
    router.notify("restarted");
    await timers.advance(5_000);
    expect(stats.portMappingRenewals).toBe(1);
  });

  it("again and again is asked every five seconds at most", async () => {
    const { timers, router } = await mapped();
    for (let round = 0; round < 20; round += 1) router.renewals.push(mappingOf());
    for (let second = 0; second < 20; second += 1) {
      router.notify("address-changed");
      await timers.advance(1_000);
    }
    // At 0, 5, 10, 15 and 20 seconds.
    expect(router.renewed).toHaveLength(5);
  });

  it("is not listened to without a mapping", async () => {
    const { timers, router, shutdown } = await mapped();
    shutdown.abort();
    await timers.advance(0);
    expect(router.notify("restarted")).toBe(false);
  });
});

describe("what a node publishes", () => {
  it("stays the operator's address while a mapping comes and goes", () => {
    const { sink, published, stats } = node();
    const pinned = SocketAddress.parse("44.128.9.9:1");
    Object.assign(published, { natClass: "open", reflex: pinned, pinnedBy: "operator" });
    sink.applyInstall(mappingOf());
    sink.applyRenewal(mappingOf("44.128.1.77:9001"));
    expect(stats.portMappingExternal?.key).toBe("44.128.1.77:9001");
    expect(published).toEqual({ natClass: "open", reflex: pinned, pinnedBy: "operator" });
    sink.applyRevoke();
    expect(published.reflex).toBe(pinned);
  });

  it("is the mapping again at the next renewal after the operator's address was cleared", () => {
    const { sink, published } = node();
    sink.applyInstall(mappingOf());
    Object.assign(published, { natClass: "unknown", reflex: undefined, pinnedBy: undefined });
    sink.applyRenewal(mappingOf());
    expect(published).toMatchObject({ natClass: "open", pinnedBy: "mapping" });
  });

  it("keeps the number of renewals when the mapping goes, and starts from zero with the next", () => {
    const { sink, stats } = node();
    sink.applyInstall(mappingOf());
    for (let round = 0; round < 3; round += 1) sink.applyRenewal(mappingOf());
    sink.applyRevoke();
    expect(stats.portMappingRenewals).toBe(3);
    sink.applyInstall(mappingOf());
    expect(stats.portMappingRenewals).toBe(0);
  });

  it("is not touched by revoking nothing, once or twice", () => {
    const { sink, published, announced } = node();
    sink.applyRevoke();
    sink.applyRevoke();
    expect([published.natClass, announced]).toEqual(["unknown", []]);
  });
});

describe("the pace of renewals", () => {
  it.each([
    [30 * minute, 3_600_000, 30 * minute],
    [30 * minute, 60_000, 30_000],
    [30 * minute, 0, 30 * minute],
    [0, 3_600_000, 1_000],
    [0, 1_000, 500],
  ])("of %i ms with a lease of %i ms is %i ms", (renewalMs, ttlMs, expected) => {
    expect(effectiveRenewalMs(renewalMs, ttlMs)).toBe(expected);
  });
});

describe("a task that makes no sense", () => {
  it.each([
    { internalPort: 0 },
    { internalPort: 65_536 },
    { internalPort: 1.5 },
    { renewalMs: -1 },
    { renewalMs: Number.NaN },
    { reprobeMs: [2 ** 31] },
  ])("is refused before it starts: %j", (options) => {
    expect(() => node(options)).toThrow(PortMappingError);
  });
});
