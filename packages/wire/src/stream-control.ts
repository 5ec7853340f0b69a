import { readU64, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";

/** Bytes of a stream window (§9.1). */
export const STREAM_WINDOW_SIZE = 24;
/** Bytes of a stream NACK (§9.2). */
export const STREAM_NACK_SIZE = 24;
/** Bytes of a stream reset (§9.3). */
export const STREAM_RESET_SIZE = 8;

/** A receiver's grant: what it has taken from a stream so far (§9.1). */
export interface StreamWindow {
  readonly streamId: bigint;
  /** Absolute count of accepted wire bytes on the stream. */
  readonly totalConsumed: bigint;
  /** Lowest sequence not yet received contiguously; 0 on an unreliable stream. */
  readonly ackSequence: bigint;
}

/** A receiver's request to send again (§9.2); `missingSequences` lists what it asks for. */
export interface StreamNack {
  readonly streamId: bigint;
  /** The first missing sequence. */
  readonly nextExpected: bigint;
  /** Bit i: sequence `nextExpected + 1 + i` is missing too. */
  readonly missingBitmap: bigint;
}

/** A side's notice that it dropped the stream (§9.3). */
export interface StreamReset {
  readonly streamId: bigint;
}

/**
 * Encodes a stream window into 24 new bytes (§9.1).
 * @throws {WireError} `invalid-argument` when a field is outside the u64 range.
 */
export function encodeStreamWindow(window: StreamWindow): Uint8Array {
  return encodeU64s(
    "streamId",
    window.streamId,
    "totalConsumed",
    window.totalConsumed,
    "ackSequence",
    window.ackSequence,
  );
}

/** Decodes a stream window; `undefined` unless `bytes` has exactly 24 bytes (§9.1). */
export function decodeStreamWindow(bytes: Uint8Array): StreamWindow | undefined {
  if (bytes.length !== STREAM_WINDOW_SIZE) return undefined;
  return { streamId: readU64(bytes, 0), totalConsumed: readU64(bytes, 8), ackSequence: readU64(bytes, 16) };
}

/**
 * Encodes a stream NACK into 24 new bytes (§9.2).
 * @throws {WireError} `invalid-argument` when a field is outside the u64 range.
 */
export function encodeStreamNack(nack: StreamNack): Uint8Array {
  return encodeU64s(
    "streamId",
    nack.streamId,
    "nextExpected",
    nack.nextExpected,
    "missingBitmap",
    nack.missingBitmap,
  );
}

/** Decodes a stream NACK; `undefined` unless `bytes` has exactly 24 bytes (§9.2). */
export function decodeStreamNack(bytes: Uint8Array): StreamNack | undefined {
  if (bytes.length !== STREAM_NACK_SIZE) return undefined;
  return { streamId: readU64(bytes, 0), nextExpected: readU64(bytes, 8), missingBitmap: readU64(bytes, 16) };
}

/**
 * Encodes a stream reset into 8 new bytes (§9.3).
 * @throws {WireError} `invalid-argument` when the stream id is outside the u64 range.
 */
export function encodeStreamReset(reset: StreamReset): Uint8Array {
  return encodeU64s("streamId", reset.streamId);
}

/** Decodes a stream reset; `undefined` unless `bytes` has exactly 8 bytes (§9.3). */
export function decodeStreamReset(bytes: Uint8Array): StreamReset | undefined {
  if (bytes.length !== STREAM_RESET_SIZE) return undefined;
  return { streamId: readU64(bytes, 0) };
}

function encodeU64s(...namesAndValues: (string | bigint)[]): Uint8Array {
  const bytes = new Uint8Array(namesAndValues.length * 4);
  for (let i = 0; i < namesAndValues.length; i += 2) {
    const value = namesAndValues[i + 1];
    assertU64(value, namesAndValues[i] as string);
    writeU64(bytes, i * 4, value);
  }
  return bytes;
}
