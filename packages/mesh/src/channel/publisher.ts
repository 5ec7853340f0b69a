import { Identity } from "@netmesh/crypto";
import {
  assertChannelName,
  EVENT_LENGTH_PREFIX,
  high32,
  low32,
  MAX_PAYLOAD_SIZE,
  PeerFeature,
} from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import type { Session } from "../session/session.ts";
import type { Stream } from "../stream/stream.ts";
import { DEFAULT_WINDOW_BYTES, type Reliability, type StreamOptions } from "../stream/stream-options.ts";
import type { StreamSender } from "../stream/stream-sender.ts";
import type { AuthGuard, Authorization } from "./auth-guard.ts";
import type { ChannelAuthority } from "./channel-authority.ts";
import type { ResolvedChannelConfig } from "./channel-configs.ts";
import type { MembershipHost } from "./membership-host.ts";
import { Reach, type Roster, type RosterChannel, type Subscriber } from "./roster.ts";
import { SharedEvents } from "./shared-events.ts";

/** Largest event that can be published, in bytes. */
export const MAX_PUBLISHED_EVENT_BYTES: number = MAX_PAYLOAD_SIZE - EVENT_LENGTH_PREFIX;

/** How events are published. */
export interface PublishOptions {
  /**
   * Whether losses are repaired, and order kept. Default: as the channel is registered, else `"fire-and-forget"`. A subscriber
   * that a channel has reached reliably once is reached so from then on.
   */
  readonly reliability?: Reliability | undefined;
  /** `"fail-fast"` ends with the first subscriber that cannot be sent to; default `"best-effort"`. */
  readonly onFailure?: "fail-fast" | "best-effort" | "collect" | undefined;
}

/** A subscriber that was not sent everything. */
export interface PublishFailure {
  /** Its node id. */
  readonly peer: bigint;
  readonly error: MeshError;
  /** How many of the events were taken all the same; they are on their way. */
  readonly accepted: number;
}

/** What became of a publication. */
export interface PublishReport {
  /** Subscribers that it was for; not those that may not have it. */
  readonly attempted: number;
  /** Subscribers to whose sessions all of it was handed over; whether it arrives is another matter. */
  readonly delivered: number;
  readonly errors: readonly PublishFailure[];
}

/** How streams are opened and closed, as by `MeshCore`. */
export interface StreamDesk {
  openStream(nodeId: bigint, streamId: bigint, options: StreamOptions): { readonly stream: Stream };
  closeStream(session: Session, stream: Stream, reset: boolean): void;
}

const NOTHING: PublishReport = { attempted: 0, delivered: 0, errors: [] };

/** Sends events to everybody who has subscribed and may have them (spec/mesh.md §12.5). */
export class Publisher {
  readonly #state: CoreState;
  readonly #sender: StreamSender;
  readonly #authority: ChannelAuthority;
  readonly #roster: Roster;
  readonly #guard: AuthGuard;
  readonly #host: MembershipHost;
  readonly #streams: StreamDesk;
  readonly #originHashLo: number;
  readonly #originHashHi: number;

  constructor(
    state: CoreState,
    sender: StreamSender,
    authority: ChannelAuthority,
    roster: Roster,
    guard: AuthGuard,
    host: MembershipHost,
    streams: StreamDesk,
  ) {
    this.#state = state;
    this.#sender = sender;
    this.#authority = authority;
    this.#roster = roster;
    this.#guard = guard;
    this.#host = host;
    this.#streams = streams;
    const { identity } = state.config;
    const originHash = identity === undefined ? 0n : Identity.publicOnly(identity.entityId).originHash;
    this.#originHashLo = low32(originHash);
    this.#originHashHi = high32(originHash);
  }

  /** See `Channels.publish`. */
  publish(name: string, events: readonly Uint8Array[], options: PublishOptions): PublishReport {
    assertChannelName(name);
    const { reliability, onFailure = "best-effort" } = options;
    requireOptions(reliability, onFailure);
    for (const { length } of events) {
      if (length <= MAX_PUBLISHED_EVENT_BYTES) continue;
      const limit = MAX_PUBLISHED_EVENT_BYTES;
      throw new MeshError(
        "message-too-large",
        `an event of ${length} bytes exceeds the limit of ${limit}`,
        limit,
      );
    }
    const config = this.#authority.configs.find(name);
    this.#authority.requirePublish(config, name);
    const channel = this.#roster.channel(name);
    if (channel === undefined || events.length === 0) return NOTHING;
    const recipients = this.#recipients(channel, config);
    channel.position += events.length;
    const isReliable = reliability === undefined ? config?.reliable === true : reliability === "reliable";
    const shared = new SharedEvents(events);
    const errors: PublishFailure[] = [];
    let attempted = 0;
    for (const recipient of recipients) {
      attempted++;
      const failure = this.#sendTo(recipient, channel, shared, isReliable);
      if (failure === undefined) continue;
      errors.push(failure);
      if (onFailure === "fail-fast") break;
    }
    const { counters } = this.#state;
    counters.published += attempted - errors.length;
    counters.publishFailed += errors.length;
    return { attempted, delivered: attempted - errors.length, errors };
  }

  /** Who gets the events, and may; those that may no longer leave the channel on the way. */
  #recipients(channel: RosterChannel, config: ResolvedChannelConfig | undefined): Subscriber[] {
    const authorized = this.#guard.of(channel.name);
    const outdated: bigint[] = [];
    const selected = channel.select((member) => {
      const session = this.#state.peers.get(member.idLo, member.idHi)?.session;
      const authorization = authorized.get(member.nodeId) as Authorization;
      if (!this.#authority.stillHolds(authorization, config, session, channel.name)) {
        outdated.push(member.nodeId);
        return Reach.FORBIDDEN;
      }
      if (session === undefined || !this.#isReachable(session)) return Reach.AWAY;
      // A new session, whose peer has not shown yet that it is the same.
      if (authorization.entityId !== undefined && session.entityId === undefined) return Reach.FORBIDDEN;
      if (config === undefined || this.#authority.isVisible(config, session)) return Reach.HERE;
      this.#state.counters.publishFiltered++;
      return Reach.FORBIDDEN;
    });
    for (const nodeId of outdated) {
      this.#host.revoke(nodeId, channel.name);
      this.#state.counters.subscribersRevoked++;
    }
    return selected;
  }

  #isReachable({ isConfirmed, isSilent, path }: Session): boolean {
    const { blocked } = this.#state;
    return isConfirmed && !isSilent && (blocked.size === 0 || !blocked.has(path.address.key));
  }

  #sendTo(
    { nodeId, idLo, idHi }: Subscriber,
    channel: RosterChannel,
    shared: SharedEvents,
    isReliable: boolean,
  ): PublishFailure | undefined {
    const session = this.#state.peers.get(idLo, idHi)?.session;
    if (session === undefined || !this.#isReachable(session)) {
      const error = new MeshError("not-connected", "the subscriber cannot be reached");
      return { peer: nodeId, error, accepted: 0 };
    }
    let accepted = 0;
    try {
      const stream = this.#streamFor(session, channel, isReliable);
      const largest = session.has(PeerFeature.PATH_MTU)
        ? MAX_PUBLISHED_EVENT_BYTES
        : this.#sender.largestEvent(session, stream);
      accepted = this.#sender.writeShared(session, stream, shared, largest);
    } catch (error) {
      if (error instanceof MeshError) return { peer: nodeId, error, accepted };
      throw error;
    }
    if (accepted === shared.events.length) return undefined;
    return {
      peer: nodeId,
      error: new MeshError("backpressure", "the subscriber's window is full"),
      accepted,
    };
  }

  /** The stream of the channel in the session, with the header fields that its packets have, and no others. */
  #streamFor(session: Session, channel: RosterChannel, isReliable: boolean): Stream {
    const known = session.streams.get(channel.streamIdLo, channel.streamIdHi);
    const isFit = known?.isOpen === true && known.fields.channelHash === channel.wireHash;
    if (isFit && (!isReliable || known.sendWindow !== undefined)) return known;
    const reliability = isReliable ? "reliable" : "fire-and-forget";
    const options: StreamOptions = { reliability, windowBytes: DEFAULT_WINDOW_BYTES };
    let { stream } = this.#streams.openStream(session.peer.nodeId, channel.streamId, options);
    if (isReliable && stream.sendWindow === undefined) stream = this.#makeReliable(session, stream, options);
    const { fields } = stream;
    fields.channelHash = channel.wireHash;
    fields.originHashLo = this.#originHashLo;
    fields.originHashHi = this.#originHashHi;
    // What the peer publishes on its own channel of that name comes in order, whatever is sent here.
    if (!stream.options.ordered && session.has(PeerFeature.STREAM_FIN)) {
      stream.options = { ...stream.options, ordered: true };
      stream.nextDelivered = stream.receive.next;
    }
    return stream;
  }

  /** Begins the stream anew, whose packets were not repaired so far: nobody waits for those that were lost. */
  #makeReliable(session: Session, unreliable: Stream, options: StreamOptions): Stream {
    this.#streams.closeStream(session, unreliable, true);
    const { stream } = this.#streams.openStream(session.peer.nodeId, unreliable.id, options);
    stream.startsOver = session.has(PeerFeature.STREAM_FIN);
    return stream;
  }
}

function requireOptions(reliability: unknown, onFailure: unknown): void {
  if (reliability !== undefined && reliability !== "reliable" && reliability !== "fire-and-forget") {
    throw new MeshError("invalid-argument", `unknown reliability ${JSON.stringify(reliability)}`);
  }
  if (onFailure !== "fail-fast" && onFailure !== "best-effort" && onFailure !== "collect") {
    throw new MeshError("invalid-argument", `unknown failure policy ${JSON.stringify(onFailure)}`);
  }
}
