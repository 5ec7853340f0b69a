import type { MigrationPhase } from "./phases.ts";

/** How an observer may describe a daemon that moves (spec compute.md §8.4). Bookkeeping: nothing on the wire says it. */
export type Superposition =
  /** It lives in one place. */
  | "localized"
  /** Its state is on the way. */
  | "spreading"
  /** It is in two places, of which one answers. */
  | "superposed"
  /** Both are equal, and the old one may end; no phase of a migration says so. */
  | "ready-to-collapse"
  /** The old one has ended. */
  | "collapsed"
  /** It lives in one place again. */
  | "resolved";

const SUPERPOSITIONS: Readonly<Record<MigrationPhase, Superposition>> = {
  snapshot: "localized",
  transfer: "spreading",
  restore: "spreading",
  replay: "superposed",
  cutover: "collapsed",
  complete: "resolved",
};

/** What a phase of a migration means to an observer. */
export function superpositionOf(phase: MigrationPhase): Superposition {
  return SUPERPOSITIONS[phase];
}
