import { isChannelName, MAX_CHANNEL_NAME_SIZE, readU64, writeU64 } from "@netmesh/wire";
import { MAX_SUBSCRIPTIONS } from "../../state/subscription-ledger.ts";

/** How far a daemon has got on one of its channels. */
export interface DaemonPosition {
  /** Node id of the publisher. */
  readonly publisher: bigint;
  /** Name of the channel. */
  readonly channel: string;
  /** The first event of the channel that the daemon has not processed, by the publisher's count. */
  readonly position: bigint;
}

/** Publisher and position, and the length of the name between them. */
const FIXED_SIZE = 17;
const NAME_OFFSET = 9;
/** Bytes of all positions of a daemon, at most. */
const MAX_SIZE = MAX_SUBSCRIPTIONS * (FIXED_SIZE + MAX_CHANNEL_NAME_SIZE);

/** The positions one after the other: publisher u64, length of the name u8, name, position u64. They have to be valid. */
export function encodePositions(positions: readonly DaemonPosition[]): Uint8Array {
  // A channel name is ASCII (wire.md §10.2).
  const bytes = new Uint8Array(positions.reduce((sum, { channel }) => sum + FIXED_SIZE + channel.length, 0));
  let at = 0;
  for (const { publisher, channel, position } of positions) {
    writeU64(bytes, at, publisher);
    bytes[at + 8] = channel.length;
    at += NAME_OFFSET;
    for (let i = 0; i < channel.length; i++) bytes[at++] = channel.charCodeAt(i);
    writeU64(bytes, at, position);
    at += 8;
  }
  return bytes;
}

/** The positions in `bytes`, of which a daemon can have 1000; undefined when they are malformed or more. */
export function decodePositions(bytes: Uint8Array): DaemonPosition[] | undefined {
  if (bytes.length > MAX_SIZE) return undefined;
  const positions: DaemonPosition[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < FIXED_SIZE || positions.length === MAX_SUBSCRIPTIONS) return undefined;
    const nameEnd = at + NAME_OFFSET + (bytes[at + 8] as number);
    if (nameEnd + 8 > bytes.length) return undefined;
    const channel = String.fromCharCode(...bytes.subarray(at + NAME_OFFSET, nameEnd));
    if (!isChannelName(channel)) return undefined;
    positions.push({ publisher: readU64(bytes, at), channel, position: readU64(bytes, nameEnd) });
    at = nameEnd + 8;
  }
  return positions;
}
