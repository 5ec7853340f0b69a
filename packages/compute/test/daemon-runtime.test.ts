import { Identity } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import {
  type ChannelMembership,
  type Daemon,
  DaemonError,
  DaemonRuntime,
  type DaemonRuntimeOptions,
  encodeSnapshot,
  type PeerMessageHandler,
  type PeerNetwork,
  type RegistryEvent,
  type RuntimeParts,
  type StateSnapshot,
} from "../src/index.ts";
import {
  bytes,
  CounterDaemon,
  codeOf,
  deferred,
  EchoDaemon,
  failure,
  fromU64,
  identity,
  input,
  reasonOf,
  SlowDaemon,
  text,
} from "./support/daemons.ts";
import { settle, VirtualTime } from "./support/virtual-time.ts";

const CAUSE = 0xaaaan;
const ID = identity(1);

/** A network without peers that remembers who answers them. */
class LonelyNetwork implements PeerNetwork {
  readonly nodeId = 1n;
  handler: PeerMessageHandler | undefined;

  setHandler(handler: PeerMessageHandler | undefined): void {
    this.handler = handler;
  }

  send(): boolean {
    return false;
  }

  staticKeyOf(): undefined {
    return undefined;
  }
}

function runtimeOf(options: DaemonRuntimeOptions = {}): DaemonRuntime {
  const runtime = new DaemonRuntime(options);
  runtime.registerFactory("echo", () => new EchoDaemon());
  runtime.registerFactory("counter", () => new CounterDaemon());
  return runtime;
}

async function readyRuntime(options?: DaemonRuntimeOptions): Promise<DaemonRuntime> {
  const runtime = runtimeOf(options);
  await runtime.start();
  return runtime;
}

/** A runtime whose handler takes `preparation` to start. */
function connected(preparation?: () => Promise<void>): {
  runtime: DaemonRuntime;
  network: LonelyNetwork;
  parts: () => RuntimeParts;
  shutdowns: () => number;
} {
  const network = new LonelyNetwork();
  let given: RuntimeParts | undefined;
  let count = 0;
  const runtime = runtimeOf({
    peers: {
      network,
      createHandler: (parts) => {
        given = parts;
        return {
          ...(preparation === undefined ? {} : { start: preparation }),
          receive: () => {},
          shutdown: () => void count++,
        };
      },
    },
  });
  return { runtime, network, parts: () => given as RuntimeParts, shutdowns: () => count };
}

async function snapshotOf(runtime: DaemonRuntime, originHash: bigint): Promise<StateSnapshot> {
  const snapshot = await runtime.snapshot(originHash);
  if (snapshot === undefined) throw new Error("stateless");
  return snapshot;
}

function expectNothingLeft(runtime: DaemonRuntime): void {
  expect({ daemons: runtime.daemonCount, factories: runtime.factoryCount }).toEqual({
    daemons: 0,
    factories: 0,
  });
}

describe("lifecycle", () => {
  it("before start nothing is spawned, delivered or stopped", async () => {
    const runtime = runtimeOf();
    const error = await failure(() => runtime.spawn("echo"));
    expect(error.code).toBe("not-ready");
    expect(error.message).toMatch(/not ready.*start/);
    for (const action of [
      () => runtime.deliver(1n, input(CAUSE, 1n, "x")),
      () => runtime.snapshot(1n),
      () => runtime.stop(1n),
      () => runtime.control(1n, { kind: "drain-finish" }),
    ]) {
      expect(await codeOf(action)).toBe("not-ready");
    }
    expect(runtime.isReady).toBe(false);
    expectNothingLeft(runtime);
  });

  it("starting twice is starting once", async () => {
    const runtime = await readyRuntime();
    await runtime.start();
    expect(runtime.isReady).toBe(true);
  });

  it("after shutdown nothing is spawned, registered, delivered or started", async () => {
    const runtime = await readyRuntime();
    await runtime.shutdown();
    await runtime.shutdown();
    for (const action of [
      () => runtime.spawn("echo"),
      () => runtime.registerFactory("late", () => new EchoDaemon()),
      () => runtime.expectMigration("echo", 1n),
      () => runtime.registerMigrationTargetIdentity("echo", ID),
      () => runtime.deliver(1n, input(CAUSE, 1n, "x")),
      () => runtime.snapshot(1n),
      () => runtime.observeDeliveries(() => {}),
      () => runtime.start(),
    ]) {
      const error = await failure(action);
      expect(error.code).toBe("shutting-down");
      expect(error.message).toContain("shut down");
    }
    await runtime.stop(1n);
    expect(runtime.state).toBe("shutting-down");
  });

  it("a kind is registered once", async () => {
    const runtime = runtimeOf();
    const error = await failure(() => runtime.registerFactory("echo", () => new EchoDaemon()));
    expect(error).toMatchObject({ code: "factory-already-registered", kind: "echo" });
    expect(error.message).toMatch(/echo.*already registered/);
  });

  it("of 32 registrations of one kind one succeeds", async () => {
    const runtime = new DaemonRuntime();
    const outcomes = await Promise.all(
      Array.from({ length: 32 }, async () => {
        await Promise.resolve();
        try {
          runtime.registerFactory("contended", () => new EchoDaemon());
          return "ok";
        } catch (error) {
          return (error as { code: string }).code;
        }
      }),
    );
    expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "factory-already-registered")).toHaveLength(31);
  });

  it("a kind registered after start can be spawned", async () => {
    const runtime = await readyRuntime();
    runtime.registerFactory("late", () => new EchoDaemon());
    expect((await runtime.spawn("late")).name).toBe("echo");
  });

  it("whoever sees a ready runtime sees its peers answered", async () => {
    for (let trial = 0; trial < 64; trial++) {
      const preparation = deferred();
      const { runtime, network } = connected(() => preparation.promise);
      const starting = runtime.start();
      let isWatching = true;
      const watching = (async () => {
        while (isWatching && !runtime.isReady) await Promise.resolve();
        return network.handler;
      })();
      for (let i = 0; i < trial; i++) await Promise.resolve();
      expect(runtime.isReady).toBe(false);
      preparation.resolve();
      await starting;
      expect(await watching).toBeDefined();
      isWatching = false;
    }
  });

  it("a peer that asks too early reaches a handler that knows it is not ready", async () => {
    const { runtime, network, parts } = connected();
    expect(network.handler).toBeDefined();
    expect(parts().isReady()).toBe(false);
    await runtime.start();
    expect(parts().isReady()).toBe(true);
    expect(parts().planOf("echo")?.kind).toBe("echo");
    expect(parts().planOf("unknown")).toBeUndefined();
  });

  it("a start that loses to a shutdown fails and leaves no handler behind", async () => {
    const preparation = deferred();
    const { runtime, network } = connected(() => preparation.promise);
    const starting = codeOf(() => runtime.start());
    expect(network.handler).toBeDefined();
    await runtime.shutdown();
    preparation.resolve();
    expect(await starting).toBe("shutting-down");
    expect(network.handler).toBeUndefined();
    expect(runtime.state).toBe("shutting-down");
  });

  it("a start whose preparation fails can be tried again", async () => {
    let isBroken = true;
    const { runtime } = connected(async () => {
      if (isBroken) throw new Error("no disk");
    });
    await expect(runtime.start()).rejects.toThrow("no disk");
    expect(runtime.state).toBe("registering");
    isBroken = false;
    await runtime.start();
    expect(runtime.isReady).toBe(true);
  });

  it("shutdown ends migrations and takes the handler away", async () => {
    const { runtime, network, shutdowns } = connected();
    await runtime.start();
    await runtime.shutdown();
    expect(network.handler).toBeUndefined();
    expect(shutdowns()).toBe(1);
  });

  it("a spawn that is overtaken by shutdown fails and leaves no daemon behind", async () => {
    const runtime = await readyRuntime();
    const making = deferred<Daemon>();
    let disposals = 0;
    runtime.registerFactory("slow", () => making.promise);
    const spawning = codeOf(() => runtime.spawn("slow"));
    await settle();
    await runtime.shutdown();
    making.resolve(Object.assign(new EchoDaemon(), { dispose: () => void disposals++ }));
    expect(await spawning).toBe("shutting-down");
    expectNothingLeft(runtime);
    expect(disposals).toBe(1);
  });

  it("a restore that is overtaken by shutdown leaves no daemon behind", async () => {
    const runtime = await readyRuntime();
    const handle = await runtime.spawn("counter", { identity: ID });
    const snapshot = await snapshotOf(runtime, ID.originHash);
    await handle.stop();
    const restoring = deferred();
    runtime.registerFactory("slow", () => ({
      name: "slow",
      process: () => undefined,
      snapshot: () => bytes(""),
      restore: () => restoring.promise,
    }));
    const spawning = codeOf(() => runtime.spawnFromSnapshot("slow", snapshot, { identity: ID }));
    await settle();
    await runtime.shutdown();
    restoring.resolve();
    expect(await spawning).toBe("shutting-down");
    expectNothingLeft(runtime);
  });

  it("shutdown drains all daemons, and tells each before it goes", async () => {
    const runtime = await readyRuntime();
    const heard: string[] = [];
    runtime.registerFactory("listener", () => ({
      name: "listener",
      process: () => undefined,
      onControl: ({ kind }) => void heard.push(kind),
      dispose: () => void heard.push("disposed"),
    }));
    for (let i = 0; i < 5; i++) await runtime.spawn("listener");
    expect(runtime.daemonCount).toBe(5);
    await runtime.shutdown();
    expectNothingLeft(runtime);
    expect(heard.slice(0, 5)).toEqual(Array(5).fill("shutdown"));
    expect(heard.slice(5)).toEqual(Array(5).fill("disposed"));
  });

  it("shutdown removes a daemon that does not take note when its grace is over", async () => {
    const time = new VirtualTime();
    const runtime = await readyRuntime({ time });
    runtime.registerFactory("deaf", () => ({
      name: "deaf",
      process: () => undefined,
      onControl: () => new Promise<void>(() => {}),
    }));
    await runtime.spawn("deaf");
    const ending = runtime.shutdown(500);
    await time.advance(499);
    expect(runtime.daemonCount).toBe(1);
    await time.advance(1);
    expectNothingLeft(runtime);
    await time.advance(60_000);
    await ending;
    expect(time.pending).toBe(0);
  });

  it("leaving the scope shuts the runtime down", async () => {
    const runtime = await readyRuntime();
    await runtime[Symbol.asyncDispose]();
    expect(runtime.state).toBe("shutting-down");
  });
});

describe("spawning", () => {
  it("an echo comes back and is counted", async () => {
    const runtime = await readyRuntime();
    const handle = await runtime.spawn("echo", { identity: ID });
    expect(handle.originHash).toBe(ID.originHash);
    expect(handle.entityId).toEqual(ID.entityId);
    const outputs = await runtime.deliver(handle.originHash, input(ID.originHash, 1n, "ping"));
    expect(outputs.map(({ payload }) => text(payload))).toEqual(["ping"]);
    expect(handle.stats()).toMatchObject({ eventsProcessed: 1, eventsEmitted: 1 });
  });

  it("the factory is called once per daemon", async () => {
    const runtime = await readyRuntime();
    const contexts: unknown[] = [];
    runtime.registerFactory("counted", (context) => {
      contexts.push(context);
      return new EchoDaemon();
    });
    const origins = [];
    for (let i = 0; i < 3; i++) origins.push((await runtime.spawn("counted")).originHash);
    expect(contexts).toEqual(origins.map((originHash) => ({ kind: "counted", originHash })));
  });

  it("an unknown kind is refused", async () => {
    const runtime = await readyRuntime();
    const error = await failure(() => runtime.spawn("never-registered"));
    expect(error).toMatchObject({ code: "factory-not-found", kind: "never-registered" });
    expect(error.message).toContain("no factory");
    expectNothingLeft(runtime);
  });

  it("a second daemon of one identity is refused, its factory not called, the first left alone", async () => {
    const runtime = await readyRuntime();
    let calls = 0;
    runtime.registerFactory("counted", () => {
      calls++;
      return new EchoDaemon();
    });
    await runtime.spawn("counted", { identity: ID });
    const error = await failure(() => runtime.spawn("counted", { identity: ID }));
    expect(error).toMatchObject({ code: "core", reason: "process-failed" });
    expect(error.message).toContain("already registered");
    expect(calls).toBe(1);
    expect({ daemons: runtime.daemonCount, factories: runtime.factoryCount }).toEqual({
      daemons: 1,
      factories: 1,
    });
    expect(await runtime.deliver(ID.originHash, input(CAUSE, 1n, "still here"))).toHaveLength(1);
    expect(await runtime.snapshot(ID.originHash)).toBeUndefined();
  });

  it("of two spawns of one identity at once exactly one wins", async () => {
    const runtime = await readyRuntime();
    runtime.registerFactory("slow", async () => {
      await settle();
      return new EchoDaemon();
    });
    const outcomes = await Promise.allSettled([
      runtime.spawn("slow", { identity: ID }),
      runtime.spawn("slow", { identity: ID }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(runtime.daemonCount).toBe(1);
    await runtime.stop(ID.originHash);
    expectNothingLeft(runtime);
  });

  it.each<[string, () => unknown, string]>([
    ["throws", () => raise("no memory"), "core"],
    ["rejects", () => Promise.reject(new Error("no memory")), "core"],
    ["gives nothing", () => undefined, "invalid-daemon"],
    ["gives a text", () => "daemon", "invalid-daemon"],
    ["gives something without a name", () => ({ process: () => undefined }), "invalid-daemon"],
    ["gives something without process", () => ({ name: "x" }), "invalid-daemon"],
    ["gives a health that is no function", () => ({ ...plain(), health: "fine" }), "invalid-daemon"],
    ["gives only snapshot", () => ({ ...plain(), snapshot: () => bytes("") }), "invalid-daemon"],
    ["gives only restore", () => ({ ...plain(), restore: () => undefined }), "invalid-daemon"],
  ])("a factory that %s leaves nothing behind", async (_, factory, code) => {
    const runtime = await readyRuntime();
    runtime.registerFactory("bad", factory as () => Daemon);
    expect(await codeOf(() => runtime.spawn("bad", { identity: ID }))).toBe(code);
    expectNothingLeft(runtime);
    expect((await runtime.spawn("echo", { identity: ID })).originHash).toBe(ID.originHash);
  });

  it("a factory that hangs leaves nothing behind, and its late daemon is disposed of", async () => {
    const time = new VirtualTime();
    const runtime = await readyRuntime({ time });
    const making = deferred<Daemon>();
    const late = new SlowDaemon();
    runtime.registerFactory("hung", () => making.promise);
    const spawning = codeOf(() => runtime.spawn("hung", { config: { callTimeoutMs: 100 } }));
    await time.advance(100);
    expect(await spawning).toBe("callback-timeout");
    expectNothingLeft(runtime);
    making.resolve(late);
    await settle();
    expect(late.disposals).toBe(1);
    expect(time.pending).toBe(0);
  });

  it("a spawn that its caller gives up leaves nothing behind", async () => {
    const runtime = await readyRuntime();
    runtime.registerFactory("hung", () => new Promise<Daemon>(() => {}));
    const abort = new AbortController();
    const spawning = codeOf(() => runtime.spawn("hung", { signal: abort.signal }));
    await settle();
    abort.abort();
    expect(await spawning).toBe("cancelled");
    expect(await codeOf(() => runtime.spawn("echo", { signal: abort.signal }))).toBe("cancelled");
    expectNothingLeft(runtime);
  });

  it("a spawn whose origin was forgotten meanwhile fails and leaves nothing behind", async () => {
    const runtime = await readyRuntime();
    const making = deferred<Daemon>();
    runtime.registerFactory("slow", () => making.promise);
    const spawning = codeOf(() => runtime.spawn("slow", { identity: ID }));
    await settle();
    expect(runtime.forget(ID.originHash)).toBe(true);
    making.resolve(new EchoDaemon());
    expect(await spawning).toBe("cancelled");
    expectNothingLeft(runtime);
  });

  it("limits that make no sense are refused before anything is made", async () => {
    const runtime = await readyRuntime();
    const config = { callTimeoutMs: -1 };
    expect(await codeOf(() => runtime.spawn("echo", { config }))).toBe("invalid-argument");
    expect(await codeOf(() => runtime.expectMigration("echo", 1n, { config }))).toBe("invalid-argument");
    expectNothingLeft(runtime);
  });
});

describe("spawning from a snapshot", () => {
  it("a counter goes on counting", async () => {
    const runtime = await readyRuntime();
    const handle = await runtime.spawn("counter", { identity: ID });
    for (let i = 1n; i <= 5n; i++) {
      const [output] = await handle.deliver(input(ID.originHash, i, "tick"));
      expect(fromU64(output?.payload as Uint8Array)).toBe(i);
    }
    const snapshot = (await handle.snapshot()) as StateSnapshot;
    expect(snapshot.throughSeq).toBe(5n);
    await handle.stop();
    const again = await runtime.spawnFromSnapshot("counter", encodeSnapshot(snapshot), { identity: ID });
    const [output] = await again.deliver(input(ID.originHash, 6n, "resumed"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(6n);
  });

  it("a snapshot of another identity is refused before the factory is called", async () => {
    const runtime = await readyRuntime();
    const other = identity(2);
    await runtime.spawn("counter", { identity: ID });
    const snapshot = await snapshotOf(runtime, ID.originHash);
    await runtime.stop(ID.originHash);
    let calls = 0;
    runtime.registerFactory("counted", () => {
      calls++;
      return new CounterDaemon();
    });
    const error = await failure(() => runtime.spawnFromSnapshot("counted", snapshot, { identity: other }));
    expect(error).toMatchObject({
      code: "snapshot-identity-mismatch",
      snapshotOrigin: ID.originHash,
      identityOrigin: other.originHash,
    });
    for (const { originHash } of [ID, other]) expect(error.message).toContain(originHash.toString(16));
    expect(calls).toBe(0);
    expectNothingLeft(runtime);
  });

  it("identities whose origin hashes collide in 32 bits are told apart", async () => {
    const [a, b] = [identity(13_515), identity(23_655)];
    expect([a.originHash, b.originHash]).toEqual([0xf5f7738522141808n, 0xc63a3ade22141808n]);
    const runtime = await readyRuntime();
    await runtime.spawn("counter", { identity: a });
    const snapshot = await snapshotOf(runtime, a.originHash);
    const mismatch = "snapshot-identity-mismatch";
    expect(await codeOf(() => runtime.spawnFromSnapshot("counter", snapshot, { identity: b }))).toBe(
      mismatch,
    );
    await runtime.spawn("counter", { identity: b });
    expect(runtime.daemonCount).toBe(2);
  });

  it("an entity whose origin hash collides in all 64 bits is told apart", async () => {
    const runtime = await readyRuntime();
    await runtime.spawn("counter", { identity: ID });
    const snapshot = await snapshotOf(runtime, ID.originHash);
    await runtime.stop(ID.originHash);
    const collision = { ...snapshot, entityId: identity(2).entityId };
    const error = await failure(() => runtime.spawnFromSnapshot("counter", collision, { identity: ID }));
    expect(error.code).toBe("snapshot-identity-mismatch");
    expectNothingLeft(runtime);
  });

  it("a snapshot of a living daemon is refused, and leaves that one as it is", async () => {
    const runtime = await readyRuntime();
    const handle = await runtime.spawn("counter", { identity: ID });
    for (let i = 1n; i <= 2n; i++) await handle.deliver(input(ID.originHash, i, "tick"));
    const snapshot = await snapshotOf(runtime, ID.originHash);
    const error = await failure(() => runtime.spawnFromSnapshot("counter", snapshot, { identity: ID }));
    expect(error.message).toContain("already registered");
    expect(runtime.daemonCount).toBe(1);
    const [output] = await handle.deliver(input(ID.originHash, 3n, "post-dupe"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(3n);
  });

  it("bytes that are no snapshot are refused", async () => {
    const runtime = await readyRuntime();
    const error = await codeOf(() => runtime.spawnFromSnapshot("counter", bytes("junk"), { identity: ID }));
    expect(error).toBe("snapshot-invalid");
    expectNothingLeft(runtime);
  });

  it("a state that the daemon refuses leaves nothing behind", async () => {
    const runtime = await readyRuntime();
    await runtime.spawn("counter", { identity: ID });
    const snapshot = { ...(await snapshotOf(runtime, ID.originHash)), state: bytes("short") };
    await runtime.stop(ID.originHash);
    const reason = reasonOf(() => runtime.spawnFromSnapshot("counter", snapshot, { identity: ID }));
    expect(await reason).toBe("restore-failed");
    expectNothingLeft(runtime);
  });

  it("a restore that hangs leaves nothing behind", async () => {
    const time = new VirtualTime();
    const runtime = await readyRuntime({ time });
    await runtime.spawn("counter", { identity: ID });
    const snapshot = await snapshotOf(runtime, ID.originHash);
    await runtime.stop(ID.originHash);
    runtime.registerFactory("hung", () => ({
      name: "hung",
      process: () => undefined,
      snapshot: () => bytes(""),
      restore: () => new Promise<void>(() => {}),
    }));
    const spawning = codeOf(() =>
      runtime.spawnFromSnapshot("hung", snapshot, { identity: ID, config: { callTimeoutMs: 100 } }),
    );
    await settle();
    await time.advance(100);
    expect(await spawning).toBe("callback-timeout");
    expectNothingLeft(runtime);
  });
});

describe("delivering", () => {
  it("a stopped daemon is not found, by anybody", async () => {
    const runtime = await readyRuntime();
    const handle = await runtime.spawn("echo", { identity: ID });
    await handle.stop();
    expectNothingLeft(runtime);
    const error = await failure(() => runtime.deliver(ID.originHash, input(CAUSE, 1n, "drop")));
    expect(error).toMatchObject({ code: "core", reason: "not-found", originHash: ID.originHash });
    expect(error.message).toContain(ID.originHash.toString(16));
    expect(await reasonOf(() => handle.snapshot())).toBe("not-found");
    expect(await reasonOf(() => handle.stats())).toBe("not-found");
    expect(await reasonOf(() => runtime.stop(ID.originHash))).toBe("not-found");
    await handle.stop();
  });

  it("the handle of a stopped daemon does not speak for the next one of that identity", async () => {
    const runtime = await readyRuntime();
    const first = await runtime.spawn("echo", { identity: ID });
    await first.stop();
    const second = await runtime.spawn("echo", { identity: ID });
    expect(await reasonOf(() => first.deliver(input(CAUSE, 1n, "x")))).toBe("not-found");
    await first.stop();
    expect(await second.deliver(input(CAUSE, 1n, "x"))).toHaveLength(1);
  });

  it("whoever knows where a daemon has gone can say so", async () => {
    const runtime = await readyRuntime({
      explainAbsence: (originHash) => new DaemonError("migrated", "moved", { originHash, node: 9n }),
    });
    const error = await failure(() => runtime.deliver(5n, input(CAUSE, 1n, "x")));
    expect(error).toMatchObject({ code: "migrated", node: 9n });
  });

  it("what is no event is refused", async () => {
    const runtime = await readyRuntime();
    await runtime.spawn("echo", { identity: ID });
    const bad = { link: { originHash: 1 }, payload: "x" } as never;
    expect(await codeOf(() => runtime.deliver(ID.originHash, bad))).toBe("invalid-argument");
  });

  it("observers see what was delivered, and cannot fail it", async () => {
    const runtime = await readyRuntime();
    const slow = new SlowDaemon();
    runtime.registerFactory("slow", () => slow);
    await runtime.spawn("echo", { identity: ID });
    const { originHash: slowOrigin } = await runtime.spawn("slow");
    const seen: string[] = [];
    runtime.observeDeliveries(() => raise("broken observer"));
    const stop = runtime.observeDeliveries((_, event, outputs) =>
      seen.push(`${text(event.payload)}:${outputs.length}`),
    );
    await runtime.deliver(ID.originHash, input(CAUSE, 1n, "a"));
    const pending = runtime.deliver(slowOrigin, input(CAUSE, 1n, "b"));
    expect(seen).toEqual(["a:1"]);
    slow.calls[0]?.resolve(undefined);
    await pending;
    stop();
    await runtime.deliver(ID.originHash, input(CAUSE, 2n, "c"));
    expect(seen).toEqual(["a:1", "b:0"]);
  });

  it("events given without waiting are processed in their order", async () => {
    const runtime = await readyRuntime();
    const slow = new SlowDaemon();
    runtime.registerFactory("slow", () => slow);
    const handle = await runtime.spawn("slow");
    const all = ["a", "b", "c"].map((each, i) =>
      runtime.deliver(handle.originHash, input(CAUSE, BigInt(i), each)),
    );
    for (let i = 0; i < 3; i++) {
      await settle();
      slow.calls[i]?.resolve(bytes(String(i)));
    }
    const sequences = (await Promise.all(all)).map(([output]) => output?.link.sequence);
    expect(slow.seen).toEqual(["a", "b", "c"]);
    expect(sequences).toEqual([1n, 2n, 3n]);
  });
});

describe("what may arrive", () => {
  it("an origin is expected once, and the first word counts", async () => {
    const { runtime, parts } = connected();
    runtime.expectMigration("echo", 0xdead_beefn, { from: 7n });
    const entry = parts().factories.get(0xdead_beefn);
    const error = await failure(() => runtime.expectMigration("counter", 0xdead_beefn));
    expect(error).toMatchObject({ code: "core", reason: "process-failed" });
    expect(error.message).toContain("already registered");
    expect(parts().factories.get(0xdead_beefn)).toBe(entry);
    expect(entry).toMatchObject({ kind: "echo", identity: undefined, expectedOrchestrator: 7n });
    expect(await codeOf(() => runtime.expectMigration("unknown", 1n))).toBe("factory-not-found");
  });

  it("a key registered for arrival is a copy, and takes the place of a spawn until forgotten", async () => {
    const { runtime, parts } = connected();
    await runtime.start();
    const key = ID.copy();
    runtime.registerMigrationTargetIdentity("echo", key);
    key.zeroize();
    expect(parts().factories.get(ID.originHash)?.identity?.isPublicOnly).toBe(false);
    expect(await reasonOf(() => runtime.spawn("echo", { identity: ID }))).toBe("process-failed");
    expect(runtime.forget(ID.originHash)).toBe(true);
    expect(runtime.forget(ID.originHash)).toBe(false);
    await runtime.spawn("echo", { identity: ID });
    expect(runtime.forget(ID.originHash)).toBe(false);
  });

  it("a daemon that lives here is not expected", async () => {
    const { runtime, parts } = connected();
    await runtime.start();
    await runtime.spawn("echo", { identity: ID });
    parts().factories.remove(ID.originHash);
    expect(await reasonOf(() => runtime.expectMigration("echo", ID.originHash))).toBe("process-failed");
    expect(await reasonOf(() => runtime.registerMigrationTargetIdentity("echo", ID))).toBe("process-failed");
    expect(await reasonOf(() => runtime.spawn("echo", { identity: ID }))).toBe("process-failed");
    expect(runtime.daemonCount).toBe(1);
  });

  it("shutdown forgets all that was expected, and wipes the keys", async () => {
    const { runtime, parts } = connected();
    runtime.expectMigration("echo", 5n);
    runtime.registerMigrationTargetIdentity("echo", ID);
    const key = parts().factories.get(ID.originHash)?.identity;
    await runtime.shutdown();
    expectNothingLeft(runtime);
    expect(key?.isPublicOnly).toBe(true);
    expect(ID.isPublicOnly).toBe(false);
  });
});

describe("channels", () => {
  const lidar = { publisher: 5n, channel: "sensors/lidar" };

  async function subscribing(channels?: ChannelMembership): Promise<DaemonRuntime> {
    const runtime = await readyRuntime(channels === undefined ? {} : { channels });
    await runtime.spawn("echo", { identity: ID });
    return runtime;
  }

  it("a subscription is recorded when the publisher has accepted, until it is taken back", async () => {
    const answer = deferred();
    const asked: unknown[] = [];
    const runtime = await subscribing({
      subscribe: (...request) => {
        asked.push(request);
        return answer.promise;
      },
      unsubscribe: async () => {},
    });
    const pending = runtime.subscribeChannel(ID.originHash, { ...lidar, token: bytes("t") });
    await settle();
    expect(runtime.subscriptions(ID.originHash)).toEqual([]);
    answer.resolve();
    await pending;
    expect(asked).toEqual([[5n, "sensors/lidar", bytes("t"), ID.originHash]]);
    expect(runtime.subscriptions(ID.originHash)).toEqual([{ ...lidar, token: bytes("t") }]);
    await runtime.unsubscribeChannel(ID.originHash, lidar.publisher, lidar.channel);
    expect(runtime.subscriptions(ID.originHash)).toEqual([]);
  });

  it("a refused subscription is not recorded", async () => {
    const runtime = await subscribing({
      subscribe: () => Promise.reject(new Error("not for you")),
      unsubscribe: async () => {},
    });
    const error = await failure(() => runtime.subscribeChannel(ID.originHash, lidar));
    expect(error).toMatchObject({ reason: "process-failed" });
    expect(error.message).toContain("not for you");
    expect(runtime.subscriptions(ID.originHash)).toEqual([]);
  });

  it("nobody is asked for what could not be recorded, or without channels", async () => {
    const runtime = await subscribing({
      subscribe: () => raise("asked"),
      unsubscribe: async () => {},
    });
    const request = { ...lidar, token: new Uint8Array(65_536) };
    await expect(runtime.subscribeChannel(ID.originHash, request)).rejects.toMatchObject({
      code: "token-too-long",
    });
    await expect(
      runtime.subscribeChannel(ID.originHash, { ...lidar, channel: "Not A Name" }),
    ).rejects.toMatchObject({ code: "invalid-channel-name" });
    const alone = await subscribing();
    expect(await reasonOf(() => alone.subscribeChannel(ID.originHash, lidar))).toBe("process-failed");
    expect(alone.subscriptions(99n)).toEqual([]);
  });
});

describe("events", () => {
  it("the application is told what happens to its daemons", async () => {
    const time = new VirtualTime();
    const events: RegistryEvent[] = [];
    const runtime = await readyRuntime({ time, onEvent: (event) => events.push(event) });
    const slow = new SlowDaemon();
    let level = 0;
    runtime.registerFactory("slow", () => Object.assign(slow, { saturation: () => level }));
    const { originHash } = await runtime.spawn("slow", { config: { callTimeoutMs: 100 } });
    level = 0.5;
    runtime.checkHealth();
    runtime.checkHealth();
    void codeOf(() => runtime.deliver(originHash, input(CAUSE, 1n, "x")));
    await time.advance(100);
    runtime.checkHealth();
    await runtime.stop(originHash);
    expect(events.map((event) => event.kind)).toEqual([
      "registered",
      "saturation",
      "crashed",
      "health",
      "unregistered",
    ]);
    expect(events.every((event) => event.originHash === originHash)).toBe(true);
  });

  it("a daemon that cannot be freed is reported, and gone all the same", async () => {
    const events: RegistryEvent[] = [];
    const runtime = await readyRuntime({ onEvent: (event) => events.push(event) });
    runtime.registerFactory("clingy", () => ({ ...plain(), dispose: () => raise("mine") }));
    const { originHash } = await runtime.spawn("clingy");
    await runtime.stop(originHash);
    expect(events.at(-1)).toEqual({ kind: "crashed", originHash, reason: "dispose failed: mine" });
    expectNothingLeft(runtime);
  });

  it("an observer that throws does no harm", async () => {
    const runtime = await readyRuntime({ onEvent: () => raise("broken observer") });
    await runtime.spawn("echo", { identity: ID });
    await runtime.control(ID.originHash, { kind: "drain-start", graceMs: 1 });
    await runtime.stop(ID.originHash);
    expectNothingLeft(runtime);
  });
});

it("keys of daemons spawned without one come from the given source", async () => {
  const random = { fill: (given: Uint8Array) => void given.fill(0x42) };
  const runtime = await readyRuntime({ random });
  await using handle = await runtime.spawn("echo");
  expect(handle.originHash).toBe(0xc162c80da6be3de4n);
  await handle.control({ kind: "backpressure-off" });
});

it("the secret of an identity is not needed to run its daemon", async () => {
  const runtime = await readyRuntime();
  const handle = await runtime.spawn("echo", { identity: Identity.publicOnly(ID.entityId) });
  expect(await handle.deliver(input(CAUSE, 1n, "x"))).toHaveLength(1);
});

function plain(): Daemon {
  return { name: "plain", process: () => undefined };
}

function raise(message: string): never {
  throw new Error(message);
}
