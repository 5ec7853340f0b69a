import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { type CausalEvent, CoreDaemonError, DaemonError, DaemonRuntime } from "../../src/index.ts";
import { type IsolationEvent, type IsolationOptions, isolatedDaemon } from "../../src/node/index.ts";
import { codeOf, failure, fromU64, identity, input, reasonOf } from "../support/daemons.ts";

const A = identity(1);
const module = new URL("./thread-daemons.ts", import.meta.url);
const runtimes: DaemonRuntime[] = [];

interface Bench {
  readonly runtime: DaemonRuntime;
  readonly events: IsolationEvent[];
  /** Resolves once so many restarts, or with "given up" crashes, were reported. */
  until(seen: (events: readonly IsolationEvent[]) => boolean): Promise<void>;
  say(payload: string): Promise<readonly CausalEvent[]>;
  count(payload?: string): Promise<bigint>;
}

async function bench(options: Partial<IsolationOptions> = {}): Promise<Bench> {
  const runtime = new DaemonRuntime();
  runtimes.push(runtime);
  const events: IsolationEvent[] = [];
  const news = new EventTarget();
  runtime.registerFactory(
    "isolated",
    isolatedDaemon({
      module,
      backoffMs: 1,
      onEvent: (event) => {
        events.push(event);
        news.dispatchEvent(new Event("news"));
      },
      ...options,
    }),
  );
  await runtime.start();
  const say = (payload: string): Promise<readonly CausalEvent[]> =>
    runtime.deliver(A.originHash, input(9n, 1n, payload));
  return {
    runtime,
    events,
    until: async (seen) => {
      while (!seen(events)) await once(news, "news");
    },
    say,
    count: async (payload = "count") => fromU64((await say(payload))[0]?.payload ?? new Uint8Array(8)),
  };
}

/** Threads of this process, those included that load the sources. */
function allThreads(): number {
  return (process.report.getReport() as unknown as { workers: unknown[] }).workers.length;
}

const ownThreads = allThreads();
const threads = (): number => allThreads() - ownThreads;

const isRestart = ({ kind }: IsolationEvent): boolean => kind === "restarted";

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.shutdown()));
  await expect.poll(threads).toBe(0);
});

describe("a daemon in a thread", () => {
  it("is a daemon like any other", async () => {
    const { runtime, count, say } = await bench();
    const handle = await runtime.spawn("isolated", { identity: A });
    expect(handle.name).toBe("obedient");
    expect(await count()).toBe(1n);
    const [output] = await say("count");
    expect(output?.link).toMatchObject({ originHash: A.originHash, sequence: 2n });
    expect(await count("origin")).toBe(A.originHash);
    await handle.control({ kind: "drain-start", graceMs: 1 });
    expect(await count("controls")).toBe(1n);
    expect((await say("part"))[0]?.payload).toEqual(new Uint8Array(2));
    expect(handle.stats()).toMatchObject({ eventsProcessed: 5, errors: 0 });
  });

  it("gives and takes snapshots", async () => {
    const { runtime, count } = await bench();
    const handle = await runtime.spawn("isolated", { identity: A });
    for (let i = 0; i < 5; i++) await count();
    const snapshot = await handle.snapshot();
    await handle.stop();
    if (snapshot === undefined) throw new Error("there is no snapshot");
    await runtime.spawnFromSnapshot("isolated", snapshot, { identity: A });
    expect(await count()).toBe(6n);
  });

  it("events that are delivered without waiting keep their order", async () => {
    const { runtime, count } = await bench();
    await runtime.spawn("isolated", { identity: A });
    const counts = await Promise.all(Array.from({ length: 500 }, () => count()));
    expect(counts).toEqual(counts.map((_, i) => BigInt(i + 1)));
  });

  it("what it throws, and what it says that is no output, fails the delivery alone", async () => {
    const { runtime, events, say, count } = await bench();
    await runtime.spawn("isolated", { identity: A });
    expect((await failure(() => say("throw"))).message).toContain("as told");
    expect(await reasonOf(() => say("nonsense"))).toBe("process-failed");
    expect(await reasonOf(() => say("a function"))).toBe("process-failed");
    expect(await count()).toBe(1n);
    expect(events).toEqual([]);
  });
});

describe("a daemon whose thread ends", () => {
  it.each(["exit", "fill the heap"])(
    "fails the delivery, says so and goes on from its snapshot: %s",
    async (order) => {
      const { runtime, events, say, count, until } = await bench({ memoryLimitMb: 16 });
      const handle = await runtime.spawn("isolated", { identity: A });
      for (let i = 0; i < 3; i++) await count();
      await handle.snapshot();
      await count();
      const error = await failure(() => say(order));
      expect(error).toBeInstanceOf(CoreDaemonError);
      expect(error.cause).toBeInstanceOf(DaemonError);
      expect(error.cause).toMatchObject({ code: "crashed", originHash: A.originHash });
      const [output] = await say("count");
      expect(fromU64(output?.payload ?? new Uint8Array(8))).toBe(4n);
      expect(output?.link.sequence).toBe(5n);
      await until((seen) => seen.some(isRestart));
      expect(events).toMatchObject([
        { kind: "crashed", originHash: A.originHash, restartInMs: 1 },
        { kind: "restarted", restarts: 1, eventsLost: 1 },
      ]);
    },
  );

  it("begins anew when there was no snapshot", async () => {
    const { runtime, say, count } = await bench();
    await runtime.spawn("isolated", { identity: A });
    await count();
    await failure(() => say("exit"));
    expect(await count()).toBe(1n);
  });

  it("is started again when it ends between two events", async () => {
    const { runtime, say, count, until } = await bench();
    await runtime.spawn("isolated", { identity: A });
    await say("throw later");
    await until((seen) => seen.some(isRestart));
    expect(await count()).toBe(1n);
  });

  it("is ended when it hangs, and what waits is told", async () => {
    const { runtime, say, count, until, events } = await bench();
    await runtime.spawn("isolated", { identity: A, config: { callTimeoutMs: 2500 } });
    await count();
    const hanging = codeOf(() => say("hang"));
    const waiting = codeOf(() => say("count"));
    expect(await hanging).toBe("callback-timeout");
    expect(await waiting).toBe("callback-timeout");
    await until((seen) => seen.some(isRestart));
    expect(await count()).toBe(1n);
    expect(events[0]).toMatchObject({ kind: "crashed", error: { code: "crashed" } });
    expect(threads()).toBe(1);
  });

  it("is given up after too many restarts", async () => {
    const { runtime, say, until, events } = await bench({ exportName: "dying", maxRestarts: 2 });
    await runtime.spawn("isolated", { identity: A });
    for (let i = 0; i < 3; i++) {
      await failure(() => say("x"));
      await until((seen) => seen.length === 2 * i + 2 || i === 2);
    }
    const error = await failure(() => say("x"));
    expect(error.cause).toMatchObject({ code: "crashed" });
    expect(events.map((event) => (event.kind === "crashed" ? event.restartInMs : event.kind))).toEqual([
      1,
      "restarted",
      2,
      "restarted",
      undefined,
    ]);
    await expect.poll(threads).toBe(0);
  });

  it("is not started again when it was stopped meanwhile", async () => {
    const { runtime, say, events } = await bench({ backoffMs: 600_000 });
    const handle = await runtime.spawn("isolated", { identity: A });
    await failure(() => say("exit"));
    await handle.stop();
    await expect.poll(threads).toBe(0);
    expect(events.map(({ kind }) => kind)).toEqual(["crashed"]);
  });
});

describe("what is no daemon in its thread", () => {
  it.each([
    ["throwing", "crashed", "no daemon today"],
    ["hanging", "callback-timeout", "2500 ms"],
    ["pending", "callback-timeout", "2500 ms"],
    ["exiting", "crashed", "exit 9"],
    ["nonsense", "invalid-daemon", "no name"],
    ["half", "invalid-daemon", "only one of"],
    ["notAFunction", "invalid-daemon", "no function"],
    ["missing", "invalid-daemon", "no function"],
  ])("is refused, and neither daemon nor thread is left: %s", async (exportName, code, message) => {
    const { runtime } = await bench({
      exportName,
      startTimeoutMs: exportName === "hanging" || exportName === "pending" ? 2500 : 10_000,
    });
    const error = await failure(() => runtime.spawn("isolated", { identity: A }));
    const cause = error.cause instanceof DaemonError ? error.cause : error;
    expect(cause.code).toBe(code);
    expect(cause.message).toContain(message);
    expect([runtime.daemonCount, runtime.factoryCount]).toEqual([0, 0]);
    await expect.poll(threads).toBe(0);
  });

  it("a module that is not there is refused", async () => {
    const { runtime } = await bench({ module: new URL("./no-such-module.ts", import.meta.url) });
    const error = await failure(() => runtime.spawn("isolated", { identity: A }));
    expect(error.cause).toMatchObject({ code: "crashed" });
    expect([runtime.daemonCount, runtime.factoryCount]).toEqual([0, 0]);
    await expect.poll(threads).toBe(0);
  });

  it("a state that it refuses leaves neither daemon nor thread", async () => {
    const { runtime } = await bench();
    const handle = await runtime.spawn("isolated", { identity: A });
    const snapshot = await handle.snapshot();
    await handle.stop();
    if (snapshot === undefined) throw new Error("there is no snapshot");
    const torn = { ...snapshot, state: new Uint8Array(3) };
    expect(await reasonOf(() => runtime.spawnFromSnapshot("isolated", torn, { identity: A }))).toBe(
      "restore-failed",
    );
    await runtime.shutdown();
    expect([runtime.daemonCount, runtime.factoryCount]).toEqual([0, 0]);
  });

  it("options outside of their range are refused", async () => {
    for (const options of [
      { module: "" },
      { module, memoryLimitMb: 0 },
      { module, maxRestarts: -1 },
      { module, startTimeoutMs: Number.NaN },
    ]) {
      expect(await codeOf(() => isolatedDaemon(options))).toBe("invalid-argument");
    }
  });
});

it("a daemon that does not end in its grace is ended", async () => {
  const { runtime } = await bench({ exportName: "clinging", disposeGraceMs: 50 });
  const handle = await runtime.spawn("isolated", { identity: A });
  await handle.stop();
  await expect.poll(threads).toBe(0);
});
