/** How reachable a node is from outside (traversal §7.1). */
export type NatClass = "unknown" | "open" | "cone" | "symmetric";
