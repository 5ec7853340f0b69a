import type { NatClass } from "./nat-class.ts";

/** What is worth trying between two nodes: no punch is needed, one may help, none can (traversal §10). */
export type PairAction = "direct" | "punch" | "skip";

const ACTIONS: Readonly<Record<NatClass, Readonly<Record<NatClass, PairAction>>>> = {
  open: { open: "direct", cone: "direct", symmetric: "punch", unknown: "direct" },
  cone: { open: "direct", cone: "punch", symmetric: "punch", unknown: "punch" },
  symmetric: { open: "punch", cone: "punch", symmetric: "skip", unknown: "skip" },
  unknown: { open: "direct", cone: "punch", symmetric: "skip", unknown: "direct" },
};

/** What to do by the two classes; the same whichever side asks. */
export function pairAction(local: NatClass, remote: NatClass): PairAction {
  return ACTIONS[local][remote];
}
