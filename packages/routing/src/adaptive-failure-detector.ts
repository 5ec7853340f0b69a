import { RoutingError, requireCount } from "./routing-error.ts";

/** Pause between heartbeats for which a killed peer is detected within a second. */
export const DEFAULT_HEARTBEAT_MS = 300;

/** Silence, in heartbeats, after which a peer over a clean path has failed. */
const MIN_FAIL_BEATS = 2.75;
/** Share of that silence after which it is suspected. */
const SUSPECT_SHARE = 0.75;
/** Time, in heartbeats, from the suspicion to the failure, at least: to read what the socket holds. */
const GRACE_BEATS = 0.5;
/** A gap, in heartbeats, that shows that one was lost. */
const MISS_BEATS = 1.75;
/** Time, in heartbeats, over which losses and long gaps are forgotten. */
const MEMORY_BEATS = 64;
/** Failures are declared when a living peer would be that silent with this probability. */
const ACCEPTED_ERROR = 1e-6;
/** A peer fails after a silence this many times its longest recent gap. */
const GAP_FACTOR = 1.5;
/** How often a late check may put a failure off. */
const MAX_POSTPONEMENTS = 8;

/** A peer under watch; only its detector writes to it. */
export interface WatchedPeer {
  readonly id: bigint;
  readonly status: "healthy" | "suspected" | "failed";
  /** Monotonic milliseconds of its last authenticated packet, or of the start of the watch. */
  readonly lastHeardMs: number;
}

/** Parameters of an {@link AdaptiveFailureDetector}. */
export interface AdaptiveFailureDetectorOptions {
  /** Silence in heartbeats that fails any peer, however bad its path was; default 24. */
  readonly maxFailBeats?: number;
  /** Peers watched; default 65 536. */
  readonly maxPeers?: number;
  /** Ask the peer for a sign of life: it is about to fail. */
  readonly onSuspicion?: (peer: WatchedPeer) => void;
  /** The peer has failed. */
  readonly onFailure?: (peer: WatchedPeer) => void;
  /** A failed peer was heard again. */
  readonly onRecovery?: (peer: WatchedPeer) => void;
}

/** Plain counters of an {@link AdaptiveFailureDetector}. */
export interface AdaptiveFailureDetectorStats {
  readonly watched: number;
  readonly suspicions: number;
  readonly failures: number;
  readonly recoveries: number;
  /** Failures put off because this node itself was late. */
  readonly postponed: number;
  /** Peers not watched because `maxPeers` were. */
  readonly refused: number;
}

/**
 * Finds out fast that a peer is gone, without taking a busy or lossy one for dead.
 *
 * Any authenticated packet is a sign of life. Silence fails a peer once a living one would be that
 * silent only with probability 10⁻⁶, given the losses and the longest gap of the last 64 heartbeats;
 * over a clean path that is 2.75 heartbeats: 138 ms at 50 ms, 825 ms at the default of 300 ms. This
 * node's own stalls are not held against its peers: when a check comes late, packets may be waiting in
 * the socket, and failures are put off until there was time to read them.
 *
 * Call {@link AdaptiveFailureDetector.check} at {@link AdaptiveFailureDetector.nextCheckMs}, after the
 * packets that have arrived. `nowMs` is a monotonic clock, the same one for every call. Model: accrual
 * detection (Hayashibara et al., 2004), with a loss model in place of a distribution of arrivals.
 */
export class AdaptiveFailureDetector {
  readonly #maxFailBeats: number;
  readonly #maxPeers: number;
  readonly #onSuspicion: (peer: WatchedPeer) => void;
  readonly #onFailure: (peer: WatchedPeer) => void;
  readonly #onRecovery: (peer: WatchedPeer) => void;
  readonly #peers: Peer[] = [];
  /** No peer has to be looked at before; packets only move that further away. */
  #nextCheckMs: number = Number.POSITIVE_INFINITY;
  #suspicions = 0;
  #failures = 0;
  #recoveries = 0;
  #postponed = 0;
  #refused = 0;

  /** @throws RoutingError `invalid-limit` */
  constructor(options: AdaptiveFailureDetectorOptions = {}) {
    const { maxFailBeats = 24, maxPeers = 65_536 } = options;
    if (!(maxFailBeats >= MIN_FAIL_BEATS)) {
      const message = `maxFailBeats must be ${MIN_FAIL_BEATS} or more, got ${maxFailBeats}`;
      throw new RoutingError("invalid-limit", message, maxFailBeats);
    }
    requireCount("maxPeers", maxPeers);
    this.#maxFailBeats = maxFailBeats;
    this.#maxPeers = maxPeers;
    this.#onSuspicion = options.onSuspicion ?? ignore;
    this.#onFailure = options.onFailure ?? ignore;
    this.#onRecovery = options.onRecovery ?? ignore;
  }

  /** When to check next, in milliseconds of the caller's clock; `Infinity` for never. */
  get nextCheckMs(): number {
    return this.#nextCheckMs;
  }

  /** Plain counters. */
  stats(): AdaptiveFailureDetectorStats {
    return {
      watched: this.#peers.length,
      suspicions: this.#suspicions,
      failures: this.#failures,
      recoveries: this.#recoveries,
      postponed: this.#postponed,
      refused: this.#refused,
    };
  }

  /**
   * Starts to watch a peer, as heard now; `undefined` when `maxPeers` are watched already.
   *
   * @param heartbeatMs the longest pause that the peer makes between two packets
   * @throws RoutingError `invalid-limit` unless the pause is more than 0 and finite.
   */
  watch(id: bigint, nowMs: number, heartbeatMs: number = DEFAULT_HEARTBEAT_MS): WatchedPeer | undefined {
    if (!(heartbeatMs > 0 && Number.isFinite(heartbeatMs))) {
      const message = `heartbeatMs must be more than 0, got ${heartbeatMs}`;
      throw new RoutingError("invalid-limit", message, heartbeatMs);
    }
    if (this.#peers.length >= this.#maxPeers) {
      this.#refused += 1;
      return undefined;
    }
    const peer = new Peer(id, heartbeatMs, nowMs, this.#peers.length);
    this.#peers.push(peer);
    this.#nextCheckMs = Math.min(this.#nextCheckMs, this.#deadline(peer));
    return peer;
  }

  /** Stops watching the peer, silently; harmless when it is not watched. */
  unwatch(watched: WatchedPeer): void {
    const peer = watched as Peer;
    if (this.#peers[peer.index] !== peer) return;
    const last = this.#peers.pop() as Peer;
    if (last === peer) return;
    this.#peers[peer.index] = last;
    last.index = peer.index;
  }

  /** Expects nothing of the peer for the time being: it neither fails nor learns. What was learned stays. */
  pause(watched: WatchedPeer): void {
    (watched as Peer).isPaused = true;
  }

  /** Begins to expect packets, after a pause or over another path: as a healthy peer that was heard now. */
  resume(watched: WatchedPeer, nowMs: number): void {
    const peer = watched as Peer;
    peer.isPaused = false;
    peer.lastHeardMs = nowMs;
    peer.status = "healthy";
    peer.postponements = 0;
    if (this.#peers[peer.index] === peer) {
      this.#nextCheckMs = Math.min(this.#nextCheckMs, this.#deadline(peer));
    }
  }

  /** An authenticated packet of the peer has arrived. */
  heard(watched: WatchedPeer, nowMs: number): void {
    const peer = watched as Peer;
    if (peer.isPaused) return;
    const gapMs = nowMs - peer.lastHeardMs;
    peer.lastHeardMs = nowMs;
    if (gapMs > MISS_BEATS * peer.heartbeatMs) peer.learn(gapMs, nowMs);
    if (peer.status !== "healthy") this.#revive(peer);
  }

  /**
   * How close to failure the peer is: 0 when just heard, 1 when it counts as failed.
   */
  suspicion(watched: WatchedPeer, nowMs: number): number {
    const peer = watched as Peer;
    return Math.max(0, nowMs - peer.lastHeardMs) / this.#failAfterMs(peer);
  }

  /** Looks at the peers when it is time to; returns how many have failed. */
  check(nowMs: number): number {
    if (nowMs < this.#nextCheckMs) return 0;
    const lateMs = nowMs - this.#nextCheckMs;
    const suspected: Peer[] = [];
    const failed: Peer[] = [];
    let nextCheckMs = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers) {
      if (nowMs >= this.#deadline(peer)) {
        if (peer.status === "healthy") {
          peer.status = "suspected";
          peer.suspectedAtMs = nowMs;
          suspected.push(peer);
        } else if (lateMs > peer.graceMs / 2 && peer.postponements < MAX_POSTPONEMENTS) {
          peer.postponements += 1;
          peer.suspectedAtMs = nowMs;
          this.#postponed += 1;
        } else {
          peer.status = "failed";
          failed.push(peer);
        }
      }
      nextCheckMs = Math.min(nextCheckMs, this.#deadline(peer));
    }
    this.#nextCheckMs = nextCheckMs;
    this.#suspicions += suspected.length;
    this.#failures += failed.length;
    for (const peer of suspected) this.#onSuspicion(peer);
    for (const peer of failed) this.#onFailure(peer);
    return failed.length;
  }

  #revive(peer: Peer): void {
    const hadFailed = peer.status === "failed";
    peer.status = "healthy";
    peer.postponements = 0;
    this.#nextCheckMs = Math.min(this.#nextCheckMs, this.#deadline(peer));
    if (!hadFailed) return;
    this.#recoveries += 1;
    this.#onRecovery(peer);
  }

  #deadline(peer: Peer): number {
    if (peer.isPaused) return Number.POSITIVE_INFINITY;
    switch (peer.status) {
      case "healthy":
        return peer.lastHeardMs + SUSPECT_SHARE * this.#failAfterMs(peer);
      case "suspected":
        return Math.max(peer.lastHeardMs + this.#failAfterMs(peer), peer.suspectedAtMs + peer.graceMs);
      default:
        return Number.POSITIVE_INFINITY;
    }
  }

  #failAfterMs(peer: Peer): number {
    return Math.min(this.#maxFailBeats, peer.failBeats()) * peer.heartbeatMs;
  }
}

function ignore(): void {}

class Peer implements WatchedPeer {
  readonly id: bigint;
  readonly heartbeatMs: number;
  readonly graceMs: number;
  /** Place in the detector's list. */
  index: number;
  status: "healthy" | "suspected" | "failed" = "healthy";
  lastHeardMs: number;
  suspectedAtMs = 0;
  /** Failures put off since it was last heard. */
  postponements = 0;
  isPaused = false;
  /** Heartbeats lost lately, older ones counting less. */
  #missed = 0;
  /** The longest gap lately, in heartbeats, shrinking with time. */
  #longestGap = 0;
  #learnedAtMs = 0;

  constructor(id: bigint, heartbeatMs: number, nowMs: number, index: number) {
    this.id = id;
    this.heartbeatMs = heartbeatMs;
    this.graceMs = GRACE_BEATS * heartbeatMs;
    this.lastHeardMs = nowMs;
    this.index = index;
  }

  learn(gapMs: number, nowMs: number): void {
    const kept = this.#kept(nowMs);
    const gap = Math.min(MEMORY_BEATS, gapMs / this.heartbeatMs);
    this.#missed = Math.min(MEMORY_BEATS / 2, this.#missed * kept + gap - 1);
    this.#longestGap = Math.max(this.#longestGap * kept, gap);
    this.#learnedAtMs = nowMs;
  }

  /** Silence, in heartbeats, that fails this peer. */
  failBeats(): number {
    if (this.#missed === 0) return MIN_FAIL_BEATS;
    const kept = this.#kept(this.lastHeardMs);
    const lossRate = (this.#missed * kept) / MEMORY_BEATS;
    const lostInARow = Math.log(ACCEPTED_ERROR) / Math.log(lossRate);
    const beyondLast = MIN_FAIL_BEATS - 2;
    return Math.max(MIN_FAIL_BEATS, lostInARow + beyondLast, GAP_FACTOR * this.#longestGap * kept);
  }

  #kept(nowMs: number): number {
    return Math.exp((this.#learnedAtMs - nowMs) / (MEMORY_BEATS * this.heartbeatMs));
  }
}
