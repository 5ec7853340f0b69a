import { assertChannelName, isChannelName } from "./channel-name.ts";
import { WireError } from "./errors.ts";
import { readU16, readU64, writeU16, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";

/** Why a membership request was answered as it was (§9.4). */
export const MembershipReason = {
  OK: 0,
  UNAUTHORIZED: 1,
  UNKNOWN_CHANNEL: 2,
  RATE_LIMITED: 3,
  TOO_MANY_CHANNELS: 4,
} as const;
/** One of the numbers of {@link MembershipReason}. */
export type MembershipReason = (typeof MembershipReason)[keyof typeof MembershipReason];

/** A request to receive a channel (§9.4). */
export interface SubscribeMessage {
  readonly type: "subscribe";
  /** Unpredictable; the ack repeats it. */
  readonly nonce: bigint;
  readonly channel: string;
  /** Serialised token chain, 1..65535 bytes; absent = none. Decoded, it borrows the input. */
  readonly token?: Uint8Array;
  /** Queue group, 1..255 bytes of UTF-8; absent = none. */
  readonly queueGroup?: string;
}

/** A request to receive a channel no more (§9.4). */
export interface UnsubscribeMessage {
  readonly type: "unsubscribe";
  readonly nonce: bigint;
  readonly channel: string;
}

/** The answer to either request (§9.4). */
export interface MembershipAck {
  readonly type: "ack";
  readonly nonce: bigint;
  readonly accepted: boolean;
  readonly reason: MembershipReason;
}

/** A subscriber asks how far a channel is: netmesh only (docs/protocol/channels.md). */
export interface PositionRequest {
  readonly type: "position-request";
  /** Unpredictable; the answer repeats it. */
  readonly nonce: bigint;
  readonly channel: string;
}

/** The publisher's answer to a {@link PositionRequest}, of the time when it was sent. */
export interface ChannelPosition {
  readonly type: "position";
  readonly nonce: bigint;
  /** Sequence of the packet with the next event of the channel for this subscriber, or less; at most 2^53 - 1. */
  readonly sequence: number;
  /** How many events were published on the channel before it, u64. */
  readonly position: bigint;
}

/** One event of subprotocol `0x0A00` (§9.4), two of which only netmesh nodes know. */
export type MembershipMessage =
  | SubscribeMessage
  | UnsubscribeMessage
  | MembershipAck
  | PositionRequest
  | ChannelPosition;

const SUBSCRIBE = 0;
const UNSUBSCRIBE = 1;
const ACK = 2;
const POSITION_REQUEST = 0x80;
const POSITION = 0x81;

const NAME_LENGTH_OFFSET = 9;
const NAME_OFFSET = 10;
const ACK_SIZE = 11;
const POSITION_SIZE = 25;
const NO_BYTES = new Uint8Array(0);

/**
 * Encodes a membership message into new bytes (§9.4).
 * @throws {WireError} `invalid-argument` (nonce, reason, sequence, position, empty or over-long queue group), `invalid-channel-name`,
 * `message-too-large` (token above 65535 bytes).
 */
export function encodeMembership(message: MembershipMessage): Uint8Array {
  assertU64(message.nonce, "nonce");
  if (message.type === "ack") return encodeAck(message);
  if (message.type === "position") return encodePosition(message);
  assertChannelName(message.channel);
  if (message.type === "subscribe") return encodeSubscribe(message);
  return encodeHead(message.type === "unsubscribe" ? UNSUBSCRIBE : POSITION_REQUEST, message, 0);
}

function encodeHead(
  kind: number,
  message: SubscribeMessage | UnsubscribeMessage | PositionRequest,
  tail: number,
): Uint8Array {
  const name = encodeUtf8(message.channel);
  const bytes = new Uint8Array(NAME_OFFSET + name.length + tail);
  bytes[0] = kind;
  writeU64(bytes, 1, message.nonce);
  bytes[NAME_LENGTH_OFFSET] = name.length;
  bytes.set(name, NAME_OFFSET);
  return bytes;
}

function encodeSubscribe(message: SubscribeMessage): Uint8Array {
  const token = message.token ?? NO_BYTES;
  if (token.length > 0xffff) {
    throw new WireError("message-too-large", `a token of ${token.length} bytes, 65535 fit`, token.length);
  }
  const group = message.queueGroup === undefined ? undefined : encodeUtf8(message.queueGroup);
  if (group !== undefined && (group.length === 0 || group.length > 0xff)) {
    throw new WireError("invalid-argument", "queueGroup must have 1..=255 bytes", message.queueGroup);
  }
  const tail = 2 + token.length + (group === undefined ? 0 : 1 + group.length);
  const bytes = encodeHead(SUBSCRIBE, message, tail);
  let offset = bytes.length - tail;
  writeU16(bytes, offset, token.length);
  bytes.set(token, offset + 2);
  offset += 2 + token.length;
  if (group !== undefined) {
    bytes[offset] = group.length;
    bytes.set(group, offset + 1);
  }
  return bytes;
}

function encodeAck(message: MembershipAck): Uint8Array {
  if (!isReason(message.reason)) {
    throw new WireError("invalid-argument", `unknown reason ${message.reason}`, message.reason);
  }
  const bytes = new Uint8Array(ACK_SIZE);
  bytes[0] = ACK;
  writeU64(bytes, 1, message.nonce);
  bytes[9] = message.accepted ? 1 : 0;
  bytes[10] = message.reason;
  return bytes;
}

function encodePosition({ nonce, sequence, position }: ChannelPosition): Uint8Array {
  if (!Number.isSafeInteger(sequence) || sequence < 0) {
    throw new WireError("invalid-argument", `sequence must be 0..2^53 - 1, got ${sequence}`, sequence);
  }
  assertU64(position, "position");
  const bytes = new Uint8Array(POSITION_SIZE);
  bytes[0] = POSITION;
  writeU64(bytes, 1, nonce);
  writeU64(bytes, 9, BigInt(sequence));
  writeU64(bytes, 17, position);
  return bytes;
}

/**
 * Decodes a membership message (§9.4). A subscribe may end behind the name or behind the token.
 * `undefined` for every other truncation, trailing bytes, and unknown or invalid values.
 */
export function decodeMembership(bytes: Uint8Array): MembershipMessage | undefined {
  const kind = bytes[0];
  if (kind === ACK) return decodeAck(bytes);
  if (kind === POSITION) return decodePosition(bytes);
  if (kind !== SUBSCRIBE && kind !== UNSUBSCRIBE && kind !== POSITION_REQUEST) return undefined;
  if (bytes.length < NAME_OFFSET) return undefined;
  const nonce = readU64(bytes, 1);
  const nameEnd = NAME_OFFSET + (bytes[NAME_LENGTH_OFFSET] as number);
  if (nameEnd > bytes.length) return undefined;
  const channel = decodeUtf8(bytes.subarray(NAME_OFFSET, nameEnd));
  if (channel === undefined || !isChannelName(channel)) return undefined;
  if (kind === SUBSCRIBE) return decodeSubscribeTail(bytes, nameEnd, nonce, channel);
  if (nameEnd !== bytes.length) return undefined;
  return { type: kind === UNSUBSCRIBE ? "unsubscribe" : "position-request", nonce, channel };
}

function decodeSubscribeTail(
  bytes: Uint8Array,
  nameEnd: number,
  nonce: bigint,
  channel: string,
): SubscribeMessage | undefined {
  const bare = { type: "subscribe", nonce, channel } as const;
  if (nameEnd === bytes.length) return bare;
  const tokenStart = nameEnd + 2;
  if (tokenStart > bytes.length) return undefined;
  const tokenEnd = tokenStart + readU16(bytes, nameEnd);
  if (tokenEnd > bytes.length) return undefined;
  const message = tokenEnd === tokenStart ? bare : { ...bare, token: bytes.subarray(tokenStart, tokenEnd) };
  if (tokenEnd === bytes.length) return message;
  const groupStart = tokenEnd + 1;
  if (groupStart + (bytes[tokenEnd] as number) !== bytes.length) return undefined;
  if (groupStart === bytes.length) return message;
  const queueGroup = decodeUtf8(bytes.subarray(groupStart));
  return queueGroup === undefined ? undefined : { ...message, queueGroup };
}

function decodeAck(bytes: Uint8Array): MembershipAck | undefined {
  const accepted = bytes[9] as number;
  const reason = bytes[10] as number;
  if (bytes.length !== ACK_SIZE || accepted > 1 || !isReason(reason)) return undefined;
  return { type: "ack", nonce: readU64(bytes, 1), accepted: accepted === 1, reason };
}

function decodePosition(bytes: Uint8Array): ChannelPosition | undefined {
  if (bytes.length !== POSITION_SIZE) return undefined;
  const sequence = Number(readU64(bytes, 9));
  if (!Number.isSafeInteger(sequence)) return undefined;
  return { type: "position", nonce: readU64(bytes, 1), sequence, position: readU64(bytes, 17) };
}

function isReason(reason: number): reason is MembershipReason {
  return Number.isInteger(reason) && reason >= 0 && reason <= MembershipReason.TOO_MANY_CHANNELS;
}
