import { MAX_TRANSFER_SNAPSHOT_SIZE } from "../state/snapshot.ts";
import { MAX_SNAPSHOT_CHUNKS, SNAPSHOT_CHUNK_SIZE, type SnapshotReady } from "./messages.ts";

/** What a partial snapshot may be old, in milliseconds (spec compute.md §16.3). */
export const PARTIAL_SNAPSHOT_MAX_AGE_MS = 300_000;
/** Partial snapshots that one peer may have here. */
export const MAX_PARTIALS_PER_PEER = 16;
/** Partial snapshots in all. */
export const MAX_PARTIALS = 256;
/** Bytes of partial snapshots in all. */
export const MAX_PARTIAL_BYTES: number = 256 * 1024 * 1024;
/** What is known of a chunk beyond its bytes, roughly; so that tiny chunks do not escape the bound. */
const CHUNK_OVERHEAD = 64;
/** Transfers whose newest sequence is remembered; of more, the one that was fed longest ago is forgotten. */
const MAX_LATEST = 4096;

/** What became of a chunk: the whole snapshot, waiting for more, or refused and why (§16.2). */
export type ChunkResult =
  | { readonly kind: "complete"; readonly snapshot: Uint8Array }
  | { readonly kind: "pending" }
  | { readonly kind: "refused"; readonly fault: ChunkFault };

/** Why a chunk is refused. `too-many` is the only one that names a bound of this node. */
export type ChunkFault =
  | { readonly code: "zero-total" }
  | { readonly code: "too-many-chunks"; readonly total: number }
  | { readonly code: "index-out-of-range"; readonly index: number; readonly total: number }
  | { readonly code: "chunk-size"; readonly size: number }
  | { readonly code: "stale-sequence"; readonly got: bigint; readonly latest: bigint }
  | { readonly code: "total-mismatch"; readonly got: number; readonly expected: number }
  | { readonly code: "snapshot-too-large"; readonly size: number }
  | { readonly code: "too-many" };

/** Bounds of a reassembler; the constants of this file by default. */
export interface ReassemblerLimits {
  readonly maxPerPeer?: number;
  readonly maxEntries?: number;
  readonly maxBytes?: number;
  readonly maxSnapshotSize?: number;
}

interface Partial {
  readonly peer: bigint;
  readonly originHash: bigint;
  readonly total: number;
  readonly sinceMs: number;
  readonly chunks: Map<number, Uint8Array>;
  /** Bytes of the chunks. */
  size: number;
}

const PENDING: ChunkResult = Object.freeze({ kind: "pending" });

/**
 * Puts snapshots together from chunks in any order (§16.2), one at a time for each peer and origin. Refuses what exceeds a bound rather than drop what another peer has begun.
 */
export class SnapshotReassembler {
  readonly #limits: Required<ReassemblerLimits>;
  /** By peer and origin, so that no peer can spoil what another sends. */
  readonly #partials: Map<string, Partial> = new Map();
  /** The newest sequence by peer and origin: no older one is taken. */
  readonly #latest: Map<string, bigint> = new Map();
  #bytes = 0;

  constructor(limits: ReassemblerLimits = {}) {
    this.#limits = {
      maxPerPeer: MAX_PARTIALS_PER_PEER,
      maxEntries: MAX_PARTIALS,
      maxBytes: MAX_PARTIAL_BYTES,
      maxSnapshotSize: MAX_TRANSFER_SNAPSHOT_SIZE,
      ...limits,
    };
  }

  /** Partial snapshots held. */
  get pending(): number {
    return this.#partials.size;
  }

  /** Bytes of partial snapshots held, with what is known of each chunk. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a chunk that `peer` sent, and copies its bytes. */
  feed(message: SnapshotReady, peer: bigint, nowMs: number): ChunkResult {
    const { originHash, seqThrough, chunkIndex: index, totalChunks: total, chunk } = message;
    if (total === 0) return refused({ code: "zero-total" });
    if (total > MAX_SNAPSHOT_CHUNKS) return refused({ code: "too-many-chunks", total });
    if (index >= total) return refused({ code: "index-out-of-range", index, total });
    this.sweep(nowMs);
    if (chunk.length === 0 || chunk.length > SNAPSHOT_CHUNK_SIZE) {
      return refused({ code: "chunk-size", size: chunk.length });
    }
    const key = keyOf(peer, originHash);
    const latest = this.#latest.get(key);
    if (latest !== undefined && seqThrough < latest) {
      return refused({ code: "stale-sequence", got: seqThrough, latest });
    }
    if (latest !== undefined && seqThrough > latest) this.#drop(key);
    this.#remember(key, seqThrough);
    const partial = this.#partials.get(key);
    if (partial !== undefined && partial.total !== total) {
      return refused({ code: "total-mismatch", got: total, expected: partial.total });
    }
    if (total === 1) return { kind: "complete", snapshot: new Uint8Array(chunk) };
    const displaced = partial?.chunks.get(index)?.length ?? 0;
    const projected = (partial?.size ?? 0) + chunk.length - displaced;
    if (projected > this.#limits.maxSnapshotSize) {
      return refused({ code: "snapshot-too-large", size: projected });
    }
    if (this.#bytes + chunk.length + CHUNK_OVERHEAD > this.#limits.maxBytes)
      return refused({ code: "too-many" });
    const open = partial ?? this.#open(message, peer, nowMs);
    if (open === undefined) return refused({ code: "too-many" });
    this.#store(open, index, chunk, displaced);
    if (open.chunks.size < total) return PENDING;
    this.#drop(key);
    return { kind: "complete", snapshot: concatenated(open) };
  }

  /** Drops what is there of an origin's snapshot; still no older one is taken afterwards. Idempotent. */
  cancel(originHash: bigint): void {
    for (const [key, partial] of this.#partials) if (partial.originHash === originHash) this.#drop(key);
  }

  /** Forgets all about what a peer sent of an origin, once that is over. */
  forget(originHash: bigint, peer: bigint): void {
    const key = keyOf(peer, originHash);
    this.#drop(key);
    this.#latest.delete(key);
  }

  /** Drops partial snapshots that are too old; to be called now and then. */
  sweep(nowMs: number): void {
    for (const [key, { sinceMs }] of this.#partials) {
      if (nowMs - sinceMs >= PARTIAL_SNAPSHOT_MAX_AGE_MS) this.#drop(key);
    }
  }

  #open(message: SnapshotReady, peer: bigint, nowMs: number): Partial | undefined {
    const { maxEntries, maxPerPeer } = this.#limits;
    if (this.#partials.size >= maxEntries) return undefined;
    let ofPeer = 0;
    for (const other of this.#partials.values()) if (other.peer === peer) ofPeer++;
    if (ofPeer >= maxPerPeer) return undefined;
    const { originHash, totalChunks: total } = message;
    const partial: Partial = { peer, originHash, total, sinceMs: nowMs, chunks: new Map(), size: 0 };
    this.#partials.set(keyOf(peer, originHash), partial);
    return partial;
  }

  #store(partial: Partial, index: number, chunk: Uint8Array, displaced: number): void {
    const isNew = !partial.chunks.has(index);
    partial.chunks.set(index, new Uint8Array(chunk));
    partial.size += chunk.length - displaced;
    this.#bytes += chunk.length - displaced + (isNew ? CHUNK_OVERHEAD : 0);
  }

  #drop(key: string): void {
    const partial = this.#partials.get(key);
    if (partial === undefined) return;
    this.#partials.delete(key);
    this.#bytes -= partial.size + partial.chunks.size * CHUNK_OVERHEAD;
  }

  #remember(key: string, seqThrough: bigint): void {
    this.#latest.delete(key);
    this.#latest.set(key, seqThrough);
    if (this.#latest.size <= MAX_LATEST) return;
    for (const oldest of this.#latest.keys()) {
      this.#latest.delete(oldest);
      return;
    }
  }
}

function keyOf(peer: bigint, originHash: bigint): string {
  return `${peer}/${originHash}`;
}

function refused(fault: ChunkFault): ChunkResult {
  return { kind: "refused", fault };
}

function concatenated({ chunks, total, size }: Partial): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < total; i++) {
    const chunk = chunks.get(i) as Uint8Array;
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
