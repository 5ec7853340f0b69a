import type { Timers } from "../timers.ts";

/** The timers of the process. They do not keep it alive. */
export const systemTimers: Timers = {
  now: () => performance.now(),
  after: (delayMs, callback) => setTimeout(callback, delayMs).unref(),
  cancel: (handle) => clearTimeout(handle as NodeJS.Timeout),
};
