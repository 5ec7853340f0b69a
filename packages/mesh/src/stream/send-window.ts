import { AdditiveIncrease } from "./congestion/additive-increase.ts";
import type { CongestionControl } from "./congestion/congestion-control.ts";
import { RoundTrip } from "./round-trip.ts";

/** A packet of a reliable stream until it is acknowledged. Kept as plain text: a repair is sealed anew. */
export interface SentPacket {
  readonly sequence: number;
  /** The events of the packet; owned by the window. */
  readonly events: readonly Uint8Array[];
  /** Net header flags. */
  readonly flags: number;
  /** When it was last sent, in milliseconds. */
  sentAtMs: number;
  /** When it was first sent, in milliseconds. */
  readonly firstSentAtMs: number;
  /** How often it was sent again. */
  retries: number;
}

/** How many packets may be tracked for a window of so many bytes (spec/session.md §6.3). */
export function maxPendingForWindow(windowBytes: number): number {
  if (windowBytes === 0) return 32;
  return Math.min(16_384, Math.max(32, Math.floor(windowBytes / 512)));
}

/**
 * The sender's side of a reliable stream: what is not acknowledged, when to send it again, and how much may be in
 * flight (spec/session.md §6.3, weaknesses S4, S6 and S19).
 */
export class SendWindow {
  /** Round-trip estimate; its time-out paces the repairs. */
  readonly roundTrip: RoundTrip;
  /** Packets that may be unacknowledged at once. */
  readonly congestion: CongestionControl;
  /** Upper bound of tracked packets. */
  readonly maxPending: number;
  /** Lowest unacknowledged sequence. */
  base = 0;
  /** Next sequence to be used. */
  next = 0;
  readonly #repairBudgetMs: number;
  readonly #pending: (SentPacket | undefined)[] = [];
  /** Losses below this sequence belong to a recovery that has already cut the window. */
  #recoverUntil = 0;

  /**
   * @param maxPending - how many packets may be tracked
   * @param repairBudgetMs - how long one packet is repaired before the stream is given up
   * @param initialRoundTripMs - first estimate, for example from the handshake
   */
  constructor(maxPending: number, repairBudgetMs: number, initialRoundTripMs?: number) {
    this.maxPending = maxPending;
    this.#repairBudgetMs = repairBudgetMs;
    this.roundTrip = new RoundTrip(initialRoundTripMs);
    this.congestion = new AdditiveIncrease(maxPending);
  }

  /** Packets sent and not acknowledged. */
  get inFlight(): number {
    return this.next - this.base;
  }

  /** Whether another packet may be sent. */
  get canSend(): boolean {
    return this.inFlight < Math.min(this.congestion.windowPackets, this.maxPending);
  }

  /** Registers the packet with sequence `next`, before it is sent. */
  register(events: readonly Uint8Array[], flags: number, nowMs: number): SentPacket {
    const packet: SentPacket = {
      sequence: this.next++,
      events,
      flags,
      sentAtMs: nowMs,
      firstSentAtMs: nowMs,
      retries: 0,
    };
    this.#pending.push(packet);
    return packet;
  }

  /** The tracked packet with that sequence. */
  get(sequence: number): SentPacket | undefined {
    return sequence < this.base ? undefined : this.#pending[this.#head + sequence - this.base];
  }

  #head = 0;

  /** Takes an acknowledgement of everything below `acknowledged`; returns how many packets it released. */
  acknowledge(acknowledged: number, nowMs: number): number {
    const upTo = Math.min(acknowledged, this.next);
    const released = upTo - this.base;
    if (released <= 0) return 0;
    let sampleFrom = -1;
    for (let i = 0; i < released; i++) {
      const packet = this.#pending[this.#head] as SentPacket;
      // Karn: a packet that was sent twice tells nothing about the round trip.
      if (packet.retries === 0) sampleFrom = packet.sentAtMs;
      this.#pending[this.#head++] = undefined;
    }
    this.base = upTo;
    if (this.#head > 1024 && this.#head * 2 > this.#pending.length) {
      this.#pending.splice(0, this.#head);
      this.#head = 0;
    }
    if (sampleFrom >= 0) this.roundTrip.sample(nowMs - sampleFrom);
    else this.roundTrip.backoff = 0;
    this.congestion.acknowledged(released);
    return released;
  }

  /**
   * Takes a report that `sequence` is missing at the receiver. Returns the packet when it has to be sent again,
   * undefined when it is unknown or its last repair can still be on its way.
   */
  reportMissing(sequence: number, nowMs: number): SentPacket | undefined {
    const packet = this.get(sequence);
    if (packet === undefined) return undefined;
    const patience =
      (this.roundTrip.smoothedMs ?? this.roundTrip.baseTimeoutMs) * (packet.retries === 0 ? 0.5 : 1);
    if (nowMs - packet.sentAtMs < patience) return undefined;
    if (sequence >= this.#recoverUntil) {
      this.congestion.lossDetected();
      this.#recoverUntil = this.next;
    }
    this.#resend(packet, nowMs);
    return packet;
  }

  /** When the oldest packet times out, `Infinity` when nothing is in flight. */
  get deadline(): number {
    const oldest = this.#pending[this.#head];
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.sentAtMs + this.roundTrip.timeoutMs;
  }

  /**
   * To be called at or after {@link deadline}. Returns the packet to send again, `"gave-up"` when the oldest one has
   * used up its repair budget, undefined when nothing is due. Only the oldest packet probes: the acknowledgement or
   * the reports it provokes tell about the rest.
   */
  timeOut(nowMs: number): SentPacket | "gave-up" | undefined {
    const oldest = this.#pending[this.#head];
    if (oldest === undefined || nowMs < oldest.sentAtMs + this.roundTrip.timeoutMs) return undefined;
    if (nowMs - oldest.firstSentAtMs >= this.#repairBudgetMs && oldest.retries > 0) return "gave-up";
    this.congestion.timedOut();
    this.#recoverUntil = this.next;
    this.roundTrip.backoff++;
    this.#resend(oldest, nowMs);
    return oldest;
  }

  #resend(packet: SentPacket, nowMs: number): void {
    packet.retries++;
    packet.sentAtMs = nowMs;
  }
}
