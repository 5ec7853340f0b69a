/** How reachable a node is from outside (traversal §7.1). */
export type NatClass = "unknown" | "open" | "cone" | "symmetric";

const CLASSES: readonly NatClass[] = ["unknown", "open", "cone", "symmetric"];
const PREFIX = "nat:";

/** The tag by which a class is announced, such as `nat:cone` (traversal §7.1). */
export function natTag(natClass: NatClass): string {
  return PREFIX + natClass;
}

/** The class that a tag announces; undefined for any other tag. */
export function natClassOfTag(tag: string): NatClass | undefined {
  return CLASSES.find((natClass) => tag === PREFIX + natClass);
}

/** The class of the first such tag; `unknown` without one (traversal §8.3). */
export function natClassOfTags(tags: Iterable<string>): NatClass {
  for (const tag of tags) {
    const natClass = natClassOfTag(tag);
    if (natClass !== undefined) return natClass;
  }
  return "unknown";
}
