import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type EventBatch, type InboundEvent, type Mesh, type MeshStream, StreamError } from "../src/index.ts";
import { bytes, openMesh, text } from "./open-mesh.ts";

async function pair(): Promise<[Mesh, Mesh]> {
  const a = await openMesh();
  const b = await openMesh();
  await a.connect(b.contact);
  return [a, b];
}

async function streams(
  options: Partial<Parameters<Mesh["openStream"]>[1]> = {},
): Promise<[MeshStream, MeshStream, Mesh, Mesh]> {
  const [a, b] = await pair();
  const settings = { streamId: 7n, reliability: "reliable" as const, ...options };
  return [a.openStream(b.nodeId, settings), b.openStream(a.nodeId, settings), a, b];
}

async function collect(events: AsyncIterable<InboundEvent>): Promise<InboundEvent[]> {
  const all: InboundEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

async function collectBatches(stream: MeshStream): Promise<EventBatch[]> {
  const all: EventBatch[] = [];
  for await (const batch of stream.batches()) all.push(batch);
  return all;
}

describe("a reliable stream", () => {
  it("carries events both ways, with their origin, and ends when the writer does", async () => {
    const [out, back, a] = await streams();
    const answering = (async () => {
      for await (const { data } of back) await back.write(bytes(`${text(data)}!`));
      await back.end();
    })();
    await out.write(["hello", "bye"].map(bytes), { timeoutMs: 5_000 });
    await out.end({ timeoutMs: 5_000 });
    const answers = await collect(out);
    expect(answers.map(({ data }) => text(data))).toEqual(["hello!", "bye!"]);
    expect(answers[0]).toMatchObject({
      peer: back.peer === a.nodeId ? out.peer : 0n,
      streamId: 7n,
      index: 0,
    });
    await answering;
  });

  it("hands on ten thousand events in order, whatever the writer's haste", async () => {
    const [out, back] = await streams();
    const reading = collect(back);
    for (let i = 0; i < 10_000; i++) await out.write(bytes(String(i)));
    await out.end();
    const received = await reading;
    expect(received.map(({ data }) => Number(text(data)))).toEqual(
      Array.from({ length: 10_000 }, (_, i) => i),
    );
    expect(out.stats().txSequence).toBeLessThan(5_000);
  });

  it("is read packet by packet, each event once and in order, whoever else reads it", async () => {
    const [out, back] = await streams();
    await out.write(Array.from({ length: 1_000 }, (_, i) => bytes(String(i))));
    const read: number[] = [];
    for await (const { data, index } of back) {
      expect(index).toBe(read.length);
      read.push(Number(text(data)));
      if (read.length === 3) break;
    }
    const [rest] = await Promise.all([collectBatches(back), out.end()]);
    expect(rest[0]).toMatchObject({ peer: back.peer, streamId: 7n, sequence: 0, index: 3 });
    expect(rest.length).toBeLessThan(20);
    read.push(...rest.flatMap(({ events }) => events.map((data) => Number(text(data)))));
    expect(read).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  });

  it("gives what waits to one loop only, and the rest of it to the next when that is left", async () => {
    const [out, back] = await streams();
    const controller = new AbortController();
    const left = back.batches({ signal: controller.signal }).next();
    controller.abort();
    expect(await left).toEqual({ value: undefined, done: true });
    await out.write(["a", "b"].map(bytes));
    const batch = await back.batches().next();
    expect(batch.value?.events.map(text)).toEqual(["a", "b"]);
    await out.end();
    expect(await back.batches().next()).toEqual({ value: undefined, done: true });
  });

  it("leaves the reader what it was given, whatever comes after it", async () => {
    const [out, back] = await streams({ windowBytes: 16_384 });
    const kept: Uint8Array[] = [];
    const reading = (async () => {
      for await (const { events } of back.batches()) kept.push(...events);
    })();
    for (let i = 0; i < 2_000; i++) await out.write(new Uint8Array(100).fill(i));
    await out.end();
    await reading;
    expect(kept).toHaveLength(2_000);
    expect(kept.every((event, i) => event.every((byte) => byte === (i & 0xff)))).toBe(true);
  });

  it("leaves the writer its bytes, to be used again at once", async () => {
    const [out, back] = await streams();
    const reading = collect(back);
    const own = new Uint8Array(700);
    for (let i = 0; i < 500; i++) await out.write(own.fill(i));
    await out.end();
    const events = await reading;
    expect(events).toHaveLength(500);
    expect(events.every(({ data }, i) => data.every((byte) => byte === (i & 0xff)))).toBe(true);
  });

  it("stops a writer whose reader is slow, and loses nothing", async () => {
    const [out, back] = await streams({ windowBytes: 16_384 });
    const event = randomBytes(1_000);
    let written = 0;
    const writing = (async () => {
      for (; written < 200; written++) await out.write(event);
      await out.end();
    })();
    const reader = back.events();
    await reader.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(written).toBeLessThan(60);
    expect(back.stats().inboundPending).toBeLessThan(20);
    let read = 1;
    for await (const { data } of reader) {
      expect(data.length).toBe(1_000);
      read++;
    }
    await writing;
    expect(read).toBe(200);
  });

  it("rejects with backpressure instead of waiting when told so, and counts what was taken", async () => {
    const [out] = await streams({ windowBytes: 4_096 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 16 }, () => out.write(new Uint8Array(1_000), { wait: false })),
    );
    const refused = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(16);
    for (const { reason } of refused) {
      expect(reason).toBeInstanceOf(StreamError);
      expect(reason).toMatchObject({ code: "backpressure", accepted: 0 });
    }
  });

  it("takes as many events as fit with tryWrite, and exactly those arrive", async () => {
    const [out, back] = await streams({ windowBytes: 10_000 });
    const events = Array.from({ length: 50 }, (_, i) => bytes(`${i}`.padEnd(1_000)));
    const taken = out.tryWrite(events);
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(50);
    const reading = collect(back);
    await out.end();
    expect((await reading).map(({ data }) => Number.parseInt(text(data), 10))).toEqual(
      Array.from({ length: taken }, (_, i) => i),
    );
  });

  it("keeps the order of writes that overlap", async () => {
    const [out, back] = await streams({ windowBytes: 5_000 });
    const reading = collect(back);
    const writes = Array.from({ length: 40 }, (_, i) =>
      out.write([bytes(`${i}a`), new Uint8Array(700), bytes(`${i}b`)]),
    );
    await Promise.all(writes);
    await out.end();
    const marks = (await reading).map(({ data }) => text(data)).filter((mark) => mark.length < 10);
    expect(marks).toEqual(Array.from({ length: 40 }, (_, i) => [`${i}a`, `${i}b`]).flat());
  });

  it("refuses an event that cannot fit, naming the limit, before anything is sent", async () => {
    const [out] = await streams({ windowBytes: 0 });
    expect(out.maxEventBytes).toBe(8_104);
    const failure = await out.write([bytes("fits"), new Uint8Array(8_105)]).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "message-too-large", limit: 8_104 });
    expect(out.stats().queuedBytes).toBe(0);
    await out.write(new Uint8Array(8_104));
    await out.write(new Uint8Array(0));
    expect(() => out.tryWrite([5] as never)).toThrowError(
      expect.objectContaining({ code: "invalid-argument" }),
    );
    await expect(out.write("text" as never)).rejects.toMatchObject({ code: "invalid-argument" });
  });

  it("can be piped as WHATWG streams", async () => {
    const [out, back] = await streams({ windowBytes: 65_536 });
    const sent = randomBytes(1_000_000);
    const chunks: Uint8Array[] = [];
    const reading = back.readable.pipeTo(
      new WritableStream({
        write(chunk) {
          chunks.push(chunk);
        },
      }),
    );
    await new Blob([sent]).stream().pipeTo(out.writable);
    await reading;
    expect(Buffer.concat(chunks).equals(sent)).toBe(true);
  });

  it("throws at the reader when the writer gives up", async () => {
    const [out, back] = await streams();
    const reading = collect(back);
    await out.write(bytes("half of"));
    out.reset();
    await expect(reading).rejects.toMatchObject({ code: "stream-reset" });
    await expect(out.write(bytes("more"))).rejects.toMatchObject({ code: "not-connected" });
  });

  it("ends its loop by a signal, and a later loop goes on", async () => {
    const [out, back] = await streams();
    const controller = new AbortController();
    const loop = collect(back.events({ signal: controller.signal }));
    await out.write(bytes("one"));
    await out.end();
    controller.abort();
    const first = await loop;
    const rest = await collect(back);
    expect([...first, ...rest].map(({ data }) => text(data))).toEqual(["one"]);
  });

  it("goes on after a loop was left", async () => {
    const [out, back] = await streams();
    await out.write(["1", "2", "3"].map(bytes));
    await out.end();
    for await (const { data } of back) {
      expect(text(data)).toBe("1");
      break;
    }
    expect((await collect(back)).map(({ data }) => text(data))).toEqual(["2", "3"]);
  });

  it("can be closed twice, disposed, and opened again under the same id", async () => {
    const [out, back, a, b] = await streams();
    const reading = collect(back);
    await out.write(bytes("first"));
    await out.close();
    await out.close();
    await out[Symbol.asyncDispose]();
    expect((await reading).map(({ data }) => text(data))).toEqual(["first"]);
    await back.close();
    await expect(out.write(bytes("stale"))).rejects.toMatchObject({ code: "not-connected" });
    const settings = { streamId: 7n, reliability: "reliable" as const };
    const again = a.openStream(b.nodeId, settings);
    const backAgain = b.openStream(a.nodeId, settings);
    const readingAgain = collect(backAgain);
    await again.write(bytes("second"));
    await again.end();
    expect((await readingAgain).map(({ data }) => text(data))).toEqual(["second"]);
  });

  it("is the same handle when opened twice, with the first configuration", async () => {
    const [out, , a] = await streams();
    expect(a.openStream(out.peer, { streamId: 7n, reliability: "fire-and-forget" })).toBe(out);
    await out.close({ timeoutMs: 100 });
    expect(a.openStream(out.peer, { streamId: 7n })).not.toBe(out);
  });

  it("reaches a peer that opens it when the first event arrives", async () => {
    const [a, b] = await pair();
    const reading = new Promise<InboundEvent[]>((resolve, reject) => {
      b.addEventListener("stream", ({ peer, streamId, reliability }) => {
        const stream = b.openStream(peer.nodeId, { streamId, reliability });
        collect(stream).then(resolve, reject);
      });
    });
    const out = a.openStream(b.nodeId, { streamId: 9n, reliability: "reliable" });
    for (let i = 0; i < 100; i++) await out.write(bytes(String(i)));
    await out.end();
    expect((await reading).map(({ data }) => text(data))).toEqual(
      Array.from({ length: 100 }, (_, i) => String(i)),
    );
  });

  it("keeps what arrives before the reader has opened it, and then lets the writer go on", async () => {
    const [a, b] = await pair();
    const out = a.openStream(b.nodeId, { streamId: 11n, reliability: "reliable", windowBytes: 20_000 });
    const writing = (async () => {
      for (let i = 0; i < 100; i++) await out.write(bytes(`${i}`.padEnd(1_000)));
      await out.end();
    })();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(out.stats().txSequence).toBeLessThan(40);
    const reading = collect(b.openStream(a.nodeId, { streamId: 11n, reliability: "reliable" }));
    await writing;
    expect((await reading).map(({ data }) => Number.parseInt(text(data), 10))).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
    expect(b.stats().unclaimedEvents).toBe(0);
  });

  it("counts what nobody wanted", async () => {
    const [a, b] = await pair();
    await a.send(b.nodeId, ["1", "2"].map(bytes));
    await expect.poll(() => b.stats().unclaimedEvents).toBe(2);
  });

  it("refuses options that contradict each other", async () => {
    const [a, b] = await pair();
    for (const options of [
      { ordered: true },
      { windowBytes: -1 },
      { windowBytes: 1.5 },
      { reliability: "maybe" as never },
    ]) {
      expect(() => a.openStream(b.nodeId, { streamId: 3n, ...options })).toThrowError(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
    expect(() => a.openStream(99n, { streamId: 3n })).toThrowError(
      expect.objectContaining({ code: "unknown-peer" }),
    );
  });
});

describe("a silent peer", () => {
  it("fails the streams to it within the session time-out, with a distinct code", async () => {
    const settings = { heartbeatMs: 50, sessionTimeoutMs: 300 };
    const a = await openMesh(settings);
    const b = await openMesh(settings);
    await a.connect(b.contact);
    const stream = a.openStream(b.nodeId, { streamId: 1n, reliability: "reliable" });
    await stream.write(bytes("hello"));
    await stream.end();
    const lost = new Promise((resolve) => a.addEventListener("peer-lost", resolve, { once: true }));
    const reading = collect(stream);
    const started = performance.now();
    a.block(b.localAddress);
    await expect(reading).rejects.toMatchObject({ code: "peer-lost" });
    await lost;
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(a.peer(b.nodeId)?.connected).toBe(false);
    const recovered = new Promise((resolve) => a.addEventListener("peer-recovered", resolve, { once: true }));
    a.unblock(b.localAddress);
    await recovered;
    expect(a.peer(b.nodeId)?.connected).toBe(true);
  });

  it("fails a writer with unacknowledged events", async () => {
    const settings = { heartbeatMs: 50, sessionTimeoutMs: 300 };
    const a = await openMesh(settings);
    const b = await openMesh(settings);
    await a.connect(b.contact);
    const stream = a.openStream(b.nodeId, { streamId: 1n, reliability: "reliable" });
    a.block(b.localAddress);
    await stream.write(bytes("into the void"));
    await expect(stream.end()).rejects.toSatisfy(
      (error) => error instanceof StreamError && /^(peer-lost|repair-timeout)$/.test(error.code),
    );
  });
});

describe("events", () => {
  it("are seen by every consumer that asks for them, on every stream", async () => {
    const [a, b] = await pair();
    const all = b.events();
    const some = b.events({ streamId: 5n, peer: a.nodeId });
    await a.send(b.nodeId, bytes("plain"));
    const stream = a.openStream(b.nodeId, { streamId: 5n });
    await stream.write(bytes("on five"));
    const first = await all.next();
    expect(first.value).toMatchObject({ peer: a.nodeId, streamId: 0n });
    expect(text((await some.next()).value?.data ?? new Uint8Array())).toBe("on five");
    expect(text((await all.next()).value?.data ?? new Uint8Array())).toBe("on five");
    await all.return?.();
    expect(await all.next()).toEqual({ value: undefined, done: true });
  });

  it("stop with a signal and with the mesh", async () => {
    const a = await openMesh();
    const loop = collect(a.events({ signal: AbortSignal.timeout(10) }));
    expect(await loop).toEqual([]);
    const other = collect(a.events());
    await a.shutdown();
    expect(await other).toEqual([]);
  });

  it("are dropped and counted when a consumer does not keep up, or end its loop", async () => {
    const [a, b] = await pair();
    const newest = b.events({ highWaterMark: 2 });
    const oldest = b.events({ highWaterMark: 2, overflow: "drop-oldest" });
    const strict = b.events({ highWaterMark: 2, overflow: "error" });
    const stream = a.openStream(b.nodeId, { streamId: 5n, reliability: "reliable" });
    await stream.write(["1", "2", "3", "4"].map(bytes));
    await stream.end();
    expect(newest.dropped).toBe(2);
    expect(oldest.dropped).toBe(2);
    const read = async (events: typeof newest) => text((await events.next()).value?.data ?? new Uint8Array());
    expect([await read(newest), await read(newest)]).toEqual(["1", "2"]);
    expect([await read(oldest), await read(oldest)]).toEqual(["3", "4"]);
    expect([await read(strict), await read(strict)]).toEqual(["1", "2"]);
    await expect(strict.next()).rejects.toThrow("overflowed");
  });

  it("of a listener that throws become an error event, and the mesh goes on", async () => {
    const [a, b] = await pair();
    const heard = b.events();
    await a.send(b.nodeId, bytes("still here"));
    expect(text((await heard.next()).value?.data ?? new Uint8Array())).toBe("still here");
    expect(b.stats().counters.opened).toBeGreaterThan(0);
  });
});

describe("a relay", () => {
  it("forwards what it cannot open, and its application sees none of it", async () => {
    const relay = await openMesh({ auditRelay: true });
    const a = await openMesh();
    const b = await openMesh();
    await Promise.all([a.connect(relay.contact), b.connect(relay.contact)]);
    const overheard: InboundEvent[] = [];
    const listening = (async () => {
      for await (const event of relay.events()) overheard.push(event);
    })();
    await a.connectVia(relay.nodeId, b.contact);
    const out = a.openStream(b.nodeId, { streamId: 1n, reliability: "reliable" });
    const back = b.openStream(a.nodeId, { streamId: 1n, reliability: "reliable" });
    const reading = collect(back);
    await out.writeBytes(randomBytes(300_000));
    await out.end();
    const received = await reading;
    expect(received.reduce((sum, { data }) => sum + data.length, 0)).toBe(300_000);
    const { counters } = relay.stats();
    expect(counters.forwarded).toBeGreaterThan(30);
    expect(counters.relayAudited).toBe(counters.forwarded);
    expect(counters.relayOpened).toBe(0);
    await relay.shutdown();
    await listening;
    expect(overheard).toEqual([]);
  });
});
