import { copyBytes } from "./copy-bytes.ts";
import { WireError } from "./errors.ts";
import { assertSize, assertU32 } from "./integer-range.ts";
import { readU32, writeU32 } from "./little-endian.ts";

// Not part of Net 0.27: two netmesh nodes exchange these under `NETMESH_CONTROL` once both have announced
// `PeerFeature.REKEY` (docs/protocol/forward-secrecy.md).
//   kind u8 ‖ epoch u32 ‖ [ X25519 public key, 32 bytes ]

/** What a rekey message is for. */
export const RekeyKind = {
  /** The session's initiator offers its half of the next key agreement. */
  PROPOSE: 1,
  /** The responder answers with its half. */
  ACCEPT: 2,
  /** The responder asks for a proposal. */
  REQUEST: 3,
} as const;

/** Bytes of the X25519 public key in a proposal or an acceptance. */
export const REKEY_PUBLIC_KEY_SIZE = 32;
/** Bytes of a request. */
export const REKEY_REQUEST_SIZE = 5;
/** Bytes of a proposal or an acceptance. */
export const REKEY_SIZE: number = REKEY_REQUEST_SIZE + REKEY_PUBLIC_KEY_SIZE;

/** One half of the key agreement for an epoch. */
export interface RekeyExchange {
  readonly kind: typeof RekeyKind.PROPOSE | typeof RekeyKind.ACCEPT;
  /** The key epoch that is agreed on, u32; 0 is that of the handshake. */
  readonly epoch: number;
  /** The sender's fresh X25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** The wish for another epoch. */
export interface RekeyRequest {
  readonly kind: typeof RekeyKind.REQUEST;
  /** The key epoch that is wished for, u32. */
  readonly epoch: number;
}

/** A message about the renewal of a session's keys. */
export type RekeyMessage = RekeyExchange | RekeyRequest;

/**
 * Encodes a rekey message: 37 new bytes, a request 5.
 * @throws {WireError} `invalid-argument` for an unknown kind, an epoch that is no u32, a key that has not 32 bytes.
 */
export function encodeRekey(message: RekeyMessage): Uint8Array {
  const { kind, epoch } = message;
  assertU32(epoch, "epoch");
  if (kind === RekeyKind.REQUEST) return start(kind, epoch, REKEY_REQUEST_SIZE);
  if (kind !== RekeyKind.PROPOSE && kind !== RekeyKind.ACCEPT) {
    throw new WireError("invalid-argument", `kind must be 1, 2 or 3, got ${kind}`, kind);
  }
  assertSize(message.publicKey, REKEY_PUBLIC_KEY_SIZE, "publicKey");
  const bytes = start(kind, epoch, REKEY_SIZE);
  bytes.set(message.publicKey, REKEY_REQUEST_SIZE);
  return bytes;
}

function start(kind: number, epoch: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[0] = kind;
  writeU32(bytes, 1, epoch);
  return bytes;
}

/**
 * Decodes a rekey message, copying the key; `undefined` for an unknown kind and for any length but that of the kind.
 */
export function decodeRekey(bytes: Uint8Array): RekeyMessage | undefined {
  const kind = bytes[0];
  if (kind === RekeyKind.REQUEST) {
    return bytes.length === REKEY_REQUEST_SIZE ? { kind, epoch: readU32(bytes, 1) } : undefined;
  }
  if (kind !== RekeyKind.PROPOSE && kind !== RekeyKind.ACCEPT) return undefined;
  if (bytes.length !== REKEY_SIZE) return undefined;
  return { kind, epoch: readU32(bytes, 1), publicKey: copyBytes(bytes, REKEY_REQUEST_SIZE) };
}
