/**
 * Decides how many packets of one stream may be unacknowledged. Counted in packets, as the reference does
 * (spec/session.md §6.3).
 */
export interface CongestionControl {
  /** Packets that may be in flight now. */
  readonly windowPackets: number;
  /** `packets` were acknowledged for the first time. */
  acknowledged(packets: number): void;
  /** A loss was noticed while later packets arrive; called once per window of data. */
  lossDetected(): void;
  /** Nothing was heard for a whole time-out. */
  timedOut(): void;
}
