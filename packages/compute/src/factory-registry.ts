import type { Identity } from "@netmesh/crypto";
import type { DaemonFactory } from "./daemon-factory.ts";
import type { DaemonHostConfig } from "./daemon-host.ts";
import { CoreDaemonError, hexId } from "./errors.ts";

/** What a node may run under one origin hash (§11). */
export interface FactoryEntry {
  /** Whose daemon it is. */
  readonly originHash: bigint;
  /** Kind of the factory. */
  readonly kind: string;
  /** Makes the daemon, as often as asked. */
  readonly factory: DaemonFactory;
  /** Limits of its host. */
  readonly config: DaemonHostConfig;
  /** Its key, the registry's own copy, wiped on removal; undefined in a placeholder, for which a snapshot has to bring it. */
  readonly identity: Identity | undefined;
  /** The only node that may send a snapshot for it, once bound. */
  readonly expectedOrchestrator: bigint | undefined;
}

/** What an entry is made of. */
export type FactoryPlan = Pick<FactoryEntry, "kind" | "factory" | "config">;

type MutableEntry = { -readonly [K in keyof FactoryEntry]: FactoryEntry[K] };

/**
 * What this node may run, by origin hash. An entry outlives the making of its daemon: it goes when the daemon is stopped, or has arrived by
 * a migration. Only this node's application adds entries.
 */
export class FactoryRegistry {
  readonly #entries: Map<bigint, MutableEntry> = new Map();

  /** Entries held. */
  get size(): number {
    return this.#entries.size;
  }

  /** Adds an entry with a key, which is copied. Throws `process-failed` when there is one for its origin hash. */
  register(identity: Identity, plan: FactoryPlan): FactoryEntry {
    this.#requireFree(identity.originHash);
    return this.#add(identity.originHash, identity.copy(), plan);
  }

  /** Adds an entry without a key. Throws `process-failed` when there is one. */
  registerPlaceholder(originHash: bigint, plan: FactoryPlan): FactoryEntry {
    this.#requireFree(originHash);
    return this.#add(originHash, undefined, plan);
  }

  /** The entry of an origin hash. */
  get(originHash: bigint): FactoryEntry | undefined {
    return this.#entries.get(originHash);
  }

  /** Removes an entry and wipes its key; whether it did. With `entry`, only that very one: whoever lost a race removes nothing of others. */
  remove(originHash: bigint, entry?: FactoryEntry): boolean {
    const found = this.#entries.get(originHash);
    if (found === undefined || (entry !== undefined && entry !== found)) return false;
    this.#entries.delete(originHash);
    found.identity?.zeroize();
    return true;
  }

  /** Removes and returns an entry, key and all, which is the caller's to wipe. */
  take(originHash: bigint): FactoryEntry | undefined {
    const found = this.#entries.get(originHash);
    this.#entries.delete(originHash);
    return found;
  }

  /**
   * Binds an entry to the node that may send its snapshot: true when it is bound to that node now, false when it is bound to another or
   * there is none.
   */
  bindExpectedOrchestrator(originHash: bigint, node: bigint): boolean {
    const entry = this.#entries.get(originHash);
    if (entry === undefined) return false;
    entry.expectedOrchestrator ??= node;
    return entry.expectedOrchestrator === node;
  }

  /** Removes all entries and wipes their keys. */
  clear(): void {
    for (const originHash of [...this.#entries.keys()]) this.remove(originHash);
  }

  #requireFree(originHash: bigint): void {
    if (!this.#entries.has(originHash)) return;
    const text = `factory for ${hexId(originHash)} already registered`;
    throw new CoreDaemonError("process-failed", text, { originHash });
  }

  #add(originHash: bigint, identity: Identity | undefined, plan: FactoryPlan): FactoryEntry {
    const { kind, factory, config } = plan;
    const entry = { originHash, kind, factory, config, identity, expectedOrchestrator: undefined };
    this.#entries.set(originHash, entry);
    return entry;
  }
}
