import { Identity } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import {
  type CausalEvent,
  type Daemon,
  DaemonHost,
  type DaemonOutput,
  decodeSnapshot,
  encodeCausalLink,
  encodeSnapshot,
  forkRecord,
  parentHash,
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
  u64,
} from "./support/daemons.ts";
import { compute, event, hex, toHex } from "./support/vectors.ts";
import { settle, VirtualTime } from "./support/virtual-time.ts";

/** The daemon of the vectors: sums up the bytes it is told. */
class SumDaemon implements Daemon {
  readonly name: string = "sum";
  #sum = 0n;
  #count = 0n;

  process({ payload }: CausalEvent): DaemonOutput {
    this.#count++;
    for (const byte of payload) this.#sum += BigInt(byte);
    if (payload[0] === 0xee) throw new Error("poison");
    if (payload.length === 0) return undefined;
    const output = new Uint8Array(16 + payload.length);
    output.set(this.snapshot());
    output.set(payload, 16);
    return payload.length > 3 ? [output, output] : output;
  }

  snapshot(): Uint8Array {
    const state = new Uint8Array(16);
    state.set(u64(this.#sum));
    state.set(u64(this.#count), 8);
    return state;
  }

  restore(state: Uint8Array): void {
    this.#sum = fromU64(state);
    this.#count = fromU64(state.subarray(8));
  }
}

const CAUSE = 0xaaaan;
const ID = identity(1);

async function outputsOf(host: DaemonHost, input: CausalEvent): Promise<readonly CausalEvent[]> {
  return await host.deliver(input);
}

function described(outputs: readonly CausalEvent[]): unknown {
  return outputs.map((output) => ({
    link: toHex(encodeCausalLink(output.link)),
    payload: toHex(output.payload),
  }));
}

async function snapshotOf(host: DaemonHost): Promise<StateSnapshot> {
  const snapshot = await host.snapshot();
  if (snapshot === undefined) throw new Error("stateless");
  return snapshot;
}

describe("against the reference", () => {
  const vectors = compute.daemon_host;
  const key = Identity.fromSeed(hex(vectors[0]?.host_seed as string));
  const deliveries = vectors.filter((vector) => vector.op === "deliver");

  it("a host's outputs, chain, statistics and snapshot are those of the vectors", async () => {
    const time = new VirtualTime();
    const host = DaemonHost.create(key, new SumDaemon(), { time });
    for (const vector of deliveries) {
      const delivered = event(vector.input as { link: string; payload: string });
      const expected = vector.outputs;
      if (Array.isArray(expected)) expect(described(await outputsOf(host, delivered))).toEqual(expected);
      else expect((await failure(() => host.deliver(delivered))).message).toBe(expected?.error);
      const { eventsProcessed: processed, eventsEmitted: emitted, errors } = host.stats();
      expect({ processed, emitted, errors }).toEqual(vector.stats);
      expect(host.head.sequence).toBe(BigInt(vector.sequence as string));
    }
    const taken = encodeSnapshot({ ...(await snapshotOf(host)), createdAt: 42n });
    expect(toHex(taken)).toBe(vectors[5]?.snapshot);
  });

  it.each([
    ["state", vectors[6]],
    ["head", vectors[7]],
  ])("the first output after a restore follows the %s", async (anchor, vector) => {
    const decoded = decodeSnapshot(hex(vectors[5]?.snapshot as string)) as StateSnapshot;
    const headHash = parentHash(decoded.chainLink, bytes("head"));
    const snapshot = anchor === "head" ? { ...decoded, headHash } : decoded;
    const host = await DaemonHost.fromSnapshot(snapshot, key, new SumDaemon());
    const delivered = event(vector?.input as { link: string; payload: string });
    expect(described(await outputsOf(host, delivered))).toEqual(vector?.outputs);
    expect(host.head.sequence).toBe(5n);
  });

  it("a snapshot is not restored for another key", async () => {
    const decoded = decodeSnapshot(hex(vectors[5]?.snapshot as string)) as StateSnapshot;
    const daemon = new CounterDaemon();
    expect(await reasonOf(() => DaemonHost.fromSnapshot(decoded, ID, daemon))).toBe("restore-failed");
    expect(daemon.calls).toEqual([]);
  });
});

describe("delivering", () => {
  it("several outputs of one event have consecutive sequences and one horizon", async () => {
    const host = DaemonHost.create(ID, {
      name: "three",
      process: () => [bytes("a"), bytes("b"), bytes("c")],
    });
    const outputs = await host.deliver(input(CAUSE, 1n, "x"));
    expect(outputs.map(({ link }) => link.sequence)).toEqual([1n, 2n, 3n]);
    expect(new Set(outputs.map(({ link }) => link.horizon))).toEqual(new Set([0x0020040080000000n]));
    expect(outputs.every(({ link }) => link.originHash === ID.originHash)).toBe(true);
  });

  it.each([
    ["nothing", undefined],
    ["an empty list", []],
  ])("a daemon that says %s leaves its chain alone", async (_, output) => {
    const host = DaemonHost.create(ID, { name: "mute", process: () => output });
    expect(await host.deliver(input(CAUSE, 1n, "x"))).toEqual([]);
    expect(host.head.sequence).toBe(0n);
    expect(host.stats()).toMatchObject({ eventsProcessed: 1, eventsEmitted: 0 });
  });

  it("a daemon that throws has one more error, has seen the event, and goes on", async () => {
    let isBroken = true;
    const host = DaemonHost.create(ID, {
      name: "moody",
      process: () => {
        if (isBroken) throw new Error("not today");
        return bytes("fine");
      },
    });
    const error = await failure(() => host.deliver(input(CAUSE, 7n, "x")));
    expect(error).toMatchObject({ code: "core", reason: "process-failed", originHash: ID.originHash });
    expect(error.message).toContain("not today");
    expect(host.stats()).toMatchObject({ eventsProcessed: 0, errors: 1 });
    expect(host.head.sequence).toBe(0n);
    expect(host.horizon.hasObserved(CAUSE, 7n)).toBe(true);
    isBroken = false;
    expect(await host.deliver(input(CAUSE, 8n, "x"))).toHaveLength(1);
  });

  it("repeated and older events are processed like any other", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon());
    for (const sequence of [5n, 5n, 1n]) await host.deliver(input(CAUSE, sequence, "x"));
    expect(host.stats().eventsProcessed).toBe(3);
  });

  it.each([
    ["a number", 7],
    ["null", null],
    ["a list with a text in it", [bytes("a"), "b"]],
  ])("a daemon that says %s fails and leaves its chain alone", async (_, output) => {
    const daemon = { name: "nonsense", process: () => output } as unknown as Daemon;
    const host = DaemonHost.create(ID, daemon);
    expect(await reasonOf(() => host.deliver(input(CAUSE, 1n, "x")))).toBe("process-failed");
    expect(host.head.sequence).toBe(0n);
    expect(host.stats()).toMatchObject({ eventsProcessed: 0, eventsEmitted: 0, errors: 1 });
  });

  it.each([
    ["one output", 1, 0xffff_ffff_ffff_ffffn],
    ["two outputs", 2, 0xffff_ffff_ffff_fffen],
  ])("at the end of its chain %s fail as a whole", async (_, count, sequence) => {
    const genesis = forkRecord(1n, ID.originHash, 3n);
    const record = { ...genesis, forkGenesis: { ...genesis.forkGenesis, sequence } };
    const outputs = Array.from({ length: count }, () => bytes("x"));
    const daemon: Daemon = { name: "last", process: () => (count === 1 ? outputs[0] : outputs) };
    const host = DaemonHost.fromFork(record, ID, daemon);
    const error = await failure(() => host.deliver(input(CAUSE, 1n, "x")));
    expect(error.message).toContain("sequence overflow");
    expect(host.head.sequence).toBe(sequence);
  });

  it("nobody can alter the chain by changing a payload afterwards", async () => {
    const honest = DaemonHost.create(ID, new EchoDaemon());
    const tampered = DaemonHost.create(ID, new EchoDaemon());
    await honest.deliver(input(CAUSE, 1n, "same"));
    const [output] = await tampered.deliver(input(CAUSE, 1n, "same"));
    output?.payload.fill(0);
    const [a] = await honest.deliver(input(CAUSE, 2n, "next"));
    const [b] = await tampered.deliver(input(CAUSE, 2n, "next"));
    expect(b?.link).toEqual(a?.link);
  });

  it("a gate sees what was delivered, and what it refuses has no effect", async () => {
    const host = DaemonHost.create(ID, new EchoDaemon());
    const seen: string[] = [];
    host.gate = {
      admit: (event) => {
        if (text(event.payload) === "no") throw new Error("refused");
      },
      delivered: (event, outputs) => seen.push(`${text(event.payload)}:${outputs.length}`),
    };
    await host.deliver(input(CAUSE, 1n, "yes"));
    expect(() => host.deliver(input(CAUSE, 2n, "no"))).toThrow("refused");
    expect(seen).toEqual(["yes:1"]);
    expect(host.horizon.hasObserved(CAUSE, 2n)).toBe(false);
    await host.replay(input(CAUSE, 3n, "no"));
    expect(host.head.sequence).toBe(2n);
    expect(seen).toEqual(["yes:1"]);
  });
});

describe("turns", () => {
  it("events of a slow daemon are processed one after the other, in order", async () => {
    const daemon = new SlowDaemon();
    const host = DaemonHost.create(ID, daemon, { time: new VirtualTime() });
    const first = host.deliver(input(CAUSE, 1n, "a"));
    const second = host.deliver(input(CAUSE, 2n, "b"));
    expect(daemon.seen).toEqual(["a"]);
    expect(host.stats().pending).toBe(1);
    daemon.calls[0]?.resolve(bytes("A"));
    expect((await first)[0]?.link.sequence).toBe(1n);
    await settle();
    expect(daemon.seen).toEqual(["a", "b"]);
    daemon.calls[1]?.resolve(bytes("B"));
    expect((await second)[0]?.link.sequence).toBe(2n);
  });

  it("whoever delivers is told when the daemon begins with the event, which it never does with a refused one", async () => {
    const daemon = new SlowDaemon();
    const host = DaemonHost.create(ID, daemon, { time: new VirtualTime() });
    host.gate = {
      admit: ({ payload }) => {
        if (text(payload) === "no") throw new Error("refused");
      },
    };
    const begun: string[] = [];
    const deliver = (name: string) =>
      host.deliver(input(CAUSE, 1n, name), () => begun.push(`${name} ${daemon.seen.length}`));
    const first = deliver("a");
    const refused = deliver("no");
    void deliver("b");
    expect(begun).toEqual(["a 0"]);
    const held = host.hold();
    daemon.calls[0]?.reject(new Error("it fails all the same"));
    await expect(first).rejects.toThrow("fails");
    await expect(refused).rejects.toThrow("refused");
    await settle();
    expect(begun).toEqual(["a 0", "b 1"]);
    daemon.calls[1]?.resolve(undefined);
    const { release } = await held;
    void deliver("c");
    await settle();
    expect(begun).toHaveLength(2);
    release();
    expect(begun).toEqual(["a 0", "b 1", "c 2"]);
  });

  it("a snapshot waits for the event that is under way", async () => {
    const counter = new CounterDaemon();
    const slow = new SlowDaemon();
    const daemon: Daemon = {
      name: "both",
      process: async (event) => {
        await slow.process(event);
        return counter.process();
      },
      snapshot: () => counter.snapshot(),
      restore: (state) => counter.restore(state),
    };
    const host = DaemonHost.create(ID, daemon, { time: new VirtualTime() });
    const delivery = host.deliver(input(CAUSE, 1n, "a"));
    const snapshot = host.snapshot();
    slow.calls[0]?.resolve(undefined);
    await delivery;
    expect(await snapshot).toMatchObject({ throughSeq: 1n, state: u64(1n) });
  });

  it("no event comes between a snapshot and what is done about it", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon());
    const order: string[] = [];
    host.gate = { delivered: () => order.push("delivered") };
    await host.deliver(input(CAUSE, 1n, "a"));
    let waiting: unknown;
    await host.snapshot((snapshot) => {
      waiting = host.deliver(input(CAUSE, 2n, "b"));
      order.push(`taken through ${snapshot.throughSeq}`);
    });
    await waiting;
    expect(order).toEqual(["delivered", "taken through 1", "delivered"]);
  });

  it("a daemon that delivers to itself gets the event after the one it handles", async () => {
    const seen: string[] = [];
    const host: DaemonHost = DaemonHost.create(ID, {
      name: "self",
      process: (event) => {
        seen.push(text(event.payload));
        if (seen.length === 1) void host.deliver(input(CAUSE, 2n, "second"));
        seen.push("done");
      },
    });
    await host.deliver(input(CAUSE, 1n, "first"));
    expect(seen).toEqual(["first", "done", "second", "done"]);
  });

  it("a hundred thousand waiting events do not exhaust the stack", async () => {
    let isFirst = true;
    const gateway = new SlowDaemon();
    const host = DaemonHost.create(
      ID,
      {
        name: "burst",
        process: (event) => {
          if (!isFirst) return undefined;
          isFirst = false;
          return gateway.process(event);
        },
      },
      { config: { maxPending: 100_000 }, time: new VirtualTime() },
    );
    const all = Array.from({ length: 100_000 }, (_, i) => host.deliver(input(CAUSE, BigInt(i), "x")));
    gateway.calls[0]?.resolve(undefined);
    await Promise.all(all);
    expect(host.stats().eventsProcessed).toBe(100_000);
  });

  it("more waiting events than allowed are refused", async () => {
    const daemon = new SlowDaemon();
    const host = DaemonHost.create(ID, daemon, { config: { maxPending: 1 }, time: new VirtualTime() });
    void host.deliver(input(CAUSE, 1n, "a"));
    void host.deliver(input(CAUSE, 2n, "b"));
    expect(await codeOf(() => host.deliver(input(CAUSE, 3n, "c")))).toBe("backpressure");
    expect(host.stats().pending).toBe(1);
  });

  it("a call that takes too long fails with those that wait, and its late result is discarded", async () => {
    const time = new VirtualTime();
    const daemon = new SlowDaemon();
    const crashes: string[] = [];
    const host = DaemonHost.create(ID, daemon, {
      config: { callTimeoutMs: 100 },
      time,
      onCrash: (reason) => crashes.push(reason),
    });
    const hung = codeOf(() => host.deliver(input(CAUSE, 1n, "a")));
    const waiting = codeOf(() => host.deliver(input(CAUSE, 2n, "b")));
    await time.advance(100);
    expect([await hung, await waiting]).toEqual(["callback-timeout", "callback-timeout"]);
    expect(await codeOf(() => host.deliver(input(CAUSE, 3n, "c")))).toBe("callback-timeout");
    expect(daemon.seen).toEqual(["a"]);
    expect(daemon.interrupts).toBe(1);
    expect(crashes).toHaveLength(1);
    expect(host.health().status).toBe("unhealthy");

    daemon.calls[0]?.resolve(bytes("late"));
    await settle();
    expect(host.head.sequence).toBe(0n);
    expect(host.stats()).toMatchObject({ eventsProcessed: 0, errors: 1, lateResults: 1 });
    expect(host.health().status).toBe("healthy");
    const next = host.deliver(input(CAUSE, 4n, "d"));
    daemon.calls[1]?.resolve(bytes("on time"));
    expect((await next)[0]?.link.sequence).toBe(1n);
    expect(time.pending).toBe(0);
  });

  it("an exclusive action has the daemon to itself, and events wait for it", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon(), { time: new VirtualTime() });
    const action = deferred<string>();
    const running = host.exclusive(() => action.promise);
    const waiting = host.deliver(input(CAUSE, 1n, "a"));
    expect(host.stats().pending).toBe(1);
    action.resolve("done");
    expect(await running).toBe("done");
    expect(await waiting).toHaveLength(1);
    expect(host.exclusive(() => host.head.sequence)).toBe(1n);
  });

  it("a daemon that rejects, or throws when its turn comes, fails that call alone", async () => {
    const slow = new SlowDaemon();
    const host = DaemonHost.create(
      ID,
      {
        name: "failing",
        process: (event) => (text(event.payload) === "throw" ? raise("thrown") : slow.process(event)),
      },
      { time: new VirtualTime() },
    );
    const rejected = reasonOf(() => host.deliver(input(CAUSE, 1n, "a")));
    const thrown = reasonOf(() => host.deliver(input(CAUSE, 2n, "throw")));
    const replayed = host.replay(input(CAUSE, 3n, "b"));
    slow.calls[0]?.reject(new Error("rejected"));
    expect([await rejected, await thrown]).toEqual(["process-failed", "process-failed"]);
    slow.calls[1]?.resolve(bytes("fine"));
    expect(await replayed).toBeUndefined();
    expect(host.stats()).toMatchObject({ eventsProcessed: 1, errors: 2 });
  });

  it("closing fails what waits, and disposes of the daemon after its call has returned", async () => {
    const daemon = new SlowDaemon();
    const host = DaemonHost.create(ID, daemon, { time: new VirtualTime() });
    const running = reasonOf(() => host.deliver(input(CAUSE, 1n, "a")));
    const waiting = reasonOf(() => host.deliver(input(CAUSE, 2n, "b")));
    const closing = host.close();
    expect([await running, await waiting]).toEqual(["stale", "stale"]);
    expect(daemon.disposals).toBe(0);
    daemon.calls[0]?.resolve(bytes("late"));
    await closing;
    expect(daemon.disposals).toBe(1);
    expect(daemon.seen).toEqual(["a"]);
    expect(host.head.sequence).toBe(0n);
    expect(host.identity.isPublicOnly).toBe(true);
    expect(await reasonOf(() => host.deliver(input(CAUSE, 3n, "c")))).toBe("stale");
    await host.close();
    expect(daemon.disposals).toBe(1);
  });

  it("a daemon that never returns is disposed of when its time is up", async () => {
    const time = new VirtualTime();
    const daemon = new SlowDaemon();
    const host = DaemonHost.create(ID, daemon, { config: { callTimeoutMs: 100 }, time });
    void codeOf(() => host.deliver(input(CAUSE, 1n, "a")));
    const closing = host.close();
    await time.advance(100);
    await closing;
    expect(daemon.disposals).toBe(1);
  });
});

describe("snapshots", () => {
  it("a counter that was restored goes on counting, with its chain", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon());
    for (let i = 1n; i <= 5n; i++) await host.deliver(input(CAUSE, i, "tick"));
    const snapshot = await snapshotOf(host);
    expect(snapshot.throughSeq).toBe(5n);
    expect(host.stats().snapshotsTaken).toBe(1);
    const restored = await DaemonHost.fromSnapshot(snapshot, ID, new CounterDaemon());
    const [there] = await restored.deliver(input(CAUSE, 6n, "tick"));
    const [here] = await host.deliver(input(CAUSE, 6n, "tick"));
    expect(fromU64(there?.payload as Uint8Array)).toBe(6n);
    expect(there?.link).toEqual(here?.link);
    expect(restored.stats()).toMatchObject({ eventsProcessed: 1, eventsEmitted: 1, snapshotsTaken: 0 });
  });

  it("after a journey the next output follows the state, and the horizon is empty", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon());
    await host.deliver(input(CAUSE, 1n, "tick"));
    const bytesOnWire = encodeSnapshot(await snapshotOf(host));
    const arrived = decodeSnapshot(bytesOnWire) as StateSnapshot;
    const restored = await DaemonHost.fromSnapshot(arrived, ID, new CounterDaemon());
    expect(restored.horizon.size).toBe(0);
    const [output] = await restored.deliver(input(CAUSE, 2n, "tick"));
    expect(output?.link.parentHash).toBe(parentHash(arrived.chainLink, arrived.state));
  });

  it("subscriptions travel along, and none take no room", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon());
    expect((await snapshotOf(host)).bindings).toHaveLength(0);
    host.ledger.record({ publisher: 5n, channel: "sensors/lidar", token: bytes("t") });
    const restored = await DaemonHost.fromSnapshot(await snapshotOf(host), ID, new CounterDaemon());
    expect(restored.ledger.subscriptions()).toEqual(host.ledger.subscriptions());
  });

  it("malformed subscriptions are refused before the daemon is asked", async () => {
    const host = DaemonHost.create(ID, new CounterDaemon());
    const snapshot = { ...(await snapshotOf(host)), bindings: bytes("x") };
    const daemon = new CounterDaemon();
    const error = await failure(() => DaemonHost.fromSnapshot(snapshot, ID, daemon));
    expect(error).toMatchObject({ reason: "restore-failed" });
    expect(error.message).toContain("bindings");
    expect(daemon.calls).toEqual([]);
  });

  it("a stateless daemon has no snapshot and takes only an empty state", async () => {
    const host = DaemonHost.create(ID, new EchoDaemon());
    expect(await host.snapshot()).toBeUndefined();
    const full = await snapshotOf(DaemonHost.create(ID, new CounterDaemon()));
    const error = await failure(() => DaemonHost.fromSnapshot(full, ID, new EchoDaemon()));
    expect(error).toMatchObject({ reason: "restore-failed" });
    expect(error.message).toContain("8 bytes");
    const empty = { ...full, state: new Uint8Array(0) };
    expect((await DaemonHost.fromSnapshot(empty, ID, new EchoDaemon())).isStateful).toBe(false);
  });

  it.each<[string, () => unknown]>([
    ["throws", () => raise("disk full")],
    ["rejects", () => Promise.reject(new Error("disk full"))],
    ["says nonsense", () => "a text"],
  ])("a snapshot that %s is an error, not stateless", async (_, snapshot) => {
    const daemon = { name: "broken", process: () => undefined, snapshot, restore: () => undefined };
    const host = DaemonHost.create(ID, daemon as Daemon);
    expect(await reasonOf(() => host.snapshot())).toBe("snapshot-failed");
    expect(host.stats()).toMatchObject({ snapshotsTaken: 0, errors: 1 });
  });

  it("a state that was refused is a failed restore, and the daemon is disposed of", async () => {
    let disposals = 0;
    const daemon = Object.assign(new CounterDaemon(), { dispose: () => void disposals++ });
    const snapshot = {
      ...(await snapshotOf(DaemonHost.create(ID, new CounterDaemon()))),
      state: bytes("short"),
    };
    const error = await failure(() => DaemonHost.fromSnapshot(snapshot, ID, daemon));
    expect(error.message).toContain("8 bytes, got 5");
    await settle();
    expect(disposals).toBe(1);
  });

  it("a state is taken over when the daemon says so later, and refused likewise", async () => {
    const snapshot = await snapshotOf(DaemonHost.create(ID, new CounterDaemon()));
    const answer = deferred();
    const daemon = Object.assign(new CounterDaemon(), { restore: () => answer.promise });
    const restoring = DaemonHost.fromSnapshot(snapshot, ID, daemon, { time: new VirtualTime() });
    answer.resolve();
    expect((await restoring).head).toEqual(snapshot.chainLink);
    const refusing = Object.assign(new CounterDaemon(), { restore: () => Promise.reject(new Error("no")) });
    expect(await reasonOf(() => DaemonHost.fromSnapshot(snapshot, ID, refusing))).toBe("restore-failed");
  });

  it("a standby takes over state and foreign chain, and cannot be sent to a third node then", async () => {
    const active = DaemonHost.create(ID, new CounterDaemon());
    for (let i = 1n; i <= 3n; i++) await active.deliver(input(CAUSE, i, "tick"));
    const standby = DaemonHost.create(identity(2), new CounterDaemon());
    await standby.restoreFrom(await snapshotOf(active));
    const [output] = await standby.deliver(input(CAUSE, 4n, "tick"));
    expect(fromU64(output?.payload as Uint8Array)).toBe(4n);
    expect(output?.link.originHash).toBe(ID.originHash);
    const snapshot = await snapshotOf(standby);
    expect(() => encodeSnapshot(snapshot)).toThrow("another entity");
  });
});

describe("forks", () => {
  it("a fork's first output follows its first link", async () => {
    const record = forkRecord(0xaaaan, ID.originHash, 100n);
    const host = DaemonHost.fromFork(record, ID, new EchoDaemon());
    const [output] = await host.deliver(input(CAUSE, 1n, "x"));
    expect(output?.link).toMatchObject({
      originHash: ID.originHash,
      sequence: 1n,
      parentHash: parentHash(record.forkGenesis, new Uint8Array(0)),
    });
  });

  it("a fork of another entity is refused", async () => {
    const record = forkRecord(0xaaaan, 0xbbbbn, 100n);
    expect(await reasonOf(() => DaemonHost.fromFork(record, ID, new EchoDaemon()))).toBe("restore-failed");
  });
});

describe("control and health", () => {
  it("a daemon is told about its surroundings", async () => {
    const heard: unknown[] = [];
    const host = DaemonHost.create(ID, {
      name: "listener",
      process: () => undefined,
      onControl: (event) => void heard.push(event),
    });
    await host.control({ kind: "backpressure-on", level: 0.5 });
    await host.control({ kind: "backpressure-off" });
    expect(heard).toEqual([{ kind: "backpressure-on", level: 0.5 }, { kind: "backpressure-off" }]);
  });

  it("a daemon that throws when told, or asked, is reported so", async () => {
    const host = DaemonHost.create(ID, {
      name: "grumpy",
      process: () => undefined,
      onControl: () => raise("leave me alone"),
      health: () => raise("no comment"),
      saturation: () => Number.NaN,
    });
    expect(await reasonOf(() => host.control({ kind: "drain-finish" }))).toBe("process-failed");
    expect(host.health()).toEqual({ status: "unhealthy", reason: "no comment" });
    expect(host.saturation()).toBe(0);
  });

  it("a daemon may take its time when told, and refuse", async () => {
    const answers = [Promise.resolve(), Promise.reject(new Error("no"))];
    const host = DaemonHost.create(ID, {
      name: "slow listener",
      process: () => undefined,
      onControl: () => answers.shift(),
      saturation: () => raise("busy"),
    });
    await host.control({ kind: "drain-start", graceMs: 5 });
    expect(await reasonOf(() => host.control({ kind: "drain-finish" }))).toBe("process-failed");
    expect(host.saturation()).toBe(0);
  });

  it("a daemon that throws when interrupted is reported", async () => {
    const time = new VirtualTime();
    const crashes: string[] = [];
    const daemon = Object.assign(new SlowDaemon(), { interrupt: () => raise("busy") });
    const onCrash = (reason: string): void => void crashes.push(reason);
    const host = DaemonHost.create(ID, daemon, { config: { callTimeoutMs: 1 }, time, onCrash });
    const hung = codeOf(() => host.deliver(input(CAUSE, 1n, "a")));
    await time.advance(1);
    expect(await hung).toBe("callback-timeout");
    expect(crashes.at(-1)).toBe("interrupt failed: busy");
  });

  it.each([
    { callTimeoutMs: 0 },
    { callTimeoutMs: Number.NaN },
    { callTimeoutMs: 2 ** 31 },
    { maxPending: -1 },
    { maxOrigins: 0 },
  ])("limits that make no sense are refused: %o", async (config) => {
    expect(await codeOf(() => DaemonHost.create(ID, new EchoDaemon(), { config }))).toBe("invalid-argument");
  });
});

function raise(message: string): never {
  throw new Error(message);
}
