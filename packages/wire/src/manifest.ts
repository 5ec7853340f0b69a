import { WireError } from "./errors.ts";
import { assertU8, assertU16 } from "./integer-range.ts";
import { readU16, writeU16 } from "./little-endian.ts";

/** Major and minor number, each 0..255; ordered lexicographically (§9.6). */
export type SubprotocolVersion = readonly [major: number, minor: number];

/** A subprotocol that a node handles (§9.6). */
export interface ManifestEntry {
  readonly id: number;
  readonly version: SubprotocolVersion;
  /** The oldest version of the other side that still works; not above `version`. */
  readonly minCompatible: SubprotocolVersion;
}

/** A subprotocol that both sides know but cannot speak with each other. */
export interface ManifestConflict {
  readonly id: number;
  readonly localVersion: SubprotocolVersion;
  readonly remoteVersion: SubprotocolVersion;
}

/** What two manifests have in common; order as in the local manifest. */
export interface Negotiation {
  readonly compatible: readonly number[];
  readonly incompatible: readonly ManifestConflict[];
}

const COUNT_SIZE = 2;
const ENTRY_SIZE = 6;

/**
 * Encodes a manifest: count, then 6 bytes per entry in the given order (§9.6). Sort by id for a stable encoding.
 * @throws {WireError} `invalid-argument` on a number out of range, a duplicate id, a minimum above the version.
 */
export function encodeManifest(entries: readonly ManifestEntry[]): Uint8Array {
  assertU16(entries.length, "number of entries");
  for (const { id, version, minCompatible } of entries) {
    assertU16(id, "id");
    for (const number of [...version, ...minCompatible]) assertU8(number, "version number");
    if (compareVersions(minCompatible, version) > 0) {
      throw new WireError(
        "invalid-argument",
        `minCompatible of ${subprotocolTag(id)} is above its version`,
        id,
      );
    }
  }
  if (hasDuplicateIds(entries)) throw new WireError("invalid-argument", "two entries have the same id");
  const bytes = new Uint8Array(COUNT_SIZE + ENTRY_SIZE * entries.length);
  writeU16(bytes, 0, entries.length);
  let offset = COUNT_SIZE;
  for (const { id, version, minCompatible } of entries) {
    writeU16(bytes, offset, id);
    bytes.set(version, offset + 2);
    bytes.set(minCompatible, offset + 4);
    offset += ENTRY_SIZE;
  }
  return bytes;
}

/**
 * Decodes a manifest; `undefined` when the length does not match the count, an id occurs twice, or a minimum
 * is above its version (§9.6).
 */
export function decodeManifest(bytes: Uint8Array): ManifestEntry[] | undefined {
  if (bytes.length < COUNT_SIZE || bytes.length !== COUNT_SIZE + ENTRY_SIZE * readU16(bytes, 0))
    return undefined;
  const entries: ManifestEntry[] = [];
  for (let offset = COUNT_SIZE; offset < bytes.length; offset += ENTRY_SIZE) {
    const version = readVersion(bytes, offset + 2);
    const minCompatible = readVersion(bytes, offset + 4);
    if (compareVersions(minCompatible, version) > 0) return undefined;
    entries.push({ id: readU16(bytes, offset), version, minCompatible });
  }
  return hasDuplicateIds(entries) ? undefined : entries;
}

/** Compares two manifests: compatible when each side's version reaches the other's minimum (§9.6). */
export function negotiateManifests(
  local: readonly ManifestEntry[],
  remote: readonly ManifestEntry[],
): Negotiation {
  const remoteById = new Map(remote.map((entry) => [entry.id, entry]));
  const compatible: number[] = [];
  const incompatible: ManifestConflict[] = [];
  for (const ours of local) {
    const theirs = remoteById.get(ours.id);
    if (theirs === undefined) continue;
    const works =
      compareVersions(ours.version, theirs.minCompatible) >= 0 &&
      compareVersions(theirs.version, ours.minCompatible) >= 0;
    if (works) compatible.push(ours.id);
    else incompatible.push({ id: ours.id, localVersion: ours.version, remoteVersion: theirs.version });
  }
  return { compatible, incompatible };
}

/** The capability tag of a subprotocol: `subprotocol:0x` and four hex digits (§8). */
export function subprotocolTag(id: number): string {
  return `subprotocol:0x${id.toString(16).padStart(4, "0")}`;
}

function readVersion(bytes: Uint8Array, offset: number): SubprotocolVersion {
  return [bytes[offset] as number, bytes[offset + 1] as number];
}

function compareVersions(a: SubprotocolVersion, b: SubprotocolVersion): number {
  return a[0] - b[0] || a[1] - b[1];
}

function hasDuplicateIds(entries: readonly ManifestEntry[]): boolean {
  return new Set(entries.map((entry) => entry.id)).size !== entries.length;
}
