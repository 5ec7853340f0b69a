import type { Identity } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  encodeMigrationMessage,
  type Migration,
  type MigrationMessage,
} from "../src/index.ts";
import { CounterDaemon, codeOf, failure, fromU64, identity, input, u64 } from "./support/daemons.ts";
import { MigrationNet, type NodeOptions, type TestNode } from "./support/migration-net.ts";

const A = 1n;
const B = 2n;
const C = 3n;
const CAUSE = 0xaaaan;

/** A counter that remembers each payload, so that loss, repetition and order show. */
class Diary extends CounterDaemon {
  readonly entries: string[] = [];

  override process(event?: CausalEvent): Uint8Array {
    this.entries.push(new TextDecoder().decode(event?.payload));
    return super.process() as Uint8Array;
  }

  override snapshot(): Uint8Array {
    return new TextEncoder().encode(this.entries.join(","));
  }

  override restore(state: Uint8Array): void {
    const text = new TextDecoder().decode(state);
    this.entries.push(...(text === "" ? [] : text.split(",")));
    this.count = BigInt(this.entries.length);
  }
}

interface Pair {
  readonly net: MigrationNet;
  readonly a: TestNode;
  readonly b: TestNode;
  readonly id: Identity;
  readonly origin: bigint;
  readonly diaries: Diary[];
}

/** A daemon on A with three events behind it, and B that expects it. */
async function pair(options: { readonly a?: NodeOptions; readonly b?: NodeOptions } = {}): Promise<Pair> {
  const net = new MigrationNet();
  const a = await net.node(A, options.a);
  const b = await net.node(B, options.b);
  const diaries: Diary[] = [];
  for (const { runtime } of [a, b]) {
    runtime.registerFactory("diary", () => {
      const diary = new Diary();
      diaries.push(diary);
      return diary;
    });
  }
  const id = identity(1);
  await a.runtime.spawn("diary", { identity: id });
  b.runtime.expectMigration("diary", id.originHash, { from: A });
  for (const n of [1, 2, 3]) await a.runtime.deliver(id.originHash, input(CAUSE, BigInt(n), `e${n}`));
  return { net, a, b, id, origin: id.originHash, diaries };
}

async function finished(net: MigrationNet, migration: Migration): Promise<Migration> {
  await net.run(60_000, () => migration.phase === undefined);
  return migration;
}

const event = (n: number): CausalEvent => input(CAUSE, BigInt(n), `e${n}`);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `e${i + 1}`);

describe("a daemon that moves", () => {
  it("goes on at the target with its state and its key, and is gone from the source", async () => {
    const { net, a, b, origin } = await pair();
    const migration = await a.migrator.startMigration(origin, B);
    await finished(net, migration);
    expect(await migration.done).toMatchObject({ node: B, form: "net", attempts: 1, pauseMs: 0 });
    expect([a.runtime.daemonCount, b.runtime.daemonCount, b.runtime.factoryCount]).toEqual([0, 1, 0]);
    const [output] = await b.runtime.deliver(origin, event(4));
    expect(fromU64(output?.payload as Uint8Array)).toBe(4n);
    expect(output?.link.sequence).toBe(4n);
    expect(net.pending).toBe(0);
  });

  it("passes through six phases, each once", async () => {
    const { net, a, origin } = await pair();
    const migration = await a.migrator.startMigration(origin, B);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const phase of migration) seen.push(phase);
    })();
    await finished(net, migration);
    await watching;
    expect(seen).toEqual(["snapshot", "transfer", "restore", "replay", "cutover", "complete"]);
    expect([migration.phase, migration.lastPhase, a.migrator.migration(origin)]).toEqual([
      undefined,
      "complete",
      undefined,
    ]);
  });

  it("takes along every event that comes meanwhile, once and in order; later ones hear where it is", async () => {
    const { net, a, b, origin, diaries } = await pair();
    let n = 3;
    let isMoved = false;
    net.fault = ({ type }) => {
      // Two more events with every message that the move takes.
      for (let i = 0; i < 2 && !isMoved; i++) {
        void a.runtime.deliver(origin, event(++n)).catch(() => {
          n--;
          isMoved = true;
        });
      }
      return type === "buffered-events" ? { copies: 2 } : undefined;
    };
    const migration = await a.migrator.startMigration(origin, B);
    await finished(net, migration);
    expect(migration.outcome?.node).toBe(B);
    const late = await failure(() => a.runtime.deliver(origin, event(99)));
    expect([late.code, late.node]).toEqual(["migrated", B]);
    await b.runtime.deliver(origin, event(n + 1));
    expect(n).toBeGreaterThan(5);
    expect(diaries[1]?.entries).toEqual(numbers(n + 1));
  });

  it("is split into packets with its events, however many", async () => {
    const { net, a, origin, diaries } = await pair();
    net.fault = ({ type }) => {
      if (type === "restore-complete") {
        for (let n = 4; n <= 1000; n++) void a.runtime.deliver(origin, event(n));
      }
      return undefined;
    };
    const migration = await a.migrator.startMigration(origin, B);
    await finished(net, migration);
    expect(net.log.filter((line) => line === "1>2 buffered-events").length).toBeGreaterThan(5);
    expect(diaries[1]?.entries).toEqual(numbers(1000));
  });

  it("can come back with its key", async () => {
    const { net, a, b, origin } = await pair();
    await finished(net, await a.migrator.startMigration(origin, B));
    const back = await b.migrator.startMigration(origin, A);
    await finished(net, back);
    expect(back.outcome?.node).toBe(A);
    expect(fromU64((await a.runtime.deliver(origin, event(4)))[0]?.payload as Uint8Array)).toBe(4n);
    expect(await codeOf(() => b.runtime.deliver(origin, event(5)))).toBe("migrated");
  });

  it("leaves no copy of its key at the source", async () => {
    const { net, a, origin } = await pair();
    await finished(net, await a.migrator.startMigration(origin, B));
    const again = await a.runtime.spawn("diary", { identity: identity(1) }).catch((error) => error);
    expect(String(again)).toContain("already registered");
    expect(a.runtime.forget(origin)).toBe(true);
  });

  it("moves without its key where that is registered at the target", async () => {
    const { net, a, b, id, origin } = await pair();
    b.runtime.forget(origin);
    b.runtime.registerMigrationTargetIdentity("diary", id);
    net.unknownKeys.add(`${A}>${B}`);
    const migration = await a.migrator.startMigration(origin, B, { transportIdentity: false });
    await finished(net, migration);
    expect(migration.outcome?.node).toBe(B);
  });
});

describe("a move that cannot be", () => {
  it("is refused before the runtime is ready, and after", async () => {
    const net = new MigrationNet();
    const a = await net.node(A, { isStarted: false });
    expect(await codeOf(() => a.migrator.startMigration(1n, B))).toBe("not-ready");
    await a.runtime.shutdown();
    expect(await codeOf(() => a.migrator.startMigration(1n, B))).toBe("shutting-down");
  });

  it("is refused and forgotten when nobody is there, the daemon is not, is stateless or already moving", async () => {
    const { net, a, origin } = await pair();
    const start = (to: bigint, which = origin) => codeOf(() => a.migrator.startMigration(which, to));
    expect(await start(99n)).toBe("target-unavailable");
    expect(await start(99n)).toBe("target-unavailable");
    expect(await start(A)).toBe("target-unavailable");
    expect(await start(B, 77n)).toBe("daemon-not-found");
    const echo = await a.runtime.spawn("echo");
    expect(await start(B, echo.originHash)).toBe("state-failed");
    expect(await codeOf(() => a.migrator.startMigrationAnywhere(origin))).toBe("no-target-available");
    expect(net.pending).toBe(0);
    const migration = await a.migrator.startMigration(origin, B);
    expect(await start(B)).toBe("already-migrating");
    await finished(net, migration);
    expect(migration.outcome?.node).toBe(B);
  });

  it("is refused when the key cannot be sealed, and says how it can be", async () => {
    const { net, a, origin } = await pair();
    net.unknownKeys.add(`${A}>${B}`);
    const error = await failure(() => a.migrator.startMigration(origin, B));
    expect(error.code).toBe("state-failed");
    expect(error.message).toContain("transport_identity");
    await a.runtime.deliver(origin, event(4));
    expect(net.pending).toBe(0);
  });

  it.each([
    ["factory-not-found", (b: TestNode, origin: bigint) => void b.runtime.forget(origin), {}],
    ["state-failed", () => {}, { transportIdentity: false }],
  ] as const)("ends with %s, and the daemon serves on", async (code, prepare, options) => {
    const { net, a, b, origin, diaries } = await pair();
    prepare(b, origin);
    const migration = await a.migrator.startMigration(origin, B, options);
    await finished(net, migration);
    expect(migration.error?.code).toBe(code);
    expect(migration.liveCopy).toEqual({ kind: "live", node: A });
    await a.runtime.deliver(origin, event(4));
    expect(diaries[0]?.entries).toEqual(numbers(4));
    expect([net.pending, b.runtime.daemonCount]).toEqual([0, 0]);
  });

  it("ends when the target cannot restore, and can be tried again", async () => {
    const { net, a, b, origin } = await pair();
    let fails = true;
    b.runtime.forget(origin);
    b.runtime.registerFactory("moody", () => {
      if (fails) throw new Error("no mood");
      return new Diary();
    });
    b.runtime.expectMigration("moody", origin);
    const first = await finished(net, await a.migrator.startMigration(origin, B));
    expect(first.error?.message).toContain("no mood");
    fails = false;
    const second = await finished(net, await a.migrator.startMigration(origin, B));
    expect(second.outcome?.node).toBe(B);
  });

  it("waits for a target that is not ready yet", async () => {
    const { net, a, b, origin } = await pair({ b: { isStarted: false } });
    const migration = await a.migrator.startMigration(origin, B);
    await net.run(400);
    await b.runtime.start();
    await finished(net, migration);
    expect(migration.outcome).toMatchObject({ node: B, attempts: 2 });
  });

  it("gives up on a target that does not get ready, within its patience, or at once when told so", async () => {
    const { net, a, origin } = await pair({ b: { isStarted: false } });
    const beganMs = net.time.nowMs;
    const patient = await finished(
      net,
      await a.migrator.startMigration(origin, B, { retryNotReadyMs: 2000 }),
    );
    expect(patient.error?.code).toBe("not-ready-timeout");
    expect(patient.error?.failure).toEqual({ kind: "not-ready-timeout", attempts: 4 });
    expect(net.time.nowMs - beganMs).toBeLessThanOrEqual(2100);
    const hasty = await finished(net, await a.migrator.startMigration(origin, B, { retryNotReadyMs: 0 }));
    expect(hasty.error?.code).toBe("not-ready");
  });

  it("can be cancelled until the daemon is handed over; both sides are free at once", async () => {
    const { net, a, b, origin } = await pair();
    net.fault = ({ type }) => (type === "replay-complete" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(origin, B);
    await net.run(100);
    expect(b.migrator.pending).toBe(1);
    migration.cancel();
    expect(await codeOf(() => migration.done)).toBe("cancelled");
    await net.flush();
    expect(net.pending).toBe(0);
    expect(await codeOf(() => migration.cancel())).toBe("daemon-not-found");
    await a.runtime.deliver(origin, event(4));
    net.fault = () => undefined;
    const again = await finished(net, await a.migrator.startMigration(origin, B));
    expect(again.outcome?.node).toBe(B);
  });

  it("ends with the caller's patience, and without one waits for two minutes and more", async () => {
    const { net, a, origin } = await pair({ a: { phaseTimeoutMs: 1_000_000 } });
    net.fault = () => ({ copies: 0 });
    const migration = await a.migrator.startMigration(origin, B);
    let isSettled = false;
    void migration.wait().catch(() => (isSettled = true));
    await net.run(120_000);
    expect(isSettled).toBe(false);
    const impatient = codeOf(() => migration.wait({ timeoutMs: 100 }));
    await net.run(200);
    expect(await impatient).toBe("timeout");
    expect(net.pending).toBe(0);
  });

  it("settles when the runtime ends", async () => {
    const { net, a, origin } = await pair();
    net.fault = ({ type }) => (type === "replay-complete" ? { copies: 0 } : undefined);
    const migration = await a.migrator.startMigration(origin, B);
    await net.run(100);
    const ending = a.runtime.shutdown(0);
    await net.run(100);
    await ending;
    expect(migration.error?.code).toBe("shutting-down");
    expect(net.pending).toBe(0);
  });
});

describe("a datagram that is lost", () => {
  const TYPES = [
    "snapshot-ready",
    "restore-complete",
    "buffered-events",
    "replay-complete",
    "activate-target",
    "activate-ack",
  ];

  it.each(TYPES)("%s, once: the move succeeds all the same, with every event", async (lost) => {
    const { net, a, b, origin, diaries } = await pair();
    let isLost = false;
    net.fault = ({ type }) => {
      if (type === "replay-complete" && diaries[0]?.entries.length === 3)
        void a.runtime.deliver(origin, event(4));
      if (type !== lost || isLost) return undefined;
      isLost = true;
      return { copies: 0 };
    };
    const migration = await finished(net, await a.migrator.startMigration(origin, B));
    expect(migration.outcome?.node).toBe(B);
    await b.runtime.deliver(origin, event(5));
    expect(diaries[1]?.entries).toEqual(numbers(5));
    expect(net.pending).toBe(0);
  });

  it.each(TYPES)("%s, always: the move ends, with one live copy at most", async (lost) => {
    const { net, a, b, origin } = await pair();
    net.fault = ({ type }) => (type === lost ? { copies: 0 } : undefined);
    const migration = await finished(net, await a.migrator.startMigration(origin, B));
    const { liveCopy } = migration;
    expect(migration.error?.code).toBe("timeout");
    expect(a.runtime.daemonCount + b.runtime.daemonCount).toBeLessThanOrEqual(1);
    if (liveCopy.kind === "live") await a.runtime.deliver(origin, event(4));
    else expect(lost).toMatch(/^activate/);
    expect(a.migrator.pending).toBe(0);
  });
});

describe("a message of somebody without a say", () => {
  it("changes nothing, whatever it is", async () => {
    const { net, a, b, origin } = await pair();
    const stranger = 66n;
    const messages: MigrationMessage[] = [
      { type: "cutover-notify", originHash: origin, targetNode: stranger },
      { type: "cleanup-complete", originHash: origin },
      { type: "restore-complete", originHash: origin, restoredSeq: 3n },
      {
        type: "replay-complete",
        originHash: origin,
        replayedSeq: 99n,
        targetHead: { originHash: origin, horizon: 0n, sequence: 3n, parentHash: 0n },
      },
      { type: "activate-ack", originHash: origin, replayedSeq: 3n },
      { type: "activate-target", originHash: origin },
      { type: "buffered-events", originHash: origin, events: [input(origin, 4n, "forged")] },
      { type: "migration-failed", originHash: origin, reason: { kind: "compute-not-supported" } },
      {
        type: "snapshot-ready",
        originHash: origin,
        seqThrough: 9n,
        chunkIndex: 0,
        totalChunks: 1,
        chunk: u64(9n),
      },
    ];
    net.fault = ({ from }) => {
      if (from === stranger) return undefined;
      for (const message of messages) {
        for (const { id } of [a, b]) net.inject(stranger, id, encodeMigrationMessage(message));
      }
      return undefined;
    };
    const migration = await finished(net, await a.migrator.startMigration(origin, B));
    expect(migration.outcome?.node).toBe(B);
    expect(a.migrator.stats().wrongPeer).toBeGreaterThan(0);
    expect(b.migrator.stats().wrongPeer).toBeGreaterThan(0);
    const [output] = await b.runtime.deliver(origin, event(4));
    expect(fromU64(output?.payload as Uint8Array)).toBe(4n);
  });

  it("does not get a daemon, nor its key, unless the application says so", async () => {
    const { net, a, origin } = await pair();
    const ask = encodeMigrationMessage({ type: "take-snapshot", originHash: origin, targetNode: B });
    net.inject(B, A, ask);
    await net.flush();
    expect(net.log).toEqual(["1>2 migration-failed"]);
    expect(a.migrator.stats().refusedRequests).toBe(1);
    expect(a.runtime.daemonCount).toBe(1);
  });

  it("is counted when it is no message at all", async () => {
    const { net, a } = await pair();
    net.inject(B, A, Uint8Array.of(200, 1, 2));
    expect(a.migrator.stats().malformed).toBe(1);
  });
});

describe("a move that a third node conducts", () => {
  async function trio(): Promise<Pair & { readonly c: TestNode }> {
    const two = await pair({
      a: { authorize: ({ orchestrator, target }) => orchestrator === C && target === B },
    });
    const c = await two.net.node(C);
    two.b.runtime.forget(two.origin);
    two.b.runtime.expectMigration("diary", two.origin);
    return { ...two, c };
  }

  it("succeeds with every event, if the source allows it", async () => {
    const { net, a, b, c, origin, diaries } = await trio();
    net.fault = ({ type }) => {
      if (type === "restore-complete") for (const n of [4, 5]) void a.runtime.deliver(origin, event(n));
      return undefined;
    };
    const migration = await finished(net, await c.migrator.startMigration(origin, B, { source: A }));
    expect(migration.outcome?.node).toBe(B);
    await net.flush();
    expect([a.runtime.daemonCount, b.runtime.daemonCount]).toEqual([0, 1]);
    expect(diaries[1]?.entries).toEqual(numbers(5));
    expect(net.log).toContain("1>2 buffered-events");
  });

  it.each(["cutover-notify", "cleanup-complete", "activate-target", "restore-complete"])(
    "survives that %s is lost",
    async (lost) => {
      const { net, b, c, origin } = await trio();
      let isLost = false;
      net.fault = ({ type }) => {
        if (type !== lost || isLost) return undefined;
        isLost = true;
        return { copies: 0 };
      };
      const migration = await finished(net, await c.migrator.startMigration(origin, B, { source: A }));
      if (lost === "restore-complete") expect(migration.outcome ?? migration.error).toBeDefined();
      else expect(migration.outcome?.node).toBe(B);
      expect(b.runtime.daemonCount).toBe(migration.outcome === undefined ? 0 : 1);
    },
  );

  it("ends at all three when it is cancelled", async () => {
    const { net, a, c, origin } = await trio();
    net.fault = ({ type }) => (type === "restore-complete" ? { copies: 0 } : undefined);
    const migration = await c.migrator.startMigration(origin, B, { source: A });
    await net.run(200);
    expect(net.pending).toBe(3);
    migration.cancel();
    await net.flush();
    expect(net.pending).toBe(0);
    await a.runtime.deliver(origin, event(4));
  });
});

describe("the channels of a daemon that moves", () => {
  it("are subscribed at the target before the source leaves them, and one that fails does not stop the others", async () => {
    const calls: string[] = [];
    const channelsOf = (node: string) => ({
      subscribe: async (_: bigint, channel: string): Promise<void> => {
        calls.push(`${node}+${channel}`);
        if (node === "b" && channel === "closed") throw new Error("refused");
      },
      unsubscribe: async (_: bigint, channel: string): Promise<void> => {
        calls.push(`${node}-${channel}`);
      },
    });
    const { net, a, b, origin } = await pair({
      a: { channels: channelsOf("a") },
      b: { channels: channelsOf("b") },
    });
    for (const channel of ["open", "closed", "third"]) {
      await a.runtime.subscribeChannel(origin, { publisher: C, channel });
    }
    calls.length = 0;
    const migration = await finished(net, await a.migrator.startMigration(origin, B));
    expect(migration.outcome?.node).toBe(B);
    expect(calls).toEqual(["b+open", "b+closed", "b+third", "a-open", "a-closed", "a-third"]);
    expect(b.events).toContainEqual(expect.objectContaining({ kind: "subscription-failed" }));
    expect(b.runtime.subscriptions(origin)).toHaveLength(3);
  });
});
