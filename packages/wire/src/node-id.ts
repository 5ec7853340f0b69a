import { MAGIC } from "./constants.ts";
import { writeU64 } from "./little-endian.ts";
import { assertU64, low32 } from "./u64.ts";

/** Bytes of a graph id (§11.1). */
export const GRAPH_ID_SIZE = 32;

/**
 * The 32-byte form of a node id in pingwaves: u64 LE, then 24 zero bytes (§11.1).
 * @throws {WireError} `invalid-argument` when the id is outside the u64 range.
 */
export function graphId(nodeId: bigint): Uint8Array {
  assertU64(nodeId, "nodeId");
  const id = new Uint8Array(GRAPH_ID_SIZE);
  writeU64(id, 0, nodeId);
  return id;
}

/** The low 32 bits of a node id, as routing headers name their source (§7). */
export function routingId(nodeId: bigint): number {
  return low32(nodeId);
}

/**
 * Whether the pingwaves of this node begin like a packet, so that nobody would discover it (§16 W2).
 * One id in 65,536 is like that; do not generate one.
 */
export function isUndiscoverable(nodeId: bigint): boolean {
  return (low32(nodeId) & 0xffff) === MAGIC;
}
