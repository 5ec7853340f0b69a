import type { NoiseInitiator } from "@netmesh/crypto";
import type { SocketAddress } from "@netmesh/wire";
import { copyBytes } from "@netmesh/wire";
import type { Alarm } from "../core/state.ts";

/** How the messages of a handshake travel: bare to the peer's address, or behind a routing header. */
export type HandshakeMode = "direct" | "routed";

/** First pause before the first message is repeated within an attempt; doubles. */
const FIRST_REPEAT_MS = 300;

/** Cookies that are taken within a try; a peer that asks for one again and again is not believed. */
const MAX_COOKIES = 3;

/** A handshake that this node has begun. */
export class Initiation implements Alarm {
  /** Names the handshake to the caller. */
  readonly attempt: number;
  readonly nodeId: bigint;
  readonly publicKey: Uint8Array;
  /** First hop: the peer or a relay. */
  readonly via: SocketAddress;
  readonly mode: HandshakeMode;
  /** Noise state of the running try; undefined during the pause between two tries. */
  noise: NoiseInitiator | undefined;
  /** The complete datagram with message 1. */
  datagram: Uint8Array | undefined;
  /** The stamp of that message, 16 bytes; undefined when it has none. */
  stamp: Uint8Array | undefined;
  /** The peer's latest cookie, 12 bytes. Later tries use it as well. */
  cookie: Uint8Array | undefined;
  /** Cookies taken in the running try. */
  cookies = 0;
  /** Whether a cookie has come that the current message 1 is without. */
  isChallenged = false;
  /** Tries begun. */
  tries = 0;
  /** Sends of the current message 1. */
  sends = 0;
  sentAtMs = 0;
  firstSentAtMs = 0;
  /** When the running try, or the pause, is over. */
  untilMs = 0;
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #onDeadline: (initiation: Initiation) => void;

  constructor(
    init: {
      readonly attempt: number;
      readonly nodeId: bigint;
      readonly publicKey: Uint8Array;
      readonly via: SocketAddress;
      readonly mode: HandshakeMode;
    },
    onDeadline: (initiation: Initiation) => void,
  ) {
    this.attempt = init.attempt;
    this.nodeId = init.nodeId;
    this.publicKey = copyBytes(init.publicKey);
    this.via = init.via;
    this.mode = init.mode;
    this.#onDeadline = onDeadline;
  }

  ring(): void {
    this.#onDeadline(this);
  }

  /** When message 1 is repeated next within this try. */
  get repeatAtMs(): number {
    return this.sentAtMs + FIRST_REPEAT_MS * 2 ** (this.sends - 1);
  }

  /** Whether a cookie may be taken now. */
  get mayTakeCookie(): boolean {
    return !this.isChallenged && this.cookies < MAX_COOKIES;
  }

  /** Keeps a cookie for the message that takes the place of the current one. */
  takeCookie(cookie: Uint8Array): void {
    this.cookie = cookie;
    this.cookies++;
    this.isChallenged = true;
  }

  /** Wipes the keys of the running try. */
  forget(): void {
    this.noise?.destroy();
    this.noise = undefined;
    this.datagram = undefined;
    this.stamp = undefined;
    this.isChallenged = false;
  }
}
