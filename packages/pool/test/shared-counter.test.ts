import { PacketCipher, ReplayWindow } from "@netmesh/crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_RESERVED_COUNTERS, SharedCounter } from "../src/index.ts";
import type { SealingJob } from "./support/sealing-worker.ts";
import { Thread } from "./support/thread.ts";
import { counterOf, pattern } from "./support/vectors.ts";

const key = pattern(32, 1);
const LIMIT = 2n ** 64n - 1n;

function take(counter: SharedCounter): bigint {
  counter.next();
  return (BigInt(counter.hi) << 32n) | BigInt(counter.lo);
}

async function sealInWorkers(workers: number, job: SealingJob): Promise<Uint8Array[]> {
  const results = Array.from({ length: workers }, async () => {
    await using thread = new Thread(new URL("./support/sealing-worker.ts", import.meta.url));
    thread.post(job);
    return await thread.next<Uint8Array[]>();
  });
  return (await Promise.all(results)).flat();
}

test.each([1, 32])(
  "8 workers sealing 100 packets each, %i counters at a time, never repeat a nonce",
  async (block) => {
    const memory = SharedCounter.allocate();
    const packets = await sealInWorkers(8, { memory, generation: 0, block, key, packets: 100 });
    expect(new Set(packets.map(counterOf)).size).toBe(800);
    const cipher = new PacketCipher(key, 7n);
    for (const packet of packets) expect(cipher.openPacket(packet, 0, packet.length)).toBe(5);
  },
  60_000,
);

test("workers that seal at one pace, a block each, arrive out of order by less than workers times block", () => {
  const sharing = fc.constantFrom<[number, number][]>([2, 128], [4, 64], [8, 32], [16, 16], [256, 1]);
  fc.assert(
    fc.property(sharing, fc.infiniteStream(fc.nat()), ([workers, block], random) => {
      expect(workers * block).toBeLessThanOrEqual(MAX_RESERVED_COUNTERS);
      const memory = SharedCounter.allocate();
      const counters = Array.from({ length: workers }, () => new SharedCounter(memory, { block }));
      const window = new ReplayWindow();
      for (let round = 0; round < 4 * block; round++) {
        for (const counter of shuffled(counters, random)) {
          counter.next();
          expect(window.next - BigInt(counter.lo)).toBeLessThan(workers * block);
          expect(window.commit(counter.lo, counter.hi)).toBe(true);
        }
      }
    }),
    { numRuns: 20 },
  );
});

test("a receiver takes every packet although the network shuffles by another 767 on top of the blocks", () => {
  const reach = MAX_RESERVED_COUNTERS + 767;
  const delays = fc.array(fc.nat(reach), { minLength: 3000, maxLength: 3000 });
  fc.assert(
    fc.property(delays, (delay) => {
      const window = new ReplayWindow();
      const arrivals = delay.map((late, counter) => ({ counter, at: counter + late }));
      arrivals.sort((a, b) => a.at - b.at);
      for (const { counter } of arrivals) expect(window.commit(counter, 0)).toBe(true);
    }),
    { numRuns: 20 },
  );
});

/** Fisher-Yates over a copy. */
function shuffled<T>(items: readonly T[], random: fc.Stream<number>): T[] {
  const copy = [...items];
  const numbers = random[Symbol.iterator]();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = (numbers.next().value as number) % (i + 1);
    [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
  }
  return copy;
}

test("a block is taken from the memory at once and used up in order", () => {
  const memory = SharedCounter.allocate(0xffff_fffen);
  const [a, b] = [new SharedCounter(memory, { block: 4 }), new SharedCounter(memory)];
  expect([take(a), take(b), take(a), take(a), take(a), take(a)]).toEqual([
    0xffff_fffen,
    0x1_0000_0002n,
    0xffff_ffffn,
    0x1_0000_0000n,
    0x1_0000_0001n,
    0x1_0000_0003n,
  ]);
});

test("after the generation is retired no thread draws another value, not even from a block it holds", () => {
  const memory = SharedCounter.allocate();
  const [a, b] = [new SharedCounter(memory, { block: 8 }), new SharedCounter(memory)];
  a.next();
  b.retire();
  for (const counter of [a, b]) {
    expect(() => counter.next()).toThrow(expect.objectContaining({ code: "stale-generation" }));
  }
  const fresh = new SharedCounter(memory);
  expect(fresh.generation).toBe(1);
  expect(take(fresh)).toBe(8n);
  const late = new SharedCounter(memory, { generation: 0 });
  expect(() => late.next()).toThrow("replaced");
});

test("near the end of the counter space it refuses, long before the memory could wrap", () => {
  const memory = SharedCounter.allocate(LIMIT - (1n << 32n) - 1n);
  const counter = new SharedCounter(memory);
  expect(take(counter)).toBe(LIMIT - (1n << 32n) - 1n);
  for (let i = 0; i < 3; i++) {
    expect(() => counter.next()).toThrow(expect.objectContaining({ code: "counter-exhausted" }));
  }
});

test("blocks have 1 to 256 values", () => {
  for (const block of [0, -1, 1.5, 257]) {
    expect(() => new SharedCounter(SharedCounter.allocate(), { block })).toThrow(
      expect.objectContaining({ code: "invalid-size", value: block }),
    );
  }
});
