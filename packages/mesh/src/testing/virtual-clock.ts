import type { Clock } from "../clock.ts";
import type { Scheduler } from "../node.ts";

interface Task {
  readonly atMs: number;
  /** Ties are run in the order in which they were scheduled. */
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** A clock that stands still until told otherwise, and the timers that go by it. */
export class VirtualClock implements Clock, Scheduler {
  #nowMs = 0;
  #order = 0;
  readonly #heap: Task[] = [];

  /** Virtual milliseconds since the clock was made. */
  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): unknown {
    const task = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      run: callback,
      cancelled: false,
    };
    this.#push(task);
    return task;
  }

  cancel(handle: unknown): void {
    (handle as Task).cancelled = true;
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  /** Runs the next task and moves to its time; false when there is none. */
  step(): boolean {
    for (;;) {
      const task = this.#pop();
      if (task === undefined) return false;
      if (task.cancelled) continue;
      this.#nowMs = Math.max(this.#nowMs, task.atMs);
      task.run();
      return true;
    }
  }

  /** Runs everything due within `durationMs`, and moves the time on by that. */
  advance(durationMs: number): void {
    const end = this.#nowMs + durationMs;
    while (this.nextAtMs <= end) this.step();
    this.#nowMs = end;
  }

  /** Runs tasks until `done()`; false when `limitMs` of virtual time have passed without it. */
  advanceUntil(done: () => boolean, limitMs: number): boolean {
    const end = this.#nowMs + limitMs;
    while (!done()) {
      if (this.nextAtMs > end || !this.step()) return false;
    }
    return true;
  }

  /**
   * As {@link advanceUntil}, for code with promises: lets pending promise callbacks run between tasks.
   */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    const end = this.#nowMs + limitMs;
    for (;;) {
      await settle();
      if (done()) return true;
      if (this.nextAtMs > end || !this.step()) return false;
    }
  }

  /** When the next task is due, `Infinity` when there is none. */
  get nextAtMs(): number {
    while (this.#heap[0]?.cancelled === true) this.#pop();
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #before(a: Task, b: Task): boolean {
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(task);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as Task;
      if (!this.#before(task, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = task;
  }

  #pop(): Task | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= heap.length) break;
      const right = heap[below + 1];
      if (right !== undefined && this.#before(right, heap[below] as Task)) below++;
      const child = heap[below] as Task;
      if (!this.#before(child, last)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = last;
    return first;
  }
}

/** Lets promise callbacks that are ready run, a few levels deep. */
async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await undefined;
}
