import { bytesToHex } from "@netmesh/crypto";
import { readU16, readU64, writeU16, writeU64, xxh3 } from "@netmesh/wire";
import { decodeSnapshot, encodeSnapshot, type StateSnapshot } from "../state/snapshot.ts";
import { StateError } from "../state/state-error.ts";
import { CHECKSUM_SIZE, isIntact, writeChecksum } from "./record-checksum.ts";
import {
  MAX_KIND_LENGTH,
  MAX_MARKER_NAME_LENGTH,
  MAX_MARKER_SIZE,
  SnapshotStoreError,
  type SnapshotSummary,
} from "./snapshot-store.ts";

// A record: checksum of the rest, version, whether the head hash is known, length of the kind, head hash, kind, snapshot.
const VERSION = 1;
const VERSION_AT = 8;
const HAS_HEAD_AT = 9;
const KIND_LENGTH_AT = 10;
const HEAD_AT = 12;
const KIND_AT = 20;
const ENTITY_ID_SIZE = 32;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** What stores keep of a snapshot. */
export interface SnapshotRecord extends SnapshotSummary {
  /** Kind, head hash and encoded snapshot behind a checksum; nobody may change them. */
  readonly bytes: Uint8Array;
}

/**
 * The record of a snapshot: a copy of all of it but the horizon. Throws `invalid-argument` for what is no snapshot, or whose chain is
 * another entity's, and for a kind that is empty or too long; `too-large`.
 */
export function encodeRecord(snapshot: StateSnapshot, kind: string, maxBytes: number): SnapshotRecord {
  const kindBytes = requireText("kind", kind, MAX_KIND_LENGTH);
  const { headHash } = snapshot;
  const encoded = encodeOrRefuse(snapshot);
  const start = KIND_AT + kindBytes.length;
  const size = start + encoded.length;
  if (size > maxBytes) {
    throw new SnapshotStoreError("too-large", `a snapshot takes ${size} bytes, more than ${maxBytes}`);
  }
  const bytes = new Uint8Array(size);
  bytes[VERSION_AT] = VERSION;
  writeU16(bytes, KIND_LENGTH_AT, kindBytes.length);
  if (headHash !== undefined) {
    bytes[HAS_HEAD_AT] = 1;
    writeU64(bytes, HEAD_AT, headHash);
  }
  bytes.set(kindBytes, KIND_AT);
  bytes.set(encoded, start);
  writeChecksum(bytes);
  const { throughSeq, createdAt, chainLink } = snapshot;
  const entityId = new Uint8Array(snapshot.entityId);
  return { entityId, originHash: chainLink.originHash, kind, throughSeq, createdAt, bytes };
}

/** Kind and snapshot of a record, views of its bytes; undefined when they are damaged or another entity's. */
export function decodeRecord(
  bytes: Uint8Array,
  entityId: Uint8Array,
): { kind: string; snapshot: StateSnapshot } | undefined {
  if (bytes.length < KIND_AT || !isIntact(bytes)) return undefined;
  if (bytes[VERSION_AT] !== VERSION) return undefined;
  const start = KIND_AT + readU16(bytes, KIND_LENGTH_AT);
  const snapshot = decodeSnapshot(bytes.subarray(start));
  if (snapshot === undefined || entityKey(snapshot.entityId) !== entityKey(entityId)) return undefined;
  const kind = decoder.decode(bytes.subarray(KIND_AT, start));
  const headHash = readU64(bytes, HEAD_AT);
  return { kind, snapshot: bytes[HAS_HEAD_AT] === 1 ? { ...snapshot, headHash } : snapshot };
}

/** Whether a snapshot is newer than another of its entity. */
export function isNewer(
  a: Pick<SnapshotSummary, "throughSeq" | "createdAt">,
  b: Pick<SnapshotSummary, "throughSeq" | "createdAt">,
): boolean {
  return a.throughSeq > b.throughSeq || (a.throughSeq === b.throughSeq && a.createdAt > b.createdAt);
}

/** The value of a marker behind its checksum, which covers its name too. Throws `invalid-argument` and `too-large`. */
export function encodeMarker(name: string, value: Uint8Array): Uint8Array {
  const nameBytes = markerName(name);
  if (!(value instanceof Uint8Array)) {
    throw new SnapshotStoreError("invalid-argument", `the value of marker ${name} is not bytes`);
  }
  if (value.length > MAX_MARKER_SIZE) {
    const text = `marker ${name} has ${value.length} bytes, more than ${MAX_MARKER_SIZE}`;
    throw new SnapshotStoreError("too-large", text);
  }
  const bytes = new Uint8Array(CHECKSUM_SIZE + value.length);
  bytes.set(value, CHECKSUM_SIZE);
  writeU64(bytes, 0, markerChecksum(nameBytes, value));
  return bytes;
}

/** The value of an encoded marker, a copy. Throws `damaged`. */
export function decodeMarker(name: string, bytes: Uint8Array): Uint8Array {
  const value = bytes.slice(CHECKSUM_SIZE);
  if (bytes.length < CHECKSUM_SIZE || readU64(bytes, 0) !== markerChecksum(markerName(name), value)) {
    throw new SnapshotStoreError("damaged", `marker ${name} is damaged`);
  }
  return value;
}

/** The UTF-8 bytes of a marker's name. Throws `invalid-argument`. */
export function markerName(name: string): Uint8Array {
  return requireText("name", name, MAX_MARKER_NAME_LENGTH);
}

/** An entity id as a key, 64 hex digits. Throws `invalid-argument`. */
export function entityKey(entityId: Uint8Array): string {
  if (!(entityId instanceof Uint8Array) || entityId.length !== ENTITY_ID_SIZE) {
    throw new SnapshotStoreError("invalid-argument", `an entity id has ${ENTITY_ID_SIZE} bytes`);
  }
  return bytesToHex(entityId);
}

/** The error of a store that was closed. */
export function closedError(): SnapshotStoreError {
  return new SnapshotStoreError("closed", "the snapshot store was closed");
}

function markerChecksum(name: Uint8Array, value: Uint8Array): bigint {
  const covered = new Uint8Array(name.length + 1 + value.length);
  covered.set(name);
  covered.set(value, name.length + 1);
  return xxh3(covered);
}

function encodeOrRefuse(snapshot: StateSnapshot): Uint8Array {
  let encoded: Uint8Array;
  try {
    encoded = encodeSnapshot(snapshot);
  } catch (error) {
    const code = error instanceof StateError && error.code === "too-large" ? "too-large" : "invalid-argument";
    throw new SnapshotStoreError(code, "not a snapshot that can be stored", error);
  }
  if (snapshot.throughSeq === snapshot.chainLink.sequence) return encoded;
  throw new SnapshotStoreError("invalid-argument", "the snapshot's sequence is not its chain's");
}

function requireText(what: string, text: string, maxLength: number): Uint8Array {
  const bytes = typeof text === "string" ? encoder.encode(text) : undefined;
  if (bytes !== undefined && bytes.length > 0 && bytes.length <= maxLength && !text.includes("\0"))
    return bytes;
  throw new SnapshotStoreError("invalid-argument", `a ${what} has 1 to ${maxLength} bytes of text`);
}
