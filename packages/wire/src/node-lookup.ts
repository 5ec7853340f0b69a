import { copyBytes } from "./copy-bytes.ts";
import { WireError } from "./errors.ts";
import { assertU8, assertU32 } from "./integer-range.ts";
import { readU32, readU64, writeU32, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";

// Not part of Net 0.27: two netmesh nodes that have announced `PeerFeature.SCOPED_FLOODS` exchange these under
// `NETMESH_CONTROL` (docs/protocol/scaling.md).
//   request, answer: kind u8 = 11, 12 ‖ ttl u8 ‖ hops u8 ‖ flags u8 ‖ id u32 ‖ time u32 ‖ origin u64 ‖ target u64
//                    ‖ entity id [32] ‖ signature [64]

/** What a message about the way to a node is. */
export const NodeLookupKind = {
  /** Looks for the target; signed by the origin. */
  REQUEST: 11,
  /** Shows the way to it, back to the origin; signed by the target. */
  ANSWER: 12,
} as const;

/** One of {@link NodeLookupKind}. */
export type NodeLookupKind = (typeof NodeLookupKind)[keyof typeof NodeLookupKind];

/** Bytes of a request and of an answer. */
export const NODE_LOOKUP_SIZE = 124;

const SIGNED_FROM = 4;
const ORIGIN = 12;
const TARGET = 20;
const ENTITY = 28;
const SIGNATURE = 60;
const DIRECTED = 1;

/** A question for the way to a node, or the answer to it. */
export interface NodeLookup {
  readonly kind: NodeLookupKind;
  /** Times that a request is still given to every neighbour; 0 in an answer. */
  readonly ttl: number;
  /** Hops that it has come so far: from the origin in a request, from the target in an answer. Not signed. */
  readonly hops: number;
  /** Whether a request follows routes only. */
  readonly isDirected: boolean;
  /** Tells the requests of an origin apart, u32. */
  readonly id: number;
  /** Unix time at which it was signed, in seconds, u32. */
  readonly timeSeconds: number;
  readonly originId: bigint;
  readonly targetId: bigint;
  /** Ed25519 public key of the signer, 32 bytes: the origin's in a request, the target's in an answer. */
  readonly entityId: Uint8Array;
  /** Signature of {@link nodeLookupSignedBytes}, 64 bytes. */
  readonly signature: Uint8Array;
}

/**
 * Encodes a request or an answer, 124 bytes.
 * @throws {WireError} `invalid-argument` for a number that does not fit its field, a key or a signature of another size.
 */
export function encodeNodeLookup(lookup: NodeLookup): Uint8Array {
  const { kind, ttl, hops, isDirected, id, timeSeconds, originId, targetId, entityId, signature } = lookup;
  assertU8(ttl, "ttl");
  assertU8(hops, "hops");
  assertU32(id, "id");
  assertU32(timeSeconds, "timeSeconds");
  assertU64(originId, "originId");
  assertU64(targetId, "targetId");
  if (entityId.length !== SIGNATURE - ENTITY || signature.length !== NODE_LOOKUP_SIZE - SIGNATURE) {
    throw new WireError("invalid-argument", "a lookup has an entity id of 32 bytes and a signature of 64");
  }
  const bytes = new Uint8Array(NODE_LOOKUP_SIZE);
  bytes[0] = kind;
  bytes[1] = ttl;
  bytes[2] = hops;
  bytes[3] = isDirected ? DIRECTED : 0;
  writeU32(bytes, SIGNED_FROM, id);
  writeU32(bytes, 8, timeSeconds);
  writeU64(bytes, ORIGIN, originId);
  writeU64(bytes, TARGET, targetId);
  bytes.set(entityId, ENTITY);
  bytes.set(signature, SIGNATURE);
  return bytes;
}

/** Decodes a request or an answer, as copies; undefined for another kind or length. Flags that are not known are ignored. */
export function decodeNodeLookup(bytes: Uint8Array): NodeLookup | undefined {
  const kind = bytes[0];
  if (bytes.length !== NODE_LOOKUP_SIZE) return undefined;
  if (kind !== NodeLookupKind.REQUEST && kind !== NodeLookupKind.ANSWER) return undefined;
  return {
    kind,
    ttl: bytes[1] as number,
    hops: bytes[2] as number,
    isDirected: ((bytes[3] as number) & DIRECTED) !== 0,
    id: readU32(bytes, SIGNED_FROM),
    timeSeconds: readU32(bytes, 8),
    originId: readU64(bytes, ORIGIN),
    targetId: readU64(bytes, TARGET),
    entityId: copyBytes(bytes, ENTITY, SIGNATURE),
    signature: copyBytes(bytes, SIGNATURE),
  };
}

/** What the signature of a request or an answer covers: its kind, id, time, and the two nodes. */
export function nodeLookupSignedBytes(
  kind: NodeLookupKind,
  id: number,
  timeSeconds: number,
  originId: bigint,
  targetId: bigint,
): Uint8Array {
  const domain = new TextEncoder().encode("netmesh-lookup-v1");
  const bytes = new Uint8Array(domain.length + 1 + ENTITY - SIGNED_FROM);
  bytes.set(domain);
  bytes[domain.length] = kind;
  const at = domain.length + 1 - SIGNED_FROM;
  writeU32(bytes, at + SIGNED_FROM, id);
  writeU32(bytes, at + 8, timeSeconds);
  writeU64(bytes, at + ORIGIN, originId);
  writeU64(bytes, at + TARGET, targetId);
  return bytes;
}
