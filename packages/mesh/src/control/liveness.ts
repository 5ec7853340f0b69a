import { AdaptiveFailureDetector, DEFAULT_HEARTBEAT_MS, type WatchedPeer } from "@netmesh/routing";
import {
  decodePathPing,
  encodePathPing,
  NETMESH_CONTROL,
  PathPingKind,
  PeerFeature,
  type SocketAddress,
} from "@netmesh/wire";
import type { Alarm, CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import { isSamePath, type Path, type Session } from "../session/session.ts";
import { type AskedPath, PathWatch, type PathWatchOwner } from "./path-watch.ts";

/** A path counts as in use for so long after something was sent over it. */
const IN_USE_MS = 2_000;
/** Nodes of Net send heartbeats at least this often unless configured otherwise. */
const REFERENCE_HEARTBEAT_MS = 5_000;
/** Longest beat that a slow handshake makes of a path's, in milliseconds. */
const MAX_BEAT_MS = 1_000;
/** While a path is in doubt, it is asked about this many times a beat. */
const PINGS_PER_BEAT = 3;
/** Beats without an answer after which a path is in doubt on which the peer is heard, but does not seem to hear. */
const UNANSWERED_BEATS = 2;
/** Watches that send pings in one turn; the others wait a millisecond. */
const WATCHES_PER_TURN = 64;
/** How long this node insists on a path that it has chosen when the peer, too, chooses one. */
const INSIST_MS = 1_000;
/** Pings over a path that the peer has gone to, before it is not followed there: for two beats. */
const FOLLOW_ASKS: number = 2 * PINGS_PER_BEAT;

/** Who deals with what is found out. Called in the middle of inputs: may send, must not throw. */
export interface LivenessSink {
  /** Other paths on which the peer might be reached. */
  candidates(session: Session): readonly Path[];
  /** The path is in doubt: less is heard over it than should be. */
  onSuspected(watch: PathWatch): void;
  /** The path has failed: nobody has answered over it. */
  onFailed(watch: PathWatch): void;
  /** The peer has answered over the session's path. */
  onPathAnswered(session: Session): void;
  /** The path is well again. */
  onRevived(watch: PathWatch): void;
  /** The peer answers over another path, and is wanted there. */
  onAnswered(watch: PathWatch, path: Path, wasInDoubt: boolean): void;
  /** The peer's packets take that path from now on; whether the one before has failed for it. */
  onPeerMoved(session: Session, path: Path, hasFailed: boolean): void;
  /** A round trip to a neighbour was measured, in milliseconds. */
  onRoundTrip(session: Session, roundTripMs: number): void;
}

/**
 * Finds out whether the paths of sessions are alive (docs/protocol/path-liveness.md).
 *
 * Every authenticated packet over a path is a sign of life. An idle path is expected to bring heartbeats; one in use by a netmesh peer
 * something every beat, and is pinged when it does not. A path in doubt is pinged faster, and other paths with it.
 */
export class Liveness implements Alarm, PeerObserver, PathWatchOwner {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #detector: AdaptiveFailureDetector;
  readonly #watches = new Map<WatchedPeer, PathWatch>();
  /** Watches in use or in doubt. */
  readonly #busy = new Set<PathWatch>();
  #sink: LivenessSink | undefined;
  #nextId = 0;

  constructor(state: CoreState, writer: PacketWriter) {
    this.#state = state;
    this.#writer = writer;
    this.#detector = new AdaptiveFailureDetector({
      maxPeers: 2 * state.config.maxPeers,
      onSuspicion: (peer) => this.#onSuspicion(peer),
      onFailure: (peer) => this.#onFailure(peer),
    });
  }

  /** Sets who deals with what is found out. */
  report(sink: LivenessSink): void {
    this.#sink = sink;
  }

  onConnected(session: Session): void {
    this.#watch(session);
  }

  onPathChanged(session: Session): void {
    const { watch } = session;
    const { nowMs } = this.#state;
    if (watch === undefined || (watch.active === undefined && !session.takesHeartbeats)) {
      this.onEnded(session);
      this.#watch(session);
      return;
    }
    watch.status = "healthy";
    watch.asked.clear();
    watch.movedMs = nowMs;
    watch.following = undefined;
    this.#detector.resume(watch.idle, nowMs);
    watch.isActive = false;
    watch.wantsAnswerSinceMs = Number.POSITIVE_INFINITY;
    if (watch.active !== undefined) this.onUsed(watch);
    this.#hasten(watch);
  }

  onEnded(session: Session): void {
    const { watch } = session;
    if (watch === undefined) return;
    session.watch = undefined;
    this.#busy.delete(watch);
    for (const peer of [watch.idle, watch.active]) {
      if (peer === undefined) continue;
      this.#detector.unwatch(peer);
      this.#watches.delete(peer);
    }
  }

  /** An authenticated packet has come over the session's path. */
  heard(watch: PathWatch): void {
    const { nowMs } = this.#state;
    this.#detector.heard(watch.idle, nowMs);
    if (watch.isActive) this.#detector.heard(watch.active as WatchedPeer, nowMs);
    if (watch.status !== "healthy" && watch.wantsAnswerSinceMs === Number.POSITIVE_INFINITY)
      this.#revive(watch);
  }

  /** Doubts a path for a reason of its own: its next hop has failed. */
  doubt(watch: PathWatch): void {
    if (watch.status !== "healthy" || watch.active === undefined) return;
    watch.status = "suspected";
    watch.suspectedMs = this.#state.nowMs;
    watch.nextPingMs = this.#state.nowMs;
    this.#busy.add(watch);
    this.#hasten(watch);
  }

  /** Tells the peer, until it answers, that the session's packets take another path now. */
  announceMove(watch: PathWatch, hasFailed: boolean): void {
    watch.isMoving = true;
    watch.hasFailed = hasFailed;
    this.#tick(watch);
    this.#hasten(watch);
  }

  /** Asks for a sign of life over a path that is better than the present one, if the peer answers there. */
  tryBetter(watch: PathWatch, path: Path): void {
    this.#ping(watch, path, "better");
  }

  /**
   * Follows the peer to the path that its packets take now, once it has answered there: an authenticated packet proves who has sealed
   * it, and nothing of who has sent it from that address, or of whom is reached there. A peer that answers no pings is followed at once.
   */
  follow(session: Session, path: Path, hasFailed: boolean): void {
    const { watch } = session;
    if (watch?.active === undefined) {
      this.#sink?.onPeerMoved(session, path, hasFailed);
      return;
    }
    const { following } = watch;
    if (following !== undefined && isSamePath(following.path, path)) {
      following.hasFailed ||= hasFailed;
      return;
    }
    watch.following = { path, hasFailed, asksLeft: FOLLOW_ASKS };
    watch.nextPingMs = this.#state.nowMs;
    this.#busy.add(watch);
    this.#hasten(watch);
  }

  /** Takes a ping or an answer; `isNewest` tells whether no packet sealed later has arrived. */
  onControl(
    session: Session,
    event: Uint8Array,
    from: SocketAddress,
    routed: boolean,
    isNewest: boolean,
  ): void {
    const { counters, nowMs } = this.#state;
    const ping = decodePathPing(event);
    if (ping === undefined) {
      counters.controlMalformed++;
      return;
    }
    if (ping.kind === PathPingKind.ANSWER) {
      this.#onAnswer(session, ping.id);
      return;
    }
    if (!session.pingAnswers.has(nowMs)) {
      counters.pathPingLimited++;
      return;
    }
    session.pingAnswers.spend(nowMs);
    // Over the path on which it came: that is the one that is asked about.
    const path: Path = { address: from, routed };
    const answer = encodePathPing({ kind: PathPingKind.ANSWER, id: ping.id, moves: false, failed: false });
    if (this.#writer.sendControl(session, NETMESH_CONTROL, [answer], path)) counters.pathPingsAnswered++;
    if (!ping.moves || !isNewest || this.#insists(session)) return;
    if (!isSamePath(session.path, path)) this.follow(session, path, ping.failed);
    else if (session.watch !== undefined) session.watch.following = undefined;
  }

  onMissed(watch: PathWatch): void {
    watch.wantsAnswerSinceMs = this.#state.nowMs;
    watch.nextPingMs = this.#state.nowMs;
    this.#busy.add(watch);
    this.#hasten(watch);
  }

  ring(): void {
    const { nowMs, alarms } = this.#state;
    this.#detector.check(nowMs);
    let next = this.#detector.nextCheckMs;
    let turns = 0;
    for (const watch of this.#busy) {
      if (nowMs >= watch.nextPingMs && turns++ < WATCHES_PER_TURN) this.#tick(watch);
      if (this.#busy.has(watch)) next = Math.min(next, Math.max(nowMs + 1, watch.nextPingMs));
    }
    alarms.schedule(this, Math.min(next, this.deadline));
  }

  #watch(session: Session): void {
    if (!session.takesHeartbeats) return;
    const { nowMs, config } = this.#state;
    const { heartbeatMs } = config;
    const answersPings = session.has(PeerFeature.LIVENESS);
    const { nodeId } = session.peer;
    const roundTripMs = Math.min(MAX_BEAT_MS, session.roundTripMs ?? 0);
    const beatMs = Math.max(roundTripMs, Math.min(heartbeatMs, DEFAULT_HEARTBEAT_MS));
    const idleMs = Math.max(
      beatMs,
      answersPings ? heartbeatMs : Math.max(heartbeatMs, REFERENCE_HEARTBEAT_MS),
    );
    const idle = this.#detector.watch(nodeId, nowMs, idleMs);
    if (idle === undefined) return;
    const active = answersPings ? this.#detector.watch(nodeId, nowMs, beatMs) : undefined;
    if (active !== undefined) this.#detector.pause(active);
    const watch = new PathWatch(session, beatMs, idle, active, this);
    session.watch = watch;
    this.#watches.set(idle, watch);
    if (active !== undefined) this.#watches.set(active, watch);
    this.#hasten(watch);
  }

  onUsed(watch: PathWatch): void {
    const { nowMs } = this.#state;
    watch.isActive = true;
    this.#detector.resume(watch.active as WatchedPeer, nowMs);
    this.#busy.add(watch);
    if (watch.status === "healthy") watch.nextPingMs = nowMs + watch.beatMs / PINGS_PER_BEAT;
    this.#hasten(watch);
  }

  #onSuspicion(peer: WatchedPeer): void {
    const watch = this.#watches.get(peer);
    if (watch?.status !== "healthy") return;
    const { nowMs, counters } = this.#state;
    counters.pathsSuspected++;
    watch.status = "suspected";
    watch.suspectedMs = nowMs;
    if (watch.active !== undefined) {
      watch.nextPingMs = nowMs;
      this.#busy.add(watch);
    }
    this.#sink?.onSuspected(watch);
  }

  #onFailure(peer: WatchedPeer): void {
    const watch = this.#watches.get(peer);
    if (watch === undefined || watch.status === "failed") return;
    watch.status = "failed";
    this.#state.counters.pathsFailed++;
    this.#sink?.onFailed(watch);
  }

  #revive(watch: PathWatch): void {
    watch.status = "healthy";
    watch.asked.clear();
    watch.nextPingMs = this.#state.nowMs + watch.beatMs;
    this.#hasten(watch);
    this.#sink?.onRevived(watch);
  }

  #onAnswer(session: Session, id: number): void {
    const { nowMs, counters } = this.#state;
    const { watch } = session;
    const asked = watch?.asked.get(id);
    if (watch === undefined || asked === undefined) {
      counters.pathPingIgnored++;
      return;
    }
    watch.asked.delete(id);
    const wasInDoubt = watch.status !== "healthy";
    if (isSamePath(asked.path, session.path)) {
      watch.isMoving = false;
      watch.wantsAnswerSinceMs = Number.POSITIVE_INFINITY;
      if (!asked.path.routed) this.#sink?.onRoundTrip(session, nowMs - asked.sentMs);
      // It may have come back another way.
      this.heard(watch);
      watch.answeredMs = nowMs;
      this.#sink?.onPathAnswered(session);
    } else if (asked.purpose === "follow") this.#onFollowed(watch, asked.path);
    else if (wasInDoubt || asked.purpose === "better") this.#sink?.onAnswered(watch, asked.path, wasInDoubt);
  }

  /** The peer is where its packets come from, unless it has gone elsewhere meanwhile. */
  #onFollowed(watch: PathWatch, path: Path): void {
    const { following, session } = watch;
    if (following === undefined || !isSamePath(following.path, path) || this.#insists(session)) return;
    watch.following = undefined;
    this.#state.counters.pathsFollowed++;
    this.#sink?.onPeerMoved(session, path, following.hasFailed);
  }

  /** Asks where the peer has gone to; gives up when nobody answers there. */
  #askWhereFollowed(watch: PathWatch): void {
    const { following } = watch;
    if (following === undefined) return;
    if (following.asksLeft === 0) {
      watch.following = undefined;
      this.#state.counters.pathsNotFollowed++;
      return;
    }
    following.asksLeft--;
    this.#ping(watch, following.path, "follow");
  }

  /** Whether this node stays on the path that it has just chosen, although the peer has chosen another one. */
  #insists({ role, watch }: Session): boolean {
    return role === "initiator" && watch?.isMoving === true && this.#state.nowMs - watch.movedMs < INSIST_MS;
  }

  #tick(watch: PathWatch): void {
    const { nowMs, config } = this.#state;
    const { beatMs, idle } = watch;
    this.#askWhereFollowed(watch);
    const wantsAnswer = watch.wantsAnswerSinceMs !== Number.POSITIVE_INFINITY;
    if (
      wantsAnswer &&
      watch.status === "healthy" &&
      nowMs - watch.wantsAnswerSinceMs > UNANSWERED_BEATS * beatMs
    ) {
      this.doubt(watch);
    }
    if (watch.status === "healthy") {
      const asksUntilAnswered = watch.isMoving || wantsAnswer || watch.following !== undefined;
      if (nowMs - watch.usedMs > IN_USE_MS && !asksUntilAnswered) {
        this.#rest(watch);
        return;
      }
      const { lastHeardMs } = idle;
      if (!asksUntilAnswered && nowMs - lastHeardMs < beatMs && lastHeardMs !== watch.answeredMs) {
        watch.nextPingMs = lastHeardMs + beatMs;
        return;
      }
      this.#ping(watch, watch.session.path, "watch");
      watch.nextPingMs = nowMs + (asksUntilAnswered ? beatMs / PINGS_PER_BEAT : beatMs);
      return;
    }
    this.#ping(watch, watch.session.path, "watch");
    for (const path of this.#sink?.candidates(watch.session) ?? []) this.#ping(watch, path, "watch");
    const inDoubtMs = nowMs - watch.suspectedMs;
    watch.nextPingMs = nowMs + Math.min(config.heartbeatMs, Math.max(beatMs / PINGS_PER_BEAT, inDoubtMs / 4));
  }

  #rest(watch: PathWatch): void {
    watch.isActive = false;
    watch.nextPingMs = Number.POSITIVE_INFINITY;
    this.#busy.delete(watch);
    if (watch.active !== undefined) this.#detector.pause(watch.active);
  }

  #ping(watch: PathWatch, path: Path, purpose: AskedPath["purpose"]): void {
    const { nowMs, counters } = this.#state;
    const { session } = watch;
    const id = this.#nextId;
    this.#nextId = (this.#nextId + 1) >>> 0;
    const moves = watch.isMoving && isSamePath(path, session.path);
    const ping = encodePathPing({ kind: PathPingKind.PING, id, moves, failed: moves && watch.hasFailed });
    if (!this.#writer.sendControl(session, NETMESH_CONTROL, [ping], path)) return;
    counters.pathPingsSent++;
    watch.ask(id, { path, sentMs: nowMs, purpose });
  }

  #hasten(watch: PathWatch): void {
    this.#state.alarms.hasten(this, Math.min(this.#detector.nextCheckMs, watch.nextPingMs));
  }
}
