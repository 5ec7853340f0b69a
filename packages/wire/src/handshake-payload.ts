import { assertU32 } from "./integer-range.ts";
import { readU32, readU64, writeU32, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";

// Net uses at most the first 8 bytes of a handshake payload and ignores the rest, so there is room behind them:
//   node id u64 ‖ [ "nm" ‖ version u8 = 1 ‖ body length u8 ‖ features u32 ‖ ignored ]
const NODE_ID_SIZE = 8;
const EXTENSION_MAGIC_0 = 0x6e;
const EXTENSION_MAGIC_1 = 0x6d;
const EXTENSION_VERSION = 1;
const EXTENSION_HEAD_SIZE = 4;
const FEATURES_SIZE = 4;

/** Bits by which a netmesh peer says what it does beyond Net 0.27; Net sends none and ignores ours. */
export const PeerFeature = {
  /** Accepts heartbeats behind a routing header. */
  ROUTED_HEARTBEAT: 1,
  /** Repairs single losses from NACK bitmaps. */
  SELECTIVE_REPAIR: 2,
  /** Closes streams with the FIN flag. */
  STREAM_FIN: 4,
  /** Derives session keys from the Diffie-Hellman results; in effect when both sides announce it. */
  FORWARD_SECRET: 8,
  /** Renews the keys of a forward-secret session; in effect when both sides announce it. */
  REKEY: 16,
  /** Answers probes of the path's datagram size, and takes packets in parts. */
  PATH_MTU: 32,
  /** Proves its identity inside a forward-secret session; in effect when both sides announce it. */
  IDENTITY: 64,
  /** Answers pings of its paths, follows a path that moves, and takes and sends pingwaves sealed. */
  LIVENESS: 128,
  /** Keeps floods between the two within a scope, and takes part in looking for nodes beyond it. */
  SCOPED_FLOODS: 256,
} as const;

/** What netmesh puts into the payload of both handshake messages. */
export interface HandshakePayload {
  /** Full 64-bit node id of the sender. */
  readonly nodeId: bigint;
  /** Bits of {@link PeerFeature}; without it no extension block is written. */
  readonly features?: number;
}

/** What a handshake payload said. */
export interface DecodedHandshakePayload {
  /** The sender's node id; absent when the payload has fewer than 8 bytes. */
  readonly nodeId?: bigint;
  /** Bits of {@link PeerFeature}, unknown bits included; 0 without a well-formed extension block. */
  readonly features: number;
}

/**
 * Encodes a handshake payload: 8 bytes, or 16 with features.
 * @throws {WireError} `invalid-argument` when the node id is not a u64 or the features are not a u32.
 */
export function encodeHandshakePayload(payload: HandshakePayload): Uint8Array {
  const { nodeId, features } = payload;
  assertU64(nodeId, "nodeId");
  if (features === undefined) {
    const bytes = new Uint8Array(NODE_ID_SIZE);
    writeU64(bytes, 0, nodeId);
    return bytes;
  }
  assertU32(features, "features");
  const bytes = new Uint8Array(NODE_ID_SIZE + EXTENSION_HEAD_SIZE + FEATURES_SIZE);
  writeU64(bytes, 0, nodeId);
  bytes[NODE_ID_SIZE] = EXTENSION_MAGIC_0;
  bytes[NODE_ID_SIZE + 1] = EXTENSION_MAGIC_1;
  bytes[NODE_ID_SIZE + 2] = EXTENSION_VERSION;
  bytes[NODE_ID_SIZE + 3] = FEATURES_SIZE;
  writeU32(bytes, NODE_ID_SIZE + EXTENSION_HEAD_SIZE, features);
  return bytes;
}

/** Decodes a handshake payload of any peer; never fails, bytes that it does not know count as absent. */
export function decodeHandshakePayload(bytes: Uint8Array): DecodedHandshakePayload {
  if (bytes.length < NODE_ID_SIZE) return { features: 0 };
  return { nodeId: readU64(bytes, 0), features: decodeFeatures(bytes) };
}

function decodeFeatures(bytes: Uint8Array): number {
  const body = NODE_ID_SIZE + EXTENSION_HEAD_SIZE;
  if (bytes.length < body) return 0;
  if (bytes[NODE_ID_SIZE] !== EXTENSION_MAGIC_0 || bytes[NODE_ID_SIZE + 1] !== EXTENSION_MAGIC_1) return 0;
  if (bytes[NODE_ID_SIZE + 2] !== EXTENSION_VERSION) return 0;
  const bodyLength = bytes[NODE_ID_SIZE + 3] as number;
  if (bodyLength < FEATURES_SIZE || bytes.length < body + bodyLength) return 0;
  return readU32(bytes, body);
}
