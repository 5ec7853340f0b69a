import { MigrationError } from "./failure-reason.ts";
import { MAX_SNAPSHOT_CHUNKS, SNAPSHOT_CHUNK_SIZE, type SnapshotReady } from "./messages.ts";

/** Chunks of a snapshot of that many bytes; one for an empty one. Throws `snapshot-too-large` (§16.1). */
export function chunkCount(size: number): number {
  const count = Math.max(1, Math.ceil(size / SNAPSHOT_CHUNK_SIZE));
  if (count <= MAX_SNAPSHOT_CHUNKS) return count;
  throw new MigrationError("snapshot-too-large", `${size} bytes are ${count} chunks`, { size });
}

/** The chunk of that index; its bytes are a view of the snapshot. */
export function snapshotChunk(
  originHash: bigint,
  seqThrough: bigint,
  snapshot: Uint8Array,
  chunkIndex: number,
): SnapshotReady {
  const totalChunks = chunkCount(snapshot.length);
  const start = chunkIndex * SNAPSHOT_CHUNK_SIZE;
  const chunk = snapshot.subarray(start, start + SNAPSHOT_CHUNK_SIZE);
  return { type: "snapshot-ready", originHash, seqThrough, chunkIndex, totalChunks, chunk };
}
