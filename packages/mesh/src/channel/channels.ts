import type { TokenChain } from "@netmesh/crypto";
import { decodeMembership } from "@netmesh/wire";
import type { CapabilityIndex } from "../capability/capability-index.ts";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import type { Session } from "../session/session.ts";
import type { Stream } from "../stream/stream.ts";
import type { StreamSender } from "../stream/stream-sender.ts";
import type { Subnets } from "../subnet/subnets.ts";
import { AuthGuard } from "./auth-guard.ts";
import { ChannelAuthority } from "./channel-authority.ts";
import { type ChannelConfig, ChannelConfigs } from "./channel-configs.ts";
import type { ChannelSubscription, SubscribeOptions } from "./channel-subscription.ts";
import { MembershipHost } from "./membership-host.ts";
import { PositionHost } from "./position-host.ts";
import { PositionRequests } from "./position-requests.ts";
import { Publisher, type PublishOptions, type PublishReport, type StreamDesk } from "./publisher.ts";
import { Roster } from "./roster.ts";
import { Subscriptions } from "./subscriptions.ts";
import { TokenWallet } from "./token-wallet.ts";

/** Numbers about a node's channels. */
export interface ChannelStats {
  /** Channels and prefixes that are registered here. */
  readonly registered: number;
  /** Channels that somebody has subscribed to here, and places in them. */
  readonly published: number;
  readonly subscribers: number;
  /** Channels that this node has subscribed to elsewhere. */
  readonly subscriptions: number;
}

/** What the channels of a node are made with. */
export interface ChannelParts {
  readonly writer: PacketWriter;
  readonly sender: StreamSender;
  readonly index: CapabilityIndex;
  readonly subnets: Subnets;
  readonly streams: StreamDesk;
}

/** The channels of a node: those that it publishes, and those that it has subscribed to (spec/mesh.md §12). */
export class Channels implements PeerObserver {
  readonly #state: CoreState;
  readonly #configs = new ChannelConfigs();
  readonly #roster = new Roster();
  readonly #guard = new AuthGuard();
  readonly #wallet: TokenWallet;
  readonly #authority: ChannelAuthority;
  readonly #host: MembershipHost;
  readonly #publisher: Publisher;
  readonly #subscriptions: Subscriptions;
  readonly #positionHost: PositionHost;
  readonly #positions: PositionRequests;

  /** @internal */
  constructor(state: CoreState, { writer, sender, index, subnets, streams }: ChannelParts) {
    this.#state = state;
    this.#wallet = new TokenWallet(state.config.identity?.entityId);
    const configs = this.#configs;
    const roster = this.#roster;
    const guard = this.#guard;
    const authority = new ChannelAuthority(state, configs, subnets, index, this.#wallet);
    this.#authority = authority;
    const host = new MembershipHost(state, writer, authority, roster, guard);
    this.#host = host;
    this.#publisher = new Publisher(state, sender, authority, roster, guard, host, streams);
    this.#subscriptions = new Subscriptions(state, writer, this.#wallet);
    this.#positionHost = new PositionHost(state, writer, roster);
    this.#positions = new PositionRequests(state, writer);
  }

  /** Takes an event of the membership subprotocol. */
  receive(session: Session, event: Uint8Array): void {
    const message = decodeMembership(event);
    if (message === undefined) this.#state.counters.membershipMalformed++;
    else if (message.type === "subscribe") this.#host.onSubscribe(session, message);
    else if (message.type === "unsubscribe") this.#host.onUnsubscribe(session, message);
    else if (message.type === "ack") this.#subscriptions.onAck(session, message);
    else if (message.type === "position-request") this.#positionHost.onRequest(session, message);
    else this.#positions.onAnswer(session, message);
  }

  onConnected(session: Session): void {
    this.#host.onConnected(session);
    this.#subscriptions.onConnected(session);
  }

  onLost(session: Session): void {
    this.#host.onLost(session);
    this.#subscriptions.onLost(session);
  }

  onRecovered(session: Session): void {
    this.#subscriptions.onRecovered(session);
  }

  onRemoved(peer: Peer): void {
    this.#host.onRemoved(peer);
    this.#subscriptions.onRemoved(peer);
  }

  /** Lays something down for a channel, in place of what was before. Throws `invalid-channel-name`, `invalid-argument`. */
  register(config: ChannelConfig): void {
    this.#configs.register(config);
  }

  /** Takes {@link register} back; false when there was nothing. Its subscribers leave with the next look at them. */
  unregister(name: string, isPrefix?: boolean): boolean {
    return this.#configs.unregister(name, isPrefix);
  }

  /**
   * Sends events to the subscribers of a channel, in one packet each as far as they fit, and says what became of it. Nothing
   * waits: a subscriber without room has failed. Throws `invalid-channel-name`, `invalid-argument`, `message-too-large`,
   * `publish-denied`.
   */
  publish(name: string, events: readonly Uint8Array[], options: PublishOptions): PublishReport {
    return this.#publisher.publish(name, events, options);
  }

  /**
   * Asks a peer for its channel; `subscribed` or `subscribe-failed` tells what came of it. Asking for a channel that is
   * subscribed to already replaces token and group. Throws `unknown-peer`, `invalid-argument`, and `invalid-channel-name`.
   */
  subscribe(publisher: bigint, name: string, options: SubscribeOptions): ChannelSubscription {
    return this.#subscriptions.subscribe(publisher, name, options);
  }

  /** Ends a subscription at once, and tells the publisher; `unsubscribed` follows when it knows, or does not answer. Idempotent. */
  unsubscribe(subscription: ChannelSubscription): void {
    this.#subscriptions.unsubscribe(subscription);
  }

  /**
   * Asks the publisher how far its channel is; `channel-position` with the nonce that this returns tells the answer, or that there was
   * none in time. Undefined for a publisher that is gone, or one of the reference, which is not asked.
   */
  askPosition(subscription: ChannelSubscription): bigint | undefined {
    return this.#positions.ask(subscription);
  }

  /** The subscription that the events of a stream belong to. */
  subscriptionOf(session: Session, stream: Stream): ChannelSubscription | undefined {
    return this.#subscriptions.of(session, stream);
  }

  /**
   * Keeps a chain of this node's own, in place of one whose leaf has the same scope and channel. Throws `invalid-argument` when
   * it is for somebody else, or a link is not signed by its issuer.
   */
  installToken(chain: TokenChain): void {
    this.#wallet.install(chain);
  }

  /** Lets no tokens of an issuer (entity id, 32 bytes) below a generation count here any more; false when it was so already. */
  revokeTokens(issuer: Uint8Array, generation: number): boolean {
    return this.#authority.revoke(issuer, generation);
  }

  /** Node ids of a channel's subscribers. */
  subscribersOf(name: string): bigint[] {
    return [...(this.#roster.channel(name)?.members.keys() ?? [])];
  }

  get stats(): ChannelStats {
    return {
      registered: this.#configs.size,
      published: this.#roster.channelCount,
      subscribers: this.#roster.size,
      subscriptions: this.#subscriptions.size,
    };
  }

  /** Ends every subscription without a word. */
  close(): void {
    this.#subscriptions.close();
    this.#positions.close();
  }
}
