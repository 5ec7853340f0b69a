import { Subprotocol } from "./constants.ts";
import { WireError } from "./errors.ts";
import { assertSize, assertU8, assertU32 } from "./integer-range.ts";
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";
import { decodeUtf8, encodeUtf8Prefix } from "./utf8.ts";

/** Bytes of a log's channel id (§9.7). */
export const LOG_CHANNEL_SIZE = 32;
/** Most payload bytes that a leader puts into one response (§9.7). */
export const MAX_LOG_CHUNK: number = 64 * 1024 * 1024;

/** How urgent a replica's request is (§9.7). */
export const LogRequestClass = { FOREGROUND: 0, BACKGROUND: 1, REAL_TIME: 2 } as const;
/** One of the numbers of {@link LogRequestClass}. */
export type LogRequestClass = (typeof LogRequestClass)[keyof typeof LogRequestClass];

/** What a replica is to its log (§9.7). */
export const LogRole = { LEADER: 0, REPLICA: 1, CANDIDATE: 2, IDLE: 3 } as const;
/** One of the numbers of {@link LogRole}. */
export type LogRole = (typeof LogRole)[keyof typeof LogRole];

/** Why a leader refuses a request (§9.7). */
export const LogNackCode = { NOT_LEADER: 1, BAD_RANGE: 2, BACK_PRESSURE: 3, CHANNEL_CLOSED: 4 } as const;
/** One of the numbers of {@link LogNackCode}. */
export type LogNackCode = (typeof LogNackCode)[keyof typeof LogNackCode];

/** Replica to leader: send me records from `sinceSequence` on (§9.7). */
export interface LogRequest {
  readonly type: "request";
  /** 32 bytes. */
  readonly channel: Uint8Array;
  readonly sinceSequence: bigint;
  /** Payload bytes wanted; see {@link effectiveLogChunk}. */
  readonly chunkMax: number;
  /** Random; the answer repeats it. */
  readonly requestId: bigint;
  readonly class: LogRequestClass;
}

/** One event of a log. */
export interface LogRecord {
  readonly sequence: bigint;
  readonly data: Uint8Array;
}

/** Leader to replica: records (§9.7). */
export interface LogResponse {
  readonly type: "response";
  readonly channel: Uint8Array;
  readonly firstSequence: bigint;
  readonly leaderFirstRetained: bigint;
  readonly requestId: bigint;
  readonly records: readonly LogRecord[];
}

/** Either way: this is how far my log goes (§9.7). */
export interface LogHeartbeat {
  readonly type: "heartbeat";
  readonly channel: Uint8Array;
  readonly tailSequence: bigint;
  readonly role: LogRole;
  /** The sender's clock: milliseconds since the Unix epoch. */
  readonly clockMs: bigint;
}

/** Leader to replica: no (§9.7). */
export interface LogNack {
  readonly type: "nack";
  readonly channel: Uint8Array;
  readonly sinceSequence: bigint;
  readonly code: LogNackCode;
  /** Meaningful for `BAD_RANGE` only, else 0. */
  readonly leaderFirstRetained: bigint;
  readonly requestId: bigint;
  /** For people; cut to 65,535 bytes of UTF-8. */
  readonly detail: string;
}

/** One event of subprotocol `0x0E00` (§9.7). Decoded byte fields borrow the input. */
export type LogMessage = LogRequest | LogResponse | LogHeartbeat | LogNack;

const REQUEST = 0x20;
const RESPONSE = 0x21;
const HEARTBEAT = 0x22;
const NACK = 0x23;

const CHANNEL_OFFSET = 3;
/** Everything in front of the message's own fields: subprotocol id, dispatch, channel. */
const BODY: number = CHANNEL_OFFSET + LOG_CHANNEL_SIZE;
const REQUEST_SIZE: number = BODY + 21;
const RESPONSE_SIZE: number = BODY + 28;
const HEARTBEAT_SIZE: number = BODY + 17;
const NACK_SIZE: number = BODY + 27;
const RECORD_HEAD_SIZE = 12;
const MAX_DETAIL_SIZE = 0xffff;

/** The bytes per response that a leader takes a request to ask for: 0 and more than 64 MiB mean 64 MiB (§9.7). */
export function effectiveLogChunk(chunkMax: number): number {
  return chunkMax === 0 || chunkMax > MAX_LOG_CHUNK ? MAX_LOG_CHUNK : chunkMax;
}

/**
 * Encodes a replication message into new bytes (§9.7).
 * @throws {WireError} `invalid-argument` when a field is out of range or the channel has not 32 bytes.
 */
export function encodeLogMessage(message: LogMessage): Uint8Array {
  assertSize(message.channel, LOG_CHANNEL_SIZE, "channel");
  switch (message.type) {
    case "request":
      return encodeRequest(message);
    case "response":
      return encodeResponse(message);
    case "heartbeat":
      return encodeHeartbeat(message);
    case "nack":
      return encodeNack(message);
  }
}

function allocate(size: number, dispatch: number, channel: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(size);
  writeU16(bytes, 0, Subprotocol.LOG_REPLICATION);
  bytes[2] = dispatch;
  bytes.set(channel, CHANNEL_OFFSET);
  return bytes;
}

function encodeRequest(message: LogRequest): Uint8Array {
  assertU64(message.sinceSequence, "sinceSequence");
  assertU32(message.chunkMax, "chunkMax");
  assertU64(message.requestId, "requestId");
  assertU8(message.class, "class");
  const bytes = allocate(REQUEST_SIZE, REQUEST, message.channel);
  writeU64(bytes, BODY, message.sinceSequence);
  writeU32(bytes, BODY + 8, message.chunkMax);
  writeU64(bytes, BODY + 12, message.requestId);
  bytes[BODY + 20] = message.class;
  return bytes;
}

function encodeResponse(message: LogResponse): Uint8Array {
  assertU64(message.firstSequence, "firstSequence");
  assertU64(message.leaderFirstRetained, "leaderFirstRetained");
  assertU64(message.requestId, "requestId");
  let size = RESPONSE_SIZE;
  for (const record of message.records) {
    assertU64(record.sequence, "sequence");
    size += RECORD_HEAD_SIZE + record.data.length;
  }
  const bytes = allocate(size, RESPONSE, message.channel);
  writeU64(bytes, BODY, message.firstSequence);
  writeU64(bytes, BODY + 8, message.leaderFirstRetained);
  writeU64(bytes, BODY + 16, message.requestId);
  writeU32(bytes, BODY + 24, message.records.length);
  let offset = RESPONSE_SIZE;
  for (const { sequence, data } of message.records) {
    writeU64(bytes, offset, sequence);
    writeU32(bytes, offset + 8, data.length);
    bytes.set(data, offset + RECORD_HEAD_SIZE);
    offset += RECORD_HEAD_SIZE + data.length;
  }
  return bytes;
}

function encodeHeartbeat(message: LogHeartbeat): Uint8Array {
  assertU64(message.tailSequence, "tailSequence");
  assertU64(message.clockMs, "clockMs");
  if (!isRole(message.role)) throw new WireError("invalid-argument", "unknown role", message.role);
  const bytes = allocate(HEARTBEAT_SIZE, HEARTBEAT, message.channel);
  writeU64(bytes, BODY, message.tailSequence);
  bytes[BODY + 8] = message.role;
  writeU64(bytes, BODY + 9, message.clockMs);
  return bytes;
}

function encodeNack(message: LogNack): Uint8Array {
  assertU64(message.sinceSequence, "sinceSequence");
  assertU64(message.leaderFirstRetained, "leaderFirstRetained");
  assertU64(message.requestId, "requestId");
  if (!isNackCode(message.code)) throw new WireError("invalid-argument", "unknown code", message.code);
  const detail = encodeUtf8Prefix(message.detail, MAX_DETAIL_SIZE);
  const bytes = allocate(NACK_SIZE + detail.length, NACK, message.channel);
  writeU64(bytes, BODY, message.sinceSequence);
  bytes[BODY + 8] = message.code;
  writeU64(bytes, BODY + 9, message.leaderFirstRetained);
  writeU64(bytes, BODY + 17, message.requestId);
  writeU16(bytes, BODY + 25, detail.length);
  bytes.set(detail, NACK_SIZE);
  return bytes;
}

/**
 * Decodes a replication message (§9.7); bytes behind its last field are ignored. `undefined` when it is cut
 * short, has another id or dispatch byte, or an unknown role, code or encoding.
 */
export function decodeLogMessage(bytes: Uint8Array): LogMessage | undefined {
  if (bytes.length < BODY || readU16(bytes, 0) !== Subprotocol.LOG_REPLICATION) return undefined;
  const channel = bytes.subarray(CHANNEL_OFFSET, BODY);
  switch (bytes[2]) {
    case REQUEST:
      return decodeRequest(bytes, channel);
    case RESPONSE:
      return decodeResponse(bytes, channel);
    case HEARTBEAT:
      return decodeHeartbeat(bytes, channel);
    case NACK:
      return decodeNack(bytes, channel);
    default:
      return undefined;
  }
}

function decodeRequest(bytes: Uint8Array, channel: Uint8Array): LogRequest | undefined {
  // The class byte is younger than the message; without it the request is a foreground one.
  if (bytes.length < REQUEST_SIZE - 1) return undefined;
  return {
    type: "request",
    channel,
    sinceSequence: readU64(bytes, BODY),
    chunkMax: readU32(bytes, BODY + 8),
    requestId: readU64(bytes, BODY + 12),
    class: decodeClass(bytes[BODY + 20]),
  };
}

function decodeClass(value: number | undefined): LogRequestClass {
  return value === LogRequestClass.BACKGROUND || value === LogRequestClass.REAL_TIME
    ? value
    : LogRequestClass.FOREGROUND;
}

function decodeResponse(bytes: Uint8Array, channel: Uint8Array): LogResponse | undefined {
  if (bytes.length < RESPONSE_SIZE) return undefined;
  const count = readU32(bytes, BODY + 24);
  if (count * RECORD_HEAD_SIZE > bytes.length - RESPONSE_SIZE) return undefined;
  const records: LogRecord[] = [];
  let offset = RESPONSE_SIZE;
  for (let i = 0; i < count; i++) {
    const start = offset + RECORD_HEAD_SIZE;
    if (start > bytes.length) return undefined;
    const length = readU32(bytes, offset + 8);
    if (length > bytes.length - start) return undefined;
    records.push({ sequence: readU64(bytes, offset), data: bytes.subarray(start, start + length) });
    offset = start + length;
  }
  return {
    type: "response",
    channel,
    firstSequence: readU64(bytes, BODY),
    leaderFirstRetained: readU64(bytes, BODY + 8),
    requestId: readU64(bytes, BODY + 16),
    records,
  };
}

function decodeHeartbeat(bytes: Uint8Array, channel: Uint8Array): LogHeartbeat | undefined {
  if (bytes.length < HEARTBEAT_SIZE) return undefined;
  const role = bytes[BODY + 8] as number;
  if (!isRole(role)) return undefined;
  const tailSequence = readU64(bytes, BODY);
  return { type: "heartbeat", channel, tailSequence, role, clockMs: readU64(bytes, BODY + 9) };
}

function decodeNack(bytes: Uint8Array, channel: Uint8Array): LogNack | undefined {
  if (bytes.length < NACK_SIZE) return undefined;
  const code = bytes[BODY + 8] as number;
  const detailEnd = NACK_SIZE + readU16(bytes, BODY + 25);
  if (!isNackCode(code) || detailEnd > bytes.length) return undefined;
  const detail = decodeUtf8(bytes.subarray(NACK_SIZE, detailEnd));
  if (detail === undefined) return undefined;
  return {
    type: "nack",
    channel,
    sinceSequence: readU64(bytes, BODY),
    code,
    leaderFirstRetained: readU64(bytes, BODY + 9),
    requestId: readU64(bytes, BODY + 17),
    detail,
  };
}

function isRole(role: number): role is LogRole {
  return Number.isInteger(role) && role >= LogRole.LEADER && role <= LogRole.IDLE;
}

function isNackCode(code: number): code is LogNackCode {
  return Number.isInteger(code) && code >= LogNackCode.NOT_LEADER && code <= LogNackCode.CHANNEL_CLOSED;
}
