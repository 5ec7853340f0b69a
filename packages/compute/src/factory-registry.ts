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

/** Which daemons that nobody announced may arrive. */
export interface ArrivalRule {
  /** What makes them. */
  readonly plan: FactoryPlan;
  /** Whether this daemon may come from that node; throwing means no. */
  readonly accepts: (originHash: bigint, from: bigint) => boolean;
}

/** Entries that rules have made and whose daemons have not arrived, at most. */
const MAX_ADMITTED = 256;

type MutableEntry = { -readonly [K in keyof FactoryEntry]: FactoryEntry[K] };

/**
 * What this node may run, by origin hash. An entry outlives the making of its daemon: it goes when the daemon is stopped, or has arrived by
 * a migration. Only this node's application adds entries.
 */
export class FactoryRegistry {
  readonly #entries: Map<bigint, MutableEntry> = new Map();
  readonly #rules: Set<ArrivalRule> = new Set();
  /** Entries made by rules, oldest first: peers cause them, so that there are at most 256; of more, the oldest goes. */
  readonly #admitted: Set<FactoryEntry> = new Set();
  readonly #onRemoved: (entry: FactoryEntry) => void;

  /** `onRemoved` is told of every entry that is gone. Must not throw. */
  constructor(onRemoved: (entry: FactoryEntry) => void = () => {}) {
    this.#onRemoved = onRemoved;
  }

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
    this.#admitted.delete(found);
    this.#onRemoved(found);
    return true;
  }

  /** Removes and returns an entry, key and all, which is the caller's to wipe. */
  take(originHash: bigint): FactoryEntry | undefined {
    const found = this.#entries.get(originHash);
    this.#entries.delete(originHash);
    if (found === undefined) return undefined;
    this.#admitted.delete(found);
    this.#onRemoved(found);
    return found;
  }

  /** Adds a rule; returns what takes it back. */
  addRule(rule: ArrivalRule): () => void {
    this.#rules.add(rule);
    return () => void this.#rules.delete(rule);
  }

  /** The entry of an origin hash of which a node has a daemon to send: if there is none, one made by the first rule that accepts it. */
  admit(originHash: bigint, from: bigint): FactoryEntry | undefined {
    const known = this.#entries.get(originHash);
    if (known !== undefined) return known;
    for (const rule of this.#rules) {
      if (!isAccepted(rule, originHash, from)) continue;
      const entry = this.registerPlaceholder(originHash, rule.plan);
      this.bindExpectedOrchestrator(originHash, from);
      this.#admitted.add(entry);
      const [oldest] = this.#admitted;
      if (oldest !== undefined && this.#admitted.size > MAX_ADMITTED) this.remove(oldest.originHash, oldest);
      return entry;
    }
    return undefined;
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

  /** Removes all entries and wipes their keys, and all rules. */
  clear(): void {
    this.#rules.clear();
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

function isAccepted({ accepts }: ArrivalRule, originHash: bigint, from: bigint): boolean {
  try {
    return accepts(originHash, from);
  } catch {
    return false;
  }
}
