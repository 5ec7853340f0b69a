import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { high32, joinU64, low32 } from "../src/u64.ts";
import { hashU64, U64Map } from "../src/u64-map.ts";

// Few enough ids that deletes and replacements meet, from both ends of the range.
const id = fc.oneof(
  fc.bigInt({ min: 0n, max: 40n }),
  fc.bigInt({ min: 0n, max: 40n }).map((low) => (low << 32n) | 7n),
  fc.bigInt({ min: 2n ** 64n - 8n, max: 2n ** 64n - 1n }),
);
const step = fc.oneof(
  fc.record({ op: fc.constant("set" as const), id, value: fc.nat(999) }),
  fc.record({ op: fc.constant("delete" as const), id }),
  fc.record({ op: fc.constant("removeIf" as const), modulus: fc.integer({ min: 2, max: 5 }) }),
);

function sorted(entries: Iterable<[bigint, number]>): [bigint, number][] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}

describe("U64Map", () => {
  it("behaves as a Map of bigint, whatever the order of operations", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer(), (steps, seed) => {
        const map = new U64Map<number>(seed);
        const model = new Map<bigint, number>();
        for (const each of steps) {
          if (each.op === "set") {
            map.setId(each.id, each.value);
            model.set(each.id, each.value);
          } else if (each.op === "delete") {
            expect(map.deleteId(each.id)).toBe(model.delete(each.id));
          } else {
            const doomed = [...model].filter(([, value]) => value % each.modulus === 0);
            for (const [key] of doomed) model.delete(key);
            expect(map.removeIf((value) => value % each.modulus === 0)).toBe(doomed.length);
          }
          expect(map.size).toBe(model.size);
        }
        expect(sorted(map.entries())).toEqual(sorted(model));
        for (const [key, value] of model) expect(map.getId(key)).toBe(value);
      }),
    );
  });

  it("takes halves signed or unsigned", () => {
    const map = new U64Map<string>();
    map.set(-1, -2, "a");
    expect(map.get(0xffffffff, 0xfffffffe)).toBe("a");
    expect(map.getId(0xfffffffeffffffffn)).toBe("a");
    expect(map.has(0xffffffff, 0xffffffff)).toBe(false);
  });

  it("tells the id 0 from an empty slot", () => {
    const map = new U64Map<string>();
    expect(map.hasId(0n)).toBe(false);
    map.setId(0n, "zero");
    expect([map.getId(0n), map.deleteId(0n), map.deleteId(0n)]).toEqual(["zero", true, false]);
  });

  it("holds ids that differ in one half only", () => {
    const map = new U64Map<number>(1);
    for (let i = 0; i < 5000; i++) {
      map.set(i, 0, i);
      map.set(0, i + 1, -i);
    }
    expect(map.size).toBe(10_000);
    for (let i = 0; i < 5000; i++) expect([map.get(i, 0), map.get(0, i + 1)]).toEqual([i, -i]);
  });

  it("iterates over every entry once and forgets all on clear", () => {
    const map = new U64Map<bigint>();
    for (let i = 0n; i < 100n; i++) map.setId(i << 30n, i);
    const seen: bigint[] = [];
    map.forEach((value, lo, hi) => {
      expect(joinU64(lo, hi)).toBe(value << 30n);
      seen.push(value);
    });
    expect(seen.length).toBe(100);
    expect(new Set(map).size).toBe(100);
    map.clear();
    expect([map.size, [...map].length, map.getId(0n)]).toEqual([0, 0, undefined]);
  });

  it("spreads sequential ids and ids that collide under another seed", () => {
    const mask = 1023;
    const aimed: bigint[] = [];
    for (let i = 0n; aimed.length < 64; i++) {
      if ((hashU64(low32(i), high32(i), 1) & mask) === 5) aimed.push(i);
    }
    const slots = new Set(aimed.map((each) => hashU64(low32(each), high32(each), 2) & mask));
    expect(slots.size).toBeGreaterThan(50);
  });
});
