import {
  encodeMembership,
  MembershipReason,
  Subprotocol,
  type SubscribeMessage,
  type UnsubscribeMessage,
} from "@netmesh/wire";
import type { Alarm, CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import type { Session } from "../session/session.ts";
import { AuthFailures } from "./auth-failures.ts";
import type { AuthGuard } from "./auth-guard.ts";
import type { ChannelAuthority } from "./channel-authority.ts";
import type { Roster } from "./roster.ts";

/** Answers per session that are given again when the request is repeated; the oldest leaves first. */
const REMEMBERED_ANSWERS = 64;

/** The publisher's side of membership: who may come in, and who has to leave again (spec/mesh.md §§12.4 and 12.6). */
export class MembershipHost implements PeerObserver, Alarm {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #authority: ChannelAuthority;
  readonly #roster: Roster;
  readonly #guard: AuthGuard;
  readonly #failures: AuthFailures;
  /** The last answers of a session, by nonce. */
  readonly #answers = new WeakMap<Session, Map<bigint, MembershipReason>>();

  constructor(
    state: CoreState,
    writer: PacketWriter,
    authority: ChannelAuthority,
    roster: Roster,
    guard: AuthGuard,
  ) {
    this.#state = state;
    this.#writer = writer;
    this.#authority = authority;
    this.#roster = roster;
    this.#guard = guard;
    this.#failures = new AuthFailures(state.config.channels);
  }

  /** A peer of netmesh asks again in every new session; one of the reference counts on being remembered. */
  onConnected(session: Session): void {
    if (session.features !== 0) this.#forget(session.peer);
  }

  onLost({ peer }: Session): void {
    this.#forget(peer);
  }

  onRemoved(peer: Peer): void {
    this.#forget(peer);
  }

  #forget({ nodeId }: Peer): void {
    for (const name of this.#roster.removePeer(nodeId)) this.#guard.revoke(nodeId, name);
  }

  /** Takes a request to subscribe. A repeated one gets the answer that it had, and changes nothing. */
  onSubscribe(session: Session, message: SubscribeMessage): void {
    const { counters } = this.#state;
    const { nonce } = message;
    const before = this.#answers.get(session)?.get(nonce);
    if (before !== undefined) {
      counters.membershipRepeated++;
      this.#answer(session, nonce, before);
      return;
    }
    const reason = this.#judge(session, message);
    if (reason === undefined) {
      counters.membershipDeferred++;
      return;
    }
    if (reason === MembershipReason.OK) counters.subscribersAccepted++;
    else counters.subscribersRefused++;
    this.#remember(session, nonce, reason);
    this.#answer(session, nonce, reason);
  }

  /** What to answer; undefined for nothing yet. */
  #judge(session: Session, message: SubscribeMessage): MembershipReason | undefined {
    const { nowMs, config } = this.#state;
    const { nodeId } = session.peer;
    const { channel } = message;
    if (this.#failures.isThrottled(nodeId, nowMs)) return MembershipReason.RATE_LIMITED;
    const own = this.#roster.channelsOf(nodeId);
    const { maxChannelsPerPeer, maxSubscribers } = config.channels;
    const isFull = own.size >= maxChannelsPerPeer || this.#roster.size >= maxSubscribers;
    if (isFull && !own.has(channel)) return MembershipReason.TOO_MANY_CHANNELS;
    const known = this.#guard.get(nodeId, channel);
    const decision = this.#authority.decide(session, channel, message.token, known);
    if (decision === "later") return undefined;
    if (typeof decision === "number") {
      this.#failures.add(nodeId, nowMs);
      return decision;
    }
    this.#guard.allow(nodeId, channel, decision);
    this.#roster.add(channel, nodeId, message.queueGroup);
    this.#failures.clear(nodeId);
    this.#sweepLater();
    return MembershipReason.OK;
  }

  /** Takes a request to leave, which is always granted. */
  onUnsubscribe(session: Session, { nonce, channel }: UnsubscribeMessage): void {
    if (this.#answers.get(session)?.has(nonce) === true) this.#state.counters.membershipRepeated++;
    else this.revoke(session.peer.nodeId, channel);
    this.#remember(session, nonce, MembershipReason.OK);
    this.#answer(session, nonce, MembershipReason.OK);
  }

  /** Takes a peer's place in a channel away, and lets go of the stream that it was sent on. */
  revoke(nodeId: bigint, name: string): void {
    const channel = this.#roster.channel(name);
    this.#guard.revoke(nodeId, name);
    if (channel === undefined || !this.#roster.remove(name, nodeId)) return;
    const streams = this.#state.peers.getId(nodeId)?.session?.streams;
    const stream = streams?.get(channel.streamIdLo, channel.streamIdHi);
    // What is on its way is repaired; then the stream is idle, and leaves like any other.
    if (stream !== undefined) stream.isOpen = false;
  }

  #remember(session: Session, nonce: bigint, reason: MembershipReason): void {
    let answers = this.#answers.get(session);
    if (answers === undefined) {
      answers = new Map();
      this.#answers.set(session, answers);
    }
    answers.set(nonce, reason);
    if (answers.size <= REMEMBERED_ANSWERS) return;
    const [oldest] = answers.keys();
    answers.delete(oldest as bigint);
  }

  #answer(session: Session, nonce: bigint, reason: MembershipReason): void {
    const accepted = reason === MembershipReason.OK;
    const ack = encodeMembership({ type: "ack", nonce, accepted, reason });
    // Without room the peer asks again.
    this.#writer.sendMessage(session, Subprotocol.CHANNEL_MEMBERSHIP, ack);
  }

  #sweepLater(): void {
    const { nowMs, config, alarms } = this.#state;
    const { tokenSweepMs } = config.channels;
    if (tokenSweepMs === 0 || this.deadline !== Number.POSITIVE_INFINITY) return;
    alarms.schedule(this, nowMs + tokenSweepMs);
  }

  /** Looks at every subscriber's right to be one, as long as there are any. */
  ring(): void {
    const { counters, peers } = this.#state;
    this.#guard.forEach((nodeId, name, authorization) => {
      const peer = peers.getId(nodeId);
      const config = this.#authority.configs.find(name);
      if (this.#authority.stillHolds(authorization, config, peer?.session, name)) return;
      this.revoke(nodeId, name);
      counters.subscribersRevoked++;
    });
    if (this.#guard.size > 0) this.#sweepLater();
  }
}
