import {
  encodeRendezvous,
  type PunchAck,
  type PunchIntroduce,
  type PunchReject,
  SocketAddress,
  Subprotocol,
  xxh3,
} from "@netmesh/wire";
import type { LocalCandidates } from "./local-candidates.ts";
import { type PortSearch, SEARCH_AFTER_MS, SEARCH_STEP_MS } from "./port-search.ts";
import type { PunchAttempt, PunchOutcome, PunchReason } from "./punch-attempt.ts";
import { isPunchTarget } from "./punch-target.ts";
import { RateLimits } from "./rate-limits.ts";
import { PunchRejection } from "./rendezvous-coordinator.ts";
import type { TraversalSettings } from "./settings.ts";
import { fromBlock, toBlock } from "./socket-block.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** Keep-alives after the moment of the punch, in milliseconds; then one every {@link REPEAT_MS} (traversal §9.4, T15). */
const OFFSETS_MS = [0, 100, 250];
const REPEAT_MS = 500;
/** A request is repeated after this time: without an answer, and as often as said when nothing of the peer came after it. */
const REPEAT_REQUEST_MS = 1_000;
/** Within the time in which coordinators of netmesh repeat an introduction as it was. */
const MAX_REINTRODUCTIONS = 2;
/** Coordinators whose introductions count in an attempt: this node's, and those that the peer may have asked. */
const MAX_INTRODUCERS = 3;
/** Acks per attempt: the first and two repetitions. */
const MAX_ACKS = 3;
/** Attempts that others may bring about at once. */
const MAX_ATTEMPTS = 64;
/** Introductions that nobody has asked for, per coordinator, in ten seconds. */
const UNASKED_PER_WINDOW = 8;
const WINDOW_MS = 10_000;
const MAX_COORDINATORS = 1_024;
/**
 * Next ports of a NAT that takes another one for each destination: those guessed, and the turns in which they are sent to. At most
 * 48 datagrams of 14 bytes per attempt.
 */
const GUESSED_PORTS = 16;
const GUESSING_TURNS = 3;
const MAX_PORT = 65_535;

/** What punching has done so far. */
export interface PunchCounters {
  /** Introductions refused: not asked for and of an address that is not known to be the peer's, or too many. */
  introductionsRefused: number;
  /** Messages and keep-alives that fit no attempt. */
  stray: number;
}

/**
 * The end of a hole punch that a node is: both sides send to where the other is seen, at about the same time, so that the NATs on
 * both sides expect the other's datagrams (traversal §§9.4–9.6).
 *
 * A keep-alive proves nothing: it tells where to look for the peer. A session moves only when its peer has answered there in
 * an authenticated packet.
 */
export class HolePuncher {
  readonly counters: PunchCounters = { introductionsRefused: 0, stray: 0 };
  readonly #host: TraversalHost;
  readonly #timers: Timers;
  readonly #settings: TraversalSettings;
  readonly #search: PortSearch;
  readonly #candidates: LocalCandidates;
  /** By the other node. */
  readonly #attempts = new Map<bigint, PunchAttempt>();
  readonly #unasked = new RateLimits<bigint>(UNASKED_PER_WINDOW, WINDOW_MS, MAX_COORDINATORS);

  constructor(
    host: TraversalHost,
    timers: Timers,
    settings: TraversalSettings,
    search: PortSearch,
    candidates: LocalCandidates,
  ) {
    this.#host = host;
    this.#timers = timers;
    this.#settings = settings;
    this.#search = search;
    this.#candidates = candidates;
  }

  /**
   * Asks a coordinator for an introduction, which has to come within `introductionMs`, and punches. Joins an attempt that is under
   * way. Never rejects.
   */
  punch(
    peer: bigint,
    coordinator: bigint,
    ownReflex: SocketAddress,
    introductionMs: number = this.#settings.punchDeadlineMs,
  ): Promise<PunchOutcome> {
    return new Promise((resolve) => {
      const running = this.#attempts.get(peer);
      if (running !== undefined) {
        running.settled.push(resolve);
        return;
      }
      const attempt = this.#begin(peer, coordinator, "requested");
      attempt.settled.push(resolve);
      this.#after(attempt, introductionMs, () => {
        if (attempt.phase === "requested") this.#end(attempt, "no-introduction");
      });
      this.#request(attempt, ownReflex);
    });
  }

  /** Takes an introduction by a peer. */
  introduced(coordinator: bigint, message: PunchIntroduce): void {
    const { peer, fireAtMs } = message;
    const reflex = fromBlock(message.reflex);
    const known = this.#attempts.get(peer);
    if (known !== undefined && known.coordinator !== coordinator) {
      this.#introducedAlso(known, coordinator, reflex, fireAtMs);
      return;
    }
    // Repeated for a repeated request.
    if (known?.phase === "punching") return;
    if (peer === this.#host.nodeId || !isPunchTarget(reflex, this.#host.localAddress)) {
      this.counters.introductionsRefused++;
      return;
    }
    if (known === undefined && !this.#mayJoin(coordinator, peer, reflex)) {
      this.counters.introductionsRefused++;
      return;
    }
    const attempt = known ?? this.#begin(peer, coordinator, "requested");
    attempt.phase = "punching";
    attempt.reflex = reflex;
    attempt.guesses = this.#guesses(peer, reflex);
    attempt.fireAtMs = fireAtMs;
    this.#noteId(attempt, coordinator, fireAtMs);
    this.#host.awaitKeepAlives(peer, true);
    this.#after(attempt, this.#settings.punchDeadlineMs, () => this.#giveUp(attempt));
    const baseMs = this.#baseMs(attempt);
    this.#after(attempt, baseMs, () => this.#turn(attempt, this.#timers.now()));
    this.#after(attempt, baseMs + SEARCH_AFTER_MS, () => this.#searchPorts(attempt));
  }

  /** Takes a coordinator's refusal. */
  rejected(coordinator: bigint, { target, reason }: PunchReject): void {
    const attempt = this.#attempts.get(target);
    if (attempt?.phase !== "requested" || attempt.coordinator !== coordinator) {
      this.counters.stray++;
      return;
    }
    const cannot = reason === PunchRejection.NO_SESSION || reason === PunchRejection.NO_REFLEX;
    this.#end(attempt, cannot ? "coordinator-cannot" : "coordinator-refused");
  }

  /** Takes an ack for this node. */
  acked(coordinator: bigint, { from }: PunchAck): void {
    const attempt = this.#attempts.get(from);
    if (attempt?.phase !== "punching" || attempt.coordinator !== coordinator) {
      this.counters.stray++;
      return;
    }
    attempt.isAcked = true;
    this.#tryPath(attempt);
  }

  /** Takes a keep-alive that claims to be of an awaited node. */
  heard(peer: bigint, punchId: number, source: SocketAddress): void {
    const attempt = this.#attempts.get(peer);
    // Nodes of Net 0.27 send 0.
    const fits =
      attempt?.phase === "punching" && (punchId === 0 || [...attempt.punchIds.values()].includes(punchId));
    if (!fits || !isPunchTarget(source, this.#host.localAddress)) {
      this.counters.stray++;
      return;
    }
    // The first source counts: later ones could be anybody's, and cost the peer its place.
    if (attempt.heardAt !== undefined) return;
    attempt.heardAt = source;
    if (attempt.reflex?.equals(source) !== true) this.#host.sendKeepAlive(source, attempt.punchId);
    this.#ack(attempt);
    this.#tryPath(attempt);
  }

  /** The peer's session has taken another path. */
  pathChanged(peer: bigint, address: SocketAddress, isDirect: boolean): void {
    const attempt = this.#attempts.get(peer);
    if (attempt === undefined || !isDirect) return;
    this.#end(attempt, this.#candidates.has(peer, address) ? "local-answered" : "punched", address);
  }

  /** Gives everything up. */
  close(): void {
    for (const attempt of [...this.#attempts.values()]) this.#end(attempt, "closed");
  }

  #begin(peer: bigint, coordinator: bigint, phase: PunchAttempt["phase"]): PunchAttempt {
    const attempt: PunchAttempt = {
      peer,
      coordinator,
      phase,
      reflex: undefined,
      guesses: [],
      fireAtMs: 0n,
      punchId: 0,
      punchIds: new Map(),
      heardAt: undefined,
      isAcked: false,
      acksSent: 0,
      reintroductions: 0,
      turns: 0,
      handles: new Set(),
      settled: [],
    };
    this.#attempts.set(peer, attempt);
    return attempt;
  }

  /** Asks, and again until both ends seem to be introduced: what the coordinator tells the peer may get lost, too (T15). */
  #request(attempt: PunchAttempt, ownReflex: SocketAddress): void {
    const { peer, coordinator, heardAt, isAcked } = attempt;
    const isIntroduced = attempt.phase === "punching";
    if (isIntroduced) {
      if (heardAt !== undefined || isAcked || attempt.reintroductions >= MAX_REINTRODUCTIONS) return;
      attempt.reintroductions++;
    }
    const reflex = toBlock(ownReflex);
    const message = reflex && encodeRendezvous({ type: "punch-request", target: peer, reflex });
    const isSent = message !== undefined && this.#host.send(coordinator, Subprotocol.RENDEZVOUS, message);
    if (!isSent && !isIntroduced) {
      this.#end(attempt, "no-introduction");
      return;
    }
    this.#after(attempt, REPEAT_REQUEST_MS, () => this.#request(attempt, ownReflex));
  }

  /**
   * Whether to take part in what this node has not asked for: towards a node that there is a session with, which could make this
   * one send to it anyway, or an address that the node itself has announced.
   */
  #mayJoin(coordinator: bigint, peer: bigint, reflex: SocketAddress): boolean {
    if (this.#attempts.size >= MAX_ATTEMPTS) return false;
    const isKnown = this.#host.peer(peer) !== undefined || this.#host.reflexOf(peer)?.host === reflex.host;
    return isKnown && this.#unasked.take(coordinator, this.#timers.now());
  }

  /** The peer has asked, too, at the same time and somebody else: only its keep-alives are different for that. */
  #introducedAlso(
    attempt: PunchAttempt,
    coordinator: bigint,
    { host }: SocketAddress,
    fireAtMs: bigint,
  ): void {
    const { peer, punchIds, reflex } = attempt;
    const isThePeers = this.#host.reflexOf(peer)?.host === host || reflex?.host === host;
    const hasRoom = punchIds.has(coordinator) || punchIds.size < MAX_INTRODUCERS;
    if (!isThePeers || !hasRoom || !this.#unasked.take(coordinator, this.#timers.now())) {
      this.counters.stray++;
      return;
    }
    this.#noteId(attempt, coordinator, fireAtMs);
  }

  #noteId(attempt: PunchAttempt, coordinator: bigint, fireAtMs: bigint): void {
    attempt.punchIds.set(coordinator, punchIdOf(fireAtMs, attempt.peer, this.#host.nodeId));
    attempt.punchId = Math.min(...attempt.punchIds.values());
  }

  /** Time to the punch. The clocks of two nodes may differ: what makes no sense counts as the usual (T14). */
  #baseMs({ fireAtMs, coordinator }: PunchAttempt): number {
    const { punchFireLeadMs } = this.#settings;
    const leadMs = Number(fireAtMs) - this.#host.unixNow();
    if (leadMs >= 0 && leadMs <= 2 * punchFireLeadMs) return leadMs;
    const roundTripMs = this.#host.peer(coordinator)?.roundTripMs ?? 0;
    return Math.max(0, punchFireLeadMs - roundTripMs / 2);
  }

  #guesses(peer: bigint, reflex: SocketAddress): SocketAddress[] {
    if (this.#host.natClassOf(peer) !== "symmetric") return [];
    const guesses: SocketAddress[] = [];
    for (let i = 1; i <= GUESSED_PORTS; i++) {
      const port = reflex.port + i;
      if (port <= MAX_PORT) guesses.push(SocketAddress.parse({ host: reflex.host, port }));
    }
    return guesses;
  }

  #turn(attempt: PunchAttempt, startMs: number): void {
    if (attempt.phase !== "punching") return;
    const { heardAt, reflex, punchId } = attempt;
    this.#host.sendKeepAlive(heardAt ?? (reflex as SocketAddress), punchId);
    if (heardAt === undefined && attempt.turns < GUESSING_TURNS) {
      for (const guess of attempt.guesses) this.#host.sendKeepAlive(guess, punchId);
    }
    if (heardAt !== undefined) this.#ack(attempt);
    this.#tryPath(attempt);
    const turn = ++attempt.turns;
    const last = OFFSETS_MS.length - 1;
    const offsetMs = OFFSETS_MS[turn] ?? (OFFSETS_MS[last] as number) + (turn - last) * REPEAT_MS;
    const delayMs = Math.max(0, startMs + offsetMs - this.#timers.now());
    this.#after(attempt, delayMs, () => this.#turn(attempt, startMs));
  }

  #searchPorts(attempt: PunchAttempt): void {
    if (this.#search.step(attempt)) this.#after(attempt, SEARCH_STEP_MS, () => this.#searchPorts(attempt));
  }

  #ack(attempt: PunchAttempt): void {
    if (attempt.acksSent >= MAX_ACKS) return;
    attempt.acksSent++;
    const { peer, coordinator, punchId } = attempt;
    const ack = { type: "punch-ack", from: this.#host.nodeId, to: peer, punchId } as const;
    this.#host.send(coordinator, Subprotocol.RENDEZVOUS, encodeRendezvous(ack));
  }

  /** Once there is reason to: the peer was heard, or has heard this node. */
  #tryPath(attempt: PunchAttempt): void {
    const { peer, heardAt, reflex, isAcked, settled } = attempt;
    if (attempt.phase !== "punching" || (heardAt === undefined && !isAcked)) return;
    const address = heardAt ?? (reflex as SocketAddress);
    if (this.#host.tryPath(peer, address)) {
      // Somebody else may have been heard in the peer's name.
      if (isAcked && reflex?.equals(address) === false) this.#host.tryPath(peer, reflex);
      return;
    }
    if (isAcked && settled.length > 0) this.#end(attempt, "heard", address);
  }

  #giveUp(attempt: PunchAttempt): void {
    const { heardAt, isAcked } = attempt;
    this.#end(attempt, heardAt === undefined && !isAcked ? "nothing-heard" : "unproven");
  }

  #end(attempt: PunchAttempt, reason: PunchReason, address?: SocketAddress): void {
    if (attempt.phase === "done") return;
    const wasAttempted = attempt.phase === "punching";
    attempt.phase = "done";
    for (const handle of attempt.handles) this.#timers.cancel(handle);
    this.#attempts.delete(attempt.peer);
    this.#search.end(attempt.peer);
    if (wasAttempted) this.#host.awaitKeepAlives(attempt.peer, false);
    if (wasAttempted && reason === "punched" && address !== undefined)
      this.#host.punched(attempt.peer, address);
    for (const settle of attempt.settled) settle({ reason, address, wasAttempted });
  }

  #after(attempt: PunchAttempt, delayMs: number, run: () => void): void {
    const handle = this.#timers.after(delayMs, () => {
      attempt.handles.delete(handle);
      if (attempt.phase !== "done") run();
    });
    attempt.handles.add(handle);
  }
}

/** Ties keep-alives to an attempt; both ends know what it is made of, and it is no secret (T11). Never 0. */
export function punchIdOf(fireAtMs: bigint, a: bigint, b: bigint): number {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, fireAtMs);
  view.setBigUint64(8, a < b ? a : b);
  view.setBigUint64(16, a < b ? b : a);
  return Number(xxh3(bytes) & 0xffff_ffffn) || 1;
}
