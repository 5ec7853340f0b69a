import { PacketCipher, type SessionKeys } from "@netmesh/crypto";
import { epochCounter, LocalCounter, SealingKey } from "@netmesh/pool";
import { PeerFeature, type SocketAddress } from "@netmesh/wire";
import type { Liveness } from "../control/liveness.ts";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import type { IdentityProver } from "../identity/identity-prover.ts";
import { IdentityState } from "../identity/identity-state.ts";
import { PathMtu } from "../path-mtu/path-mtu.ts";
import type { PathProber } from "../path-mtu/path-prober.ts";
import { RekeyState } from "../rekey/rekey-state.ts";
import type { Rekeyer } from "../rekey/rekeyer.ts";
import type { Stream } from "../stream/stream.ts";
import type { StreamReceiver } from "../stream/stream-receiver.ts";
import type { StreamSender } from "../stream/stream-sender.ts";
import type { PacketWriter } from "./packet-writer.ts";
import { Peer } from "./peer.ts";
import type { PeerObserver } from "./peer-observer.ts";
import { isSamePath, MIGRATION_THRESHOLD, type Path, Session, type SessionRole } from "./session.ts";

/** A silent peer is forgotten after this many session time-outs (spec/session.md §2). */
const REMOVE_AFTER_TIMEOUTS = 30;
/** An answered handshake whose initiator never shows its keys is dropped after this many handshake time-outs. */
const UNCONFIRMED_TIMEOUTS = 3;
/** And not before so many heartbeats could have shown them. */
const UNCONFIRMED_HEARTBEATS = 3;
/** Heartbeats come early by up to this share, so that nodes do not fall into step. */
const HEARTBEAT_JITTER = 0.2;

/** What a new session is made from. */
export interface NewSession {
  readonly nodeId: bigint;
  /** Of an id that `admitsId` takes; wiped. */
  readonly keys: SessionKeys;
  readonly role: SessionRole;
  readonly features: number;
  readonly path: Path;
  readonly roundTripMs?: number;
  /** The peer's Noise public key, where it is known. */
  readonly publicKey?: Uint8Array;
  /** Called once the peer has proven its keys. */
  readonly onConfirmed?: (peer: Peer) => void;
}

/** Peers and their sessions: installing, replacing, waking, forgetting. */
export class SessionRegistry {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #sender: StreamSender;
  readonly #receiver: StreamReceiver;
  readonly #rekeyer: Rekeyer;
  readonly #prober: PathProber;
  readonly #prover: IdentityProver;
  readonly #liveness: Liveness;
  readonly #observers: PeerObserver[] = [];

  constructor(
    state: CoreState,
    writer: PacketWriter,
    sender: StreamSender,
    receiver: StreamReceiver,
    rekeyer: Rekeyer,
    prober: PathProber,
    prover: IdentityProver,
    liveness: Liveness,
  ) {
    this.#state = state;
    this.#writer = writer;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#rekeyer = rekeyer;
    this.#prober = prober;
    this.#prover = prover;
    this.#liveness = liveness;
  }

  /** Tells a part of the core about every peer from now on. */
  observe(observer: PeerObserver): void {
    this.#observers.push(observer);
  }

  /** Whether a peer of that id exists or may be added. */
  hasRoomFor(nodeId: bigint): boolean {
    return this.#state.peers.hasId(nodeId) || this.#state.peers.size < this.#state.config.maxPeers;
  }

  /**
   * Whether a session may have that id: not 0, which stands for none, and not one in use, or whoever can bring about a
   * second one would end the session of somebody else.
   */
  admitsId(sessionId: bigint): boolean {
    return sessionId !== 0n && !this.#state.sessions.hasId(sessionId);
  }

  /** Makes the session of a handshake that this node began, in use at once: message 2 has proven the peer's keys. */
  installInitiated(init: NewSession): Peer {
    const session = this.#create(init);
    this.#confirm(session);
    const { peer } = session;
    peer.publicKey = init.publicKey;
    this.#use(session);
    // The first authenticated packet, by which the responder starts using the session.
    this.#heartbeat(session);
    return peer;
  }

  /**
   * Makes the session of a handshake that this node answered. It stands beside an existing one until the peer has sent
   * something authenticated with it (make before break).
   */
  installAnswered(init: NewSession): void {
    const session = this.#create(init);
    session.onConfirmed = init.onConfirmed;
    const { peer } = session;
    if (peer.session === undefined) {
      peer.session = session;
    } else {
      if (peer.candidate !== undefined) this.#destroy(peer.candidate);
      peer.candidate = session;
    }
  }

  /**
   * Sends the first heartbeat of a session again that this node has begun a moment ago, if the peer has not been heard
   * since; false when there is no such session. The peer's own handshake, begun at the same time, waits for it.
   */
  greetAgain(nodeId: bigint): boolean {
    const { nowMs, config, peers } = this.#state;
    const session = peers.getId(nodeId)?.session;
    if (session?.role !== "initiator" || session.isHeard) return false;
    if (nowMs - session.createdMs > config.handshakeTimeoutMs || !session.takesHeartbeats) return false;
    this.#heartbeat(session);
    return true;
  }

  #create(init: NewSession): Session {
    const state = this.#state;
    let peer = state.peers.getId(init.nodeId);
    if (peer === undefined) {
      peer = new Peer(init.nodeId);
      state.peers.set(peer.idLo, peer.idHi, peer);
    }
    const { keys } = init;
    const chainSecret = (init.features & PeerFeature.REKEY) === 0 ? undefined : keys.chainSecret;
    const rekeying =
      chainSecret === undefined ? undefined : new RekeyState(chainSecret, state.config.rekey, state.nowMs);
    const counter = rekeying === undefined ? new LocalCounter() : epochCounter(rekeying.epoch);
    const { aead: provider, identity: signer } = state.config;
    const session = new Session({
      id: keys.sessionId,
      role: init.role,
      peer,
      features: init.features,
      opener: new PacketCipher(keys.rxKey, keys.sessionId, provider),
      sealingKey: new SealingKey(keys.txKey, keys.sessionId, { counter, provider }),
      rekeying,
      identity:
        keys.chainSecret === undefined || signer === undefined || (init.features & PeerFeature.IDENTITY) === 0
          ? undefined
          : new IdentityState(keys.chainSecret, init.role, signer),
      hashSeed: state.hashSeed,
      path: init.path,
      pathMtu: new PathMtu(state.counters),
      roundTripMs: init.roundTripMs,
      nowMs: state.nowMs,
      onDeadline: (due) => this.#onDeadline(due),
    });
    keys.destroy();
    this.#prober.onNewPath(session);
    state.sessions.set(session.idLo, session.idHi, session);
    session.nextHeartbeatMs = state.nowMs + this.#heartbeatPause();
    state.alarms.schedule(session, session.nextHeartbeatMs);
    return session;
  }

  /** Puts the session in use, in the place of whatever was there. */
  #use(session: Session): void {
    const { peer } = session;
    const replaced = peer.session === session ? undefined : peer.session;
    if (peer.candidate !== undefined && peer.candidate !== session) this.#destroy(peer.candidate);
    peer.candidate = undefined;
    peer.session = session;
    this.#state.routes.addRoute(peer.nodeId, session.path.address, this.#state.nowMs);
    this.#state.alarms.hasten(session, Math.max(session.pathMtu.deadline, this.#state.nowMs));
    if (replaced !== undefined) {
      this.#endStreams(replaced, new MeshError("session-replaced", "the peer has started a new session"));
      this.#destroy(replaced);
    }
    peer.isKnown = true;
    const wasConnected = replaced?.isConfirmed === true;
    this.#state.emit({ type: "peer-connected", peer, replaced: wasConnected ? replaced : undefined });
    this.#prover.begin(session);
    for (const observer of this.#observers) observer.onConnected?.(session);
  }

  /** The peer has proven its keys: a recorded handshake that somebody repeats never gets here. */
  #confirm(session: Session): void {
    session.isConfirmed = true;
    this.#countAddress(session.path.address, 1);
  }

  /** To be called for every packet that was authenticated and fresh, with its counter. */
  onAuthenticated(
    session: Session,
    from: SocketAddress,
    routed: boolean,
    counterLo: number,
    counterHi: number,
  ): void {
    const { nowMs } = this.#state;
    session.lastReceiveMs = nowMs;
    session.isHeard = true;
    if (!session.isConfirmed) {
      if (this.#hasToProve(session)) return;
      this.#showKeys(session);
    }
    if (session.isSilent) {
      session.isSilent = false;
      this.#state.emit({ type: "peer-recovered", peer: session.peer });
      for (const observer of this.#observers) observer.onRecovered?.(session);
    }
    const { path, watch } = session;
    if (path.address.key !== from.key || path.routed !== routed) {
      if (session.rx.isNewest(counterLo, counterHi)) this.#voteForPath(session, from, routed);
    } else {
      if (watch !== undefined) this.#liveness.heard(watch);
      if (session.migrationVotes > 0) session.migrationVotes = 0;
    }
    // Whoever passes packets on is alive.
    const relay = routed ? this.#state.neighbors.at(from)?.session.watch : undefined;
    if (relay !== undefined) this.#liveness.heard(relay);
  }

  /** The peer of an answered handshake has shown its keys, and where it has to, who it is. */
  #showKeys(session: Session): void {
    this.#confirm(session);
    session.roundTripMs ??= this.#state.nowMs - session.createdMs;
    this.#use(session);
    session.onConfirmed?.(session.peer);
  }

  /**
   * Whether a new session may not take the place of the one in use: that one's peer has proven who it is and is heard, and
   * this one has not. Any member of the mesh can claim a node id.
   */
  #hasToProve(session: Session): boolean {
    const { session: inUse } = session.peer;
    if (inUse === undefined || inUse === session || session.entityId !== undefined) return false;
    const isHeard = this.#state.nowMs - inUse.lastReceiveMs <= this.#state.config.sessionTimeoutMs;
    return inUse.identity?.proven !== undefined && isHeard;
  }

  /** Takes a proof of who the peer of a session is. */
  onIdentityProof(session: Session, identity: IdentityState, event: Uint8Array): void {
    if (!this.#prover.receive(session, identity, event)) return;
    if (!session.isConfirmed) this.#showKeys(session);
    this.#state.emit({ type: "peer-verified", peer: session.peer });
  }

  /** Moves the session to where its newest packets come from, after several of them (spec/session.md §14, S14). */
  #voteForPath(session: Session, from: SocketAddress, routed: boolean): void {
    if (this.#keepsPath(session, from)) return;
    if (session.migrationAddress?.key !== from.key) {
      session.migrationAddress = from;
      session.migrationVotes = 0;
    }
    if (++session.migrationVotes < MIGRATION_THRESHOLD) return;
    session.migrationVotes = 0;
    const path = { address: from, routed };
    // A peer that answers pings shows first that it is reached there.
    if (session.watch === undefined) this.movePath(session, path);
    else this.#liveness.follow(session, path, false);
  }

  /**
   * Whether the session stays on its path although the peer has taken another one: two ends that follow each other would
   * change places for ever. The one that began the session stays, as long as its own path is well, where the other is known to lead
   * over a neighbour.
   */
  #keepsPath({ role, watch, features }: Session, from: SocketAddress): boolean {
    if ((features & PeerFeature.LIVENESS) === 0 || role === "responder") return false;
    return watch?.status === "healthy" && this.#state.neighbors.at(from) !== undefined;
  }

  /** The path is alive again: what was lost meanwhile is repaired now rather than after the last pause of its repairs. */
  onPathRevived(session: Session): void {
    for (const stream of session.timedStreams) {
      if ((stream.sendWindow?.roundTrip.backoff ?? 0) > 0) this.#sender.hurry(session, stream);
    }
  }

  /** Sends the session's packets over that path from now on. */
  movePath(session: Session, path: Path): void {
    session.migrationVotes = 0;
    session.migrationAddress = undefined;
    const old = session.path;
    if (isSamePath(old, path)) return;
    this.#countAddress(path.address, 1);
    this.#countAddress(old.address, -1);
    session.path = path;
    this.#prober.onNewPath(session);
    const { counters, nowMs, routes } = this.#state;
    counters.addressMigrations++;
    const { peer } = session;
    if (peer.session !== session) return;
    routes.addRoute(peer.nodeId, path.address, nowMs);
    for (const observer of this.#observers) observer.onPathChanged?.(session, old);
    // What is on its way over the old path may never arrive.
    for (const stream of session.timedStreams) this.#sender.hurry(session, stream);
    this.#state.emit({ type: "path-changed", peer });
  }

  /** Ends a stream with an error that the application sees. */
  failStream(session: Session, stream: Stream, error: MeshError): void {
    if (stream.ended !== undefined) return;
    stream.ended = error;
    this.#receiver.forget(session, stream);
    this.#state.emit({ type: "stream-failed", session, stream, error });
  }

  #endStreams(session: Session, error: MeshError): void {
    const streams: Stream[] = [...session.streams];
    for (const stream of streams) this.failStream(session, stream, error);
  }

  #heartbeat(session: Session): void {
    if (session.takesHeartbeats) this.#writer.sendHeartbeat(session);
  }

  #heartbeatPause(): number {
    const byte = new Uint8Array(1);
    this.#state.config.random.fill(byte);
    return this.#state.config.heartbeatMs * (1 - ((byte[0] as number) / 255) * HEARTBEAT_JITTER);
  }

  #onDeadline(session: Session): void {
    const state = this.#state;
    const { nowMs, config } = state;
    const { peer } = session;
    // Compared as a time, not as a difference: rounded, that could stay just below its limit for ever.
    let next = session.lastReceiveMs + this.#patienceMs(session);
    if (nowMs >= next) {
      this.#drop(session, new MeshError("peer-lost", "the session has ended"));
      return;
    }
    if (session.isExhausted) {
      this.#drop(session, new MeshError("counter-exhausted", "the session's key has sealed all it may"));
      return;
    }
    // Silence means something where heartbeats can be expected.
    if (session.isConfirmed && !session.isSilent && session.takesHeartbeats) {
      const silentAtMs = session.lastReceiveMs + config.sessionTimeoutMs;
      if (nowMs > silentAtMs) this.#fallSilent(session);
      else next = Math.min(next, silentAtMs + 1);
    }
    if (peer.session === session) {
      if (nowMs >= session.nextHeartbeatMs) {
        this.#heartbeat(session);
        this.#evictIdleStreams(session);
        session.nextHeartbeatMs = nowMs + this.#heartbeatPause();
      }
      next = Math.min(next, session.nextHeartbeatMs);
    }
    next = Math.min(next, this.#prober.onDeadline(session), this.#prover.onDeadline(session));
    for (const stream of session.timedStreams) {
      const due = Math.min(
        this.#receiver.onDeadline(session, stream),
        this.#sender.onDeadline(session, stream),
        stream.grantDueMs,
      );
      if (due === Number.POSITIVE_INFINITY || stream.ended !== undefined) session.timedStreams.delete(stream);
      else next = Math.min(next, due);
    }
    if (session.rekeying !== undefined) {
      next = Math.min(next, this.#rekeyer.onDeadline(session, session.rekeying));
    }
    state.alarms.schedule(session, next);
  }

  /** How long a session is kept without a word of the peer, in milliseconds. */
  #patienceMs(session: Session): number {
    const { sessionTimeoutMs, handshakeTimeoutMs, heartbeatMs } = this.#state.config;
    // Through a relay a node of the reference shows its keys no earlier than with its first data.
    const isExpectedToWait = session.peer.session === session && !session.takesHeartbeats;
    return session.isConfirmed || isExpectedToWait
      ? REMOVE_AFTER_TIMEOUTS * sessionTimeoutMs
      : Math.max(UNCONFIRMED_TIMEOUTS * handshakeTimeoutMs, UNCONFIRMED_HEARTBEATS * heartbeatMs);
  }

  #fallSilent(session: Session): void {
    session.isSilent = true;
    this.#endStreams(
      session,
      new MeshError("peer-lost", "nothing was heard of the peer for the session time-out"),
    );
    this.#state.emit({ type: "peer-lost", peer: session.peer });
    for (const observer of this.#observers) observer.onLost?.(session);
  }

  #evictIdleStreams(session: Session): void {
    const before = this.#state.nowMs - this.#state.config.streamIdleTimeoutMs;
    const idle: Stream[] = [];
    for (const stream of session.streams) {
      if (!stream.isOpen && stream.isDrained && stream.lastActivityMs < before) idle.push(stream);
    }
    for (const stream of idle) {
      // Nobody has taken what arrived on it: the peer has to know.
      if (stream.unreadBytes > 0) {
        this.#sender.sendReset(session, stream.id);
        this.failStream(session, stream, new MeshError("stream-reset", "nobody has opened the stream"));
      } else this.#receiver.forget(session, stream);
    }
  }

  /** Removes a session, and the peer with its last one. */
  #drop(session: Session, error: MeshError): void {
    const { peer } = session;
    this.#endStreams(session, error);
    this.#destroy(session);
    if (peer.candidate === session) {
      peer.candidate = undefined;
      return;
    }
    peer.session = undefined;
    if (peer.candidate !== undefined) {
      // Nothing to break any more: the newer one takes the place, still unconfirmed.
      peer.session = peer.candidate;
      peer.candidate = undefined;
    }
    this.#state.routes.removeRouteIfNextHopIs(peer.nodeId, session.path.address);
    if (peer.session !== undefined) return;
    this.#state.peers.deleteId(peer.nodeId);
    // Of a peer that never showed its keys nobody knows: anybody can claim a node id, and must not make others forget it.
    if (!peer.isKnown) return;
    for (const observer of this.#observers) observer.onRemoved?.(peer);
    this.#state.emit({ type: "peer-removed", peer });
  }

  /** Wipes a session's keys and everything that refers to it, apart from its peer. */
  #destroy(session: Session): void {
    const state = this.#state;
    for (const observer of this.#observers) observer.onEnded?.(session);
    state.alarms.remove(session);
    state.sessions.delete(session.idLo, session.idHi);
    if (session.isConfirmed) this.#countAddress(session.path.address, -1);
    session.destroy();
  }

  /** Ends every session and wipes all keys. */
  close(error: MeshError): void {
    for (const session of [...this.#state.sessions]) {
      this.#receiver.flushAllGrants(session);
      this.#endStreams(session, error);
      this.#destroy(session);
    }
    this.#state.peers.clear();
  }

  #countAddress(address: SocketAddress, change: number): void {
    const { addresses } = this.#state;
    const count = (addresses.get(address.key) ?? 0) + change;
    if (count <= 0) addresses.delete(address.key);
    else addresses.set(address.key, count);
  }
}
