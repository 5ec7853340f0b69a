import { MeshError } from "../errors.ts";
import { MAX_SUBNET_LEVELS, type SubnetId } from "./subnet-id.ts";

/** One rule of a {@link SubnetPolicy}: what follows the prefix in a tag decides one level. */
export interface SubnetRule {
  /** Which level, 0 for the most significant to 3. */
  readonly level: number;
  /** How the tag begins, for example `"region:"`. */
  readonly tagPrefix: string;
  /** The level's value, 0 to 255, by what follows the prefix. */
  readonly values: Readonly<Record<string, number>>;
}

/** Assigns nodes to subnets by their tags (spec/mesh.md §13). */
export class SubnetPolicy {
  readonly #rules: readonly { level: number; tagPrefix: string; values: ReadonlyMap<string, number> }[];

  /** Rules in order; a later one overrules an earlier one of the same level. Throws `invalid-argument`. */
  constructor(rules: readonly SubnetRule[]) {
    this.#rules = rules.map(({ level, tagPrefix, values }) => {
      const entries = Object.entries(values);
      if (!inRange(level, MAX_SUBNET_LEVELS - 1) || !entries.every(([, value]) => inRange(value, 0xff))) {
        throw new MeshError("invalid-argument", "a subnet rule sets a level of 0 to 3 to values of 0 to 255");
      }
      return { level, tagPrefix, values: new Map(entries) };
    });
  }

  /** The subnet of a node with these tags. */
  assign(tags: readonly string[]): SubnetId {
    const sorted = [...tags].sort();
    let id = 0;
    for (const { level, tagPrefix, values } of this.#rules) {
      for (const tag of sorted) {
        const value = tag.startsWith(tagPrefix) ? values.get(tag.slice(tagPrefix.length)) : undefined;
        if (value === undefined) continue;
        const shift = 24 - 8 * level;
        id = (id & ~(0xff << shift)) | (value << shift);
        break;
      }
    }
    return id >>> 0;
  }
}

function inRange(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}
