import type { ChannelMembership, Subscription as Membership, PreparedChannel } from "@netmesh/compute";
import { TokenChain } from "@netmesh/crypto";
import { ChannelCursor } from "../channel-cursor.ts";
import type { Mesh } from "../mesh.ts";
import type { DaemonChannels } from "./daemon-channels.ts";
import { DaemonSubscription, type FeedDaemon, type HeldMessages } from "./daemon-subscription.ts";

/**
 * Subscribes daemons to channels, and gives them what arrives. Each daemon has a subscription of its own, so that a slow one holds up
 * the publisher for itself only.
 */
export class ChannelFeed implements ChannelMembership {
  readonly #mesh: Mesh;
  readonly #channels: DaemonChannels;
  readonly #feed: FeedDaemon;
  /** By daemon, publisher and channel; at most as many as the daemons' ledgers hold. */
  readonly #subscriptions = new Map<string, DaemonSubscription>();
  /** Those of daemons on their way here, whose number migrations bound. */
  readonly #prepared = new Set<DaemonSubscription>();
  readonly #held: HeldMessages = { bytes: 0 };

  constructor(mesh: Mesh, feed: FeedDaemon) {
    this.#mesh = mesh;
    this.#channels = mesh.daemons.channels;
    this.#feed = feed;
  }

  async subscribe(
    publisher: bigint,
    channel: string,
    token: Uint8Array | undefined,
    originHash: bigint,
  ): Promise<void> {
    const subscription = await this.#open(publisher, channel, token, originHash);
    subscription.begin();
    await this.#keep(keyOf(publisher, channel, originHash), subscription, subscription.run());
  }

  /**
   * Makes a daemon that was restored a member again: now, and if that fails, whenever the publisher connects, as long as `isWanted`. Its token is the
   * one that it had.
   */
  resume({ publisher, channel, token }: Membership, originHash: bigint, isWanted: () => boolean): void {
    const attempt = async (): Promise<void> => {
      if (!isWanted() || this.#subscriptions.has(keyOf(publisher, channel, originHash))) return;
      await this.subscribe(publisher, channel, token, originHash);
    };
    attempt().catch(() => {
      const again = ({ peer }: { readonly peer: { readonly nodeId: bigint } }): void => {
        if (peer.nodeId !== publisher) return;
        attempt().then(
          () => this.#mesh.removeEventListener("peer-connected", again),
          () => undefined,
        );
      };
      this.#mesh.addEventListener("peer-connected", again);
    });
  }

  async unsubscribe(publisher: bigint, channel: string, originHash: bigint): Promise<void> {
    await this.#subscriptions.get(keyOf(publisher, channel, originHash))?.end();
  }

  async prepare(
    publisher: bigint,
    channel: string,
    token: Uint8Array | undefined,
    originHash: bigint,
  ): Promise<PreparedChannel> {
    const subscription = await this.#open(publisher, channel, token, originHash);
    this.#prepared.add(subscription);
    const over = subscription.run();
    await subscription.locate(this.#channels.askPosition);
    return {
      begin: (position) => {
        if (!this.#prepared.delete(subscription)) return;
        subscription.begin(position);
        void this.#keep(keyOf(publisher, channel, originHash), subscription, over);
      },
      end: () => {
        if (this.#prepared.delete(subscription)) void subscription.end();
      },
    };
  }

  async follow(publisher: bigint, channel: string, originHash: bigint): Promise<() => bigint | undefined> {
    const subscription = this.#subscriptions.get(keyOf(publisher, channel, originHash));
    return (await subscription?.follow(this.#channels.askPosition)) ?? (() => undefined);
  }

  /** Ends all subscriptions. Never rejects. */
  async close(): Promise<void> {
    const all = [...this.#subscriptions.values(), ...this.#prepared];
    this.#prepared.clear();
    await Promise.all(all.map((subscription) => subscription.end()));
  }

  async #open(
    publisher: bigint,
    channel: string,
    token: Uint8Array | undefined,
    originHash: bigint,
  ): Promise<DaemonSubscription> {
    const options = token === undefined ? {} : { token: TokenChain.parse(token) };
    const cursor = new ChannelCursor();
    const subscription = await this.#channels.subscribe(publisher, channel, options, cursor);
    return new DaemonSubscription(originHash, subscription, cursor, this.#feed, this.#held);
  }

  /** Keeps it until it is over, in the place of any before; resolves when that has ended. */
  async #keep(key: string, subscription: DaemonSubscription, over: Promise<void>): Promise<void> {
    const before = this.#subscriptions.get(key);
    this.#subscriptions.set(key, subscription);
    void over.then(() => {
      if (this.#subscriptions.get(key) === subscription) this.#subscriptions.delete(key);
    });
    await before?.end();
  }
}

function keyOf(publisher: bigint, channel: string, originHash: bigint): string {
  return `${originHash} ${publisher} ${channel}`;
}
