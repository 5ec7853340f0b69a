interface Waiter<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Calls waiting for something, first come first served; a cancelled one leaves without a trace. */
export class WaitList<T> {
  readonly #waiters: Set<Waiter<T>> = new Set();

  /** Waits for a turn; rejects with the signal's reason when it is aborted. */
  wait(signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter<T> = {
        resolve: (value) => {
          signal?.removeEventListener("abort", abort);
          resolve(value);
        },
        reject: (reason) => {
          signal?.removeEventListener("abort", abort);
          reject(reason);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Gives the value to the call that has waited longest; false when none waits. */
  resolveFirst(value: T): boolean {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.resolve(value);
      return true;
    }
    return false;
  }

  /** Gives the value to every waiting call. */
  resolveAll(value: T): void {
    while (this.resolveFirst(value));
  }

  /** Fails every waiting call. */
  rejectAll(reason: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(reason);
    this.#waiters.clear();
  }
}
