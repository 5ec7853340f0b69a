import { type ChannelPosition, encodeMembership } from "@netmesh/wire";
import type { PublishedPosition } from "../core/events.ts";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";
import type { ChannelSubscription } from "./channel-subscription.ts";
import { MembershipRequest, membershipNonce } from "./membership-request.ts";

/** The subscriber's side of positions: asks publishers how far a channel is (docs/protocol/channels.md). */
export class PositionRequests {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  /** Those under way, by nonce. Fed by the application alone; each leaves when it is answered, or its time is up. */
  readonly #requests = new Map<bigint, MembershipRequest<ChannelPosition>>();

  constructor(state: CoreState, writer: PacketWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** See `Channels.askPosition`. */
  ask(subscription: ChannelSubscription): bigint | undefined {
    const { publisher, channel } = subscription;
    const session = this.#state.peers.getId(publisher)?.session;
    if (session === undefined || session.features === 0) return undefined;
    const nonce = membershipNonce(this.#state);
    const message = encodeMembership({ type: "position-request", nonce, channel });
    const request = new MembershipRequest<ChannelPosition>(
      this.#state,
      this.#writer,
      publisher,
      nonce,
      message,
      (_, outcome) => {
        this.#requests.delete(nonce);
        const answer = outcome === "timeout" ? undefined : this.#published(subscription, outcome);
        this.#state.emit({ type: "channel-position", nonce, answer });
      },
    );
    this.#requests.set(nonce, request);
    request.send();
    return nonce;
  }

  /** Takes an answer. What nobody has asked, or asked somebody else, is counted and ignored. */
  onAnswer(session: Session, answer: ChannelPosition): void {
    const request = this.#requests.get(answer.nonce);
    if (request === undefined || request.publisher !== session.peer.nodeId) {
      this.#state.counters.membershipUnsolicited++;
      return;
    }
    request.settle(answer);
  }

  /** Ends everything without a word. */
  close(): void {
    for (const request of this.#requests.values()) request.withdraw();
    this.#requests.clear();
  }

  #published(subscription: ChannelSubscription, { sequence, position }: ChannelPosition): PublishedPosition {
    return { sequence, position, arrivedThrough: this.#arrived(subscription) };
  }

  /** Sequence up to which all packets of the channel were handed out, or will not come. */
  #arrived({ publisher, streamIdLo, streamIdHi }: ChannelSubscription): number {
    const session = this.#state.peers.getId(publisher)?.session;
    const stream = session?.streams.get(streamIdLo, streamIdHi);
    if (stream === undefined) return session?.closedStreams.get(streamIdLo, streamIdHi)?.receiveNext ?? 0;
    const isOrdered = stream.receivesReliably && stream.options.ordered;
    return isOrdered ? stream.nextDelivered : stream.receive.next;
  }
}
