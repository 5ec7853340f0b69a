import { TokenScope } from "@netmesh/crypto";
import { encodeMembership, type MembershipAck, MembershipReason, U64Map } from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import { MeshError, type MeshErrorCode } from "../errors.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import type { Session } from "../session/session.ts";
import type { Stream } from "../stream/stream.ts";
import { ChannelSubscription, type SubscribeOptions } from "./channel-subscription.ts";
import { type MembershipOutcome, MembershipRequest, membershipNonce } from "./membership-request.ts";
import type { TokenWallet } from "./token-wallet.ts";

/** Pause before the first try to get a lost subscription back; doubled each time. */
const FIRST_RETRY_MS = 1_000;
/** Bit 48 of a stream id, in its high half: set on every stream that a channel is published on. */
const PUBLISH_BIT_HI = 1 << 16;
/** Pauses vary by this share, so that a restarted publisher is not asked by everybody at once. */
const JITTER = 0.2;

const REFUSALS: Record<MembershipReason, MeshErrorCode> = {
  [MembershipReason.OK]: "rejected",
  [MembershipReason.UNAUTHORIZED]: "unauthorized",
  [MembershipReason.UNKNOWN_CHANNEL]: "unknown-channel",
  [MembershipReason.RATE_LIMITED]: "rate-limited",
  [MembershipReason.TOO_MANY_CHANNELS]: "too-many-channels",
};

/**
 * The subscriber's side of membership (spec/mesh.md §12.3): asks, and asks again whenever the publisher may have forgotten:
 * after a loss, in a new session, and once in a while (§16, M11).
 */
export class Subscriptions implements PeerObserver {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #wallet: TokenWallet;
  /** By publisher, then by stream id. Fed by the application alone. */
  readonly #publishers: U64Map<U64Map<ChannelSubscription>>;
  /** Requests under way, by nonce. */
  readonly #requests = new Map<bigint, MembershipRequest>();
  /** Ended subscriptions whose publisher is still being told, by {@link keyOf}. */
  readonly #leaving = new Map<string, ChannelSubscription>();
  size = 0;

  constructor(state: CoreState, writer: PacketWriter, wallet: TokenWallet) {
    this.#state = state;
    this.#writer = writer;
    this.#wallet = wallet;
    this.#publishers = new U64Map(state.hashSeed);
  }

  /** See `Channels.subscribe`. */
  subscribe(publisher: bigint, channel: string, options: SubscribeOptions): ChannelSubscription {
    const { group } = options;
    // Throws for a name or a group that no message takes.
    encodeMembership({
      type: "subscribe",
      nonce: 0n,
      channel,
      ...(group === undefined ? {} : { queueGroup: group }),
    });
    if (this.#state.peers.getId(publisher)?.session === undefined) {
      throw new MeshError("unknown-peer", `no session with node ${publisher.toString(16).padStart(16, "0")}`);
    }
    const fresh = new ChannelSubscription(publisher, channel, options, (due) => this.#request(due));
    const known = this.#get(fresh);
    const subscription = known ?? fresh;
    // Repeated once more, the farewell would end this one.
    this.#left(this.#leaving.get(keyOf(subscription)));
    if (known === undefined) this.#add(fresh);
    subscription.options = options;
    subscription.isAwaited = true;
    if (subscription.state === "lost") subscription.failures = 0;
    this.#request(subscription);
    return subscription;
  }

  /** See `Channels.unsubscribe`. */
  unsubscribe(subscription: ChannelSubscription): void {
    if (subscription.state === "ended") return;
    this.#end(subscription);
    this.#leave(subscription);
  }

  /** The subscription that the events of a stream belong to, whose sender is its publisher. */
  of({ peer }: Session, { fields }: Stream): ChannelSubscription | undefined {
    if ((fields.streamIdHi & PUBLISH_BIT_HI) === 0) return undefined;
    return this.#publishers.get(peer.idLo, peer.idHi)?.get(fields.streamIdLo, fields.streamIdHi);
  }

  /** Takes a publisher's answer. What nobody has asked, or asked somebody else, is counted and ignored. */
  onAck(session: Session, ack: MembershipAck): void {
    const request = this.#requests.get(ack.nonce);
    if (request === undefined || request.publisher !== session.peer.nodeId) {
      this.#state.counters.membershipUnsolicited++;
      return;
    }
    request.settle(ack);
  }

  /** A new session: its publisher has forgotten, or cannot know that it is the same subscriber. */
  onConnected({ peer }: Session): void {
    this.#askAgain(peer, "session-replaced", "the publisher has started a new session");
  }

  onRecovered({ peer }: Session): void {
    this.#askAgain(peer, "peer-lost", "the publisher was not heard for the session time-out");
  }

  onLost({ peer }: Session): void {
    for (const subscription of this.#from(peer)) {
      this.#lose(subscription, new MeshError("peer-lost", "nothing is heard of the publisher"));
    }
  }

  onRemoved(peer: Peer): void {
    this.onLost({ peer } as Session);
  }

  /** Ends everything without a word. */
  close(): void {
    for (const request of this.#requests.values()) request.withdraw();
    this.#requests.clear();
    for (const subscriptions of this.#publishers) for (const each of subscriptions) this.#stop(each);
    this.#publishers.clear();
    this.#leaving.clear();
    this.size = 0;
  }

  #from({ idLo, idHi }: Peer): ChannelSubscription[] {
    return [...(this.#publishers.get(idLo, idHi) ?? [])];
  }

  #get({ publisherLo, publisherHi, streamIdLo, streamIdHi }: ChannelSubscription) {
    return this.#publishers.get(publisherLo, publisherHi)?.get(streamIdLo, streamIdHi);
  }

  #add(subscription: ChannelSubscription): void {
    const { publisherLo, publisherHi, streamIdLo, streamIdHi } = subscription;
    let subscriptions = this.#publishers.get(publisherLo, publisherHi);
    if (subscriptions === undefined) {
      subscriptions = new U64Map(this.#state.hashSeed);
      this.#publishers.set(publisherLo, publisherHi, subscriptions);
    }
    subscriptions.set(streamIdLo, streamIdHi, subscription);
    this.size++;
  }

  #end(subscription: ChannelSubscription): void {
    const { publisherLo, publisherHi, streamIdLo, streamIdHi } = subscription;
    const subscriptions = this.#publishers.get(publisherLo, publisherHi);
    if (subscriptions?.delete(streamIdLo, streamIdHi) === true) this.size--;
    if (subscriptions?.size === 0) this.#publishers.delete(publisherLo, publisherHi);
    this.#stop(subscription);
  }

  #stop(subscription: ChannelSubscription): void {
    subscription.state = "ended";
    this.#state.alarms.remove(subscription);
    this.#withdraw(subscription);
  }

  #withdraw(subscription: ChannelSubscription): void {
    const { request } = subscription;
    if (request === undefined) return;
    request.withdraw();
    this.#requests.delete(request.nonce);
    subscription.request = undefined;
  }

  /** The publisher may have forgotten: what was active is lost, and asked for at once. */
  #askAgain(peer: Peer, code: MeshErrorCode, why: string): void {
    for (const subscription of this.#from(peer)) {
      this.#lose(subscription, new MeshError(code, why));
      subscription.failures = 0;
      this.#request(subscription);
    }
  }

  #lose(subscription: ChannelSubscription, error: MeshError): void {
    if (subscription.state !== "active") return;
    subscription.state = "lost";
    this.#withdraw(subscription);
    this.#state.counters.subscriptionsLost++;
    this.#state.emit({ type: "subscription-lost", subscription, error });
  }

  /** Asks the publisher, with a new nonce; what was asked before does not count any more. */
  #request(subscription: ChannelSubscription): void {
    this.#withdraw(subscription);
    const { alarms, config, peers } = this.#state;
    alarms.schedule(subscription, Number.POSITIVE_INFINITY);
    const { publisher, channel, hash, options } = subscription;
    const session = peers.getId(publisher)?.session;
    // Nobody is there to answer; the next session is.
    if (subscription.state === "lost" && (session === undefined || session.isSilent)) return;
    const now = BigInt(Math.max(0, Math.floor(config.systemTime.now() / 1_000)));
    const chain = options.chain ?? this.#wallet.find(TokenScope.SUBSCRIBE, hash, now);
    const nonce = membershipNonce(this.#state);
    const message = encodeMembership({
      type: "subscribe",
      nonce,
      channel,
      ...(chain === undefined ? {} : { token: chain.toBytes() }),
      ...(options.group === undefined ? {} : { queueGroup: options.group }),
    });
    const request = new MembershipRequest(
      this.#state,
      this.#writer,
      publisher,
      nonce,
      message,
      (_, outcome) => {
        this.#requests.delete(nonce);
        subscription.request = undefined;
        this.#settle(subscription, outcome);
      },
    );
    subscription.request = request;
    this.#requests.set(nonce, request);
    request.send();
  }

  #settle(subscription: ChannelSubscription, outcome: MembershipOutcome): void {
    const { counters } = this.#state;
    if (outcome !== "timeout" && outcome.accepted) {
      const wasLost = subscription.state === "lost";
      subscription.state = "active";
      subscription.failures = 0;
      this.#later(subscription, this.#state.config.channels.renewMs);
      if (wasLost) {
        counters.resubscribed++;
        this.#state.emit({ type: "resubscribed", subscription });
      }
      if (subscription.isAwaited) this.#state.emit({ type: "subscribed", subscription });
      subscription.isAwaited = false;
      return;
    }
    const error =
      outcome === "timeout"
        ? new MeshError("ack-timeout", `the publisher of ${subscription.channel} does not answer`)
        : new MeshError(REFUSALS[outcome.reason], `the publisher of ${subscription.channel} refuses`);
    if (subscription.state === "requesting") {
      this.#end(subscription);
      // It may have been accepted all the same.
      if (outcome === "timeout") this.#leave(subscription);
      this.#state.emit({ type: "subscribe-failed", subscription, error });
      return;
    }
    if (subscription.state === "active") this.#lose(subscription, error);
    else if (subscription.isAwaited) this.#state.emit({ type: "subscription-lost", subscription, error });
    // Whoever has asked was told; from now on the subscription is only asked for on behalf of those who have it.
    subscription.isAwaited = false;
    const { maxRetryMs } = this.#state.config.channels;
    this.#later(
      subscription,
      Math.min(maxRetryMs, FIRST_RETRY_MS * 2 ** Math.min(30, subscription.failures++)),
    );
  }

  #later(subscription: ChannelSubscription, pauseMs: number): void {
    const byte = new Uint8Array(1);
    this.#state.config.random.fill(byte);
    const share = 1 + ((byte[0] as number) / 255 - 0.5) * JITTER;
    this.#state.alarms.schedule(subscription, this.#state.nowMs + pauseMs * share);
  }

  #leave(subscription: ChannelSubscription): void {
    const { publisher, channel } = subscription;
    this.#leaving.set(keyOf(subscription), subscription);
    if (this.#state.peers.getId(publisher)?.session === undefined) {
      this.#left(subscription);
      return;
    }
    const nonce = membershipNonce(this.#state);
    const message = encodeMembership({ type: "unsubscribe", nonce, channel });
    const request = new MembershipRequest(this.#state, this.#writer, publisher, nonce, message, () =>
      this.#left(subscription),
    );
    subscription.request = request;
    this.#requests.set(nonce, request);
    request.send();
  }

  /** The publisher knows, or will not be told any more. */
  #left(subscription: ChannelSubscription | undefined): void {
    if (subscription === undefined) return;
    this.#leaving.delete(keyOf(subscription));
    this.#withdraw(subscription);
    this.#state.emit({ type: "unsubscribed", subscription });
  }
}

function keyOf({ publisher, channel }: ChannelSubscription): string {
  return `${publisher} ${channel}`;
}
