import { type EventBatch, eventOf, type InboundEvent } from "./inbound-event.ts";

/** Taken packets before the list is moved up. */
const MAX_TAKEN = 1_024;
const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true };

/** A reader that waits for events: for one, or for all of a packet. */
interface Waiter {
  readonly isBatch: boolean;
  resolve(result: IteratorResult<EventBatch | InboundEvent, undefined>): void;
  reject(reason: unknown): void;
}

/**
 * What a stream has received and nobody has read, packet by packet. It is read event by event or packet by packet, by any
 * number of readers; each event goes to one of them.
 */
export class InboundQueue {
  /** Events that wait. */
  size = 0;
  readonly #onTaken: (wireBytes: number) => void;
  /** Packets in order, those before `#head` are taken. */
  readonly #batches: EventBatch[] = [];
  /** Of each packet, what to give back to the sender when its last event was taken. */
  readonly #wireBytes: number[] = [];
  #head = 0;
  /** Events of the first packet that are taken. */
  #taken = 0;
  readonly #waiters: Waiter[] = [];
  #isEnded = false;
  #error: unknown;

  /** @param onTaken - called when the last event of a packet was taken, with the bytes that it counts */
  constructor(onTaken: (wireBytes: number) => void) {
    this.#onTaken = onTaken;
  }

  /** Adds the events of a packet. */
  push(batch: EventBatch, wireBytes: number): void {
    if (this.#isEnded) return;
    this.#batches.push(batch);
    this.#wireBytes.push(wireBytes);
    this.size += batch.events.length;
    while (this.#waiters.length > 0 && this.size > 0) {
      const waiter = this.#waiters.shift() as Waiter;
      const value = waiter.isBatch ? this.#takeBatch() : this.#takeEvent();
      waiter.resolve({ value, done: false });
    }
  }

  /** No more will come: readers get what waits, and then the end, or the error. Idempotent. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    for (const waiter of this.#waiters.splice(0)) this.#finish(waiter);
  }

  /** Reads event by event. */
  events(signal?: AbortSignal): AsyncIterableIterator<InboundEvent, undefined> {
    return new Reader<InboundEvent>(this, false, signal);
  }

  /** Reads packet by packet: of one that was begun event by event, the rest. */
  batches(signal?: AbortSignal): AsyncIterableIterator<EventBatch, undefined> {
    return new Reader<EventBatch>(this, true, signal);
  }

  /** What waits; undefined when nothing does. For {@link Reader}. */
  poll(isBatch: boolean): EventBatch | InboundEvent | undefined {
    if (this.size === 0) return undefined;
    return isBatch ? this.#takeBatch() : this.#takeEvent();
  }

  /** Puts a reader in the queue. For {@link Reader}. */
  wait(waiter: Waiter): void {
    if (this.#isEnded) this.#finish(waiter);
    else this.#waiters.push(waiter);
  }

  /** Ends a reader's wait; harmless when it is over. For {@link Reader}. */
  cancel(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter);
    if (index < 0) return;
    this.#waiters.splice(index, 1);
    waiter.resolve(DONE);
  }

  #finish(waiter: Waiter): void {
    if (this.#error === undefined) waiter.resolve(DONE);
    else waiter.reject(this.#error);
  }

  #takeEvent(): InboundEvent {
    const batch = this.#batches[this.#head] as EventBatch;
    const at = this.#taken++;
    this.size--;
    if (this.#taken === batch.events.length) this.#drop();
    return eventOf(batch, at);
  }

  #takeBatch(): EventBatch {
    const batch = this.#batches[this.#head] as EventBatch;
    const taken = this.#taken;
    this.size -= batch.events.length - taken;
    this.#drop();
    return taken === 0 ? batch : { ...batch, index: batch.index + taken, events: batch.events.slice(taken) };
  }

  /** The first packet was read. */
  #drop(): void {
    const wireBytes = this.#wireBytes[this.#head] as number;
    this.#head++;
    this.#taken = 0;
    if (this.#head === this.#batches.length) {
      this.#batches.length = 0;
      this.#wireBytes.length = 0;
      this.#head = 0;
    } else if (this.#head > MAX_TAKEN) {
      this.#batches.splice(0, this.#head);
      this.#wireBytes.splice(0, this.#head);
      this.#head = 0;
    } else this.#batches[this.#head - 1] = NOTHING;
    this.#onTaken(wireBytes);
  }
}

/** Takes the place of a packet that was read. */
const NOTHING: EventBatch = {
  peer: 0n,
  streamId: 0n,
  sequence: 0,
  index: 0,
  subprotocolId: 0,
  channelHash: 0,
  originHash: 0n,
  events: [],
  receivedAtMs: 0,
};

/** One loop over a queue. No `async` function: an event that waits costs the one promise that the language asks for. */
class Reader<T extends EventBatch | InboundEvent> implements AsyncIterableIterator<T, undefined> {
  readonly #queue: InboundQueue;
  readonly #isBatch: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting = new Set<Waiter>();
  #isOver: boolean;

  constructor(queue: InboundQueue, isBatch: boolean, signal: AbortSignal | undefined) {
    this.#queue = queue;
    this.#isBatch = isBatch;
    this.#signal = signal;
    this.#isOver = signal?.aborted === true;
    if (!this.#isOver) signal?.addEventListener("abort", this.#finish, { once: true });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#isOver) return Promise.resolve(DONE);
    const value = this.#queue.poll(this.#isBatch) as T | undefined;
    return value === undefined ? this.#wait() : Promise.resolve({ value, done: false });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#finish();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #wait(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        isBatch: this.#isBatch,
        resolve: (result) => {
          this.#waiting.delete(waiter);
          if (result.done === true) this.#finish();
          resolve(result as IteratorResult<T, undefined>);
        },
        reject: (reason) => {
          this.#waiting.delete(waiter);
          this.#finish();
          reject(reason);
        },
      };
      this.#waiting.add(waiter);
      this.#queue.wait(waiter);
    });
  }

  /** Ends the loop. A waiter left behind would swallow an event that a later loop should get. */
  readonly #finish = (): void => {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal?.removeEventListener("abort", this.#finish);
    for (const waiter of this.#waiting) this.#queue.cancel(waiter);
  };
}
