import { describe, expect, it } from "vitest";
import { ByteSlab } from "../src/stream/byte-slab.ts";

describe("a byte slab", () => {
  it("keeps every copy as it was, whatever follows it and whatever becomes of the original", () => {
    const slab = new ByteSlab();
    const copies: Uint8Array[] = [];
    const sizes = [0, 1, 700, 400, 8_108, 0, 200_000, 3, 8_108, 8_108, 60_000, 60_000];
    for (const [i, size] of sizes.entries()) {
      const original = new Uint8Array(size + 2).fill(i + 1);
      copies.push(slab.copy(original, 1, size + 1));
      original.fill(0);
    }
    for (const [i, size] of sizes.entries()) {
      expect(copies[i]).toEqual(new Uint8Array(size).fill(i + 1));
    }
  });

  it("takes little memory for little, and shares what it takes", () => {
    const slab = new ByteSlab();
    const one = slab.copy(new Uint8Array(10), 0, 10);
    const two = slab.copy(new Uint8Array(10), 0, 10);
    expect(one.buffer.byteLength).toBe(1_024);
    expect(two.buffer).toBe(one.buffer);
    for (let i = 0; i < 1_000; i++) slab.copy(new Uint8Array(1_000), 0, 1_000);
    expect(slab.copy(new Uint8Array(10), 0, 10).buffer.byteLength).toBe(114_688);
  });
});
