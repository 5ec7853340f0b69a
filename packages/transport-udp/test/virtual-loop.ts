import type { Doorbell, EventLoop, Ring } from "../src/batched/event-loop.ts";

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** An event loop in virtual time, with a doorbell that the test rings. */
export class VirtualLoop implements EventLoop {
  nowMs = 0;
  /** What the one doorbell is watching for. */
  watching: "nothing" | "reads" | "reads and writes" = "nothing";
  isDoorbellClosed = false;
  isRef = true;
  /** Whether watching fails. */
  isDeaf = false;
  #ring: Ring | undefined;
  readonly #soon: (() => void)[] = [];
  readonly #timers: Timer[] = [];

  doorbell(_fd: number, ring: Ring): Doorbell {
    this.#ring = ring;
    return {
      watch: (isWriteWanted) => {
        if (this.isDeaf) throw new Error("deaf");
        this.watching = isWriteWanted ? "reads and writes" : "reads";
      },
      pause: () => {
        this.watching = "nothing";
      },
      close: () => {
        this.watching = "nothing";
        this.isDoorbellClosed = true;
      },
      setRef: (isRef) => {
        this.isRef = isRef;
      },
    };
  }

  soon(callback: () => void): void {
    this.#soon.push(callback);
  }

  after(delayMs: number, _isRef: boolean, callback: () => void): unknown {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return timer;
  }

  cancel(timer: unknown): void {
    const index = this.#timers.indexOf(timer as Timer);
    if (index >= 0) this.#timers.splice(index, 1);
  }

  /** Delays of the timers that are set, in milliseconds from now. */
  get delays(): number[] {
    return this.#timers.map(({ atMs }) => atMs - this.nowMs);
  }

  /** The doorbell rings, if it watches, and the turn that follows is run. */
  ring(what: { isWritable?: boolean; isBroken?: boolean } = {}): void {
    if (this.watching === "nothing") return;
    if (what.isBroken === true) this.watching = "nothing";
    this.#ring?.(what.isWritable ?? false, what.isBroken ?? false);
    this.turn();
  }

  /** Runs what is due soon, but not what that makes due. */
  turn(): void {
    for (const callback of this.#soon.splice(0)) callback();
  }

  /** Lets time pass, running timers in order and what they make due. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.cancel(next);
      this.nowMs = next.atMs;
      next.callback();
      this.turn();
    }
    this.nowMs = untilMs;
  }
}
