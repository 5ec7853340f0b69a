/**
 * How far a target is with taking a daemon over (docs/protocol/migration.md).
 *
 * | Phase | The daemon here | What survives a crash |
 * |---|---|---|
 * | `receiving` | nobody can reach it | nothing |
 * | `persisting` | nobody can reach it | perhaps the daemon |
 * | `discarding` | nobody can reach it, and it is not wanted any more | perhaps the daemon |
 * | `prepared` | nobody can reach it | the daemon, and who decides about it |
 * | `committing` | nobody can reach it | the daemon, perhaps that it lives here |
 * | `live` | serves | the daemon, and that it lives here |
 * | `gone` | there is none | nothing |
 */
export type HandoverTargetPhase =
  | "receiving"
  | "persisting"
  | "discarding"
  | "prepared"
  | "committing"
  | "live"
  | "gone";

/** What happens to it: messages of the source, the store's answers, time, and what goes wrong here. */
export type HandoverTargetInput =
  /** All that the daemon is has been read from the source. */
  "received" | "prepare" | "commit" | "abort" | "persisted" | "persist-failed" | "tick" | "fail";

/** What it then has to do, in this order. */
export type HandoverTargetEffect =
  | "send-prepared"
  | "send-committed"
  | "send-query"
  | "send-refused"
  /** Store the daemon and who decides about it. */
  | "persist-prepared"
  /** Store that the daemon lives here. */
  | "persist-committed"
  /** Let the daemon serve. */
  | "activate"
  /** Remove the daemon, here and from the store. */
  | "discard";

/** The next phase, and what to do. */
export interface HandoverTargetStep {
  readonly phase: HandoverTargetPhase;
  readonly effects: readonly HandoverTargetEffect[];
}

type Row = { readonly [I in HandoverTargetInput]?: HandoverTargetStep };

const REFUSE: HandoverTargetStep = { phase: "gone", effects: ["discard", "send-refused"] };
const DISCARD: HandoverTargetStep = { phase: "gone", effects: ["discard"] };
const COMMITTED: HandoverTargetStep = { phase: "live", effects: ["send-committed"] };

/** What is not in here changes nothing. Once prepared, only the source decides. */
const TABLE: { readonly [P in HandoverTargetPhase]: Row } = {
  receiving: {
    received: { phase: "persisting", effects: ["persist-prepared"] },
    abort: DISCARD,
    fail: REFUSE,
  },
  persisting: {
    persisted: { phase: "prepared", effects: ["send-prepared"] },
    "persist-failed": REFUSE,
    abort: { phase: "discarding", effects: [] },
  },
  discarding: { persisted: DISCARD, "persist-failed": DISCARD },
  prepared: {
    prepare: { phase: "prepared", effects: ["send-prepared"] },
    commit: { phase: "committing", effects: ["persist-committed"] },
    abort: DISCARD,
    tick: { phase: "prepared", effects: ["send-query"] },
  },
  committing: {
    persisted: { phase: "live", effects: ["activate", "send-committed"] },
    "persist-failed": { phase: "prepared", effects: [] },
  },
  live: { prepare: COMMITTED, commit: COMMITTED },
  gone: {},
};

/** The machine of a target: pure, and all of it in one table. */
export function stepHandoverTarget(
  phase: HandoverTargetPhase,
  input: HandoverTargetInput,
): HandoverTargetStep {
  return TABLE[phase][input] ?? { phase, effects: [] };
}
