import { high32, low32 } from "@netmesh/wire";

/** The generator's multiplier 6364136223846793005, in 16-bit limbs, lowest first. */
const MULTIPLIER = [0x7f2d, 0x4c95, 0xf42d, 0x5851] as const;

/**
 * Decides which packets a bad link loses: a share of them at random, and bursts (routing §7.3). The same
 * state gives the same losses as in Net 0.27. For tests; not a source of randomness for anything else.
 */
export class LossSimulator {
  readonly #lossRate: number;
  #burstProbability = 0;
  #burstLength = 0;
  #burstRemaining = 0;
  #stateLo: number;
  #stateHi: number;
  #total = 0;
  #dropped = 0;

  /**
   * @param lossRate share of packets lost, clamped to 0..1
   * @param state start of the generator
   */
  constructor(lossRate: number, state = 12_345n) {
    this.#lossRate = Math.min(1, Math.max(0, lossRate));
    this.#stateLo = low32(state);
    this.#stateHi = high32(state);
  }

  /** Lets a burst of `length` losses begin with that probability at each packet. */
  withBursts(probability: number, length: number): this {
    this.#burstProbability = Math.min(1, Math.max(0, probability));
    this.#burstLength = length;
    return this;
  }

  /** Packets seen and lost since the last reset. */
  get counts(): { readonly total: number; readonly dropped: number } {
    return { total: this.#total, dropped: this.#dropped };
  }

  /** Whether the next packet is lost. */
  shouldDrop(): boolean {
    this.#total += 1;
    const isLost = this.#isLost();
    if (isLost) this.#dropped += 1;
    return isLost;
  }

  /** Share of the packets that were lost, 0 before the first. */
  effectiveLossRate(): number {
    return this.#total === 0 ? 0 : this.#dropped / this.#total;
  }

  /** Starts the counts over and ends a burst; the generator goes on. */
  reset(): void {
    this.#total = 0;
    this.#dropped = 0;
    this.#burstRemaining = 0;
  }

  #isLost(): boolean {
    if (this.#burstRemaining > 0) {
      this.#burstRemaining -= 1;
      return true;
    }
    const r = this.#draw();
    if (this.#burstProbability > 0 && r < this.#burstProbability) {
      this.#burstRemaining = Math.max(0, this.#burstLength - 1);
      return true;
    }
    return r < this.#lossRate;
  }

  /** A number from 0 to 1: `state = state × multiplier + 1 (mod 2^64)`, of which the highest 31 bits count. */
  #draw(): number {
    const state = [
      this.#stateLo & 0xffff,
      this.#stateLo >>> 16,
      this.#stateHi & 0xffff,
      this.#stateHi >>> 16,
    ];
    const limbs = [0, 0, 0, 0];
    let carry = 1;
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j <= i; j++) carry += (state[j] as number) * (MULTIPLIER[i - j] as number);
      limbs[i] = carry % 0x1_0000;
      carry = Math.floor(carry / 0x1_0000);
    }
    const [a, b, c, d] = limbs as [number, number, number, number];
    this.#stateLo = ((b << 16) | a) >>> 0;
    this.#stateHi = ((d << 16) | c) >>> 0;
    return (this.#stateHi >>> 1) / 2 ** 31;
  }
}
