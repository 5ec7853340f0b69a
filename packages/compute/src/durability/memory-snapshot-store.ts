import type { StateSnapshot } from "../state/snapshot.ts";
import {
  closedError,
  decodeMarker,
  decodeRecord,
  encodeMarker,
  encodeRecord,
  entityKey,
  isNewer,
  markerName,
  type SnapshotRecord,
} from "./snapshot-record.ts";
import {
  type SnapshotStore,
  SnapshotStoreError,
  type SnapshotSummary,
  type StoredSnapshot,
} from "./snapshot-store.ts";

/** Entities that a store knows unless told otherwise. */
const DEFAULT_MAX_ENTITIES = 65_536;
/** Markers that a store holds unless told otherwise. */
const DEFAULT_MAX_MARKERS = 65_536;
/** Bytes of the largest record: the largest state of a snapshot that can be encoded in one array everywhere. */
const DEFAULT_MAX_BYTES = 0x4000_0000;

/** Limits of a store in memory. */
export interface MemorySnapshotStoreOptions {
  /** Entities with a snapshot, or whose snapshot was deleted; 65 536 by default. */
  readonly maxEntities?: number;
  /** Markers; 65 536 by default. */
  readonly maxMarkers?: number;
}

interface Entry {
  /** The newest ever stored, whether it was deleted or not. */
  readonly newest: Pick<SnapshotSummary, "throughSeq" | "createdAt">;
  readonly record: SnapshotRecord | undefined;
}

/**
 * A snapshot store that lasts as long as its process: for tests, and for daemons that only outlive each other.
 *
 * When full, new entities and markers are refused with `full`; deleted entities make room, the one stored longest ago first.
 */
export class MemorySnapshotStore implements SnapshotStore {
  readonly #maxEntities: number;
  readonly #maxMarkers: number;
  /** By entity id in hex. */
  readonly #entries: Map<string, Entry> = new Map();
  readonly #markers: Map<string, Uint8Array> = new Map();
  #isClosed = false;

  constructor(options: MemorySnapshotStoreOptions = {}) {
    this.#maxEntities = options.maxEntities ?? DEFAULT_MAX_ENTITIES;
    this.#maxMarkers = options.maxMarkers ?? DEFAULT_MAX_MARKERS;
  }

  async put(snapshot: StateSnapshot, kind: string): Promise<boolean> {
    this.#requireOpen();
    const record = encodeRecord(snapshot, kind, DEFAULT_MAX_BYTES);
    const key = entityKey(record.entityId);
    const entry = this.#entries.get(key);
    if (entry === undefined) this.#makeRoom();
    else if (!isNewer(record, entry.newest)) return false;
    this.#entries.set(key, { newest: record, record });
    return true;
  }

  async get(entityId: Uint8Array): Promise<StoredSnapshot | undefined> {
    this.#requireOpen();
    const record = this.#entries.get(entityKey(entityId))?.record;
    if (record === undefined) return undefined;
    const stored = decodeRecord(record.bytes.slice(), entityId);
    if (stored === undefined) throw new SnapshotStoreError("damaged", "the snapshot is damaged");
    return { ...stored, damaged: 0 };
  }

  async delete(entityId: Uint8Array): Promise<boolean> {
    this.#requireOpen();
    const key = entityKey(entityId);
    const entry = this.#entries.get(key);
    if (entry?.record === undefined) return false;
    const { throughSeq, createdAt } = entry.newest;
    this.#entries.set(key, { newest: { throughSeq, createdAt }, record: undefined });
    return true;
  }

  async forget(entityId: Uint8Array): Promise<void> {
    this.#requireOpen();
    this.#entries.delete(entityKey(entityId));
  }

  async list(originHash?: bigint): Promise<SnapshotSummary[]> {
    this.#requireOpen();
    const summaries: SnapshotSummary[] = [];
    for (const { record } of this.#entries.values()) {
      if (record === undefined || (originHash !== undefined && record.originHash !== originHash)) continue;
      const { bytes: _, ...summary } = record;
      summaries.push({ ...summary, entityId: record.entityId.slice() });
    }
    return summaries;
  }

  async putMarker(name: string, value: Uint8Array): Promise<void> {
    this.#requireOpen();
    const bytes = encodeMarker(name, value);
    if (!this.#markers.has(name) && this.#markers.size >= this.#maxMarkers) {
      throw new SnapshotStoreError("full", `${this.#maxMarkers} markers are stored`);
    }
    this.#markers.set(name, bytes);
  }

  async getMarker(name: string): Promise<Uint8Array | undefined> {
    this.#requireOpen();
    markerName(name);
    const bytes = this.#markers.get(name);
    return bytes === undefined ? undefined : decodeMarker(name, bytes);
  }

  async deleteMarker(name: string): Promise<boolean> {
    this.#requireOpen();
    markerName(name);
    return this.#markers.delete(name);
  }

  async listMarkers(prefix = ""): Promise<string[]> {
    this.#requireOpen();
    return [...this.#markers.keys()].filter((name) => name.startsWith(prefix));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#entries.clear();
    this.#markers.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requireOpen(): void {
    if (this.#isClosed) throw closedError();
  }

  #makeRoom(): void {
    if (this.#entries.size < this.#maxEntities) return;
    for (const [key, { record }] of this.#entries) {
      if (record !== undefined) continue;
      this.#entries.delete(key);
      return;
    }
    throw new SnapshotStoreError("full", `${this.#maxEntities} entities are stored`);
  }
}
