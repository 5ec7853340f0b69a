import { bytesToHex } from "@netmesh/crypto";
import type { StateSnapshot } from "../state/snapshot.ts";

/**
 * What a migration keeps so that it survives a crash: snapshots of daemons that are being handed over, and markers that say how far it had come.
 * Any snapshot store with markers fits. What has resolved has to outlive the process; of what has rejected nothing is known.
 */
export interface HandoverStore {
  /** Stores a snapshot of a daemon of that kind; false, and nothing changes, when one as new was stored before. */
  put(snapshot: StateSnapshot, kind: string): Promise<boolean>;
  /** The newest snapshot of an entity. */
  get(entityId: Uint8Array): Promise<{ readonly kind: string; readonly snapshot: StateSnapshot } | undefined>;
  /** Deletes all about an entity: after this any snapshot of it is welcome. */
  forget(entityId: Uint8Array): Promise<void>;
  /** Stores a marker, in the place of one with its name. */
  putMarker(name: string, value: Uint8Array): Promise<void>;
  /** The value of a marker. */
  getMarker(name: string): Promise<Uint8Array | undefined>;
  /** Deletes a marker; whether there was one. */
  deleteMarker(name: string): Promise<boolean>;
  /** The names of all markers that begin with `prefix`. */
  listMarkers(prefix?: string): Promise<string[]>;
}

/** Keeps all that in memory: it survives nothing. What a migration uses unless given something better. */
export class VolatileHandoverStore implements HandoverStore {
  readonly #snapshots: Map<string, { kind: string; snapshot: StateSnapshot }> = new Map();
  readonly #markers: Map<string, Uint8Array> = new Map();

  /** As the interface. The newest wins, by `throughSeq`, then by `createdAt`. */
  async put(snapshot: StateSnapshot, kind: string): Promise<boolean> {
    const key = bytesToHex(snapshot.entityId);
    const before = this.#snapshots.get(key)?.snapshot;
    if (before !== undefined && !isNewer(snapshot, before)) return false;
    this.#snapshots.set(key, { kind, snapshot });
    return true;
  }

  async get(entityId: Uint8Array): Promise<{ kind: string; snapshot: StateSnapshot } | undefined> {
    return this.#snapshots.get(bytesToHex(entityId));
  }

  async forget(entityId: Uint8Array): Promise<void> {
    this.#snapshots.delete(bytesToHex(entityId));
  }

  async putMarker(name: string, value: Uint8Array): Promise<void> {
    this.#markers.set(name, new Uint8Array(value));
  }

  async getMarker(name: string): Promise<Uint8Array | undefined> {
    return this.#markers.get(name);
  }

  async deleteMarker(name: string): Promise<boolean> {
    return this.#markers.delete(name);
  }

  async listMarkers(prefix = ""): Promise<string[]> {
    return [...this.#markers.keys()].filter((name) => name.startsWith(prefix));
  }
}

function isNewer(snapshot: StateSnapshot, before: StateSnapshot): boolean {
  if (snapshot.throughSeq !== before.throughSeq) return snapshot.throughSeq > before.throughSeq;
  return snapshot.createdAt > before.createdAt;
}
