import type { TokenChain } from "@netmesh/crypto";
import { channelHash, high32, low32, publishStreamId } from "@netmesh/wire";
import type { Alarm } from "../core/state.ts";
import type { MembershipRequest } from "./membership-request.ts";

/**
 * Where a subscription stands: asked for the first time, accepted, lost and to be had again, or over.
 */
export type SubscriptionState = "requesting" | "active" | "lost" | "ended";

/** How to subscribe. */
export interface SubscribeOptions {
  /** What shows that this node may. Default: a chain that is installed here and fits, if there is one. */
  readonly chain?: TokenChain | undefined;
  /** Queue group whose members share the events, 1 to 255 bytes of UTF-8. Default: none, every event comes here. */
  readonly group?: string | undefined;
}

/** A channel of one publisher that this node wants to receive. */
export class ChannelSubscription implements Alarm {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  /** Node id of the publisher. */
  readonly publisher: bigint;
  readonly publisherLo: number;
  readonly publisherHi: number;
  /** Name of the channel. */
  readonly channel: string;
  /** Canonical hash of the name. */
  readonly hash: bigint;
  /** The stream that its events come on. */
  readonly streamIdLo: number;
  readonly streamIdHi: number;
  state: SubscriptionState = "requesting";
  options: SubscribeOptions;
  /**
   * What is being asked at the time.
   * @internal
   */
  request: MembershipRequest | undefined;
  /** Whether the application waits to hear that it was accepted. */
  isAwaited = true;
  /** Tries since it was lost. */
  failures = 0;
  readonly #onDeadline: (subscription: ChannelSubscription) => void;

  constructor(
    publisher: bigint,
    channel: string,
    options: SubscribeOptions,
    onDeadline: (subscription: ChannelSubscription) => void,
  ) {
    this.publisher = publisher;
    this.publisherLo = low32(publisher);
    this.publisherHi = high32(publisher);
    this.channel = channel;
    this.hash = channelHash(channel);
    const streamId = publishStreamId(this.hash);
    this.streamIdLo = low32(streamId);
    this.streamIdHi = high32(streamId);
    this.options = options;
    this.#onDeadline = onDeadline;
  }

  ring(): void {
    this.#onDeadline(this);
  }
}
