import { describe, expect, it } from "vitest";
import { DaemonHost, DaemonRegistry, FactoryRegistry, type RegistryEvent } from "../src/index.ts";
import {
  CounterDaemon,
  codeOf,
  EchoDaemon,
  identity,
  input,
  reasonOf,
  SlowDaemon,
} from "./support/daemons.ts";
import { VirtualTime } from "./support/virtual-time.ts";

const ID = identity(1);
const PLAN = { kind: "echo", factory: () => new EchoDaemon(), config: {} };

describe("the daemons of a node", () => {
  it("ten events make a snapshot through sequence ten, whatever the counter said before", async () => {
    const registry = new DaemonRegistry();
    registry.register(DaemonHost.create(ID, Object.assign(new CounterDaemon(), { count: 1000n })));
    for (let i = 1n; i <= 10n; i++) await registry.deliver(ID.originHash, input(5n, i, "tick"));
    const snapshot = await registry.snapshot(ID.originHash);
    expect(snapshot?.throughSeq).toBe(10n);
    expect(snapshot?.chainLink.sequence).toBe(10n);
    expect(registry.stats(ID.originHash)).toMatchObject({ eventsProcessed: 10, snapshotsTaken: 1 });
  });

  it("a second daemon with the same origin hash is refused", async () => {
    const registry = new DaemonRegistry();
    const first = DaemonHost.create(ID, new EchoDaemon());
    registry.register(first);
    expect(await reasonOf(() => registry.register(DaemonHost.create(ID, new EchoDaemon())))).toBe(
      "process-failed",
    );
    expect(registry.get(ID.originHash)).toBe(first);
    expect(registry.origins()).toEqual([ID.originHash]);
  });

  it("an unknown daemon is not found", async () => {
    const registry = new DaemonRegistry();
    for (const action of [
      () => registry.unregister(1n),
      () => registry.deliver(1n, input(5n, 1n, "x")),
      () => registry.snapshot(1n),
      () => registry.stats(1n),
    ]) {
      expect(await reasonOf(action)).toBe("not-found");
    }
  });

  it("a replacement is told of in order, and stale to whoever waited for the one before", async () => {
    const events: RegistryEvent[] = [];
    const registry = new DaemonRegistry({ onEvent: (event) => events.push(event) });
    const slow = new SlowDaemon();
    const first = DaemonHost.create(ID, slow, { time: new VirtualTime() });
    registry.register(first);
    const running = reasonOf(() => registry.deliver(ID.originHash, input(5n, 1n, "a")));
    const waiting = reasonOf(() => registry.deliver(ID.originHash, input(5n, 2n, "b")));
    const replacing = registry.replace(DaemonHost.create(ID, new EchoDaemon()));
    expect([await running, await waiting]).toEqual(["stale", "stale"]);
    expect(slow.seen).toEqual(["a"]);
    slow.calls[0]?.resolve(undefined);
    await replacing;
    expect(slow.disposals).toBe(1);
    expect(events.map(({ kind }) => kind)).toEqual(["registered", "unregistered", "registered"]);
    expect(await reasonOf(() => registry.unregister(ID.originHash, first))).toBe("stale");
    expect(registry.size).toBe(1);
    await registry.replace(DaemonHost.create(identity(2), new EchoDaemon()));
    expect(registry.size).toBe(2);
  });
});

describe("what a node may run", () => {
  it("an origin is registered once, whichever way came first", async () => {
    const registry = new FactoryRegistry();
    const first = registry.register(ID, PLAN);
    expect(await reasonOf(() => registry.register(ID, PLAN))).toBe("process-failed");
    expect(await reasonOf(() => registry.registerPlaceholder(ID.originHash, PLAN))).toBe("process-failed");
    expect(registry.get(ID.originHash)).toBe(first);
    registry.registerPlaceholder(5n, PLAN);
    expect(await codeOf(() => registry.registerPlaceholder(5n, PLAN))).toBe("core");
    expect(registry.size).toBe(2);
  });

  it("whoever lost a race removes nothing of the winner", () => {
    const registry = new FactoryRegistry();
    const mine = registry.registerPlaceholder(5n, PLAN);
    expect(registry.remove(5n, mine)).toBe(true);
    registry.registerPlaceholder(5n, PLAN);
    expect(registry.remove(5n, mine)).toBe(false);
    expect(registry.remove(5n)).toBe(true);
    expect(registry.remove(5n)).toBe(false);
  });

  it("an entry that was taken still has its key", () => {
    const registry = new FactoryRegistry();
    registry.register(ID, PLAN);
    const entry = registry.take(ID.originHash);
    expect(registry.size).toBe(0);
    expect(entry?.identity?.isPublicOnly).toBe(false);
    expect(registry.take(ID.originHash)).toBeUndefined();
  });

  it("of a daemon that nobody announced, the first rule that accepts it decides", () => {
    const registry = new FactoryRegistry();
    expect(registry.admit(5n, 1n)).toBeUndefined();
    registry.addRule({
      plan: PLAN,
      accepts: () => {
        throw new Error("no idea");
      },
    });
    const takeBack = registry.addRule({
      plan: PLAN,
      accepts: (originHash, from) => originHash < 10n && from === 1n,
    });
    const entry = registry.admit(5n, 1n);
    expect(entry).toMatchObject({
      originHash: 5n,
      kind: "echo",
      identity: undefined,
      expectedOrchestrator: 1n,
    });
    expect(registry.admit(5n, 2n)).toBe(entry);
    expect(registry.admit(6n, 2n)).toBeUndefined();
    expect(registry.admit(10n, 1n)).toBeUndefined();
    takeBack();
    expect(registry.admit(7n, 1n)).toBeUndefined();
  });

  it("however many daemons a node claims to have, rules make 256 entries for them", () => {
    const registry = new FactoryRegistry();
    registry.registerPlaceholder(1n, PLAN);
    registry.addRule({ plan: PLAN, accepts: () => true });
    for (let i = 1000n; i < 1300n; i++) registry.admit(i, 1n);
    expect(registry.size).toBe(257);
    expect([registry.get(1043n), registry.get(1n)?.kind]).toEqual([undefined, "echo"]);
    registry.take(1299n);
    registry.admit(1300n, 1n);
    expect([registry.size, registry.get(1044n)?.kind]).toEqual([257, "echo"]);
  });

  it("an entry is bound to one orchestrator", () => {
    const registry = new FactoryRegistry();
    registry.registerPlaceholder(5n, PLAN);
    expect(registry.bindExpectedOrchestrator(5n, 1n)).toBe(true);
    expect(registry.bindExpectedOrchestrator(5n, 1n)).toBe(true);
    expect(registry.bindExpectedOrchestrator(5n, 2n)).toBe(false);
    expect(registry.bindExpectedOrchestrator(6n, 1n)).toBe(false);
  });
});
