import { encodeRendezvous, type PunchAck, type PunchRequest, Subprotocol } from "@netmesh/wire";
import { isPunchTarget } from "./punch-target.ts";
import { RateLimits } from "./rate-limits.ts";
import { fromBlock, toBlock } from "./socket-block.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost, TraversalPeer } from "./traversal-host.ts";

/** Why a coordinator introduces nobody: the last byte of a rejection, which nodes of Net 0.27 ignore. */
export const PunchRejection = {
  /** It has no session with the target. */
  NO_SESSION: 1,
  /** The target does not say where it is seen. */
  NO_REFLEX: 2,
  /** The address in the request is not the requester's. */
  NOT_YOURS: 3,
  /** Too many requests. */
  TOO_MANY: 4,
  /** The requester asks for itself or the coordinator. */
  NOT_A_PAIR: 5,
} as const;

/** One of {@link PunchRejection}. */
export type PunchRejection = (typeof PunchRejection)[keyof typeof PunchRejection];

/** Requests of one node, introductions to one node and of one pair, in ten seconds. */
const PER_REQUESTER = 20;
const PER_TARGET = 40;
const PER_PAIR = 6;
const WINDOW_MS = 10_000;
/** Nodes and pairs whose numbers are remembered. */
const MAX_KEYS = 4_096;
/** A request that is repeated within this time gets the same introduction. */
const SAME_ATTEMPT_MS = 2_500;
/** Acks are passed on between nodes that were introduced no longer ago than this. */
const ACK_WITHIN_MS = 15_000;
/** Acks that are passed on for one introduction, both directions together. */
const ACKS_PER_INTRODUCTION = 16;

interface Introduction {
  readonly atMs: number;
  readonly fireAtMs: bigint;
  acks: number;
}

/** What coordinating has done so far. */
export interface CoordinatorCounters {
  /** Pairs introduced, repetitions included. */
  introduced: number;
  rejected: number;
  /** Acks passed on, and acks that were not: of somebody else, or of nodes that were not introduced. */
  acksForwarded: number;
  acksRefused: number;
}

/**
 * Introduces two of this node's peers to each other, so that they can send to one another's NAT at the same time
 * (traversal §9.3). One request causes two small messages, to nodes that this node has sessions with, and nothing else.
 */
export class RendezvousCoordinator {
  readonly counters: CoordinatorCounters = { introduced: 0, rejected: 0, acksForwarded: 0, acksRefused: 0 };
  readonly #host: TraversalHost;
  readonly #timers: Timers;
  readonly #leadMs: number;
  readonly #requesters = new RateLimits<bigint>(PER_REQUESTER, WINDOW_MS, MAX_KEYS);
  readonly #targets = new RateLimits<bigint>(PER_TARGET, WINDOW_MS, MAX_KEYS);
  readonly #pairs = new RateLimits<string>(PER_PAIR, WINDOW_MS, MAX_KEYS);
  /** By pair, the oldest first; at most as many as keys are remembered. */
  readonly #introductions = new Map<string, Introduction>();

  constructor(host: TraversalHost, timers: Timers, leadMs: number) {
    this.#host = host;
    this.#timers = timers;
    this.#leadMs = leadMs;
  }

  /** Takes a request of a peer. */
  receive(from: bigint, request: PunchRequest): void {
    const rejection = this.#introduce(from, request);
    if (rejection === undefined) {
      this.counters.introduced++;
      return;
    }
    this.counters.rejected++;
    // A flood is not answered.
    if (rejection === PunchRejection.TOO_MANY) return;
    const { target } = request;
    this.#host.send(
      from,
      Subprotocol.RENDEZVOUS,
      encodeRendezvous({ type: "punch-reject", target, reason: rejection }),
    );
  }

  /** Takes an ack for somebody else. */
  forward(from: bigint, ack: PunchAck): void {
    const introduction = this.#introductions.get(pairKey(from, ack.to));
    const nowMs = this.#timers.now();
    const isDue =
      ack.from === from &&
      introduction !== undefined &&
      nowMs - introduction.atMs <= ACK_WITHIN_MS &&
      introduction.acks < ACKS_PER_INTRODUCTION;
    if (!isDue || this.#host.peer(ack.to) === undefined) {
      this.counters.acksRefused++;
      return;
    }
    introduction.acks++;
    this.counters.acksForwarded++;
    this.#host.send(ack.to, Subprotocol.RENDEZVOUS, encodeRendezvous(ack));
  }

  #introduce(from: bigint, { target, reflex }: PunchRequest): PunchRejection | undefined {
    const host = this.#host;
    const nowMs = this.#timers.now();
    if (!this.#requesters.take(from, nowMs)) return PunchRejection.TOO_MANY;
    if (target === from || target === host.nodeId) return PunchRejection.NOT_A_PAIR;
    const requester = host.peer(from);
    if (requester === undefined || host.peer(target) === undefined) return PunchRejection.NO_SESSION;
    const requesterReflex = fromBlock(reflex);
    if (!this.#isOwn(requester, requesterReflex.host) || !isPunchTarget(requesterReflex, host.localAddress)) {
      return PunchRejection.NOT_YOURS;
    }
    const targetReflex = host.reflexOf(target);
    const targetBlock = targetReflex && toBlock(targetReflex);
    if (targetReflex === undefined || targetBlock === undefined) return PunchRejection.NO_REFLEX;
    if (!isPunchTarget(targetReflex, host.localAddress)) return PunchRejection.NO_REFLEX;
    const pair = pairKey(from, target);
    if (!this.#pairs.take(pair, nowMs) || !this.#targets.take(target, nowMs)) return PunchRejection.TOO_MANY;
    const { fireAtMs } = this.#introductionOf(pair, nowMs);
    this.#tell(from, target, targetBlock, fireAtMs);
    this.#tell(target, from, reflex, fireAtMs);
    return undefined;
  }

  #introductionOf(pair: string, nowMs: number): Introduction {
    const known = this.#introductions.get(pair);
    if (known !== undefined && nowMs - known.atMs <= SAME_ATTEMPT_MS) return known;
    this.#introductions.delete(pair);
    if (this.#introductions.size >= MAX_KEYS) {
      this.#introductions.delete(this.#introductions.keys().next().value as string);
    }
    const fireAtMs = BigInt(Math.trunc(this.#host.unixNow()) + this.#leadMs);
    const introduction = { atMs: nowMs, fireAtMs, acks: 0 };
    this.#introductions.set(pair, introduction);
    return introduction;
  }

  #tell(to: bigint, peer: bigint, reflex: PunchRequest["reflex"], fireAtMs: bigint): void {
    const message = encodeRendezvous({ type: "punch-introduce", peer, reflex, fireAtMs });
    this.#host.send(to, Subprotocol.RENDEZVOUS, message);
  }

  /** Whether the requester is seen at that IP address here, or has announced it. */
  #isOwn({ nodeId, address, isDirect }: TraversalPeer, host: string): boolean {
    return (isDirect && address.host === host) || this.#host.reflexOf(nodeId)?.host === host;
  }
}

function pairKey(a: bigint, b: bigint): string {
  return a < b ? `${a}:${b}` : `${b}:${a}`;
}
