import type { ChannelMembership, Subscription as DaemonSubscription } from "@netmesh/compute";
import { TokenChain } from "@netmesh/crypto";
import type { Mesh } from "../mesh.ts";
import type { ChannelMessage, Subscription } from "../subscription.ts";

/** Takes a message of a channel for a daemon; resolves when it was processed. Must not reject. */
export type FeedDaemon = (originHash: bigint, message: ChannelMessage) => Promise<void>;

/**
 * Subscribes daemons to channels, and gives them what arrives. Each daemon has a subscription of its own, so that a slow one holds up
 * the publisher for itself only.
 */
export class ChannelFeed implements ChannelMembership {
  readonly #mesh: Mesh;
  readonly #feed: FeedDaemon;
  /** By daemon, publisher and channel; at most as many as the daemons' ledgers hold. */
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(mesh: Mesh, feed: FeedDaemon) {
    this.#mesh = mesh;
    this.#feed = feed;
  }

  async subscribe(
    publisher: bigint,
    channel: string,
    token: Uint8Array | undefined,
    originHash: bigint,
  ): Promise<void> {
    const key = keyOf(publisher, channel, originHash);
    const chain = token === undefined ? undefined : TokenChain.parse(token);
    const subscription = await this.#mesh.subscribe(publisher, channel, chain && { token: chain });
    const before = this.#subscriptions.get(key);
    this.#subscriptions.set(key, subscription);
    await before?.unsubscribe();
    void this.#run(key, subscription, originHash);
  }

  /**
   * Makes a daemon that was restored a member again: now, and if that fails, whenever the publisher connects, as long as `isWanted`. Its token is the
   * one that it had.
   */
  resume(
    { publisher, channel, token }: DaemonSubscription,
    originHash: bigint,
    isWanted: () => boolean,
  ): void {
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
    await this.#subscriptions.get(keyOf(publisher, channel, originHash))?.unsubscribe();
  }

  /** Ends all subscriptions. Never rejects. */
  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions.values()].map((subscription) => subscription.unsubscribe()));
  }

  async #run(key: string, subscription: Subscription, originHash: bigint): Promise<void> {
    try {
      for await (const message of subscription) await this.#feed(originHash, message);
    } catch {
      // It has ended with the session or the mesh; the mesh announces why.
    } finally {
      if (this.#subscriptions.get(key) === subscription) this.#subscriptions.delete(key);
    }
  }
}

function keyOf(publisher: bigint, channel: string, originHash: bigint): string {
  return `${originHash} ${publisher} ${channel}`;
}
