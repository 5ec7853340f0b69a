import type { CausalLink } from "./causal-link.ts";
import { mightContain, type ObservedHorizon } from "./horizon.ts";

/** Whether one event can have been a cause of another. */
export type Influence = "definite" | "possible" | "none";

/**
 * Whether event `sequence` of an origin can have influenced the event with this link: exactly, when its producer's horizon at
 * that time is at hand, else by the horizon encoded in the link, which only says `possible` (§2.2).
 */
export function couldHaveInfluenced(
  link: CausalLink,
  originHash: bigint,
  sequence: bigint,
  horizon?: ObservedHorizon,
): Influence {
  if (originHash === link.originHash) return sequence < link.sequence ? "definite" : "none";
  if (horizon !== undefined) return horizon.hasObserved(originHash, sequence) ? "definite" : "none";
  return mightContain(link.horizon, originHash) ? "possible" : "none";
}
