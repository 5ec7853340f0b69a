import type { DaemonTime } from "../../src/index.ts";

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** Time that stands still until told otherwise. */
export class VirtualTime implements DaemonTime {
  nowMs = 1_700_000_000_000;
  readonly #timers: Set<Timer> = new Set();

  /** Timers set and not yet due. */
  get pending(): number {
    return this.#timers.size;
  }

  unixTimeNs(): bigint {
    return BigInt(this.nowMs) * 1_000_000n;
  }

  after(delayMs: number, callback: () => void): unknown {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return timer;
  }

  cancel(handle: unknown): void {
    this.#timers.delete(handle as Timer);
  }

  /** Moves on, calling back what is due; then lets promises settle. */
  async advance(durationMs: number): Promise<void> {
    this.nowMs += durationMs;
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.nowMs) continue;
      this.#timers.delete(timer);
      timer.callback();
    }
    await settle();
  }
}

/** Lets all promises settle that wait for nothing but each other. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
