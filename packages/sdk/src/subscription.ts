import type { ChannelCursor } from "./channel-cursor.ts";
import { EventQueue, iterate, type OverflowPolicy } from "./event-queue.ts";
import { TypedEventTarget } from "./typed-events.ts";

/** Messages that wait unless told otherwise. */
const DEFAULT_QUEUE_MESSAGES = 1_024;

/** What was published on a channel. */
export interface ChannelMessage {
  /** Node id of the publisher. */
  readonly publisher: bigint;
  /** The event's bytes; yours to keep. */
  readonly data: Uint8Array;
  /** Sequence of its packet among those of the channel; events that were published together can share one. */
  readonly sequence: number;
  /** Position within the packet. */
  readonly index: number;
  /** When it arrived, in milliseconds of the mesh's monotonic clock. */
  readonly receivedAtMs: number;
}

/** How messages wait for their reader. */
export interface SubscriptionOptions {
  /** Messages published without repair that may wait; default 1024. Reliable ones wait within their window, and none is lost. */
  readonly highWaterMark?: number;
  /** What becomes of one that finds a full queue; default `"drop-newest"`. */
  readonly overflow?: OverflowPolicy;
}

/** What a {@link Subscription} announces. */
export interface SubscriptionEvents extends Record<string, object> {
  /** Messages may be missed from now on; the mesh asks the publisher again. `error` says why: a `NetError`. */
  lost: { readonly error: unknown };
  /** The publisher has accepted again, with the same token and group. */
  resubscribed: object;
}

/** Counts down until every reader has taken the messages of a packet. */
export class Taken {
  #left: number;
  readonly #onTaken: () => void;

  /** @param readers - how many will take them */
  constructor(readers: number, onTaken: () => void) {
    this.#left = readers;
    this.#onTaken = onTaken;
  }

  /** One reader has. */
  take(): void {
    if (--this.#left === 0) this.#onTaken();
  }
}

interface Queued {
  readonly message: ChannelMessage;
  readonly taken: Taken | undefined;
  readonly isReliable: boolean;
}

/**
 * A channel of a publisher as it arrives. Iterating it yields messages until it is disposed of; each goes to one loop. Disposing
 * of it, and `unsubscribe`, tell the publisher.
 */
export class Subscription
  extends TypedEventTarget<SubscriptionEvents>
  implements AsyncIterable<ChannelMessage>, AsyncDisposable
{
  /** Node id of the publisher. */
  readonly publisher: bigint;
  /** Name of the channel. */
  readonly channel: string;
  /**
   * Counts what comes, where somebody needs to know.
   * @internal
   */
  cursor: ChannelCursor | undefined;
  readonly #queue: EventQueue<Queued>;
  readonly #capacity: number;
  readonly #overflow: OverflowPolicy;
  readonly #onClose: () => Promise<void>;
  #dropped = 0;
  #isActive = true;
  #closing: Promise<void> | undefined;

  /** Use `Mesh.subscribe`. */
  constructor(
    publisher: bigint,
    channel: string,
    options: SubscriptionOptions,
    onClose: () => Promise<void>,
  ) {
    super();
    this.publisher = publisher;
    this.channel = channel;
    this.#capacity = options.highWaterMark ?? DEFAULT_QUEUE_MESSAGES;
    this.#overflow = options.overflow ?? "drop-newest";
    this.#onClose = onClose;
    // The window of a reliable publication bounds what waits of it; of others there is a count.
    this.#queue = new EventQueue<Queued>(Number.POSITIVE_INFINITY, "drop-newest", ({ taken }) =>
      taken?.take(),
    );
  }

  /** Messages that were lost because nobody read them in time; only of those published without repair. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Whether the publisher has accepted, and was not lost since. */
  get active(): boolean {
    return this.#isActive && !this.#queue.isEnded;
  }

  /** Iterates what arrives until the signal ends the loop. */
  messages(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<ChannelMessage, undefined> {
    const inner = iterate(this.#queue, options?.signal);
    return {
      async next() {
        const result = await inner.next();
        return result.done === true ? result : { value: result.value.message, done: false };
      },
      async return() {
        await inner.return?.();
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** {@link messages} without a signal. */
  [Symbol.asyncIterator](): AsyncIterator<ChannelMessage, undefined> {
    return this.messages();
  }

  /**
   * Ends the subscription: nothing arrives any more, what was not read is dropped. Resolves when the publisher knows, or could
   * not be told in time; never rejects. Idempotent.
   */
  unsubscribe(): Promise<void> {
    this.end();
    this.#closing ??= this.#onClose();
    return this.#closing;
  }

  /** {@link unsubscribe}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.unsubscribe();
  }

  // What the mesh passes on; stripped from the published types.

  /** @internal */
  onMessage(message: ChannelMessage, isReliable: boolean, taken: Taken | undefined): void {
    if (!isReliable && this.#queue.size >= this.#capacity) {
      this.#dropped++;
      this.cursor?.lose();
      if (this.#overflow === "error") this.#queue.end(new RangeError("the queue overflowed"));
      // What is repaired is never lost, however old: it waits within its window.
      const gone =
        this.#overflow === "drop-oldest" ? this.#queue.pollFirst((queued) => !queued.isReliable) : undefined;
      if (gone === undefined) {
        taken?.take();
        return;
      }
    }
    this.cursor?.arrive(message.sequence);
    if (!this.#queue.push({ message, taken, isReliable })) taken?.take();
  }

  /** @internal */
  onLost(error: unknown): void {
    if (!this.#isActive) return;
    this.#isActive = false;
    this.cursor?.lose();
    this.announce("lost", { error });
  }

  /** @internal */
  onResubscribed(): void {
    this.#isActive = true;
    this.announce("resubscribed", {});
  }

  /** @internal */
  end(error?: unknown): void {
    this.#queue.end(error);
    // The publisher may go on, for whoever else reads the channel here.
    while (this.#queue.poll() !== undefined);
  }
}
