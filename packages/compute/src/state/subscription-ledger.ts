import {
  assertChannelName,
  assertU64,
  copyBytes,
  isChannelName,
  MAX_CHANNEL_NAME_SIZE,
  readU16,
  readU32,
  readU64,
  writeU16,
  writeU32,
  writeU64,
} from "@netmesh/wire";
import { StateError } from "./state-error.ts";

/** A channel that a daemon is subscribed to (§6). */
export interface Subscription {
  /** Node id of the publisher. */
  readonly publisher: bigint;
  /** Name of the channel. */
  readonly channel: string;
  /** The token presented, encoded; at most 65 535 bytes. */
  readonly token?: Uint8Array;
}

/** Subscriptions that one ledger holds at most: with the longest names and tokens it still fits into a snapshot. */
export const MAX_SUBSCRIPTIONS = 1000;

const COUNT_SIZE = 4;
/** Publisher, length of the name, token flag: the least that a subscription takes. */
const MIN_RECORD_SIZE = 11;
const MAX_TOKEN_SIZE = 0xffff;
const NO_BYTES = new Uint8Array(0);

/**
 * The channels that a daemon has subscribed to, which travel in its snapshots (§6). One entry for each publisher and channel;
 * at most `MAX_SUBSCRIPTIONS`, beyond which recording fails rather than forgetting another.
 */
export class SubscriptionLedger {
  readonly #entries: Map<string, Subscription> = new Map();

  /** Subscriptions held. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Records a subscription, whose token is copied; a known one gets the new token.
   *
   * Throws `token-too-long` and `ledger-full`, or a `WireError` for a publisher that is no u64 or an invalid channel name.
   */
  record(subscription: Subscription): void {
    this.check(subscription);
    const { publisher, channel, token } = subscription;
    const id = keyOf(publisher, channel);
    this.#entries.set(
      id,
      token === undefined ? { publisher, channel } : { publisher, channel, token: copyBytes(token) },
    );
  }

  /** Throws what `record` would. */
  check({ publisher, channel, token }: Subscription): void {
    assertU64(publisher, "publisher");
    assertChannelName(channel);
    if (token !== undefined && token.length > MAX_TOKEN_SIZE) {
      throw new StateError("token-too-long", `a token of ${token.length} bytes`, token.length);
    }
    if (this.#entries.size >= MAX_SUBSCRIPTIONS && !this.#entries.has(keyOf(publisher, channel))) {
      throw new StateError("ledger-full", `more than ${MAX_SUBSCRIPTIONS} subscriptions`, MAX_SUBSCRIPTIONS);
    }
  }

  /** Forgets a subscription; whether there was one. */
  forget(publisher: bigint, channel: string): boolean {
    return this.#entries.delete(keyOf(publisher, channel));
  }

  /** The subscriptions in the order in which they were first recorded. */
  subscriptions(): Subscription[] {
    return [...this.#entries.values()];
  }

  /** The ledger as it travels: no bytes at all when empty. */
  encode(): Uint8Array {
    if (this.#entries.size === 0) return NO_BYTES;
    return encodeSubscriptions(this.subscriptions());
  }

  /**
   * The ledger of such bytes; undefined when they are malformed or hold more than `MAX_SUBSCRIPTIONS`. Of two entries for one
   * publisher and channel the later counts.
   */
  static decode(bytes: Uint8Array): SubscriptionLedger | undefined {
    const ledger = new SubscriptionLedger();
    if (bytes.length === 0) return ledger;
    if (bytes.length < COUNT_SIZE) return undefined;
    const count = readU32(bytes, 0);
    if (count > (bytes.length - COUNT_SIZE) / MIN_RECORD_SIZE || count > MAX_SUBSCRIPTIONS) return undefined;
    let at = COUNT_SIZE;
    for (let i = 0; i < count; i++) {
      const read = readSubscription(bytes, at);
      if (read === undefined) return undefined;
      ledger.record(read.subscription);
      at = read.end;
    }
    return at === bytes.length ? ledger : undefined;
  }
}

/** Subscriptions with their count; 4 bytes when there are none. They have to be valid. */
export function encodeSubscriptions(subscriptions: readonly Subscription[]): Uint8Array {
  let size = COUNT_SIZE;
  for (const { channel, token } of subscriptions) {
    size += MIN_RECORD_SIZE + channel.length + (token === undefined ? 0 : 2 + token.length);
  }
  const bytes = new Uint8Array(size);
  writeU32(bytes, 0, subscriptions.length);
  let at = COUNT_SIZE;
  for (const { publisher, channel, token } of subscriptions) {
    writeU64(bytes, at, publisher);
    writeU16(bytes, at + 8, channel.length);
    at += 10;
    // A channel name is ASCII (wire.md §10.2).
    for (let i = 0; i < channel.length; i++) bytes[at++] = channel.charCodeAt(i);
    bytes[at++] = token === undefined ? 0 : 1;
    if (token === undefined) continue;
    writeU16(bytes, at, token.length);
    bytes.set(token, at + 2);
    at += 2 + token.length;
  }
  return bytes;
}

function readSubscription(
  bytes: Uint8Array,
  start: number,
): { subscription: Subscription; end: number } | undefined {
  if (bytes.length - start < MIN_RECORD_SIZE) return undefined;
  const publisher = readU64(bytes, start);
  const nameLength = readU16(bytes, start + 8);
  let at = start + 10;
  if (nameLength > MAX_CHANNEL_NAME_SIZE || bytes.length - at <= nameLength) return undefined;
  const channel = String.fromCharCode(...bytes.subarray(at, at + nameLength));
  if (!isChannelName(channel)) return undefined;
  at += nameLength;
  const flag = bytes[at++];
  if (flag === 0) return { subscription: { publisher, channel }, end: at };
  if (flag !== 1 || bytes.length - at < 2) return undefined;
  const tokenLength = readU16(bytes, at);
  at += 2;
  if (bytes.length - at < tokenLength) return undefined;
  const token = bytes.subarray(at, at + tokenLength);
  return { subscription: { publisher, channel, token }, end: at + tokenLength };
}

function keyOf(publisher: bigint, channel: string): string {
  return `${publisher}/${channel}`;
}
