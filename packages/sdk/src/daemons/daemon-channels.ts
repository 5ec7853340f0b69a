import type { PublishedPosition } from "@netmesh/mesh";
import type { ChannelCursor } from "../channel-cursor.ts";
import type { SubscribeOptions } from "../channels.ts";
import type { Subscription } from "../subscription.ts";

/** What a node's daemon runtime needs of its mesh's channels. */
export interface DaemonChannels {
  /** As `Mesh.subscribe`; the cursor counts from the beginning what comes. */
  subscribe(
    publisher: bigint,
    channel: string,
    options: SubscribeOptions,
    cursor: ChannelCursor,
  ): Promise<Subscription>;
  /** Asks how far the channel of a subscription is; undefined when its publisher does not say. Never rejects. */
  readonly askPosition: (subscription: Subscription) => Promise<PublishedPosition | undefined>;
}
