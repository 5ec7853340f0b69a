import {
  IDENTITY_ENVELOPE_SIZE,
  Identity,
  openIdentity,
  sealIdentity,
  type X25519KeyPair,
} from "@netmesh/crypto";
import { readU32, readU64, writeU32, writeU64 } from "@netmesh/wire";
import type { DaemonHostConfig } from "../../daemon-host.ts";
import {
  CoreDaemonError,
  type CoreErrorReason,
  DaemonError,
  type DaemonErrorCode,
  messageOf,
} from "../../errors.ts";
import { BUFFERED_EVENT_OVERHEAD, readBufferedEvent, writeBufferedEvent } from "../../migration/messages.ts";
import type { CausalEvent } from "../../state/causal-event.ts";
import {
  CAUSAL_LINK_SIZE,
  type CausalLink,
  decodeCausalLink,
  encodeCausalLink,
  genesisLink,
  writeCausalLink,
} from "../../state/causal-link.ts";
import { decodeForkRecord, encodeForkRecord, FORK_RECORD_SIZE } from "../../state/fork-record.ts";
import type { StateSnapshot } from "../../state/snapshot.ts";
import { GroupError } from "../group-error.ts";
import type { MemberPlan } from "../member-hosting.ts";
import { MAX_MEMBER_PAYLOAD_SIZE } from "./member-frames.ts";

// The payloads of docs/protocol/groups.md. Every decoder gives undefined for what is not exactly one.

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const MAX_TEXT_SIZE = 0xff;
const ENTITY_SIZE = 32;
const ORIGIN_SIZE = 8;
/** A limit that is left to the node. */
const NO_LIMIT = 0xffff_ffff;
const HAS_FORK = 1;
const HAS_STATE = 2;
/** Limits, entity, envelope and flags, behind the kind. */
const PLACE_FIXED_SIZE = 12 + ENTITY_SIZE + IDENTITY_ENVELOPE_SIZE + 1;
const STATE_FIXED_SIZE = ENTITY_SIZE + CAUSAL_LINK_SIZE + 8 + 8 + 1 + 8 + 4;

/** Codes that mean the same on both nodes; others are told as `registry-failed`. */
const SHARED_CODES: ReadonlySet<string> = new Set<DaemonErrorCode>([
  "not-ready",
  "shutting-down",
  "factory-not-found",
  "invalid-daemon",
  "invalid-argument",
  "callback-timeout",
  "crashed",
  "backpressure",
  "migrated",
  "cancelled",
]);
const CORE_REASONS: ReadonlySet<string> = new Set<CoreErrorReason>([
  "process-failed",
  "snapshot-failed",
  "restore-failed",
  "not-found",
  "stale",
]);

/** A member that a node is asked to host, before its key is opened. */
export interface PlaceRequest extends Omit<MemberPlan, "identity"> {
  readonly originHash: bigint;
  /** Public key, 32 bytes. */
  readonly entityId: Uint8Array;
  /** The key, sealed for the node. */
  readonly envelope: Uint8Array;
}

/** Throws what `sealIdentity` does, and `invalid-argument` when the state is too large. */
export function encodePlace(plan: MemberPlan, targetPublicKey: Uint8Array): Uint8Array {
  const { identity, config, fork, state } = plan;
  const kind = ENCODER.encode(plan.kind);
  const size =
    1 + kind.length + PLACE_FIXED_SIZE + (fork === undefined ? 0 : FORK_RECORD_SIZE) + (state?.length ?? 0);
  if (kind.length > 0xff || size > MAX_MEMBER_PAYLOAD_SIZE) {
    throw new DaemonError("invalid-argument", `a member of ${size} bytes cannot travel`, { kind: plan.kind });
  }
  const bytes = new Uint8Array(size);
  bytes[0] = kind.length;
  bytes.set(kind, 1);
  let at = 1 + kind.length;
  for (const limit of [config.callTimeoutMs, config.maxPending, config.maxOrigins]) {
    writeU32(bytes, at, limit ?? NO_LIMIT);
    at += 4;
  }
  bytes.set(identity.entityId, at);
  at += ENTITY_SIZE;
  const link = encodeCausalLink(genesisLink(identity.originHash));
  bytes.set(sealIdentity(identity, { targetPublicKey, link }), at);
  at += IDENTITY_ENVELOPE_SIZE;
  bytes[at++] = (fork === undefined ? 0 : HAS_FORK) | (state === undefined ? 0 : HAS_STATE);
  if (fork !== undefined) {
    bytes.set(encodeForkRecord(fork), at);
    at += FORK_RECORD_SIZE;
  }
  if (state !== undefined) bytes.set(state, at);
  return bytes;
}

/** The request in a payload. */
export function decodePlace(bytes: Uint8Array): PlaceRequest | undefined {
  let at = 1 + (bytes[0] ?? 0);
  if (bytes.length < at + PLACE_FIXED_SIZE) return undefined;
  const kind = textOf(bytes.subarray(1, at));
  if (kind === undefined) return undefined;
  const [callTimeoutMs, maxPending, maxOrigins] = [0, 4, 8].map((offset) => readU32(bytes, at + offset));
  const config: DaemonHostConfig = {
    ...(callTimeoutMs === NO_LIMIT ? {} : { callTimeoutMs: callTimeoutMs as number }),
    ...(maxPending === NO_LIMIT ? {} : { maxPending: maxPending as number }),
    ...(maxOrigins === NO_LIMIT ? {} : { maxOrigins: maxOrigins as number }),
  };
  at += 12;
  const entityId = bytes.slice(at, at + ENTITY_SIZE);
  at += ENTITY_SIZE;
  const envelope = bytes.slice(at, at + IDENTITY_ENVELOPE_SIZE);
  at += IDENTITY_ENVELOPE_SIZE;
  const flags = bytes[at++] as number;
  if (flags > (HAS_FORK | HAS_STATE)) return undefined;
  const { originHash } = Identity.publicOnly(entityId);
  const request = { kind, config, originHash, entityId, envelope };
  const fork =
    (flags & HAS_FORK) === 0 ? undefined : decodeForkRecord(bytes.slice(at, at + FORK_RECORD_SIZE));
  if ((flags & HAS_FORK) !== 0) {
    if (fork === undefined) return undefined;
    at += FORK_RECORD_SIZE;
  }
  const withFork = fork === undefined ? request : { ...request, fork };
  if ((flags & HAS_STATE) !== 0) return { ...withFork, state: bytes.slice(at) };
  return at === bytes.length ? withFork : undefined;
}

/** The member's key, the caller's to wipe. Throws what `openIdentity` does. */
export function openPlacedIdentity(request: PlaceRequest, target: X25519KeyPair): Identity {
  const { envelope, entityId, originHash } = request;
  const link = encodeCausalLink(genesisLink(originHash));
  return openIdentity(envelope, { target, link, expectedSigner: entityId });
}

/** An origin hash, with what follows it. */
export function encodeAddressed(originHash: bigint, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(ORIGIN_SIZE + rest.length);
  writeU64(bytes, 0, originHash);
  bytes.set(rest, ORIGIN_SIZE);
  return bytes;
}

/** The origin hash of a payload, and what follows it. */
export function decodeAddressed(bytes: Uint8Array): { originHash: bigint; rest: Uint8Array } | undefined {
  if (bytes.length < ORIGIN_SIZE) return undefined;
  return { originHash: readU64(bytes, 0), rest: bytes.subarray(ORIGIN_SIZE) };
}

/** Events one after the other. */
export function encodeEvents(events: readonly CausalEvent[]): Uint8Array {
  const size = events.reduce((sum, { payload }) => sum + BUFFERED_EVENT_OVERHEAD + payload.length, 0);
  if (size > MAX_MEMBER_PAYLOAD_SIZE - ORIGIN_SIZE) {
    throw new DaemonError("invalid-argument", `${size} bytes of events cannot travel`);
  }
  const bytes = new Uint8Array(size);
  events.reduce((at, event) => writeBufferedEvent(bytes, at, event), 0);
  return bytes;
}

/** The events in a payload. */
export function decodeEvents(bytes: Uint8Array): CausalEvent[] | undefined {
  const events: CausalEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const event = readBufferedEvent(bytes, at, MAX_MEMBER_PAYLOAD_SIZE);
    if (event === undefined) return undefined;
    at += BUFFERED_EVENT_OVERHEAD + event.payload.length;
    events.push({ ...event, payload: event.payload.slice() });
  }
  return events;
}

/**
 * State and chain of a member, also where the chain is another's, as that of a promoted standby: a snapshot of Net cannot say that, nor the hash of
 * the head. What the member had seen stays behind.
 */
export function encodeMemberState(snapshot: StateSnapshot): Uint8Array {
  const { entityId, chainLink, throughSeq, createdAt, headHash, state, bindings } = snapshot;
  const size = STATE_FIXED_SIZE + state.length + bindings.length;
  if (size > MAX_MEMBER_PAYLOAD_SIZE - ORIGIN_SIZE) {
    throw new DaemonError("invalid-argument", `a state of ${size} bytes cannot travel`);
  }
  const bytes = new Uint8Array(size);
  bytes.set(entityId, 0);
  let at = ENTITY_SIZE;
  writeCausalLink(bytes, at, chainLink);
  at += CAUSAL_LINK_SIZE;
  writeU64(bytes, at, throughSeq);
  writeU64(bytes, at + 8, createdAt);
  bytes[at + 16] = headHash === undefined ? 0 : 1;
  writeU64(bytes, at + 17, headHash ?? 0n);
  writeU32(bytes, at + 25, state.length);
  bytes.set(state, at + 29);
  bytes.set(bindings, at + 29 + state.length);
  return bytes;
}

/** The state in a payload. */
export function decodeMemberState(bytes: Uint8Array): StateSnapshot | undefined {
  if (bytes.length < STATE_FIXED_SIZE) return undefined;
  const at = ENTITY_SIZE + CAUSAL_LINK_SIZE;
  const stateEnd = STATE_FIXED_SIZE + readU32(bytes, at + 25);
  const flag = bytes[at + 16] as number;
  if (stateEnd > bytes.length || flag > 1) return undefined;
  const snapshot = {
    entityId: bytes.slice(0, ENTITY_SIZE),
    chainLink: decodeCausalLink(bytes, ENTITY_SIZE) as CausalLink,
    throughSeq: readU64(bytes, at),
    createdAt: readU64(bytes, at + 8),
    state: bytes.slice(STATE_FIXED_SIZE, stateEnd),
    bindings: bytes.slice(stateEnd),
  };
  return flag === 0 ? snapshot : { ...snapshot, headHash: readU64(bytes, at + 17) };
}

/** The origin hashes of the members that a node hosts for another. */
export function encodeOrigins(origins: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(ORIGIN_SIZE * origins.length);
  origins.forEach((originHash, index) => {
    writeU64(bytes, ORIGIN_SIZE * index, originHash);
  });
  return bytes;
}

/** The origin hashes in a payload. */
export function decodeOrigins(bytes: Uint8Array): bigint[] | undefined {
  if (bytes.length % ORIGIN_SIZE !== 0) return undefined;
  return Array.from({ length: bytes.length / ORIGIN_SIZE }, (_, index) =>
    readU64(bytes, ORIGIN_SIZE * index),
  );
}

/** Why a request has failed: code, reason and text, each behind its length u8, the text cut to what has room. */
export function encodeFailure(error: unknown): Uint8Array {
  const code = error instanceof DaemonError ? error.code : "registry-failed";
  const reason = error instanceof CoreDaemonError ? error.reason : "";
  const parts = [code, reason, messageOf(error)].map(shortText);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 1 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes[at] = part.length;
    bytes.set(part, at + 1);
    at += 1 + part.length;
  }
  return bytes;
}

/** The error of an answer, as if it had happened here. */
export function decodeFailure(bytes: Uint8Array, node: bigint, originHash?: bigint): DaemonError {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + (bytes[at] as number)) {
    texts.push(textOf(bytes.subarray(at + 1, at + 1 + (bytes[at] as number))) ?? "");
  }
  const [code = "", reason = "", text = ""] = texts;
  const details = originHash === undefined ? { node } : { node, originHash };
  if (code === "core" && CORE_REASONS.has(reason)) {
    return new CoreDaemonError(reason as CoreErrorReason, text, details);
  }
  if (SHARED_CODES.has(code)) return new DaemonError(code as DaemonErrorCode, text, details);
  return new GroupError("registry-failed", `the node of a member says: ${text}`, details);
}

/** As much of a text as its length byte can say. */
function shortText(text: string): Uint8Array {
  const bytes = new Uint8Array(MAX_TEXT_SIZE);
  return bytes.subarray(0, ENCODER.encodeInto(text, bytes).written);
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return DECODER.decode(bytes);
  } catch {
    return undefined;
  }
}
