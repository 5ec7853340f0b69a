import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { MemoryNetwork, SeededRandom, transportConformance, VirtualClock } from "../src/testing/index.ts";

transportConformance(
  "the network in memory",
  () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork(clock, new SeededRandom(1), { delayMs: 1 });
    const [a, b] = [network.bind(), network.bind()];
    return Promise.resolve({
      a,
      b,
      settle: () => {
        clock.advance(10);
        return Promise.resolve();
      },
      close: async () => {
        await a.close();
        await b.close();
      },
    });
  },
  { describe, it, expect },
);

describe("the network in memory", () => {
  it("does the same again with the same seed", () => {
    const run = (seed: number) => {
      const clock = new VirtualClock();
      const conditions = { loss: 0.2, duplication: 0.2, reordering: 0.2, jitterMs: 5, delayMs: 5 };
      const network = new MemoryNetwork(clock, new SeededRandom(seed), conditions);
      const [a, b] = [network.bind(), network.bind()];
      const arrived: string[] = [];
      b.listen({ receive: (batch) => arrived.push(`${clock.now()} ${batch.bytes[0]?.[0]}`) });
      for (let i = 0; i < 100; i++) network.inject(Uint8Array.of(i), a.localAddress, b.localAddress);
      clock.advance(100);
      return { arrived, stats: network.stats };
    };
    expect(run(5)).toEqual(run(5));
    expect(run(5)).not.toEqual(run(6));
    const { stats } = run(5);
    expect(stats.sent - stats.lost + stats.duplicated).toBe(stats.delivered);
    expect(stats.reordered).toBeGreaterThan(5);
  });

  it("refuses a taken address", () => {
    const network = new MemoryNetwork(new VirtualClock(), new SeededRandom(1));
    const address = SocketAddress.parse("10.0.0.1:1");
    network.bind(address);
    expect(() => network.bind(address)).toThrow(/taken/);
  });

  it("drops what does not fit the queue of a slow link", () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork(clock, new SeededRandom(1), { bytesPerSecond: 1_000, queueBytes: 500 });
    const [a, b] = [network.bind(), network.bind()];
    const times: number[] = [];
    b.listen({ receive: () => times.push(clock.now()) });
    const batch = new DatagramBatch();
    for (let i = 0; i < 10; i++) batch.push(new Uint8Array(100), b.localAddress);
    a.send(batch);
    clock.advance(10_000);
    expect(times).toEqual([100, 200, 300, 400, 500]);
    expect(network.stats.overflowed).toBe(5);
  });

  it("carries nothing larger than its links, unless the sender's system cuts it into fragments", () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork(clock, new SeededRandom(1), { mtuBytes: 1_000 });
    const whole = network.bind();
    const cutting = network.bind(undefined, true);
    const to = network.bind();
    const arrived: number[] = [];
    to.listen({ receive: ({ bytes }) => arrived.push((bytes[0] as Uint8Array).length) });
    const batch = new DatagramBatch();
    for (const size of [999, 1_000, 1_001]) batch.push(new Uint8Array(size), to.localAddress);
    whole.send(batch);
    clock.advance(1);
    expect(arrived).toEqual([999, 1_000]);
    cutting.send(batch);
    clock.advance(1);
    expect(arrived).toEqual([999, 1_000, 999, 1_000, 1_001]);
    expect([network.stats.oversized, network.stats.fragmented]).toEqual([1, 1]);
  });

  it("cuts what is on its way when a partition begins, and nothing once it is healed", () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork(clock, new SeededRandom(1), { delayMs: 10 });
    const [a, b] = [network.bind(), network.bind()];
    let count = 0;
    b.listen({ receive: () => count++ });
    network.inject(new Uint8Array(1), a.localAddress, b.localAddress);
    network.partition(a.localAddress, b.localAddress);
    network.inject(new Uint8Array(1), a.localAddress, b.localAddress);
    clock.advance(20);
    network.heal(a.localAddress, b.localAddress);
    network.inject(new Uint8Array(1), a.localAddress, b.localAddress);
    clock.advance(20);
    expect(count).toBe(1);
    expect(network.stats.unreachable).toBe(2);
  });
});

describe("virtual time", () => {
  it("runs what is due in order of time, then of scheduling, and not what was cancelled", async () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    clock.after(20, () => ran.push("late"));
    clock.after(10, () => ran.push("first"));
    clock.after(10, () => ran.push("second"));
    const handle = clock.after(5, () => ran.push("never"));
    clock.cancel(handle);
    clock.soon(() => ran.push("now"));
    expect(clock.nextAtMs).toBe(0);
    clock.advance(10);
    expect(ran).toEqual(["now", "first", "second"]);
    expect(clock.now()).toBe(10);
    expect(await clock.runUntil(() => ran.length === 4, 100)).toBe(true);
    expect(await clock.runUntil(() => false, 100)).toBe(false);
    expect(clock.step()).toBe(false);
    expect(clock.nextAtMs).toBe(Number.POSITIVE_INFINITY);
  });
});
