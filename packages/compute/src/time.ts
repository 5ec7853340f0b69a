/** Where daemons get time from; injected, so that tests can stand still. */
export interface DaemonTime {
  /** Unix time in nanoseconds. */
  unixTimeNs(): bigint;
  /** Calls back once after so many milliseconds; returns what `cancel` takes. */
  after(delayMs: number, callback: () => void): unknown;
  /** Calls off what `after` has returned. */
  cancel(handle: unknown): void;
}

let lastMs = 0;
let lastNs = 0n;

/** The time of the platform. */
export const platformTime: DaemonTime = {
  unixTimeNs(): bigint {
    const nowMs = Date.now();
    if (nowMs !== lastMs) {
      lastMs = nowMs;
      lastNs = BigInt(nowMs) * 1_000_000n;
    }
    return lastNs;
  },
  after: (delayMs, callback) => setTimeout(callback, delayMs),
  cancel: (handle) => clearTimeout(handle as number),
};
