import { SocketAddress } from "../socket-address.ts";
import { MAX_U64 } from "../u64.ts";
import { decodeUtf8, encodeUtf8 } from "../utf8.ts";
import { parseTag } from "./capability-tag.ts";
import {
  compareUtf8,
  type ExactJson,
  type ExactObject,
  isObject,
  parseExactJson,
  quoteJson,
} from "./exact-json.ts";

/** Entries of each allow list at most. */
export const MAX_ALLOW_LIST = 64;
/** Bytes of a subnet's id in an allow list, of a group's, of an entity's, of a signature. */
const ALLOWED_SUBNET_SIZE = 16;
const ALLOWED_GROUP_SIZE = 32;
const ENTITY_SIZE = 32;
const SIGNATURE_SIZE = 64;
const MAX_U32 = 0xffff_ffffn;
const MAX_U8 = 0xffn;

/** What a node offers: tags and metadata are all that travels. */
export interface AnnouncedCapabilities {
  /** Tags, in the order of their UTF-8 bytes and without repetitions once encoded or decoded. */
  readonly tags: readonly string[];
  /** Text by key. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** A capability announcement, the payload of subprotocol 0x0c00 (spec/mesh.md §9.1). */
export interface CapabilityAnnouncement {
  readonly nodeId: bigint;
  /** Ed25519 public key of the node, 32 bytes. */
  readonly entityId: Uint8Array;
  /** Grows with every announcement of the node. */
  readonly version: bigint;
  /** Unix time in nanoseconds. */
  readonly timestampNs: bigint;
  /** Seconds for which it counts, a u32. */
  readonly ttlSeconds: number;
  readonly capabilities: AnnouncedCapabilities;
  /** 64 bytes; absent when unsigned. */
  readonly signature?: Uint8Array | undefined;
  /** How often it was passed on, 0 to 255; not covered by the signature. */
  readonly hopCount: number;
  /** Where the node is seen from outside, as `ip:port` or `[ip]:port`. */
  readonly reflexAddress?: string | undefined;
  /** Who may use the capabilities; all three empty means everybody. At most 64 entries each. */
  readonly allowedNodes: readonly bigint[];
  /** Ids of 16 bytes. */
  readonly allowedSubnets: readonly Uint8Array[];
  /** Ids of 32 bytes. */
  readonly allowedGroups: readonly Uint8Array[];
}

/** The canonical bytes of an announcement; the order of its fields is part of the format. */
export function encodeCapabilityAnnouncement(announcement: CapabilityAnnouncement): Uint8Array {
  return encodeUtf8(toJson(announcement, announcement.signature, announcement.hopCount));
}

/** The bytes that are signed: without signature and hop count. */
export function announcementSignedBytes(announcement: CapabilityAnnouncement): Uint8Array {
  return encodeUtf8(toJson(announcement, undefined, 0));
}

function toJson(a: CapabilityAnnouncement, signature: Uint8Array | undefined, hopCount: number): string {
  const fields = [
    `"node_id":${a.nodeId}`,
    `"entity_id":"${toHex(a.entityId)}"`,
    `"version":${a.version}`,
    `"timestamp_ns":${a.timestampNs}`,
    `"ttl_secs":${a.ttlSeconds}`,
    `"capabilities":${capabilitiesJson(a.capabilities)}`,
  ];
  if (signature !== undefined) fields.push(`"signature":"${toHex(signature)}"`);
  if (hopCount !== 0) fields.push(`"hop_count":${hopCount}`);
  if (a.reflexAddress !== undefined) fields.push(`"reflex_addr":${quoteJson(a.reflexAddress)}`);
  if (a.allowedNodes.length > 0) fields.push(`"allowed_nodes":[${a.allowedNodes.join(",")}]`);
  if (a.allowedSubnets.length > 0) fields.push(`"allowed_subnets":[${byteLists(a.allowedSubnets)}]`);
  if (a.allowedGroups.length > 0) fields.push(`"allowed_groups":[${byteLists(a.allowedGroups)}]`);
  return `{${fields.join(",")}}`;
}

/** The canonical JSON of a capability set: tags and keys sorted by their bytes, tags without repetitions. */
export function capabilitiesJson({ tags, metadata }: AnnouncedCapabilities): string {
  const keys = [...metadata.keys()].sort(compareUtf8);
  const members = keys.map((key) => `${quoteJson(key)}:${quoteJson(metadata.get(key) as string)}`);
  return `{"tags":[${sortedTags(tags).map(quoteJson).join(",")}],"metadata":{${members.join(",")}}}`;
}

function byteLists(lists: readonly Uint8Array[]): string {
  return lists.map((bytes) => `[${bytes.join(",")}]`).join(",");
}

function sortedTags(tags: readonly string[]): string[] {
  return [...new Set(tags)].sort(compareUtf8);
}

/**
 * Reads an announcement of a stranger. `undefined` when the bytes are no announcement: no JSON of that form, a number out of
 * range, an allow list of more than 64, an empty tag. Fields that are not known are ignored.
 */
export function decodeCapabilityAnnouncement(bytes: Uint8Array): CapabilityAnnouncement | undefined {
  const text = decodeUtf8(bytes);
  const json = text === undefined ? undefined : parseExactJson(text);
  if (!isObject(json) || json.repeated !== undefined) return undefined;
  const nodeId = toInteger(json.members.get("node_id"), MAX_U64);
  const entityId = fromHex(json.members.get("entity_id"), ENTITY_SIZE);
  const version = toInteger(json.members.get("version"), MAX_U64);
  const timestampNs = toInteger(json.members.get("timestamp_ns"), MAX_U64);
  const ttl = toInteger(json.members.get("ttl_secs"), MAX_U32);
  const capabilities = toCapabilities(json.members.get("capabilities"));
  const hopCount = optional(json, "hop_count", 0n, (value) => toInteger(value, MAX_U8));
  const signature = optional(json, "signature", undefined, (value) => fromHex(value, SIGNATURE_SIZE));
  const reflexAddress = optional(json, "reflex_addr", undefined, toAddress);
  const nodes = optional(json, "allowed_nodes", [], (value) =>
    toList(value, (entry) => toInteger(entry, MAX_U64)),
  );
  const subnets = optional(json, "allowed_subnets", [], (value) =>
    toList(value, (entry) => toBytes(entry, ALLOWED_SUBNET_SIZE)),
  );
  const groups = optional(json, "allowed_groups", [], (value) =>
    toList(value, (entry) => toBytes(entry, ALLOWED_GROUP_SIZE)),
  );
  if (nodeId === undefined || entityId === undefined || version === undefined || timestampNs === undefined) {
    return undefined;
  }
  if (ttl === undefined || capabilities === undefined || hopCount === MALFORMED || signature === MALFORMED) {
    return undefined;
  }
  if (reflexAddress === MALFORMED || nodes === MALFORMED || subnets === MALFORMED || groups === MALFORMED) {
    return undefined;
  }
  return {
    nodeId,
    entityId,
    version,
    timestampNs,
    ttlSeconds: Number(ttl),
    capabilities,
    signature,
    hopCount: Number(hopCount),
    reflexAddress,
    allowedNodes: nodes,
    allowedSubnets: subnets,
    allowedGroups: groups,
  };
}

const MALFORMED: unique symbol = Symbol("malformed");

/** A field that may be absent or, where its absence has no value of its own, null. */
function optional<T, D>(
  { members }: ExactObject,
  name: string,
  absent: D,
  read: (value: ExactJson) => T | undefined,
): T | D | typeof MALFORMED {
  const value = members.get(name);
  if (value === undefined || (value === null && absent === undefined)) return absent;
  return read(value) ?? MALFORMED;
}

function toCapabilities(value: ExactJson | undefined): AnnouncedCapabilities | undefined {
  if (!isObject(value) || value.repeated !== undefined) return undefined;
  const { members } = value;
  const tags = members.get("tags") ?? [];
  const metadata = new Map<string, string>();
  if (!Array.isArray(tags)) return undefined;
  for (const tag of tags) if (typeof tag !== "string" || parseTag(tag) === undefined) return undefined;
  if (members.has("metadata")) {
    const entries = members.get("metadata");
    if (!isObject(entries)) return undefined;
    for (const [key, text] of entries.members) {
      if (typeof text !== "string") return undefined;
      metadata.set(key, text);
    }
  }
  return { tags: sortedTags(tags as string[]), metadata };
}

function toInteger(value: ExactJson | undefined, max: bigint): bigint | undefined {
  return typeof value === "bigint" && value >= 0n && value <= max ? value : undefined;
}

function toList<T>(value: ExactJson, read: (entry: ExactJson) => T | undefined): T[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_ALLOW_LIST) return undefined;
  const entries: T[] = [];
  for (const entry of value as readonly ExactJson[]) {
    const read1 = read(entry);
    if (read1 === undefined) return undefined;
    entries.push(read1);
  }
  return entries;
}

function toBytes(value: ExactJson, size: number): Uint8Array | undefined {
  if (!Array.isArray(value) || value.length !== size) return undefined;
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) {
    const byte = toInteger(value[i] as ExactJson, MAX_U8);
    if (byte === undefined) return undefined;
    bytes[i] = Number(byte);
  }
  return bytes;
}

function toAddress(value: ExactJson): string | undefined {
  if (typeof value !== "string") return undefined;
  try {
    SocketAddress.parse(value);
    return value;
  } catch {
    return undefined;
  }
}

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

function fromHex(value: ExactJson | undefined, size: number): Uint8Array | undefined {
  if (typeof value !== "string" || value.length !== 2 * size || !/^[0-9a-fA-F]*$/.test(value))
    return undefined;
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = Number.parseInt(value.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
