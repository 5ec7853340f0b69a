import { WireError } from "./errors.ts";
import { assertU8, assertU32 } from "./integer-range.ts";
import { readU32, readU64, writeU32, writeU64 } from "./little-endian.ts";
import { assertU64 } from "./u64.ts";
import { decodeUtf8, encodeUtf8Prefix } from "./utf8.ts";

/** What a node offers, in the binary form that preceded capability announcements. */
export interface AdCapabilities {
  readonly hasGpu: boolean;
  readonly memoryGb: number;
  readonly modelSlots: number;
  /** At most 255 strings, each cut to 255 bytes of UTF-8. */
  readonly tools: readonly string[];
  /** At most 255 strings, each cut to 255 bytes of UTF-8. */
  readonly tags: readonly string[];
}

/** The binary capability ad; mesh nodes do not exchange it. */
export interface CapabilityAd {
  readonly nodeId: bigint;
  readonly version: number;
  readonly capabilities: AdCapabilities;
}

// node id u64 ‖ version u32 ‖ gpu u8 ‖ memory u32 ‖ slots u8 ‖ tools ‖ tags; a list is count u8 × { length u8 ‖ UTF-8 }
const VERSION_OFFSET = 8;
const GPU_OFFSET = 12;
const MEMORY_OFFSET = 13;
const SLOTS_OFFSET = 17;
const LISTS_OFFSET = 18;
const MAX_STRING_SIZE = 255;

/**
 * Encodes a capability ad into new bytes.
 * @throws {WireError} `invalid-argument` when a number is out of range or a list has more than 255 strings.
 */
export function encodeCapabilityAd(ad: CapabilityAd): Uint8Array {
  const { hasGpu, memoryGb, modelSlots, tools, tags } = ad.capabilities;
  assertU64(ad.nodeId, "nodeId");
  assertU32(ad.version, "version");
  assertU32(memoryGb, "memoryGb");
  assertU8(modelSlots, "modelSlots");
  const lists = [encodeStrings(tools, "tools"), encodeStrings(tags, "tags")].flat();
  const bytes = new Uint8Array(LISTS_OFFSET + lists.reduce((size, part) => size + part.length, 0));
  writeU64(bytes, 0, ad.nodeId);
  writeU32(bytes, VERSION_OFFSET, ad.version);
  bytes[GPU_OFFSET] = hasGpu ? 1 : 0;
  writeU32(bytes, MEMORY_OFFSET, memoryGb);
  bytes[SLOTS_OFFSET] = modelSlots;
  let offset = LISTS_OFFSET;
  for (const part of lists) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** Decodes a capability ad; `undefined` when it is cut short or a string is not UTF-8. Bytes behind are ignored. */
export function decodeCapabilityAd(bytes: Uint8Array): CapabilityAd | undefined {
  const tools: string[] = [];
  const tags: string[] = [];
  const tagsOffset = decodeStrings(bytes, LISTS_OFFSET, tools);
  if (tagsOffset === undefined || decodeStrings(bytes, tagsOffset, tags) === undefined) return undefined;
  return {
    nodeId: readU64(bytes, 0),
    version: readU32(bytes, VERSION_OFFSET),
    capabilities: {
      hasGpu: bytes[GPU_OFFSET] !== 0,
      memoryGb: readU32(bytes, MEMORY_OFFSET),
      modelSlots: bytes[SLOTS_OFFSET] as number,
      tools,
      tags,
    },
  };
}

function encodeStrings(strings: readonly string[], name: string): Uint8Array[] {
  if (strings.length > 0xff) {
    throw new WireError("invalid-argument", `${name} has ${strings.length} strings, 255 fit`, strings.length);
  }
  const parts: Uint8Array[] = [Uint8Array.of(strings.length)];
  for (const text of strings) {
    const utf8 = encodeUtf8Prefix(text, MAX_STRING_SIZE);
    parts.push(Uint8Array.of(utf8.length), utf8);
  }
  return parts;
}

/** Appends the list at `offset` to `into`; returns the offset behind it, `undefined` on damage. */
function decodeStrings(bytes: Uint8Array, offset: number, into: string[]): number | undefined {
  const count = bytes[offset];
  if (count === undefined) return undefined;
  let start = offset + 1;
  for (let i = 0; i < count; i++) {
    const length = bytes[start];
    if (length === undefined || start + 1 + length > bytes.length) return undefined;
    const end = start + 1 + length;
    const text = decodeUtf8(bytes.subarray(start + 1, end));
    if (text === undefined) return undefined;
    into.push(text);
    start = end;
  }
  return start;
}
