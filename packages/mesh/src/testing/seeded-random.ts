import type { RandomSource } from "@netmesh/crypto";

/** A reproducible generator (xoshiro128**, seeded by splitmix32). Not for secrets. */
export class SeededRandom implements RandomSource {
  readonly seed: number;
  readonly #s = new Uint32Array(4);

  constructor(seed: number) {
    this.seed = seed;
    let state = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      state = (state + 0x9e37_79b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
      this.#s[i] = z ^ (z >>> 15);
    }
  }

  /** An unsigned 32-bit integer. */
  uint32(): number {
    const s = this.#s;
    const s1 = s[1] as number;
    let result = Math.imul(s1, 5);
    result = Math.imul((result << 7) | (result >>> 25), 9);
    s[2] = (s[2] as number) ^ (s[0] as number);
    s[3] = (s[3] as number) ^ s1;
    s[1] = s1 ^ (s[2] as number);
    s[0] = (s[0] as number) ^ (s[3] as number);
    s[2] = (s[2] as number) ^ (s1 << 9);
    s[3] = ((s[3] as number) << 11) | ((s[3] as number) >>> 21);
    return result >>> 0;
  }

  /** A number from 0 to 1, 1 excluded. */
  next(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer from 0 to `below`, `below` excluded. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** Whether something of that probability happens. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.uint32() >>> 24;
  }

  /** `length` random bytes. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.fill(bytes);
    return bytes;
  }
}
