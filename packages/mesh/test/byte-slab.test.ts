import { describe, expect, it } from "vitest";
import { ByteSlab } from "../src/stream/byte-slab.ts";
import { SeededRandom } from "../src/testing/index.ts";

describe("a byte slab", () => {
  it("keeps copies that nothing done later changes", () => {
    const random = new SeededRandom(11);
    const slab = new ByteSlab();
    const source = new Uint8Array(9_000);
    const copies: { readonly copy: Uint8Array; readonly expected: Uint8Array }[] = [];
    for (let i = 0; i < 2_000; i++) {
      random.fill(source.subarray(0, 64));
      const length = i % 7 === 0 ? i * 4 : i % 300;
      const bytes = source.subarray(i % 50, (i % 50) + length);
      copies.push({ copy: slab.copy(bytes), expected: Uint8Array.from(bytes) });
    }
    source.fill(0xff);
    for (const { copy, expected } of copies) expect(copy).toEqual(expected);
  });

  it("puts small ones into one piece of memory, which grows with use", () => {
    const slab = new ByteSlab();
    const pieces = new Set(Array.from({ length: 2_000 }, () => slab.copy(new Uint8Array(64)).buffer));
    expect(pieces.size).toBeLessThan(8);
    expect(slab.copy(new Uint8Array(64)).buffer.byteLength).toBe(65_536);
  });

  it("takes little memory for little, and what it needs for much", () => {
    expect(new ByteSlab().copy(new Uint8Array(64)).buffer.byteLength).toBe(1_024);
    expect(new ByteSlab().copy(new Uint8Array(100_000)).length).toBe(100_000);
  });
});
