import type { RandomSource } from "../src/random-source.ts";

/** Bytes from a seed (mulberry32): the same in every run. */
export function seededRandom(seed: number): RandomSource {
  let state = seed;
  return {
    fill(bytes) {
      for (let index = 0; index < bytes.length; index += 1) {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        bytes[index] = (mixed ^ (mixed >>> 14)) & 255;
      }
    },
  };
}
