import {
  copyBytes,
  HEADER_SIZE,
  high32,
  joinU64,
  low32,
  readU32,
  type SocketAddress,
  writeU32,
} from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import { CookieReplies } from "./cookie-reply.ts";
import { CookieReplyLimiter } from "./cookie-reply-limiter.ts";
import { HandshakeClass } from "./handshake-queue.ts";
import type { Initiation } from "./initiation.ts";
import { LoadGauge } from "./load-gauge.ts";
import { MemberStamps, PROOF_OFFSET, STAMP_OFFSET, STAMP_SIZE, StampLabel } from "./member-stamp.ts";
import { COOKIE_SIZE, SourceCookies } from "./source-cookie.ts";

/** Where the upper half of the source's node id is, behind the cookie; 0 in a direct message. */
const SOURCE_HI_OFFSET = PROOF_OFFSET + COOKIE_SIZE;

/** What it takes to stamp, and to ask for cookies. */
interface Guard {
  readonly stamps: MemberStamps;
  readonly cookies: SourceCookies;
  readonly replies: CookieReplies;
}

/**
 * The cheap checks in front of the handshake (docs/protocol/handshake-protection.md): decides without public-key
 * operations which class a message belongs to, whether that class has budget left, and lets it wait for its turn. What it
 * drops costs no memory. A node of pure interop behaviour neither makes nor looks at stamps: to it every message is
 * unstamped.
 */
export class HandshakeAdmission {
  readonly #state: CoreState;
  readonly #guard: Guard | undefined;
  readonly #load: LoadGauge;
  readonly #limiter: CookieReplyLimiter;
  /** Of members that have shown to receive at their address; answers to this node's own messages that are stamped. */
  readonly #proven: HandshakeClass;
  /** Unstamped, from where this node's own attempt awaits an answer: nodes of the reference. */
  readonly #awaited: HandshakeClass;
  /** Of members, from an address that anybody may have written there. */
  readonly #stamped: HandshakeClass;
  /** Of nodes of the reference, and of outsiders. */
  readonly #unstamped: HandshakeClass;
  readonly #routingId: number;

  constructor(state: CoreState) {
    const { config, hashSeed, nowMs } = state;
    const { psk, random, handshakesPerSecond: limits } = config;
    this.#state = state;
    this.#routingId = low32(config.nodeId);
    this.#guard =
      config.features === 0
        ? undefined
        : {
            stamps: new MemberStamps(psk),
            cookies: new SourceCookies(random, nowMs),
            replies: new CookieReplies(psk, random),
          };
    this.#load = new LoadGauge(limits.total);
    this.#limiter = new CookieReplyLimiter(hashSeed);
    this.#proven = new HandshakeClass("handshakeProvenPaced", limits, hashSeed);
    this.#awaited = new HandshakeClass("handshakePaced", limits, hashSeed);
    this.#stamped = new HandshakeClass("handshakeStampedPaced", limits, hashSeed);
    this.#unstamped = new HandshakeClass("handshakePaced", limits, hashSeed);
  }

  /** Whether nothing waits. */
  get isIdle(): boolean {
    return (
      this.#proven.size === 0 &&
      this.#awaited.size === 0 &&
      this.#stamped.size === 0 &&
      this.#unstamped.size === 0
    );
  }

  /** The class whose turn it is: those come first that are the harder to get into. */
  get next(): HandshakeClass | undefined {
    if (this.#proven.size > 0) return this.#proven;
    if (this.#awaited.size > 0) return this.#awaited;
    if (this.#stamped.size > 0) return this.#stamped;
    return this.#unstamped.size > 0 ? this.#unstamped : undefined;
  }

  /**
   * Judges the handshake packet from `offset` to the end of `bytes`, which holds a whole Noise message. `sourceId` is 0 for
   * a direct one. `pending` is this node's own attempt that it might answer.
   */
  admit(
    bytes: Uint8Array,
    offset: number,
    isRouted: boolean,
    sourceId: number,
    hopCount: number,
    from: SocketAddress,
    pending: Initiation | undefined,
  ): void {
    const { counters, nowMs } = this.#state;
    const kind = this.#classify(bytes, offset, isRouted, sourceId, from, pending);
    if (kind === undefined) return;
    if (kind.isFull) counters.handshakeQueueFull++;
    else if (!kind.budget.admit(from, sourceId, nowMs)) counters[kind.pacedCounter]++;
    else {
      const isStamped = kind === this.#stamped || kind === this.#proven;
      kind.push({
        message: copyBytes(bytes, offset + HEADER_SIZE),
        from,
        isRouted,
        sourceId,
        hopCount,
        stamp: isStamped ? stampIn(bytes, offset) : undefined,
        tries: 0,
      });
    }
  }

  /** Undefined when the message needs nothing any more: its author was asked to prove the address. */
  #classify(
    bytes: Uint8Array,
    offset: number,
    isRouted: boolean,
    sourceId: number,
    from: SocketAddress,
    pending: Initiation | undefined,
  ): HandshakeClass | undefined {
    const guard = hasStamp(bytes, offset) ? this.#guard : undefined;
    if (guard !== undefined) {
      const { stamps, cookies } = guard;
      const own = this.#routingId;
      if (pending?.stamp !== undefined) {
        const label = isRouted ? StampLabel.ROUTED_MESSAGE_2 : StampLabel.DIRECT_MESSAGE_2;
        const id = low32(pending.nodeId);
        const to = isRouted ? own : 0;
        if (stamps.verify(bytes, offset, label, id, to, pending.stamp, 0)) return this.#proven;
      }
      const label = isRouted ? StampLabel.ROUTED_MESSAGE_1 : StampLabel.DIRECT_MESSAGE_1;
      if (stamps.verify(bytes, offset, label, sourceId, own, bytes, offset + PROOF_OFFSET)) {
        const { nowMs } = this.#state;
        const hasCookie = !isZero(bytes, offset + PROOF_OFFSET, COOKIE_SIZE);
        if (hasCookie && cookies.accepts(bytes, offset + PROOF_OFFSET, from, sourceId, nowMs)) {
          return this.#proven;
        }
        if (!this.#load.count(nowMs)) return this.#stamped;
        this.#challenge(guard, bytes, offset, isRouted, sourceId, from);
        return undefined;
      }
    }
    return pending?.via.equals(from) === true ? this.#awaited : this.#unstamped;
  }

  /** Answers a stamped message with a cookie instead of public-key operations; it goes back the way it came. */
  #challenge(
    { cookies, replies }: Guard,
    bytes: Uint8Array,
    offset: number,
    isRouted: boolean,
    sourceId: number,
    from: SocketAddress,
  ): void {
    const { counters, config, nowMs } = this.#state;
    const stampAt = offset + STAMP_OFFSET;
    const stampLo = readU32(bytes, stampAt);
    const stampHi = readU32(bytes, stampAt + 4);
    if (!this.#limiter.admit(stampLo, stampHi, from, sourceId, nowMs)) {
      counters.handshakeChallengeLimited++;
      return;
    }
    counters.handshakeChallenged++;
    const label = isRouted ? StampLabel.ROUTED_COOKIE : StampLabel.DIRECT_COOKIE;
    const cookie = cookies.make(from, sourceId, nowMs);
    const route = isRouted
      ? { from: config.nodeId, to: joinU64(sourceId, readU32(bytes, offset + SOURCE_HI_OFFSET)) }
      : undefined;
    const reply = replies.write(cookie, label, this.#routingId, sourceId, bytes, stampAt, route);
    this.#state.transmit(reply, from);
  }

  /**
   * Takes a handshake packet without a Noise message: a cookie, which makes the attempt send a fresh message with it, or
   * nothing we know.
   */
  onCookieReply(bytes: Uint8Array, offset: number, isRouted: boolean, pending: Initiation | undefined): void {
    const { counters, alarms, nowMs } = this.#state;
    const stamp = pending?.stamp;
    if (this.#guard === undefined || pending === undefined || stamp === undefined || !pending.mayTakeCookie) {
      counters.handshakeCookieBad++;
      return;
    }
    const label = isRouted ? StampLabel.ROUTED_COOKIE : StampLabel.DIRECT_COOKIE;
    const to = isRouted ? this.#routingId : 0;
    const cookie = this.#guard.replies.open(bytes, offset, label, low32(pending.nodeId), to, stamp);
    if (cookie === undefined) {
      counters.handshakeCookieBad++;
      return;
    }
    counters.handshakeCookieTaken++;
    pending.takeCookie(cookie);
    // The fresh message costs public-key operations: not before the data of this input.
    alarms.schedule(pending, nowMs);
  }

  /** Stamps a complete datagram with this node's message 1; returns the stamp, or undefined when it makes none. */
  stampMessage1(
    datagram: Uint8Array,
    offset: number,
    { nodeId, mode, cookie }: Initiation,
  ): Uint8Array | undefined {
    if (this.#guard === undefined) return undefined;
    const isRouted = mode === "routed";
    if (cookie !== undefined) datagram.set(cookie, offset + PROOF_OFFSET);
    if (isRouted) writeU32(datagram, offset + SOURCE_HI_OFFSET, high32(this.#state.config.nodeId));
    const label = isRouted ? StampLabel.ROUTED_MESSAGE_1 : StampLabel.DIRECT_MESSAGE_1;
    const sourceId = isRouted ? this.#routingId : 0;
    this.#guard.stamps.write(
      datagram,
      offset,
      label,
      sourceId,
      low32(nodeId),
      datagram,
      offset + PROOF_OFFSET,
    );
    return stampIn(datagram, offset);
  }

  /** Stamps a complete datagram with this node's answer to a message that bore `stamp`. */
  stampMessage2(
    datagram: Uint8Array,
    offset: number,
    isRouted: boolean,
    destinationId: number,
    stamp: Uint8Array,
  ): void {
    const label = isRouted ? StampLabel.ROUTED_MESSAGE_2 : StampLabel.DIRECT_MESSAGE_2;
    this.#guard?.stamps.write(datagram, offset, label, this.#routingId, destinationId, stamp, 0);
  }

  /** Forgets what waits, and wipes the keys. */
  close(): void {
    for (const kind of [this.#proven, this.#awaited, this.#stamped, this.#unstamped]) kind.clear();
    this.#guard?.stamps.destroy();
    this.#guard?.cookies.destroy();
    this.#guard?.replies.destroy();
  }
}

function hasStamp(bytes: Uint8Array, offset: number): boolean {
  return !isZero(bytes, offset + STAMP_OFFSET, STAMP_SIZE);
}

function stampIn(bytes: Uint8Array, offset: number): Uint8Array {
  return copyBytes(bytes, offset + STAMP_OFFSET, offset + STAMP_OFFSET + STAMP_SIZE);
}

function isZero(bytes: Uint8Array, offset: number, length: number): boolean {
  let seen = 0;
  for (let i = 0; i < length; i++) seen |= bytes[offset + i] as number;
  return seen === 0;
}
