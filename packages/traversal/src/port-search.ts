import { SocketAddress } from "@netmesh/wire";
import type { NatClass } from "./nat-class.ts";
import type { PunchAttempt } from "./punch-attempt.ts";
import { type RandomSource, randomBelow } from "./random-source.ts";
import { RateLimits } from "./rate-limits.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** Pause after the moment of the punch, in which the next ports of a counting NAT are found; and between steps. */
export const SEARCH_AFTER_MS = 400;
export const SEARCH_STEP_MS = 125;
/** Further sockets of the node whose ports are not known, and those opened in a step. */
const SIDE_SOCKETS = 256;
const SIDES_PER_STEP = 64;
/** Datagrams of 14 bytes to ports at random, and those of a step: the budget of one attempt. */
const SEARCHED_PORTS = 640;
const PORTS_PER_STEP = 32;
/** NATs choose from these for sockets that are not privileged. */
const FIRST_PORT = 1_024;
const PORTS = 65_536 - FIRST_PORT;
/** Searches for one peer, and at one IP address, in a minute; and all that run at once. */
const PER_PEER = 2;
const PER_HOST = 4;
const WINDOW_MS = 60_000;
const MAX_KEYS = 1_024;
const MAX_RUNNING = 4;

/** What searching has done so far. */
export interface PortSearchCounters {
  /** Searches begun: of this node's own many ports, and for a peer's. */
  openedSides: number;
  searches: number;
  /** Datagrams sent to ports at random. */
  portsTried: number;
  /** Searches not begun: too many of that peer, at that host, or at once; or the announced host is another. */
  refused: number;
}

/**
 * Brings a node whose NAT takes a port at random for each destination together with one whose port is known, by the birthday
 * paradox: the former sends from 256 further sockets, the latter to 640 ports at random. Of 64 512 ports one of the former's
 * is among the latter's in 92 of 100 attempts.
 *
 * Only towards nodes of netmesh that there is a session with, at the IP address that they have announced.
 */
export class PortSearch {
  readonly counters: PortSearchCounters = { openedSides: 0, searches: 0, portsTried: 0, refused: 0 };
  readonly #host: TraversalHost;
  readonly #timers: Timers;
  readonly #random: RandomSource;
  readonly #ownClass: () => NatClass;
  readonly #peers = new RateLimits<bigint>(PER_PEER, WINDOW_MS, MAX_KEYS);
  readonly #hosts = new RateLimits<string>(PER_HOST, WINDOW_MS, MAX_KEYS);
  /** By peer: steps so far and what they do; at most {@link MAX_RUNNING}. */
  readonly #running = new Map<bigint, { steps: number; readonly opensSides: boolean }>();

  constructor(host: TraversalHost, timers: Timers, random: RandomSource, ownClass: () => NatClass) {
    this.#host = host;
    this.#timers = timers;
    this.#random = random;
    this.#ownClass = ownClass;
  }

  /** Sends what is due; whether there is more to come after {@link SEARCH_STEP_MS}. */
  step(attempt: PunchAttempt): boolean {
    const { peer, reflex, punchId, heardAt } = attempt;
    if (reflex === undefined || heardAt !== undefined) return false;
    const search = this.#running.get(peer) ?? this.#begin(peer, reflex);
    if (search === undefined) return false;
    const step = search.steps++;
    if (search.opensSides) {
      const isOpen = this.#host.sendFromSides(peer, reflex, punchId, SIDES_PER_STEP);
      return isOpen && (step + 1) * SIDES_PER_STEP < SIDE_SOCKETS;
    }
    for (let i = 0; i < PORTS_PER_STEP; i++) {
      const port = FIRST_PORT + randomBelow(this.#random, PORTS);
      this.#host.sendKeepAlive(SocketAddress.parse({ host: reflex.host, port }), punchId);
    }
    this.counters.portsTried += PORTS_PER_STEP;
    return (step + 1) * PORTS_PER_STEP < SEARCHED_PORTS;
  }

  /** Ends the search for a peer. */
  end(peer: bigint): void {
    if (this.#running.get(peer)?.opensSides === true) this.#host.closeSides(peer);
    this.#running.delete(peer);
  }

  #begin(peer: bigint, reflex: SocketAddress): { steps: number; readonly opensSides: boolean } | undefined {
    const host = this.#host;
    if (host.peer(peer)?.movesPaths !== true) return undefined;
    const opensSides = this.#ownClass() === "symmetric";
    const isPeerSymmetric = host.natClassOf(peer) === "symmetric";
    if (opensSides === isPeerSymmetric) return undefined;
    const nowMs = this.#timers.now();
    const isDue =
      this.#running.size < MAX_RUNNING &&
      host.reflexOf(peer)?.host === reflex.host &&
      this.#peers.take(peer, nowMs) &&
      this.#hosts.take(reflex.host, nowMs);
    if (!isDue) {
      this.counters.refused++;
      return undefined;
    }
    if (opensSides) this.counters.openedSides++;
    else this.counters.searches++;
    const search = { steps: 0, opensSides };
    this.#running.set(peer, search);
    return search;
  }
}
