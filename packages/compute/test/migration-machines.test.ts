import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  type CausalLink,
  DaemonHost,
  DaemonRegistry,
  FactoryRegistry,
  type MigrationError,
  MigrationOrchestrator,
  MigrationRecord,
  MigrationSource,
  MigrationTarget,
  type SnapshotReady,
  type StateSnapshot,
} from "../src/index.ts";
import { CounterDaemon, codeOf, EchoDaemon, failure, identity, input, u64 } from "./support/daemons.ts";
import { compute, hex } from "./support/vectors.ts";

const ID = identity(1);
const ORIGIN = ID.originHash;
const event = (n: number): CausalEvent => input(0xaaaan, BigInt(n), `e${n}`);

function link(originHash: bigint): CausalLink {
  return { originHash, horizon: 0n, sequence: 3n, parentHash: 0n };
}

function sourceOf(limits?: { maxEvents?: number; maxBytes?: number }) {
  const daemons = new DaemonRegistry();
  const counter = new CounterDaemon();
  const host = DaemonHost.create(ID, counter);
  daemons.register(host);
  const overflows: MigrationError[] = [];
  const source = new MigrationSource({
    daemons,
    ...(limits === undefined ? {} : { limits }),
    onOverflow: (_, error) => overflows.push(error),
  });
  return { source, daemons, host, counter, overflows };
}

async function targetOf(events = 5) {
  const daemons = new DaemonRegistry();
  const factories = new FactoryRegistry();
  const counter = new CounterDaemon();
  const original = DaemonHost.create(ID, new CounterDaemon());
  for (let n = 1; n <= events; n++) await original.deliver(event(n));
  const snapshot = (await original.snapshot()) as StateSnapshot;
  const host = await DaemonHost.fromSnapshot(snapshot, ID, counter);
  const left: CausalEvent[] = [];
  const target = new MigrationTarget({ daemons, factories, onLeftOver: (_, rest) => left.push(...rest) });
  target.admit(host, snapshot, 7n);
  return { target, daemons, host, counter, snapshot, left };
}

describe("the record of a migration", () => {
  it("goes through the phases of the reference, and refuses steps of others", async () => {
    const record = new MigrationRecord(ORIGIN, 1n, 2n, 0);
    for (const { op, result, phase } of compute.migration_state) {
      const steps: Record<string, () => void> = {
        new: () => {},
        "set_snapshot(other entity)": () => record.snapshotTaken({ chainLink: link(1n) }, 0),
        set_snapshot: () => record.snapshotTaken({ chainLink: link(ORIGIN) }, 0),
        transfer_complete: () => record.transferComplete(0),
        restore_complete: () => record.restoreComplete(0),
        replay_complete: () => record.replayComplete(0),
        cutover_complete: () => record.cutoverComplete(0),
      };
      const step = steps[op.replace(/ (again|too early)$/, "")];
      if (step === undefined) throw new Error(op);
      if (result === "ok") step();
      else {
        const error = await failure(step);
        expect(error.code, op).toBe(result.startsWith("WrongPhase") ? "wrong-phase" : "state-failed");
        const phases = /expected: (\w+), got: (\w+)/.exec(result);
        if (phases !== null) {
          expect(error.message).toContain(
            `expected ${phases[1]?.toLowerCase()}, got ${phases[2]?.toLowerCase()}`,
          );
        }
      }
      expect(record.phase, op).toBe(phase.toLowerCase());
    }
  });
});

describe("an orchestrator", () => {
  const origin = BigInt(compute.orchestrator_daemon_origin);
  const vector = compute.orchestrator.find(({ op }) => op === "on_snapshot_ready") as {
    result: { snapshot_bytes: string };
  };
  const ready = (fields: Partial<SnapshotReady> = {}): SnapshotReady => ({
    type: "snapshot-ready",
    originHash: origin,
    seqThrough: 3n,
    chunkIndex: 0,
    totalChunks: 1,
    chunk: hex(vector.result.snapshot_bytes),
    ...fields,
  });

  it("answers as the reference, through a whole migration", async () => {
    const orchestrator = new MigrationOrchestrator();
    orchestrator.start(origin, 1n, 2n, 0);
    expect(await codeOf(() => orchestrator.start(origin, 1n, 2n, 0))).toBe("already-migrating");
    expect(await codeOf(() => orchestrator.onSnapshotReady(ready({ seqThrough: 4n }), 0))).toBe(
      "state-failed",
    );
    expect(await codeOf(() => orchestrator.onSnapshotReady(ready({ chunk: new Uint8Array(20) }), 0))).toBe(
      "state-failed",
    );
    expect(orchestrator.get(origin)?.phase).toBe("snapshot");
    expect(orchestrator.onSnapshotReady(ready(), 0)).toEqual({ to: 2n, message: ready() });
    expect(orchestrator.get(origin)?.phase).toBe("transfer");
    const trigger = { type: "buffered-events", originHash: origin, events: [] };
    expect(orchestrator.onRestoreComplete(origin, 0)).toEqual({ to: 2n, message: trigger });
    expect(orchestrator.onReplayComplete(origin, 0)).toEqual({
      to: 1n,
      message: { type: "cutover-notify", originHash: origin, targetNode: 2n },
    });
    const activate = { to: 2n, message: { type: "activate-target", originHash: origin } };
    expect(orchestrator.onCleanupComplete(origin, 0)).toEqual(activate);
    expect(orchestrator.get(origin)?.phase).toBe("complete");
    orchestrator.onActivateAck(origin);
    expect(await codeOf(() => orchestrator.onActivateAck(origin))).toBe("daemon-not-found");
  });

  it("is not moved by what comes early or again", async () => {
    const orchestrator = new MigrationOrchestrator();
    orchestrator.start(origin, 1n, 2n, 0);
    for (const early of [
      () => orchestrator.onRestoreComplete(origin, 0),
      () => orchestrator.onReplayComplete(origin, 0),
      () => orchestrator.onCleanupComplete(origin, 0),
      () => orchestrator.onActivateAck(origin),
    ]) {
      expect(await codeOf(early)).toBe("wrong-phase");
    }
    orchestrator.onSnapshotReady(ready(), 0);
    orchestrator.onRestoreComplete(origin, 0);
    expect(orchestrator.onRestoreComplete(origin, 0)?.message.type).toBe("buffered-events");
    orchestrator.onReplayComplete(origin, 0);
    expect(orchestrator.onRestoreComplete(origin, 0)).toBeUndefined();
    expect(orchestrator.onSnapshotReady(ready(), 0)).toBeUndefined();
    expect(orchestrator.onReplayComplete(origin, 0)?.message.type).toBe("cutover-notify");
    orchestrator.onCleanupComplete(origin, 0);
    expect(orchestrator.onReplayComplete(origin, 0)).toBeUndefined();
    expect(orchestrator.onCleanupComplete(origin, 0).message.type).toBe("activate-target");
  });

  it("takes the first of several chunks for the snapshot, and other daemons' for none", async () => {
    const orchestrator = new MigrationOrchestrator();
    orchestrator.start(origin, 1n, 2n, 0);
    orchestrator.start(5n, 1n, 2n, 0);
    expect(
      await codeOf(() => orchestrator.onSnapshotReady(ready({ originHash: 5n, totalChunks: 4 }), 0)),
    ).toBe("state-failed");
    orchestrator.onSnapshotReady(ready({ totalChunks: 4 }), 0);
    expect([orchestrator.get(origin)?.phase, orchestrator.get(5n)?.phase]).toEqual(["transfer", "snapshot"]);
  });
});

describe("a source", () => {
  it("has an event either in the snapshot or in the buffer, and serves until the cutover", async () => {
    const { source, host, counter } = sourceOf();
    await host.deliver(event(1));
    const record = await source.start(ORIGIN, 2n, 1n);
    expect(record.snapshot.state).toEqual(u64(1n));
    await host.deliver(event(2));
    expect(source.takeBuffered(ORIGIN).map((e) => e.link.sequence)).toEqual([2n]);
    await host.deliver(event(3));
    expect((await source.cutover(ORIGIN)).map((e) => e.link.sequence)).toEqual([3n]);
    const waiting = codeOf(() => host.deliver(event(4)));
    expect(await codeOf(() => source.takeBuffered(ORIGIN))).toBe("wrong-phase");
    expect(await codeOf(() => source.bufferEvent(ORIGIN, event(4)))).toBe("state-failed");
    expect(source.cleanup(ORIGIN)).toBe(true);
    expect(await waiting).toBe("migrated");
    expect([counter.count, host.identity.isPublicOnly]).toEqual([3n, true]);
  });

  it("lets one of two moves begin, and none of a stateless or unknown daemon", async () => {
    const { source, daemons } = sourceOf();
    const both = [source.start(ORIGIN, 2n, 1n), source.start(ORIGIN, 3n, 1n)].map((move) =>
      codeOf(() => move),
    );
    expect((await Promise.allSettled(both)).map(({ status }) => status).sort()).toEqual([
      "fulfilled",
      "rejected",
    ]);
    expect(source.size).toBe(1);
    const echo = DaemonHost.create(identity(2), new EchoDaemon());
    daemons.register(echo);
    expect(await codeOf(() => source.start(echo.originHash, 2n, 1n))).toBe("state-failed");
    expect(await codeOf(() => source.start(99n, 2n, 1n))).toBe("daemon-not-found");
    expect(source.size).toBe(1);
  });

  it("leaves a daemon alone that was never to move, and one whose move is aborted", async () => {
    const { source, daemons, host } = sourceOf();
    expect(source.cleanup(ORIGIN)).toBe(false);
    await source.start(ORIGIN, 2n, 1n);
    expect(await codeOf(() => source.cleanup(ORIGIN))).toBe("wrong-phase");
    await source.cutover(ORIGIN);
    expect(source.abort(ORIGIN)).toBe(true);
    await host.deliver(event(1));
    expect([source.abort(ORIGIN), source.bufferEvent(ORIGIN, event(1)), daemons.size]).toEqual([
      false,
      false,
      1,
    ]);
  });

  it.each([
    ["as many events are kept as may be", { maxEvents: 1 }],
    ["as many bytes", { maxBytes: 60 }],
  ])("says so when %s", async (_, limits) => {
    const { source, host, overflows } = sourceOf(limits);
    await source.start(ORIGIN, 2n, 1n);
    await host.deliver(event(1));
    expect(overflows).toHaveLength(0);
    await host.deliver(event(2));
    expect(overflows[0]?.code).toBe("buffer-full");
  });
});

describe("a target", () => {
  it("replays what continues the snapshot, once, in order, whenever it comes", async () => {
    const { target, counter } = await targetOf();
    expect(await target.replay(ORIGIN, [event(7), event(5)])).toBe(5n);
    expect(await target.bufferEvent(ORIGIN, event(6))).toBe(true);
    expect(await target.replay(ORIGIN, [event(6), event(7), event(8)])).toBe(8n);
    expect(counter.count).toBe(8n);
    expect(await target.bufferEvent(99n, event(1))).toBe(false);
  });

  it("has ten events in the snapshot and five behind them: all fifteen", async () => {
    const { target, counter, host } = await targetOf(10);
    expect(await target.replay(ORIGIN, [11, 12, 13, 14, 15].map(event))).toBe(15n);
    expect([counter.count, host.stats().eventsProcessed]).toEqual([15n, 5]);
  });

  it("cannot be reached before it is activated, and says the same as often as asked", async () => {
    const { target, daemons, left } = await targetOf();
    await target.replay(ORIGIN, [event(6), event(9)]);
    expect(daemons.size).toBe(0);
    expect(await target.activate(ORIGIN)).toBe(6n);
    expect(await target.activate(ORIGIN)).toBe(6n);
    expect(daemons.size).toBe(1);
    expect(left.map((e) => e.link.sequence)).toEqual([9n]);
    expect(await target.replay(ORIGIN, [event(7)])).toBe(6n);
    expect(await codeOf(() => target.activate(99n))).toBe("daemon-not-found");
  });

  it("gives late events to the daemon when they continue, and reports the others", async () => {
    const { target, counter, left } = await targetOf();
    await target.activate(ORIGIN);
    await target.deliverLate(ORIGIN, [event(5), event(6), event(8)]);
    expect([counter.count, left.map((e) => e.link.sequence)]).toEqual([6n, [8n]]);
  });

  it("keeps what it has processed when the daemon fails, and goes on from there", async () => {
    const { target, counter } = await targetOf();
    const process = counter.process.bind(counter);
    let fails = true;
    counter.process = () => {
      if (counter.count === 6n && fails) throw new Error("not now");
      return process();
    };
    expect(await codeOf(() => target.replay(ORIGIN, [event(6), event(7)]))).toBe("core");
    fails = false;
    expect(await target.replay(ORIGIN, [])).toBe(7n);
  });

  it("is left empty by an abort", async () => {
    const { target, host, daemons, snapshot } = await targetOf();
    expect(await codeOf(() => target.admit(host, snapshot, 7n))).toBe("already-migrating");
    expect(target.abort(ORIGIN)).toBe(true);
    expect([target.size, daemons.size, host.isClosed, target.abort(ORIGIN)]).toEqual([0, 0, true, false]);
  });
});
