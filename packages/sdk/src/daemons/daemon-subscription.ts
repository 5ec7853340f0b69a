import { platformTime } from "@netmesh/compute";
import type { PublishedPosition } from "@netmesh/mesh";
import type { ChannelCursor } from "../channel-cursor.ts";
import type { ChannelMessage, Subscription } from "../subscription.ts";

/** How long the publisher of a channel may take to say how far it is. */
const LOCATE_MS = 2000;

/**
 * Takes a message of a channel for a daemon; resolves when it was processed. `onTaken` is called when the daemon begins with it. Must not
 * reject.
 */
export type FeedDaemon = (originHash: bigint, message: ChannelMessage, onTaken: () => void) => Promise<void>;

/** A subscription of one daemon, which gets the messages one after the other. */
export class DaemonSubscription {
  readonly #originHash: bigint;
  readonly #subscription: Subscription;
  readonly #cursor: ChannelCursor;
  readonly #feed: FeedDaemon;
  /** Messages that the daemon has begun with, has refused or does not get; the next one has this index. */
  #taken = 0;
  /** Whether that counts the message at hand. */
  #isTaken = false;
  /** Messages before this index are not the daemon's, as long as it is known which they are. */
  #firstIndex = 0;
  /** Who waits for the daemon to have begun with so many. */
  #waiter: { readonly count: number; readonly resolve: () => void } | undefined;

  /** The cursor is the subscription's. */
  constructor(originHash: bigint, subscription: Subscription, cursor: ChannelCursor, feed: FeedDaemon) {
    this.#originHash = originHash;
    this.#subscription = subscription;
    this.#cursor = cursor;
    this.#feed = feed;
  }

  /** Finds out which of the publisher's events the messages are. Never rejects. */
  locate(ask: (subscription: Subscription) => Promise<PublishedPosition | undefined>): Promise<void> {
    return this.#cursor.locate(() => ask(this.#subscription), LOCATE_MS, platformTime);
  }

  /** Gives the daemon messages from a position on, all without one, until the subscription ends. Never rejects. */
  async run(position?: bigint): Promise<void> {
    if (position !== undefined) this.#firstIndex = this.#cursor.indexOf(position) ?? 0;
    try {
      for await (const message of this.#subscription) await this.#take(message);
    } catch {
      // It has ended with the session or the mesh; the mesh announces why.
    } finally {
      this.#release();
    }
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

  /** Ends it; resolves when the publisher knows, or could not be told. Never rejects. */
  end(): Promise<void> {
    this.#release();
    return this.#subscription.unsubscribe();
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
  #release(): void {
    this.#cursor.lose();
    this.#waiter?.resolve();
    this.#waiter = undefined;
  }
}
