import { readU32, readU64, writeU32, writeU64 } from "@netmesh/wire";
import type { CausalEvent } from "../state/causal-event.ts";
import {
  CAUSAL_LINK_SIZE,
  type CausalLink,
  decodeCausalLink,
  writeCausalLink,
} from "../state/causal-link.ts";
import {
  decodeFailureReason,
  encodeFailureReason,
  type FailureReason,
  MigrationError,
} from "./failure-reason.ts";

/** Bytes of a snapshot in one message, at most (spec compute.md §16.1). */
export const SNAPSHOT_CHUNK_SIZE = 7000;
/** Chunks of one snapshot, at most. */
export const MAX_SNAPSHOT_CHUNKS = 700_000;
/** Bytes of one buffered event's payload, at most. */
export const MAX_BUFFERED_PAYLOAD_SIZE = 7000;
/** Events that one message may announce. */
export const MAX_EVENTS_PER_MESSAGE = 1_000_000;
/** Bytes of a message that fits into a packet: 8108 less the length of its frame (§14). */
export const MAX_MIGRATION_MESSAGE_SIZE = 8104;

/** A part of a snapshot on its way (§15). */
export interface SnapshotReady {
  readonly type: "snapshot-ready";
  readonly originHash: bigint;
  /** `throughSeq` of the snapshot. */
  readonly seqThrough: bigint;
  readonly chunkIndex: number;
  readonly totalChunks: number;
  /** 0 to 7000 bytes; a view of the message when decoded. */
  readonly chunk: Uint8Array;
}

/** The messages of a migration, subprotocol 0x0500 (§15). Node ids, origins and sequences are u64. */
export type MigrationMessage =
  | { readonly type: "take-snapshot"; readonly originHash: bigint; readonly targetNode: bigint }
  | SnapshotReady
  | { readonly type: "restore-complete"; readonly originHash: bigint; readonly restoredSeq: bigint }
  | {
      readonly type: "replay-complete";
      readonly originHash: bigint;
      readonly replayedSeq: bigint;
      readonly targetHead: CausalLink;
    }
  | { readonly type: "cutover-notify"; readonly originHash: bigint; readonly targetNode: bigint }
  | { readonly type: "cleanup-complete"; readonly originHash: bigint }
  | { readonly type: "migration-failed"; readonly originHash: bigint; readonly reason: FailureReason }
  | { readonly type: "buffered-events"; readonly originHash: bigint; readonly events: readonly CausalEvent[] }
  | { readonly type: "activate-target"; readonly originHash: bigint }
  | { readonly type: "activate-ack"; readonly originHash: bigint; readonly replayedSeq: bigint };

const TYPES = [
  "take-snapshot",
  "snapshot-ready",
  "restore-complete",
  "replay-complete",
  "cutover-notify",
  "cleanup-complete",
  "migration-failed",
  "buffered-events",
  "activate-target",
  "activate-ack",
] as const satisfies readonly MigrationMessage["type"][];

const ORIGIN = 1;
/** Type and origin. */
const PREFIX_SIZE = 9;
const CHUNK_HEADER_SIZE = PREFIX_SIZE + 8 + 4 + 4 + 4;
const COUNT_SIZE = 4;
const EVENTS = PREFIX_SIZE + COUNT_SIZE;
const PAYLOAD = CAUSAL_LINK_SIZE + 4;
/** Bytes of a buffered event without its payload: link, length, time of receipt. */
export const BUFFERED_EVENT_OVERHEAD: number = PAYLOAD + 8;
/** Bytes of a message with no events. */
export const BUFFERED_EVENTS_HEADER_SIZE: number = EVENTS;

/** The message as bytes. Throws `invalid-argument` for a text that is too long, `snapshot-too-large` and `buffer-full` for parts that are. */
export function encodeMigrationMessage(message: MigrationMessage): Uint8Array {
  switch (message.type) {
    case "take-snapshot":
    case "cutover-notify":
      return withU64(message, message.targetNode);
    case "restore-complete":
      return withU64(message, message.restoredSeq);
    case "activate-ack":
      return withU64(message, message.replayedSeq);
    case "cleanup-complete":
    case "activate-target":
      return prefixed(message, 0);
    case "replay-complete": {
      const bytes = prefixed(message, 8 + CAUSAL_LINK_SIZE);
      writeU64(bytes, PREFIX_SIZE, message.replayedSeq);
      writeCausalLink(bytes, PREFIX_SIZE + 8, message.targetHead);
      return bytes;
    }
    case "migration-failed": {
      const reason = encodeFailureReason(message.reason);
      const bytes = prefixed(message, reason.length);
      bytes.set(reason, PREFIX_SIZE);
      return bytes;
    }
    case "snapshot-ready":
      return encodeChunk(message);
    case "buffered-events":
      return encodeEvents(message.originHash, message.events);
  }
}

/**
 * The message in `bytes`, of which those after the last field are ignored; undefined when it is truncated, of an unknown type, or breaks a
 * limit (§15). Never allocates by what the message announces. Chunks and payloads are views of `bytes`.
 */
export function decodeMigrationMessage(bytes: Uint8Array): MigrationMessage | undefined {
  if (bytes.length < PREFIX_SIZE) return undefined;
  const type = TYPES[bytes[0] as number];
  if (type === undefined) return undefined;
  const originHash = readU64(bytes, ORIGIN);
  switch (type) {
    case "cleanup-complete":
    case "activate-target":
      return { type, originHash };
    case "snapshot-ready":
      return decodeChunk(bytes, originHash);
    case "buffered-events":
      return decodeEvents(bytes, originHash);
    case "migration-failed": {
      const reason = decodeFailureReason(bytes.subarray(PREFIX_SIZE));
      return reason === undefined ? undefined : { type, originHash, reason };
    }
  }
  if (bytes.length < PREFIX_SIZE + 8) return undefined;
  const value = readU64(bytes, PREFIX_SIZE);
  switch (type) {
    case "take-snapshot":
    case "cutover-notify":
      return { type, originHash, targetNode: value };
    case "restore-complete":
      return { type, originHash, restoredSeq: value };
    case "activate-ack":
      return { type, originHash, replayedSeq: value };
    case "replay-complete": {
      const targetHead = decodeCausalLink(bytes, PREFIX_SIZE + 8);
      return targetHead === undefined ? undefined : { type, originHash, replayedSeq: value, targetHead };
    }
  }
}

function prefixed(message: Pick<MigrationMessage, "type" | "originHash">, size: number): Uint8Array {
  const bytes = new Uint8Array(PREFIX_SIZE + size);
  bytes[0] = TYPES.indexOf(message.type);
  writeU64(bytes, ORIGIN, message.originHash);
  return bytes;
}

function withU64(message: Pick<MigrationMessage, "type" | "originHash">, value: bigint): Uint8Array {
  const bytes = prefixed(message, 8);
  writeU64(bytes, PREFIX_SIZE, value);
  return bytes;
}

function encodeChunk(message: SnapshotReady): Uint8Array {
  const { seqThrough, chunkIndex, totalChunks, chunk, originHash } = message;
  if (chunk.length > SNAPSHOT_CHUNK_SIZE) {
    throw new MigrationError("snapshot-too-large", `a chunk of ${chunk.length} bytes`, {
      originHash,
      size: chunk.length,
    });
  }
  const bytes = prefixed(message, CHUNK_HEADER_SIZE - PREFIX_SIZE + chunk.length);
  writeU64(bytes, PREFIX_SIZE, seqThrough);
  writeU32(bytes, PREFIX_SIZE + 8, chunkIndex);
  writeU32(bytes, PREFIX_SIZE + 12, totalChunks);
  writeU32(bytes, PREFIX_SIZE + 16, chunk.length);
  bytes.set(chunk, CHUNK_HEADER_SIZE);
  return bytes;
}

function decodeChunk(bytes: Uint8Array, originHash: bigint): SnapshotReady | undefined {
  if (bytes.length < CHUNK_HEADER_SIZE) return undefined;
  const seqThrough = readU64(bytes, PREFIX_SIZE);
  const chunkIndex = readU32(bytes, PREFIX_SIZE + 8);
  const totalChunks = readU32(bytes, PREFIX_SIZE + 12);
  const length = readU32(bytes, PREFIX_SIZE + 16);
  if (totalChunks > MAX_SNAPSHOT_CHUNKS || chunkIndex >= totalChunks) return undefined;
  if (length > SNAPSHOT_CHUNK_SIZE || length > bytes.length - CHUNK_HEADER_SIZE) return undefined;
  const chunk = bytes.subarray(CHUNK_HEADER_SIZE, CHUNK_HEADER_SIZE + length);
  return { type: "snapshot-ready", originHash, seqThrough, chunkIndex, totalChunks, chunk };
}

function encodeEvents(originHash: bigint, events: readonly CausalEvent[]): Uint8Array {
  let size = COUNT_SIZE;
  for (const { payload } of events) {
    if (payload.length > MAX_BUFFERED_PAYLOAD_SIZE) {
      throw new MigrationError("buffer-full", `an event of ${payload.length} bytes cannot travel`, {
        originHash,
        size: payload.length,
      });
    }
    size += BUFFERED_EVENT_OVERHEAD + payload.length;
  }
  const bytes = prefixed({ type: "buffered-events", originHash }, size);
  writeU32(bytes, PREFIX_SIZE, events.length);
  let at = EVENTS;
  for (const event of events) at = writeBufferedEvent(bytes, at, event);
  return bytes;
}

/** Writes link, length, payload and time of receipt at `offset`; returns the offset after them. */
export function writeBufferedEvent(bytes: Uint8Array, offset: number, event: CausalEvent): number {
  const { link, payload, receivedAt } = event;
  writeCausalLink(bytes, offset, link);
  writeU32(bytes, offset + CAUSAL_LINK_SIZE, payload.length);
  bytes.set(payload, offset + PAYLOAD);
  writeU64(bytes, offset + PAYLOAD + payload.length, receivedAt);
  return offset + BUFFERED_EVENT_OVERHEAD + payload.length;
}

function decodeEvents(bytes: Uint8Array, originHash: bigint): MigrationMessage | undefined {
  if (bytes.length < EVENTS) return undefined;
  const count = readU32(bytes, PREFIX_SIZE);
  if (count > (bytes.length - EVENTS) / BUFFERED_EVENT_OVERHEAD || count > MAX_EVENTS_PER_MESSAGE)
    return undefined;
  const events: CausalEvent[] = [];
  let at = EVENTS;
  for (let i = 0; i < count; i++) {
    const event = readBufferedEvent(bytes, at, MAX_BUFFERED_PAYLOAD_SIZE);
    if (event === undefined) return undefined;
    events.push(event);
    at += BUFFERED_EVENT_OVERHEAD + event.payload.length;
  }
  return { type: "buffered-events", originHash, events };
}

/** The event at `offset`, its payload a view; undefined when it is truncated or larger than `maxPayload`. */
export function readBufferedEvent(
  bytes: Uint8Array,
  offset: number,
  maxPayload: number,
): CausalEvent | undefined {
  if (bytes.length - offset < BUFFERED_EVENT_OVERHEAD) return undefined;
  const link = decodeCausalLink(bytes, offset) as CausalLink;
  const length = readU32(bytes, offset + CAUSAL_LINK_SIZE);
  if (length > maxPayload || length > bytes.length - offset - BUFFERED_EVENT_OVERHEAD) return undefined;
  const payload = bytes.subarray(offset + PAYLOAD, offset + PAYLOAD + length);
  return { link, payload, receivedAt: readU64(bytes, offset + PAYLOAD + length) };
}
