import { describe, expect, test } from "vitest";
import { LinearMemory } from "../src/aead/linear-memory.ts";

describe("linear memory", () => {
  test("hands out pieces that do not overlap, until there is no more", () => {
    const memory = new LinearMemory(new ArrayBuffer(1_024), 128, 1_024);
    const pieces: Uint8Array[] = [];
    for (let piece = memory.allocate(100); piece !== undefined; piece = memory.allocate(100))
      pieces.push(piece);
    expect(pieces).toHaveLength(7);
    for (const [i, piece] of pieces.entries()) piece.fill(i + 1);
    pieces.forEach((piece, i) => {
      expect(piece).toEqual(new Uint8Array(100).fill(i + 1));
      expect(piece.byteOffset).toBeGreaterThanOrEqual(128);
      expect(piece.byteOffset % 64).toBe(0);
    });
  });

  test("a piece that came back serves the next request of its size, and no other", () => {
    const memory = new LinearMemory(new ArrayBuffer(512), 0, 512);
    const [first, second] = [memory.allocate(256), memory.allocate(256)];
    expect(memory.allocate(1)).toBeUndefined();
    memory.release(first as Uint8Array<ArrayBuffer>);
    expect(memory.allocate(64)).toBeUndefined();
    expect(memory.allocate(250)?.byteOffset).toBe(first?.byteOffset);
    memory.release(second as Uint8Array<ArrayBuffer>);
    expect(memory.allocate(256)?.byteOffset).toBe(second?.byteOffset);
  });

  test("what is not a piece in use cannot be given back", () => {
    const memory = new LinearMemory(new ArrayBuffer(512), 0, 512);
    const piece = memory.allocate(64) as Uint8Array<ArrayBuffer>;
    const foreign = expect.objectContaining({ code: "foreign-memory" });
    expect(() => memory.release(new Uint8Array(64))).toThrow(foreign);
    expect(() => memory.release(new Uint8Array(piece.buffer, 128, 64))).toThrow(foreign);
    memory.release(piece);
    expect(() => memory.release(piece)).toThrow(foreign);
  });

  test.each([-1, Number.NaN, 1e9])("%f bytes are not to be had", (size) => {
    expect(new LinearMemory(new ArrayBuffer(512), 0, 512).allocate(size)).toBeUndefined();
  });
});
