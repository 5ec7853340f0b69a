/** How long an unreliable packet may stay unaccounted before its bytes count as lost. */
const WRITE_OFF_AFTER_MS = 2_000;
/** Send marks kept for writing off; the oldest are merged beyond it. */
const MAX_MARKS = 64;
/** Marks are at least this far apart. */
const MARK_INTERVAL_MS = 50;

/**
 * The sender's side of flow control, in wire bytes: what may still be sent before the receiver grants more
 * (spec/session.md §5).
 */
export class SendCredit {
  /** Configured window in bytes; 0 means unlimited. */
  readonly windowBytes: number;
  /** Bytes that may be sent now. */
  remaining: number;
  /** Bytes sent since the stream was opened. */
  sent = 0;
  /** Highest total the receiver has honestly granted. */
  maxConsumedSeen = 0;
  /** Sends that found no credit. */
  backpressureEvents = 0;
  /** Grants that arrived, stale ones included. */
  grantsReceived = 0;
  readonly #writesOff: boolean;
  readonly #marks: { atMs: number; sent: number }[] = [];
  #writtenOff = 0;

  /** @param writesOff - whether lost bytes are given back after a while: for streams that never resend */
  constructor(windowBytes: number, writesOff = false) {
    this.windowBytes = windowBytes;
    this.remaining = windowBytes;
    this.#writesOff = writesOff;
  }

  /** Whether `bytes` could be taken now. Counts nothing. */
  covers(bytes: number): boolean {
    return this.windowBytes === 0 || this.remaining >= bytes;
  }

  /** Takes credit for a packet of `bytes`; false, and counted, when there is not enough. */
  acquire(bytes: number, nowMs: number): boolean {
    if (this.windowBytes === 0) return true;
    if (this.remaining < bytes) {
      this.backpressureEvents++;
      return false;
    }
    this.remaining -= bytes;
    this.sent += bytes;
    if (this.#writesOff) this.#mark(nowMs);
    return true;
  }

  /** Gives back what a packet took that was never sent. */
  refund(bytes: number): void {
    if (this.windowBytes === 0) return;
    this.remaining = Math.min(this.remaining + bytes, 0xffff_ffff);
    this.sent = Math.max(0, this.sent - bytes);
  }

  /** Applies a grant; `total` is the receiver's absolute count of bytes. */
  grant(total: number, nowMs: number): void {
    this.grantsReceived++;
    if (this.windowBytes === 0) return;
    const honest = Math.min(total, this.sent);
    if (honest > this.maxConsumedSeen) {
      this.#add(honest - this.maxConsumedSeen);
      this.maxConsumedSeen = honest;
      // What was written off has arrived after all, and must not hide a later loss.
      this.#writtenOff = Math.min(this.#writtenOff, this.sent - honest);
    }
    this.writeOff(nowMs);
  }

  /** When {@link writeOff} may next have an effect, in milliseconds; `Infinity` for never. */
  get writeOffDueMs(): number {
    const oldest = this.#marks[0];
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.atMs + WRITE_OFF_AFTER_MS;
  }

  #add(bytes: number): void {
    this.remaining = Math.min(this.remaining + bytes, this.windowBytes);
  }

  #mark(nowMs: number): void {
    const last = this.#marks[this.#marks.length - 1];
    if (last !== undefined && (nowMs - last.atMs < MARK_INTERVAL_MS || this.#marks.length >= MAX_MARKS)) {
      last.sent = this.sent;
      if (nowMs - last.atMs >= MARK_INTERVAL_MS) last.atMs = nowMs;
      return;
    }
    this.#marks.push({ atMs: nowMs, sent: this.sent });
  }

  /** Gives back the bytes of packets that were sent long ago and never accounted for. */
  writeOff(nowMs: number): void {
    let old = 0;
    while (nowMs >= this.writeOffDueMs) {
      old = (this.#marks.shift() as { sent: number }).sent;
    }
    const lost = old - this.maxConsumedSeen - this.#writtenOff;
    if (lost <= 0) return;
    this.#writtenOff += lost;
    this.#add(lost);
  }
}
