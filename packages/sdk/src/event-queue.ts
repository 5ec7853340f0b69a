/** What happens to an item that finds a full queue. */
export type OverflowPolicy = "drop-newest" | "drop-oldest" | "error";

/** A consumer that waits for an item. */
export interface Waiter<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(reason: unknown): void;
}

/** A bounded queue with one end for a producer and one for `for await`. Each item goes to one consumer. */
export class EventQueue<T> {
  /** Items that a full queue has lost. */
  dropped = 0;
  readonly #capacity: number;
  readonly #overflow: OverflowPolicy;
  #items: T[] = [];
  #head = 0;
  readonly #waiters: Waiter<T>[] = [];
  #isEnded = false;
  #error: unknown;
  readonly #onTake: ((item: T) => void) | undefined;

  /** @param onTake - called with each item that a consumer takes */
  constructor(capacity: number, overflow: OverflowPolicy, onTake?: (item: T) => void) {
    this.#capacity = capacity;
    this.#overflow = overflow;
    this.#onTake = onTake;
  }

  /** Items that wait. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Whether {@link end} was called: nothing more is taken. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Adds an item; false when it, or with `drop-oldest` another one, was lost. */
  push(item: T): boolean {
    if (this.#isEnded) return false;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      this.#onTake?.(item);
      waiter.resolve({ value: item, done: false });
      return true;
    }
    if (this.size >= this.#capacity) {
      this.dropped++;
      if (this.#overflow === "drop-newest") return false;
      if (this.#overflow === "error") {
        this.end(new RangeError("the queue overflowed"));
        return false;
      }
      this.#shift();
      this.#items.push(item);
      return false;
    }
    this.#items.push(item);
    return true;
  }

  /** No more items will come: consumers get what waits, and then the end, or the error. Idempotent. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    for (const waiter of this.#waiters.splice(0)) this.#finish(waiter);
  }

  /** Takes an item that waits already. */
  poll(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#shift();
    this.#onTake?.(item);
    return item;
  }

  /** Takes the item out that fits and has waited longest; undefined when none does. */
  pollFirst(fits: (item: T) => boolean): T | undefined {
    for (let at = this.#head; at < this.#items.length; at++) {
      const item = this.#items[at] as T;
      if (!fits(item)) continue;
      if (at === this.#head) return this.poll();
      this.#items.splice(at, 1);
      this.#onTake?.(item);
      return item;
    }
    return undefined;
  }

  /** The next item, or the end. `onWait` gets what {@link cancel} takes when there is nothing yet. */
  next(onWait?: (waiter: Waiter<T>) => void): Promise<IteratorResult<T, undefined>> {
    if (this.size > 0) {
      const value = this.#shift();
      this.#onTake?.(value);
      return Promise.resolve({ value, done: false });
    }
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      if (this.#isEnded) this.#finish(waiter);
      else {
        this.#waiters.push(waiter);
        onWait?.(waiter);
      }
    });
  }

  /** Ends one consumer's wait without ending the queue; harmless when it is over. */
  cancel(waiter: Waiter<T>): void {
    const index = this.#waiters.indexOf(waiter);
    if (index < 0) return;
    this.#waiters.splice(index, 1);
    waiter.resolve({ value: undefined, done: true });
  }

  #finish(waiter: Waiter<T>): void {
    if (this.#error === undefined) waiter.resolve({ value: undefined, done: true });
    else waiter.reject(this.#error);
  }

  #shift(): T {
    const item = this.#items[this.#head] as T;
    this.#items[this.#head++] = undefined as T;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1_024) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** `for await` over a queue; `onReturn` runs when the loop is left early, and when the signal ends it. */
export function iterate<T>(
  queue: EventQueue<T>,
  signal: AbortSignal | undefined,
  onReturn?: () => void,
): AsyncIterableIterator<T, undefined> {
  let isOver = signal?.aborted === true;
  const finish = () => {
    if (isOver) return;
    isOver = true;
    signal?.removeEventListener("abort", finish);
    // A waiter left behind would swallow an event that a later loop should get.
    for (const waiter of waiting) queue.cancel(waiter);
    onReturn?.();
  };
  const waiting = new Set<Waiter<T>>();
  if (isOver) onReturn?.();
  else signal?.addEventListener("abort", finish, { once: true });
  return {
    async next() {
      if (isOver) return { value: undefined, done: true };
      let own: Waiter<T> | undefined;
      let isLast = true;
      try {
        const result = await queue.next((waiter) => {
          own = waiter;
          waiting.add(waiter);
        });
        isLast = result.done === true;
        return result;
      } finally {
        if (own !== undefined) waiting.delete(own);
        if (isLast) finish();
      }
    },
    async return() {
      finish();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
