import { bytesToHex } from "@netmesh/crypto";
import type { EntityLog } from "./entity-log.ts";

/** Logs that an index holds unless told otherwise. */
export const DEFAULT_MAX_LOGS = 65_536;

/**
 * The logs of many entities (§3). Found by entity id, for two entities can have the same origin hash. Of more than `maxLogs` the one put
 * first goes.
 */
export class LogIndex {
  readonly #maxLogs: number;
  readonly #logs: Map<string, EntityLog> = new Map();

  constructor(maxLogs: number = DEFAULT_MAX_LOGS) {
    this.#maxLogs = Math.max(1, maxLogs);
  }

  /** Logs held. */
  get size(): number {
    return this.#logs.size;
  }

  /** The log of an entity. */
  get(entityId: Uint8Array): EntityLog | undefined {
    return this.#logs.get(bytesToHex(entityId));
  }

  /** Puts the log of an entity in the place of the one before, if any. */
  set(entityId: Uint8Array, log: EntityLog): void {
    this.#logs.set(bytesToHex(entityId), log);
    if (this.#logs.size <= this.#maxLogs) return;
    const [oldest] = this.#logs.keys();
    this.#logs.delete(oldest as string);
  }

  /** Forgets an entity; whether there was a log of it. */
  delete(entityId: Uint8Array): boolean {
    return this.#logs.delete(bytesToHex(entityId));
  }

  /** All logs of an origin hash: usually one, more when entities collide. Looks at every log. */
  ofOrigin(originHash: bigint): EntityLog[] {
    return [...this.#logs.values()].filter((log) => log.originHash === originHash);
  }
}
