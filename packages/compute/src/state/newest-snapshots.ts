import { bytesToHex } from "@netmesh/crypto";
import type { StateSnapshot } from "./snapshot.ts";

/** Entities whose newest snapshots are known unless told otherwise. */
export const DEFAULT_MAX_ENTITIES = 65_536;

interface Entry {
  /** The highest sequence ever stored. */
  highest: bigint;
  snapshot: StateSnapshot | undefined;
}

/**
 * The newest snapshot of each entity, in memory, by its 32-byte id (§4.2). Removing one keeps its sequence, so that no older
 * one can come back.
 *
 * At most `maxEntities` are known. When full, an entity whose snapshot was removed makes room, the one stored longest ago first;
 * without any such, new entities are refused.
 */
export class NewestSnapshots {
  readonly #maxEntities: number;
  readonly #entries: Map<string, Entry> = new Map();
  #snapshots = 0;

  constructor(maxEntities: number = DEFAULT_MAX_ENTITIES) {
    this.#maxEntities = Math.max(1, maxEntities);
  }

  /** Snapshots held. */
  get size(): number {
    return this.#snapshots;
  }

  /** Stores the snapshot unless one as new was stored before, or the store is full; whether it did. */
  store(snapshot: StateSnapshot): boolean {
    const id = bytesToHex(snapshot.entityId);
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      if (!this.#makeRoom()) return false;
      this.#entries.set(id, { highest: snapshot.throughSeq, snapshot });
      this.#snapshots++;
      return true;
    }
    if (snapshot.throughSeq <= entry.highest) return false;
    if (entry.snapshot === undefined) this.#snapshots++;
    entry.highest = snapshot.throughSeq;
    entry.snapshot = snapshot;
    return true;
  }

  /** The snapshot of an entity. */
  get(entityId: Uint8Array): StateSnapshot | undefined {
    return this.#entries.get(bytesToHex(entityId))?.snapshot;
  }

  /** Removes and returns the snapshot of an entity; its sequence stays the least that can be exceeded. */
  remove(entityId: Uint8Array): StateSnapshot | undefined {
    const entry = this.#entries.get(bytesToHex(entityId));
    const snapshot = entry?.snapshot;
    if (entry === undefined || snapshot === undefined) return undefined;
    entry.snapshot = undefined;
    this.#snapshots--;
    return snapshot;
  }

  /** Forgets all about an entity: after this any snapshot of it is welcome. */
  forget(entityId: Uint8Array): void {
    this.remove(entityId);
    this.#entries.delete(bytesToHex(entityId));
  }

  #makeRoom(): boolean {
    if (this.#entries.size < this.#maxEntities) return true;
    if (this.#snapshots === this.#entries.size) return false;
    for (const [id, entry] of this.#entries) {
      if (entry.snapshot !== undefined) continue;
      this.#entries.delete(id);
      break;
    }
    return true;
  }
}
