import { AdditiveIncrease } from "./congestion/additive-increase.ts";
import type { CongestionControl } from "./congestion/congestion-control.ts";
import type { FramedPacket } from "./framed-packet.ts";
import { RoundTrip } from "./round-trip.ts";

/** Least wait for an answer to the last try before a stream is given up. */
const LAST_WAIT_MS = 1_000;

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
  readonly #release: ((packet: FramedPacket) => void) | undefined;
  readonly #pending: (FramedPacket | undefined)[] = [];
  /** Index of the packet `base` in `#pending`. */
  #head = 0;
  /** When the receiver last said anything about the stream. */
  #heardMs = 0;
  /** Losses below this sequence belong to a recovery that has already cut the window. */
  #recoverUntil = 0;
  /** Packets below this sequence were in flight at the last time-out and count as lost. */
  #lostUntil = 0;
  /** The next of them to send again. */
  #resendNext = 0;
  #timedOutMs = 0;
  /** No acknowledgement has told yet whether the last time-out was justified. */
  #isProbing = false;

  /**
   * @param maxPending - how many packets may be tracked
   * @param repairBudgetMs - how long packets are repaired without a word of the receiver
   * @param initialRoundTripMs - first estimate, for example from the handshake
   * @param release - takes each packet that was acknowledged; nothing here refers to it any more
   */
  constructor(
    maxPending: number,
    repairBudgetMs: number,
    initialRoundTripMs?: number,
    release?: (packet: FramedPacket) => void,
  ) {
    this.maxPending = maxPending;
    this.#repairBudgetMs = repairBudgetMs;
    this.#release = release;
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

  /** Registers a packet, which is the window's until it is acknowledged, as the one with sequence `next`. */
  register(packet: FramedPacket, flags: number, nowMs: number): void {
    packet.sequence = this.next++;
    packet.flags = flags;
    packet.retries = 0;
    packet.sentAtMs = nowMs;
    packet.firstSentAtMs = nowMs;
    this.#pending.push(packet);
  }

  /** The tracked packet with that sequence. */
  get(sequence: number): FramedPacket | undefined {
    return sequence < this.base ? undefined : this.#pending[this.#head + sequence - this.base];
  }

  /** Takes an acknowledgement of everything below `acknowledged`; returns how many packets it released. */
  acknowledge(acknowledged: number, nowMs: number): number {
    this.#heardMs = nowMs;
    const upTo = Math.min(acknowledged, this.next);
    const released = upTo - this.base;
    if (released <= 0) return 0;
    let sampleFrom = -1;
    for (let i = 0; i < released; i++) {
      const packet = this.#pending[this.#head] as FramedPacket;
      // Karn: a packet that was sent twice tells nothing about the round trip.
      if (packet.retries === 0) sampleFrom = packet.sentAtMs;
      this.#pending[this.#head++] = undefined;
      this.#release?.(packet);
    }
    this.base = upTo;
    // Something that was not sent again has arrived: the flight was late, not lost (RFC 5682).
    if (this.#isProbing && sampleFrom >= 0) this.#lostUntil = 0;
    this.#isProbing = false;
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
  reportMissing(sequence: number, nowMs: number): FramedPacket | undefined {
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

  /**
   * The next packet that was lost together with the one that timed out, as far as the congestion window allows; to be
   * called after an acknowledgement has made progress.
   */
  nextLost(nowMs: number): FramedPacket | undefined {
    for (;;) {
      const sequence = Math.max(this.#resendNext, this.base);
      if (sequence >= this.#lostUntil || sequence - this.base >= this.congestion.windowPackets)
        return undefined;
      this.#resendNext = sequence + 1;
      const packet = this.get(sequence) as FramedPacket;
      if (packet.sentAtMs >= this.#timedOutMs) continue;
      this.#resend(packet, nowMs);
      return packet;
    }
  }

  /** When the oldest packet times out, `Infinity` when nothing is in flight. */
  get deadline(): number {
    const oldest = this.#pending[this.#head];
    if (oldest === undefined) return Number.POSITIVE_INFINITY;
    const { timeoutMs, baseTimeoutMs } = this.roundTrip;
    const budgetEndMs = this.#budgetEndMs(oldest);
    if (oldest.sentAtMs >= budgetEndMs) return oldest.sentAtMs + Math.max(baseTimeoutMs, LAST_WAIT_MS);
    // However far the back-off has gone, there is one try at the end of the budget.
    return Math.min(oldest.sentAtMs + timeoutMs, Math.max(budgetEndMs, oldest.sentAtMs + baseTimeoutMs));
  }

  /** A receiver that says anything about the stream is alive: the budget counts from then. */
  #budgetEndMs(oldest: FramedPacket): number {
    return Math.max(oldest.firstSentAtMs, this.#heardMs) + this.#repairBudgetMs;
  }

  /**
   * To be called at or after {@link deadline}. Returns the packet to send again, `"gave-up"` when the receiver has
   * said nothing for the repair budget and one last try, undefined when nothing is due. Only the oldest packet probes:
   * the acknowledgement or the reports it provokes tell about the rest.
   */
  timeOut(nowMs: number): FramedPacket | "gave-up" | undefined {
    const oldest = this.#pending[this.#head];
    if (oldest === undefined || nowMs < this.deadline) return undefined;
    if (oldest.retries > 0 && oldest.sentAtMs >= this.#budgetEndMs(oldest)) return "gave-up";
    this.congestion.timedOut();
    this.#recoverUntil = this.next;
    this.#lostUntil = this.next;
    this.#resendNext = oldest.sequence + 1;
    this.#timedOutMs = nowMs;
    this.#isProbing = true;
    this.roundTrip.backoff++;
    this.#resend(oldest, nowMs);
    return oldest;
  }

  /** What is in flight has probably been lost with its path: the next time-out is now, as if nothing had timed out before. */
  hurry(nowMs: number): void {
    const oldest = this.#pending[this.#head];
    this.roundTrip.backoff = 0;
    if (oldest !== undefined)
      oldest.sentAtMs = Math.min(oldest.sentAtMs, nowMs - this.roundTrip.baseTimeoutMs);
  }

  #resend(packet: FramedPacket, nowMs: number): void {
    packet.retries++;
    packet.sentAtMs = nowMs;
  }
}
