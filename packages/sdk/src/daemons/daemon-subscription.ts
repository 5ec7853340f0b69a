import { platformTime } from "@netmesh/compute";
import type { PublishedPosition } from "@netmesh/mesh";
import type { ChannelCursor } from "../channel-cursor.ts";
import { EventQueue } from "../event-queue.ts";
import type { ChannelMessage, Subscription } from "../subscription.ts";

/** What one held message costs besides its data, in bytes. */
const MESSAGE_OVERHEAD = 128;
/** Bytes held for one daemon on one channel, and for all daemons on their way here; beyond that messages wait within their window. */
export const MAX_HELD_BYTES: number = 4 << 20;
export const MAX_HELD_BYTES_IN_ALL: number = 64 << 20;

/** How long the publisher of a channel may take to say how far it is. */
const LOCATE_MS = 2000;

/**
 * Takes a message of a channel for a daemon; resolves when it was processed. `onTaken` is called when the daemon begins with it. Must not
 * reject.
 */
export type FeedDaemon = (originHash: bigint, message: ChannelMessage, onTaken: () => void) => Promise<void>;

/** How much is held for daemons on their way here. */
export interface HeldMessages {
  bytes: number;
}

/**
 * A subscription of one daemon, which gets the messages one after the other once it has begun. Until then they are held, so that the publisher
 * has room for more, and others that read the channel here are not held up.
 */
export class DaemonSubscription {
  readonly #originHash: bigint;
  readonly #subscription: Subscription;
  readonly #cursor: ChannelCursor;
  readonly #feed: FeedDaemon;
  readonly #allHeld: HeldMessages;
  /** What came before the daemon, in order; at most `MAX_HELD_BYTES`, and one message. */
  readonly #held: EventQueue<ChannelMessage> = new EventQueue(Number.POSITIVE_INFINITY, "drop-newest");
  #heldBytes = 0;
  /** Resolves when the daemon is there. */
  readonly #begun: Promise<void>;
  #setBegun: () => void = () => {};
  #isBegun = false;
  /** Resolves when the daemon has what was held. */
  #releasing: Promise<void> | undefined;
  /** Messages that the daemon has begun with, has refused or does not get; the next one has this index. */
  #taken = 0;
  /** Whether that counts the message at hand. */
  #isTaken = false;
  /** Messages before this index are not the daemon's, as long as it is known which they are. */
  #firstIndex = 0;
  /** Who waits for the daemon to have begun with so many. */
  #waiter: { readonly count: number; readonly resolve: () => void } | undefined;

  /** The cursor is the subscription's. */
  constructor(
    originHash: bigint,
    subscription: Subscription,
    cursor: ChannelCursor,
    feed: FeedDaemon,
    allHeld: HeldMessages,
  ) {
    this.#begun = new Promise((resolve) => {
      this.#setBegun = resolve;
    });
    this.#allHeld = allHeld;
    this.#originHash = originHash;
    this.#subscription = subscription;
    this.#cursor = cursor;
    this.#feed = feed;
  }

  /** Finds out which of the publisher's events the messages are. Never rejects. */
  locate(ask: (subscription: Subscription) => Promise<PublishedPosition | undefined>): Promise<void> {
    return this.#cursor.locate(() => ask(this.#subscription), LOCATE_MS, platformTime);
  }

  /** Reads until the subscription ends. Never rejects. */
  async run(): Promise<void> {
    try {
      for await (const message of this.#subscription) {
        if (!this.#isBegun) await this.#hold(message);
        else {
          await this.#releasing;
          await this.#take(message);
        }
      }
    } catch {
      // It has ended with the session or the mesh; the mesh announces why.
    }
    if (!this.#isBegun) this.#dropHeld();
    await this.#releasing;
    this.#settle();
  }

  /** The daemon is there: gives it messages from a position on, all without one. */
  begin(position?: bigint): void {
    if (position !== undefined) this.#firstIndex = this.#cursor.indexOf(position) ?? 0;
    this.#isBegun = true;
    this.#releasing = this.#releaseHeld();
    this.#setBegun();
  }

  /** As `ChannelMembership.follow`. */
  async follow(
    ask: (subscription: Subscription) => Promise<PublishedPosition | undefined>,
  ): Promise<() => bigint | undefined> {
    await this.locate(ask);
    const count = this.#cursor.arrived;
    this.#waiter?.resolve();
    await new Promise<void>((resolve) => {
      this.#waiter = { count, resolve };
      this.#wake();
    });
    return () => this.#cursor.positionOf(this.#taken);
  }

  /** Ends it, and drops what is held; resolves when the publisher knows, or could not be told. Never rejects. */
  end(): Promise<void> {
    this.#dropHeld();
    this.#settle();
    return this.#subscription.unsubscribe();
  }

  async #hold(message: ChannelMessage): Promise<void> {
    const size = message.data.length + MESSAGE_OVERHEAD;
    this.#held.push(message);
    this.#heldBytes += size;
    this.#allHeld.bytes += size;
    if (this.#heldBytes < MAX_HELD_BYTES && this.#allHeld.bytes < MAX_HELD_BYTES_IN_ALL) return;
    await this.#begun;
  }

  #pollHeld(): ChannelMessage | undefined {
    const message = this.#held.poll();
    if (message === undefined) return undefined;
    const size = message.data.length + MESSAGE_OVERHEAD;
    this.#heldBytes -= size;
    this.#allHeld.bytes -= size;
    return message;
  }

  #dropHeld(): void {
    while (this.#pollHeld() !== undefined);
  }

  async #releaseHeld(): Promise<void> {
    for (let message = this.#pollHeld(); message !== undefined; message = this.#pollHeld()) {
      await this.#take(message);
    }
  }

  async #take(message: ChannelMessage): Promise<void> {
    this.#isTaken = false;
    const isOthers = this.#taken < this.#firstIndex && this.#cursor.positionOf(0) !== undefined;
    if (!isOthers) await this.#feed(this.#originHash, message, this.#onTaken);
    this.#onTaken();
  }

  readonly #onTaken = (): void => {
    if (this.#isTaken) return;
    this.#isTaken = true;
    this.#taken++;
    this.#wake();
  };

  #wake(): void {
    const waiter = this.#waiter;
    if (waiter === undefined || this.#taken < waiter.count) return;
    this.#waiter = undefined;
    waiter.resolve();
  }

  /** Lets nobody wait for what does not come any more. */
  #settle(): void {
    this.#setBegun();
    this.#cursor.lose();
    this.#waiter?.resolve();
    this.#waiter = undefined;
  }
}
