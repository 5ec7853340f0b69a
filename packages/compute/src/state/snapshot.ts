import {
  equalBytes,
  Identity,
  isIdentityEnvelope,
  type OpenIdentityOptions,
  openIdentity,
  type SealIdentityOptions,
  sealIdentity,
} from "@netmesh/crypto";
import { readU32, readU64, writeU32, writeU64 } from "@netmesh/wire";
import {
  CAUSAL_LINK_SIZE,
  type CausalLink,
  decodeCausalLink,
  encodeCausalLink,
  writeCausalLink,
} from "./causal-link.ts";
import type { ObservedHorizon } from "./horizon.ts";
import { StateError } from "./state-error.ts";

// Layout of version 2 (§4.1). State, bindings and envelope have no fixed offset.
const MAGIC = Uint8Array.of(0x43, 0x44, 0x53, 0x31);
const VERSION = 2;
const VERSION_AT = 4;
const ENTITY = 5;
const THROUGH = ENTITY + 32;
const LINK = THROUGH + 8;
const CREATED = LINK + CAUSAL_LINK_SIZE;
const STATE_LENGTH = CREATED + 8;
const LENGTH_SIZE = 4;
const MAX_LENGTH = 0xffff_ffff;

/** Bytes of a snapshot with no state, no bindings and no envelope. */
export const MIN_SNAPSHOT_SIZE: number = STATE_LENGTH + LENGTH_SIZE + LENGTH_SIZE + 1;
/** Bytes of the largest snapshot that can be sent to another node (§16.3). */
export const MAX_TRANSFER_SNAPSHOT_SIZE: number = 64 * 1024 * 1024;

/** What a daemon is at one moment: enough to go on from there elsewhere (§4). Nobody may change its bytes. */
export interface StateSnapshot {
  /** Public key of the daemon, 32 bytes. */
  readonly entityId: Uint8Array;
  /** Sequence of `chainLink`: how many outputs the daemon had emitted, whatever its inputs. */
  readonly throughSeq: bigint;
  /** Head of the daemon's output chain. */
  readonly chainLink: CausalLink;
  /** Unix time in nanoseconds. */
  readonly createdAt: bigint;
  /** What the daemon's own `snapshot` gave. */
  readonly state: Uint8Array;
  /** Its subscriptions, encoded; empty for none. */
  readonly bindings: Uint8Array;
  /** The daemon's key sealed for one node, 209 bytes. */
  readonly envelope?: Uint8Array;
  /** What the daemon had seen; stays on this node. */
  readonly horizon?: ObservedHorizon;
  /** `parentHash` of the chain's head and its payload; stays on this node. */
  readonly headHash?: bigint;
}

/** Bytes of the snapshot when encoded. */
export function snapshotSize(snapshot: StateSnapshot): number {
  const { state, bindings, envelope } = snapshot;
  return MIN_SNAPSHOT_SIZE + state.length + bindings.length + (envelope?.length ?? 0);
}

/**
 * The snapshot as it is stored and sent (§4.1); horizon and head hash stay behind. Throws `too-large`, and
 * `foreign-chain` when the chain is another entity's, as that of a promoted standby.
 */
export function encodeSnapshot(snapshot: StateSnapshot): Uint8Array {
  const pieces = encodeSnapshotPieces(snapshot);
  const bytes = new Uint8Array(snapshotSize(snapshot));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** What {@link encodeSnapshot} gives, as three pieces of which the second is the snapshot's state itself, not copied. Throws as it. */
export function encodeSnapshotPieces(snapshot: StateSnapshot): readonly Uint8Array[] {
  const { entityId, chainLink, createdAt, state, bindings, envelope } = snapshot;
  if (state.length > MAX_LENGTH || bindings.length > MAX_LENGTH) {
    throw new StateError(
      "too-large",
      `state of ${state.length} and bindings of ${bindings.length} bytes; each may have ${MAX_LENGTH}`,
      Math.max(state.length, bindings.length),
    );
  }
  if (chainLink.originHash !== originOf(entityId)) {
    throw new StateError("foreign-chain", "the chain belongs to another entity", chainLink.originHash);
  }
  const before = new Uint8Array(STATE_LENGTH + LENGTH_SIZE);
  before.set(MAGIC);
  before[VERSION_AT] = VERSION;
  before.set(entityId, ENTITY);
  writeU64(before, THROUGH, chainLink.sequence);
  writeCausalLink(before, LINK, chainLink);
  writeU64(before, CREATED, createdAt);
  writeU32(before, STATE_LENGTH, state.length);
  const after = new Uint8Array(LENGTH_SIZE + bindings.length + 1 + (envelope?.length ?? 0));
  writeU32(after, 0, bindings.length);
  after.set(bindings, LENGTH_SIZE);
  if (envelope !== undefined) {
    const at = LENGTH_SIZE + bindings.length;
    after[at] = 1;
    after.set(envelope, at + 1);
  }
  return [before, state, after];
}

/**
 * The snapshot in `bytes`, undefined unless they are exactly one of version 2 whose chain belongs to its entity (§4.1). Its
 * arrays are views of `bytes`, which therefore must not change any more. The bindings are not looked into.
 */
export function decodeSnapshot(bytes: Uint8Array): StateSnapshot | undefined {
  if (bytes.length < MIN_SNAPSHOT_SIZE || bytes[VERSION_AT] !== VERSION) return undefined;
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) return undefined;
  const state = readSized(bytes, STATE_LENGTH);
  if (state === undefined) return undefined;
  const bindings = readSized(bytes, STATE_LENGTH + LENGTH_SIZE + state.length);
  if (bindings === undefined) return undefined;
  const flagAt = MIN_SNAPSHOT_SIZE - 1 + state.length + bindings.length;
  const flag = bytes[flagAt];
  const envelope = bytes.subarray(flagAt + 1);
  const hasRest = flag === 1 ? isIdentityEnvelope(envelope) : flag === 0 && envelope.length === 0;
  if (!hasRest) return undefined;
  const entityId = bytes.subarray(ENTITY, THROUGH);
  const chainLink = decodeCausalLink(bytes, LINK) as CausalLink;
  const throughSeq = readU64(bytes, THROUGH);
  if (throughSeq !== chainLink.sequence || chainLink.originHash !== originOf(entityId)) return undefined;
  const createdAt = readU64(bytes, CREATED);
  const snapshot = { entityId, throughSeq, chainLink, createdAt, state, bindings };
  return flag === 1 ? { ...snapshot, envelope } : snapshot;
}

/** The bytes after the u32 length at `at`; undefined when they are not all there. */
function readSized(bytes: Uint8Array, at: number): Uint8Array | undefined {
  const start = at + LENGTH_SIZE;
  if (start > bytes.length) return undefined;
  const length = readU32(bytes, at);
  return length > bytes.length - start ? undefined : bytes.subarray(start, start + length);
}

function originOf(entityId: Uint8Array): bigint {
  return Identity.publicOnly(entityId).originHash;
}

/**
 * The snapshot with the daemon's key sealed for one node, bound to its chain link (§5). Throws what `sealIdentity` does:
 * `read-only` for an identity without secret half, `invalid-key` for an unusable target.
 */
export function sealSnapshot(
  snapshot: StateSnapshot,
  identity: Identity,
  options: Omit<SealIdentityOptions, "link">,
): StateSnapshot {
  const link = encodeCausalLink(snapshot.chainLink);
  return { ...snapshot, envelope: sealIdentity(identity, { ...options, link }) };
}

/**
 * The identity in the snapshot's envelope, seed included; the caller's to `zeroize`. Undefined when there is no envelope. One
 * that is there and does not open for this node, entity and link throws what `openIdentity` does, and is never to be ignored
 * (§5, §23).
 */
export function openSnapshotIdentity(
  snapshot: StateSnapshot,
  options: Omit<OpenIdentityOptions, "link" | "expectedSigner">,
): Identity | undefined {
  if (snapshot.envelope === undefined) return undefined;
  const link = encodeCausalLink(snapshot.chainLink);
  return openIdentity(snapshot.envelope, { ...options, link, expectedSigner: snapshot.entityId });
}
