import { Identity } from "@netmesh/crypto";
import {
  type AnnouncedCapabilities,
  announcementSignedBytes,
  type CapabilityAnnouncement,
  type NodeLookup,
  nodeLookupSignedBytes,
  parseTag,
} from "@netmesh/wire";

/** Metadata that says something about its author's wishes, and that nobody takes over from others. */
const PRIVATE_METADATA: readonly string[] = [
  "intent",
  "colocate-with",
  "colocate-with-strict",
  "priority",
  "owner",
];
/** Tags about single blobs that are taken over. */
const MAX_BLOB_HEATS = 256;
const BLOB = "blob:";

/** What a signature of a lookup covers, and the signature. */
export type SignedLookup = Omit<NodeLookup, "ttl" | "hops" | "isDirected">;

/** Whether the signature is there and was made by the announced entity. */
export function isSignatureValid(announcement: CapabilityAnnouncement): boolean {
  const { entityId, signature } = announcement;
  return (
    signature !== undefined && Identity.verify(entityId, announcementSignedBytes(announcement), signature)
  );
}

/** Whether that node has signed a request for the way to a node, or the answer to it. */
export function isLookupValid(lookup: SignedLookup, signer: bigint): boolean {
  const { kind, id, timeSeconds, originId, targetId, entityId, signature } = lookup;
  if (nodeIdOf(entityId) !== signer) return false;
  return Identity.verify(
    entityId,
    nodeLookupSignedBytes(kind, id, timeSeconds, originId, targetId),
    signature,
  );
}

/** The node id that belongs to an entity, undefined when the bytes are no key. */
export function nodeIdOf(entityId: Uint8Array): bigint | undefined {
  try {
    return Identity.publicOnly(entityId).nodeId;
  } catch {
    return undefined;
  }
}

/**
 * What is taken over of a node's capabilities (spec/mesh.md §9.4, steps 13 and 14): no metadata that is only for itself, no
 * heat of chains that it does not hold, the heat of at most 256 blobs.
 */
export function sanitize({ tags, metadata }: AnnouncedCapabilities): AnnouncedCapabilities {
  const kept = new Map(metadata);
  for (const key of PRIVATE_METADATA) kept.delete(key);
  const chains = new Set<string>();
  for (const text of tags) {
    const tag = parseTag(text);
    if (tag?.kind === "reserved" && tag.prefix === "causal:") chains.add(leadingHex(tag.body));
  }
  let blobs = 0;
  const cleared = tags.filter((text) => {
    const tag = parseTag(text);
    if (tag?.kind !== "reserved" || tag.prefix !== "heat:") return true;
    if (tag.body.startsWith(BLOB)) return ++blobs <= MAX_BLOB_HEATS;
    return chains.has(leadingHex(tag.body));
  });
  return { tags: cleared, metadata: kept };
}

function leadingHex(body: string): string {
  return /^[0-9a-f]*/.exec(body)?.[0] as string;
}
