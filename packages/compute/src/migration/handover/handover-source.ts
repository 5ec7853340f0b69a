/**
 * How far a source is with handing a daemon over (docs/protocol/migration.md).
 *
 * | Phase | The daemon here | What survives a crash |
 * |---|---|---|
 * | `copying` | serves | nothing: it is the source's |
 * | `preparing` | waits | nothing: it is the source's |
 * | `recording` | waits | perhaps the record that it is handed over |
 * | `withdrawing` | waits | perhaps that record, which is being deleted |
 * | `handed-over` | gone for good | that record |
 * | `done` | gone, and lives at the target | nothing more is needed |
 * | `aborted` | serves | nothing |
 */
export type HandoverSourcePhase =
  | "copying"
  | "preparing"
  | "recording"
  | "withdrawing"
  | "handed-over"
  | "done"
  | "aborted";

/** What happens to it: messages of the target, the store's answers, time, and what the application wants. */
export type HandoverSourceInput =
  /** All that the daemon is has been written to the target. */
  | "copied"
  | "prepared"
  | "query"
  | "committed"
  | "refused"
  | "recorded"
  | "record-failed"
  | "withdrawn"
  | "withdraw-failed"
  | "tick"
  | "cancel";

/** What it then has to do, in this order. */
export type HandoverSourceEffect =
  /** Tell the target what is coming; one that runs no daemons refuses it. */
  | "send-offer"
  | "send-prepare"
  | "send-commit"
  | "send-abort"
  /** Store the record that the daemon is handed over. */
  | "record"
  /** Delete that record. */
  | "withdraw"
  /** Remove the daemon and its key. */
  | "relinquish"
  /** Let the daemon serve. */
  | "resume"
  /** Delete the record: the target has the daemon. */
  | "forget";

/** The next phase, and what to do. */
export interface HandoverSourceStep {
  readonly phase: HandoverSourcePhase;
  readonly effects: readonly HandoverSourceEffect[];
}

type Row = { readonly [I in HandoverSourceInput]?: HandoverSourceStep };

const ABORT: HandoverSourceStep = { phase: "aborted", effects: ["resume", "send-abort"] };
const RECORD: HandoverSourceStep = { phase: "recording", effects: ["record"] };
const COMMIT: HandoverSourceStep = { phase: "handed-over", effects: ["send-commit"] };
const ABORT_AGAIN: HandoverSourceStep = { phase: "aborted", effects: ["send-abort"] };
const WITHDRAW: HandoverSourceStep = { phase: "withdrawing", effects: ["withdraw"] };

/** What is not in here changes nothing. */
const TABLE: { readonly [P in HandoverSourcePhase]: Row } = {
  copying: {
    tick: { phase: "copying", effects: ["send-offer"] },
    copied: { phase: "preparing", effects: ["send-prepare"] },
    refused: ABORT,
    cancel: ABORT,
  },
  preparing: {
    tick: { phase: "preparing", effects: ["send-prepare"] },
    prepared: RECORD,
    query: RECORD,
    refused: ABORT,
    cancel: ABORT,
  },
  // The record may be there already, so that nothing but the store's answer counts.
  recording: {
    recorded: { phase: "handed-over", effects: ["relinquish", "send-commit"] },
    "record-failed": WITHDRAW,
  },
  withdrawing: { withdrawn: ABORT, "withdraw-failed": { phase: "withdrawing", effects: [] }, tick: WITHDRAW },
  "handed-over": {
    tick: COMMIT,
    prepared: COMMIT,
    query: COMMIT,
    committed: { phase: "done", effects: ["forget"] },
  },
  done: {},
  aborted: { prepared: ABORT_AGAIN, query: ABORT_AGAIN },
};

/** The machine of a source: pure, and all of it in one table. */
export function stepHandoverSource(
  phase: HandoverSourcePhase,
  input: HandoverSourceInput,
): HandoverSourceStep {
  return TABLE[phase][input] ?? { phase, effects: [] };
}
