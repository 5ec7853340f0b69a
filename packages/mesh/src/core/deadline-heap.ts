/** Something that wants to be woken at a time. */
export interface Timed {
  /** When to wake up, in milliseconds of the core's clock; `Infinity` for never. */
  deadline: number;
  /** Position in the heap, maintained by {@link DeadlineHeap}; -1 while outside. */
  heapIndex: number;
}

/** A binary min-heap over deadlines whose members can be moved and removed in O(log n). */
export class DeadlineHeap<T extends Timed> {
  readonly #items: T[] = [];

  /** The earliest deadline, `Infinity` when there is none. */
  get next(): number {
    const first = this.#items[0];
    return first === undefined ? Number.POSITIVE_INFINITY : first.deadline;
  }

  /** The member with the earliest deadline. */
  peek(): T | undefined {
    return this.#items[0];
  }

  /** Inserts the item, or moves it after its deadline was set to `deadline`. */
  schedule(item: T, deadline: number): void {
    item.deadline = deadline;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
    }
    this.#down(this.#up(item.heapIndex));
  }

  /** Makes the item's deadline no later than `deadline`. */
  hasten(item: T, deadline: number): void {
    if (item.heapIndex < 0 || deadline < item.deadline) this.schedule(item, deadline);
  }

  /** Takes the item out; harmless when it is not in. */
  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop() as T;
    if (last === item) return;
    this.#items[index] = last;
    last.heapIndex = index;
    this.#down(this.#up(index));
  }

  #up(start: number): number {
    let index = start;
    const item = this.#items[index] as T;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = this.#items[above] as T;
      if (parent.deadline <= item.deadline) break;
      this.#items[index] = parent;
      parent.heapIndex = index;
      index = above;
    }
    this.#items[index] = item;
    item.heapIndex = index;
    return index;
  }

  #down(start: number): void {
    let index = start;
    const item = this.#items[index] as T;
    const length = this.#items.length;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= length) break;
      const right = this.#items[below + 1];
      if (right !== undefined && right.deadline < (this.#items[below] as T).deadline) below++;
      const child = this.#items[below] as T;
      if (child.deadline >= item.deadline) break;
      this.#items[index] = child;
      child.heapIndex = index;
      index = below;
    }
    this.#items[index] = item;
    item.heapIndex = index;
  }
}
