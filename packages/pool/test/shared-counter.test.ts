import { ReplayWindow } from "@netmesh/crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_RESERVED_COUNTERS, SharedCounter } from "../src/index.ts";

const LIMIT = 2n ** 64n - 1n;

function take(counter: SharedCounter): bigint {
  counter.next();
  return (BigInt(counter.hi) << 32n) | BigInt(counter.lo);
}

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

test("a thread that was held up gives up the rest of its block instead of sealing with counters long past", () => {
  const memory = SharedCounter.allocate(0xffff_ff00n);
  const [slow, fast] = [new SharedCounter(memory, { block: 32 }), new SharedCounter(memory)];
  expect(take(slow)).toBe(0xffff_ff00n);
  for (let i = 0; i < MAX_RESERVED_COUNTERS - 31; i++) fast.next();
  expect(take(slow)).toBe(0xffff_ff01n); // 256 behind
  fast.next();
  fast.next();
  expect(take(slow)).toBe(0xffff_ff00n + BigInt(32 + MAX_RESERVED_COUNTERS - 29));
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
