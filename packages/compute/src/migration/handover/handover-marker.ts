import { readU64, writeU64 } from "@netmesh/wire";
import { hexId } from "../../errors.ts";
import type { HandoverStore } from "../handover-store.ts";

/** What a marker is for: a daemon that is handed over, one that has come, or one that leaves in the messages of Net. */
export type MarkerRole = "out" | "in" | "departed";

/** What a node keeps of a handover so that it survives a crash. */
export interface HandoverMarker {
  readonly originHash: bigint;
  /** 0 in the messages of Net, which name no moves. */
  readonly moveId: bigint;
  /** The other node: the target of one that left, the source of one that came. */
  readonly node: bigint;
  /** The daemon, 32 bytes. */
  readonly entityId: Uint8Array;
  /** Of one that came: whether it lives here, or waits for the source to decide. */
  readonly isCommitted: boolean;
}

const SIZE = 8 + 8 + 8 + 32 + 1;
const ENTITY = 24;

/** Name of the marker of a daemon. */
export function markerName(role: MarkerRole, originHash: bigint): string {
  return `handover/${role}/${hexId(originHash)}`;
}

/** Stores a marker, in the place of any before. */
export async function putHandoverMarker(
  store: HandoverStore,
  role: MarkerRole,
  marker: HandoverMarker,
): Promise<void> {
  const bytes = new Uint8Array(SIZE);
  writeU64(bytes, 0, marker.originHash);
  writeU64(bytes, 8, marker.moveId);
  writeU64(bytes, 16, marker.node);
  bytes.set(marker.entityId, ENTITY);
  bytes[SIZE - 1] = marker.isCommitted ? 1 : 0;
  await store.putMarker(markerName(role, marker.originHash), bytes);
}

/** All markers of a role. */
export async function handoverMarkers(store: HandoverStore, role: MarkerRole): Promise<HandoverMarker[]> {
  const markers: HandoverMarker[] = [];
  for (const name of await store.listMarkers(`handover/${role}/`)) {
    const bytes = await store.getMarker(name);
    if (bytes?.length !== SIZE) continue;
    markers.push({
      originHash: readU64(bytes, 0),
      moveId: readU64(bytes, 8),
      node: readU64(bytes, 16),
      entityId: bytes.slice(ENTITY, ENTITY + 32),
      isCommitted: bytes[SIZE - 1] === 1,
    });
  }
  return markers;
}
