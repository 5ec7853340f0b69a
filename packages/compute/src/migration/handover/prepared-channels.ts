import type { ChannelMembership, PreparedChannel } from "../../runtime/peer-network.ts";
import type { Subscription } from "../../state/subscription-ledger.ts";
import type { DaemonTime } from "../../time.ts";
import type { DaemonPosition } from "./channel-positions.ts";
import { inParallel } from "./in-parallel.ts";

/** How long the source is kept waiting for channels to be subscribed to. */
const PREPARE_MS = 5000;

/** The channels of a daemon that is on its way here, which wait for it to live here. */
export class PreparedChannels {
  /** Resolves when all are prepared, or have failed, or it takes too long. Never rejects. */
  readonly ready: Promise<void>;
  /** By publisher and channel; no more than the daemon's ledger holds. */
  readonly #prepared: Map<string, PreparedChannel> = new Map();
  #isOver = false;

  /** Subscribes to all. */
  constructor(
    channels: ChannelMembership | undefined,
    originHash: bigint,
    subscriptions: readonly Subscription[],
    time: DaemonTime,
  ) {
    const prepare = async (subscription: Subscription): Promise<void> => {
      const { publisher, channel, token } = subscription;
      const prepared = await channels?.prepare?.(publisher, channel, token, originHash);
      if (this.#isOver) prepared?.end();
      else if (prepared !== undefined) this.#prepared.set(keyOf(subscription), prepared);
    };
    const isPossible = channels?.prepare !== undefined;
    this.ready = isPossible ? inParallel(subscriptions, PREPARE_MS, time, prepare) : Promise.resolve();
  }

  /**
   * The daemon lives here, subscribed to these channels: it gets what they have brought from the positions on. Returns the channels that
   * are not prepared; those that it is not subscribed to any more end.
   */
  begin(subscriptions: readonly Subscription[], positions: readonly DaemonPosition[]): Subscription[] {
    const positionOf = new Map(positions.map((each) => [keyOf(each), each.position]));
    const missing: Subscription[] = [];
    for (const subscription of subscriptions) {
      const key = keyOf(subscription);
      const prepared = this.#prepared.get(key);
      this.#prepared.delete(key);
      if (prepared === undefined) missing.push(subscription);
      else prepared.begin(positionOf.get(key));
    }
    this.end();
    return missing;
  }

  /** Ends all that has not begun. Idempotent. */
  end(): void {
    this.#isOver = true;
    for (const prepared of this.#prepared.values()) prepared.end();
    this.#prepared.clear();
  }
}

function keyOf({ publisher, channel }: Pick<Subscription, "publisher" | "channel">): string {
  return `${publisher} ${channel}`;
}
