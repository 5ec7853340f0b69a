/** Time as the caller has it: a monotonic clock and what wakes up by it. Tests pass a virtual one. */
export interface Timers {
  /** Milliseconds since any fixed moment; never goes back. */
  now(): number;
  /** Calls `callback` once after `delayMs`; the handle is for {@link Timers.cancel}. */
  after(delayMs: number, callback: () => void): unknown;
  /** Forgets a callback; harmless when it has run. */
  cancel(handle: unknown): void;
}

/**
 * Runs `work` with a signal that aborts after `deadlineMs`, with `late()` as its reason, or with `signal`. Rejects with that
 * reason at once, also when `work` does not listen.
 */
export function withDeadline<T>(
  timers: Timers,
  deadlineMs: number,
  late: () => Error,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal?.aborted) return Promise.reject(signal.reason);
  const controller = new AbortController();
  const outer = (): void => controller.abort(signal?.reason);
  signal?.addEventListener("abort", outer, { once: true });
  const handle = timers.after(deadlineMs, () => controller.abort(late()));
  return new Promise<T>((resolve, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason), { once: true });
    work(controller.signal).then(resolve, reject);
  }).finally(() => {
    timers.cancel(handle);
    signal?.removeEventListener("abort", outer);
  });
}
