import { isSubnetAncestor, type SubnetId } from "./subnet-id.ts";

/** How far the events of a channel go, seen from the subnet of their publisher. */
export type ChannelVisibility = "global" | "subnet-local" | "parent-visible" | "exported";

/** Every {@link ChannelVisibility}. */
export const CHANNEL_VISIBILITIES: ReadonlySet<string> = new Set<ChannelVisibility>([
  "global",
  "subnet-local",
  "parent-visible",
  "exported",
]);

/**
 * Whether events that are published in `source` are for nodes in `destination` (spec/mesh.md §12.7): global ones for all,
 * subnet-local ones for the very same subnet, parent-visible ones upwards as well, exported ones for nobody but through a
 * gateway. A node whose subnet is not known (undefined) gets nothing but what is global (§16, M24).
 */
export function isVisible(
  visibility: ChannelVisibility,
  source: SubnetId,
  destination: SubnetId | undefined,
): boolean {
  if (visibility === "global") return true;
  if (visibility === "exported" || destination === undefined) return false;
  return visibility === "subnet-local" ? source === destination : isSubnetAncestor(destination, source);
}
