import type { Timers } from "../src/timers.ts";

interface Wakeup {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Time that moves only when a test says so; what was promised meanwhile has happened when `advance` resolves. */
export class VirtualTimers implements Timers {
  #nowMs = 0;
  #order = 0;
  readonly #wakeups = new Set<Wakeup>();

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): unknown {
    const wakeup = { atMs: this.#nowMs + delayMs, order: this.#order++, callback };
    this.#wakeups.add(wakeup);
    return wakeup;
  }

  cancel(handle: unknown): void {
    this.#wakeups.delete(handle as Wakeup);
  }

  /** Callbacks that still wait. */
  get pending(): number {
    return this.#wakeups.size;
  }

  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#wakeups.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }

  #next(endMs: number): Wakeup | undefined {
    const due = [...this.#wakeups].filter(({ atMs }) => atMs <= endMs);
    return due.sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
  }
}

/** Lets everything happen that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** What became of a call, once the virtual time has passed. */
export async function outcome<T>(timers: VirtualTimers, call: Promise<T>, durationMs = 10_000): Promise<T> {
  call.catch(() => {});
  await timers.advance(durationMs);
  return await call;
}
