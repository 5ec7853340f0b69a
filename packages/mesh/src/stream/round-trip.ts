/** Bounds of the retransmission time-out in milliseconds, before back-off. */
const MIN_RTO_MS = 10;
const MAX_RTO_MS = 2_000;
/** Before anything is known. */
const INITIAL_RTO_MS = 50;
/** Longest wait between two repairs of the same packet, back-off included. */
const MAX_BACKED_OFF_RTO_MS = 4_000;

/** Smoothed round-trip time and the retransmission time-out that follows from it (RFC 6298 §2, spec/session.md §6.3). */
export class RoundTrip {
  /** Smoothed round trip in milliseconds; undefined before the first sample. */
  smoothedMs: number | undefined;
  /** Mean deviation in milliseconds. */
  deviationMs = 0;
  /** Number of time-outs in a row; doubles the time-out each. */
  backoff = 0;

  /** @param initialMs - a first estimate, for example the round trip of the handshake */
  constructor(initialMs?: number) {
    if (initialMs !== undefined) this.sample(initialMs);
  }

  /** Takes a round trip of a packet that was sent once; clears the back-off. */
  sample(roundTripMs: number): void {
    if (this.smoothedMs === undefined) {
      this.smoothedMs = roundTripMs;
      this.deviationMs = roundTripMs / 2;
    } else {
      this.deviationMs = (3 * this.deviationMs + Math.abs(this.smoothedMs - roundTripMs)) / 4;
      this.smoothedMs = (7 * this.smoothedMs + roundTripMs) / 8;
    }
    this.backoff = 0;
  }

  /** The time-out without back-off, in milliseconds. */
  get baseTimeoutMs(): number {
    if (this.smoothedMs === undefined) return INITIAL_RTO_MS;
    // A margin also on a link without jitter: acknowledgements wait for company (RFC 6298 §2.3, the term G).
    return Math.min(MAX_RTO_MS, this.smoothedMs + Math.max(MIN_RTO_MS, 4 * this.deviationMs));
  }

  /** The time-out to use now, in milliseconds. */
  get timeoutMs(): number {
    return Math.min(MAX_BACKED_OFF_RTO_MS, this.baseTimeoutMs * 2 ** Math.min(this.backoff, 10));
  }
}
