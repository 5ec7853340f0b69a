import type { SocketAddress } from "@netmesh/wire";
import { HandshakeBudget, type HandshakeLimits } from "./handshake-budget.ts";

/** Messages of one class that wait: as many as one batch of a transport holds. */
const MAX_WAITING = 64;

/** A handshake message that has passed the cheap checks. */
export interface WaitingHandshake {
  /** The Noise message, a copy. */
  readonly message: Uint8Array;
  readonly from: SocketAddress;
  readonly isRouted: boolean;
  /** Low half of the source's node id from the routing header; 0 for a direct message. */
  readonly sourceId: number;
  /** Forwards on the way. */
  readonly hopCount: number;
  /** The message's stamp, where it is a valid one. */
  readonly stamp: Uint8Array | undefined;
  /** How many of the awaited nodes were tried. */
  tries: number;
}

/** Counters of messages over the budget. */
export type PacedCounter = "handshakePaced" | "handshakeStampedPaced" | "handshakeProvenPaced";

/** Messages that are treated alike: what may be worked on per second, and what waits for it. */
export class HandshakeClass {
  /** What counts the messages that are over the budget. */
  readonly pacedCounter: PacedCounter;
  readonly budget: HandshakeBudget;
  readonly #waiting: WaitingHandshake[] = [];

  /** @param seed - 32 secret random bits */
  constructor(pacedCounter: PacedCounter, limits: HandshakeLimits, seed: number) {
    this.pacedCounter = pacedCounter;
    this.budget = new HandshakeBudget(limits, seed);
  }

  /** Messages that wait. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Whether no more can wait: 64 do. */
  get isFull(): boolean {
    return this.#waiting.length >= MAX_WAITING;
  }

  push(waiting: WaitingHandshake): void {
    this.#waiting.push(waiting);
  }

  /** The one that has waited longest. */
  get first(): WaitingHandshake | undefined {
    return this.#waiting[0];
  }

  /** Removes the first one. */
  shift(): void {
    this.#waiting.shift();
  }

  /** Forgets whatever waits. */
  clear(): void {
    this.#waiting.length = 0;
  }
}
