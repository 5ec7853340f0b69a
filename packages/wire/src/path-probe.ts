import {
  EVENT_LENGTH_PREFIX,
  HEADER_SIZE,
  MAX_PACKET_SIZE,
  ROUTING_HEADER_SIZE,
  TAG_SIZE,
} from "./constants.ts";
import { WireError } from "./errors.ts";
import { assertU32 } from "./integer-range.ts";
import { readU16, readU32, writeU16, writeU32 } from "./little-endian.ts";

// Not part of Net 0.27: two netmesh nodes exchange these under `NETMESH_CONTROL` once both have announced
// `PeerFeature.PATH_MTU` (docs/protocol/path-mtu.md).
//   probe:  kind u8 = 4 ‖ id u32 ‖ size u16 ‖ zeros, up to the size that is probed
//   answer: kind u8 = 5 ‖ id u32 ‖ size u16

/** What a message about the size of a path is. */
export const PathProbeKind = {
  /** Fills a datagram of the size that it asks about. */
  PROBE: 4,
  /** Tells that the datagram has arrived whole. */
  ANSWER: 5,
} as const;

/** One of {@link PathProbeKind}. */
export type PathProbeKind = (typeof PathProbeKind)[keyof typeof PathProbeKind];

/** Bytes of an answer, and of a probe in front of its padding. */
export const PATH_PROBE_ANSWER_SIZE = 7;
/** Smallest datagram in bytes that is probed: every path is taken to carry it. */
export const MIN_PATH_PROBE_SIZE = 1_200;
/** Largest datagram in bytes that is probed, its routing header included. */
export const MAX_PATH_PROBE_SIZE: number = MAX_PACKET_SIZE;

/** What a datagram has besides its one event, in bytes. */
const DIRECT_OVERHEAD = HEADER_SIZE + TAG_SIZE + EVENT_LENGTH_PREFIX;
const ROUTED_OVERHEAD = DIRECT_OVERHEAD + ROUTING_HEADER_SIZE;

/** A probe or its answer. */
export interface PathProbe {
  readonly kind: PathProbeKind;
  /** Tells the probes of a session apart, u32. */
  readonly id: number;
  /** The whole datagram of the probe in bytes, its routing header included; 1200 to 8192. */
  readonly size: number;
}

/**
 * Encodes a probe that makes a datagram of exactly `size` bytes, routing header included, when it is the only event.
 * @throws {WireError} `invalid-argument` for an id that is no u32 or a size out of range.
 */
export function encodePathProbe(id: number, size: number, isRouted: boolean): Uint8Array {
  return encode(PathProbeKind.PROBE, id, size, size - (isRouted ? ROUTED_OVERHEAD : DIRECT_OVERHEAD));
}

/**
 * Encodes the answer to a probe, 7 bytes.
 * @throws {WireError} `invalid-argument` for an id that is no u32 or a size out of range.
 */
export function encodePathProbeAnswer(id: number, size: number): Uint8Array {
  return encode(PathProbeKind.ANSWER, id, size, PATH_PROBE_ANSWER_SIZE);
}

function encode(kind: PathProbeKind, id: number, size: number, length: number): Uint8Array {
  assertU32(id, "id");
  if (!Number.isInteger(size) || !isProbed(size)) {
    throw new WireError("invalid-argument", `size must be 1200 to 8192, got ${size}`, size);
  }
  const bytes = new Uint8Array(length);
  bytes[0] = kind;
  writeU32(bytes, 1, id);
  writeU16(bytes, 5, size);
  return bytes;
}

/**
 * Decodes a probe or an answer; `undefined` for another kind, a size out of range, and any length but that of the kind: 7
 * bytes for an answer; for a probe what fills a datagram of its size, direct or routed. The padding is not looked at.
 */
export function decodePathProbe(bytes: Uint8Array): PathProbe | undefined {
  if (bytes.length < PATH_PROBE_ANSWER_SIZE) return undefined;
  const kind = bytes[0];
  const size = readU16(bytes, 5);
  if (!isProbed(size)) return undefined;
  if (kind === PathProbeKind.PROBE) {
    if (bytes.length !== size - DIRECT_OVERHEAD && bytes.length !== size - ROUTED_OVERHEAD) return undefined;
  } else if (kind !== PathProbeKind.ANSWER || bytes.length !== PATH_PROBE_ANSWER_SIZE) return undefined;
  return { kind, id: readU32(bytes, 1), size };
}

function isProbed(size: number): boolean {
  return size >= MIN_PATH_PROBE_SIZE && size <= MAX_PATH_PROBE_SIZE;
}
