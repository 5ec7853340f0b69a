import { WireError } from "../errors.ts";
import { isWellFormed } from "./exact-json.ts";

/** Parts of a tag that names a property of hardware, software, devices or data stores. */
export type TagAxis = "hardware" | "software" | "devices" | "dataforts";

/** A capability tag taken apart (spec/mesh.md §10.1). `text` is the tag exactly as it is written. */
export type CapabilityTag =
  /** Runtime-owned: `prefix` with its colon, and what follows. */
  | { readonly kind: "reserved"; readonly text: string; readonly prefix: string; readonly body: string }
  /** `axis.key`, with a value behind the first `=` or `:` or without one. */
  | {
      readonly kind: "axis";
      readonly text: string;
      readonly axis: TagAxis;
      readonly key: string;
      readonly value: string | undefined;
      readonly separator: "=" | ":" | undefined;
    }
  /** Anything else. */
  | { readonly kind: "legacy"; readonly text: string };

/** Prefixes that only the runtime writes. */
export const RESERVED_TAG_PREFIXES: readonly string[] = [
  "causal:",
  "dataforts:",
  "fork-of:",
  "heat:",
  "scope:",
];

const AXES: readonly TagAxis[] = ["hardware", "software", "devices", "dataforts"];

/** Takes a tag apart. `undefined` for the empty text and for text without a UTF-8 form, which are no tags. */
export function parseTag(text: string): CapabilityTag | undefined {
  if (text === "" || !isWellFormed(text)) return undefined;
  const prefix = reservedPrefix(text);
  if (prefix !== undefined) return { kind: "reserved", text, prefix, body: text.slice(prefix.length) };
  const axis = AXES.find((name) => text.startsWith(`${name}.`));
  if (axis === undefined) return { kind: "legacy", text };
  const rest = text.slice(axis.length + 1);
  const at = rest.search(/[=:]/);
  if (at < 0) return { kind: "axis", text, axis, key: rest, value: undefined, separator: undefined };
  const separator = rest[at] as "=" | ":";
  return { kind: "axis", text, axis, key: rest.slice(0, at), value: rest.slice(at + 1), separator };
}

/** The reserved prefix of a tag. */
export function reservedPrefix(text: string): string | undefined {
  return RESERVED_TAG_PREFIXES.find((prefix) => text.startsWith(prefix));
}

/**
 * The form by which tags are compared: of `axis.key=value` and `axis.key:value` the former; any other tag as it is.
 */
export function tagKey(text: string): string {
  const tag = parseTag(text);
  if (tag?.kind !== "axis" || tag.separator !== ":") return text;
  return `${tag.axis}.${tag.key}=${tag.value}`;
}

/**
 * Checks a tag of an application.
 * @throws {WireError} `invalid-argument` when it is empty, has no UTF-8 form, or belongs to the runtime.
 */
export function assertUserTag(text: string): void {
  if (typeof text !== "string" || parseTag(text) === undefined) {
    throw new WireError("invalid-argument", "a capability tag is text that is not empty", String(text));
  }
  const prefix = reservedPrefix(text);
  if (prefix !== undefined) {
    throw new WireError("invalid-argument", `tags that begin with ${prefix} are the runtime's`, text);
  }
}
