import type { ChannelMembership } from "../../runtime/peer-network.ts";
import type { Subscription } from "../../state/subscription-ledger.ts";
import type { DaemonTime } from "../../time.ts";
import type { DaemonPosition } from "./channel-positions.ts";
import { inParallel } from "./in-parallel.ts";

/** How far a daemon is on its channels, while it serves and once it is stopped. */
export class FollowedChannels {
  readonly #position: Map<Subscription, () => bigint | undefined> = new Map();

  /** Resolves when the daemon has got as far on every channel as the channel was at the call, or after `limitMs`. Never rejects. */
  static async of(
    channels: ChannelMembership | undefined,
    originHash: bigint,
    subscriptions: readonly Subscription[],
    limitMs: number,
    time: DaemonTime,
  ): Promise<FollowedChannels> {
    const followed = new FollowedChannels();
    if (channels?.follow === undefined) return followed;
    await inParallel(subscriptions, limitMs, time, async (subscription) => {
      const { publisher, channel } = subscription;
      const position = await channels.follow?.(publisher, channel, originHash);
      if (position !== undefined) followed.#position.set(subscription, position);
    });
    return followed;
  }

  /** The positions that are known. */
  positions(): DaemonPosition[] {
    const positions: DaemonPosition[] = [];
    for (const [{ publisher, channel }, positionOf] of this.#position) {
      const position = positionOf();
      if (position !== undefined) positions.push({ publisher, channel, position });
    }
    return positions;
  }
}
