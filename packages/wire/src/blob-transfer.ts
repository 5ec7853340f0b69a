import { WireError } from "./errors.ts";
import { assertSize } from "./integer-range.ts";

/** Bytes of a BLAKE3 content hash (§9.8). */
export const CONTENT_HASH_SIZE = 32;
/** Most blob bytes per event (§9.8). */
export const MAX_TRANSFER_CHUNK = 8000;
/** Largest blob in bytes (§9.8). */
export const MAX_TRANSFER_SIZE: number = 16 * 1024 * 1024;

const TRANSFER_BIT = 1n << 61n;
const PUBLISH_BIT = 1n << 48n;

const FOUND = 0;
const NOT_FOUND = 1;
const GROUP_BITS = 7;
const GROUP_MASK = 0x7f;
const MORE = 0x80;
/** A u64 takes at most ten groups of seven bits. */
const MAX_GROUPS = 10;

/** The first event of an answer: how much follows, or that the holder has no such blob (§9.8). */
export type TransferHeader =
  | { readonly found: true; readonly totalLength: number }
  | { readonly found: false };

/** The stream id of a transfer: bit 61 set, bit 48 clear, the low 48 bits of `nonce` (§9.8, §10.1). Draw it at random. */
export function transferStreamId(nonce: bigint): bigint {
  return TRANSFER_BIT | BigInt.asUintN(48, nonce);
}

/** Whether a stream id has bit 61 set and bit 48 clear (§10.1). */
export function isTransferStreamId(streamId: bigint): boolean {
  return (streamId & (TRANSFER_BIT | PUBLISH_BIT)) === TRANSFER_BIT;
}

/**
 * Encodes the request for a blob into 33 new bytes (§9.8).
 * @throws {WireError} `invalid-argument` unless the hash has 32 bytes.
 */
export function encodeTransferRequest(contentHash: Uint8Array): Uint8Array {
  assertSize(contentHash, CONTENT_HASH_SIZE, "contentHash");
  const bytes = new Uint8Array(1 + CONTENT_HASH_SIZE);
  bytes.set(contentHash, 1);
  return bytes;
}

/** The content hash of a request, as a view; `undefined` when it is cut short or of another kind (§9.8). */
export function decodeTransferRequest(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 1 + CONTENT_HASH_SIZE || bytes[0] !== 0) return undefined;
  return bytes.subarray(1, 1 + CONTENT_HASH_SIZE);
}

/**
 * Encodes a transfer header (§9.8).
 * @throws {WireError} `message-too-large` above 16 MiB, `invalid-argument` when the length is not a natural number.
 */
export function encodeTransferHeader(header: TransferHeader): Uint8Array {
  if (!header.found) return Uint8Array.of(NOT_FOUND);
  const { totalLength } = header;
  if (!Number.isInteger(totalLength) || totalLength < 0) {
    throw new WireError(
      "invalid-argument",
      `totalLength must be a natural number, got ${totalLength}`,
      totalLength,
    );
  }
  if (totalLength > MAX_TRANSFER_SIZE) {
    throw new WireError(
      "message-too-large",
      `${totalLength} bytes, a transfer takes ${MAX_TRANSFER_SIZE}`,
      totalLength,
    );
  }
  const bytes = [FOUND];
  let rest = totalLength;
  for (; rest > GROUP_MASK; rest >>>= GROUP_BITS) bytes.push((rest & GROUP_MASK) | MORE);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/**
 * Decodes a transfer header; bytes behind it are ignored. `undefined` when it is cut short, of another kind, or
 * announces more than 16 MiB (§9.8).
 */
export function decodeTransferHeader(bytes: Uint8Array): TransferHeader | undefined {
  if (bytes[0] === NOT_FOUND) return { found: false };
  if (bytes[0] !== FOUND) return undefined;
  let totalLength = 0;
  for (let i = 0; i < MAX_GROUPS; i++) {
    const group = bytes[1 + i];
    if (group === undefined) return undefined;
    totalLength += (group & GROUP_MASK) * 2 ** (GROUP_BITS * i);
    if (totalLength > MAX_TRANSFER_SIZE) return undefined;
    if ((group & MORE) === 0) return { found: true, totalLength };
  }
  return undefined;
}
