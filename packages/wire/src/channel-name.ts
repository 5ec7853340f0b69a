import { WireError } from "./errors.ts";
import { low32 } from "./u64.ts";
import { encodeUtf8 } from "./utf8.ts";
import { xxh3 } from "./xxh3.ts";

/** Longest channel name in bytes; every allowed character is one byte (§10.2). */
export const MAX_CHANNEL_NAME_SIZE = 255;

const NAME = /^[a-z0-9\-_.]+(?:\/[a-z0-9\-_.]+)*$/;
const RESERVED_SEGMENT = /(?:^|\/)\.{1,2}(?:\/|$)/;

/**
 * Whether `name` can name a channel: 1..255 of `a-z 0-9 - _ . /`, no empty segment, no segment `.` or `..`
 * (§10.2).
 */
export function isChannelName(name: string): boolean {
  return name.length <= MAX_CHANNEL_NAME_SIZE && NAME.test(name) && !RESERVED_SEGMENT.test(name);
}

/**
 * Checks a caller's channel name.
 * @throws {WireError} `invalid-channel-name` unless {@link isChannelName}.
 */
export function assertChannelName(name: string): void {
  if (isChannelName(name)) return;
  throw new WireError("invalid-channel-name", `not a channel name: ${JSON.stringify(name)}`, name);
}

/** Number of `/`-separated segments of a valid name (§10.2). */
export function channelDepth(name: string): number {
  return name.split("/").length;
}

/** Whether `prefix` is `name` or one of its ancestors; segments match whole (§10.2). */
export function isChannelPrefix(prefix: string, name: string): boolean {
  return name.startsWith(prefix) && (name.length === prefix.length || name[prefix.length] === "/");
}

/** The canonical 64-bit hash of a channel name, by which policy decides (§10.2). */
export function channelHash(name: string): bigint {
  return xxh3(encodeUtf8(name));
}

/** The low 16 bits of a canonical hash, as the header carries them: a hint, collisions are normal (§10.2). */
export function channelWireHash(hash: bigint): number {
  return low32(hash) & 0xffff;
}
