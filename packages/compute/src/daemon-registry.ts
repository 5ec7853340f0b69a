import type { Awaitable, DaemonHealth } from "./daemon.ts";
import type { DaemonHost, DaemonStats } from "./daemon-host.ts";
import { CoreDaemonError, type DaemonError, hexId } from "./errors.ts";
import type { CausalEvent } from "./state/causal-event.ts";
import type { StateSnapshot } from "./state/snapshot.ts";

/** What happened to a daemon of a registry (§9). */
export type RegistryEvent =
  | { readonly kind: "registered"; readonly originHash: bigint; readonly name: string }
  | { readonly kind: "unregistered"; readonly originHash: bigint; readonly name: string }
  | { readonly kind: "crashed"; readonly originHash: bigint; readonly reason: string }
  | { readonly kind: "health"; readonly originHash: bigint; readonly health: DaemonHealth }
  | { readonly kind: "saturation"; readonly originHash: bigint; readonly saturation: number };

/** How a registry is told about. */
export interface DaemonRegistryOptions {
  /** Told of every event, in order. What it throws is ignored. */
  readonly onEvent?: (event: RegistryEvent) => void;
  /** Why a daemon is not here, if that is known; `not-found` by default. Where a daemon that has moved is remembered. */
  readonly explainAbsence?: (originHash: bigint) => DaemonError | undefined;
}

interface Entry {
  readonly host: DaemonHost;
  health: DaemonHealth | undefined;
  saturation: number;
}

/**
 * The daemons of a node, by origin hash (§11). A second daemon with the same 64 bits is refused, whatever its key. Only this node's
 * application, and migrations that it expects, add daemons.
 */
export class DaemonRegistry {
  readonly #entries: Map<bigint, Entry> = new Map();
  readonly #onEvent: ((event: RegistryEvent) => void) | undefined;
  readonly #explainAbsence: ((originHash: bigint) => DaemonError | undefined) | undefined;

  constructor(options: DaemonRegistryOptions = {}) {
    this.#onEvent = options.onEvent;
    this.#explainAbsence = options.explainAbsence;
  }

  /** Daemons held. */
  get size(): number {
    return this.#entries.size;
  }

  /** Their origin hashes, in the order in which they came. */
  origins(): bigint[] {
    return [...this.#entries.keys()];
  }

  /** Adds a daemon. Throws `process-failed` when there is one with its origin hash, which is left alone. */
  register(host: DaemonHost): void {
    const { originHash } = host;
    if (this.#entries.has(originHash)) {
      const text = `daemon ${hexId(originHash)} already registered`;
      throw new CoreDaemonError("process-failed", text, { originHash });
    }
    this.#add(host);
  }

  /** Adds a daemon in the place of one with its origin hash, if any, whose waiting calls fail with `stale`. Resolves when that is disposed of. */
  async replace(host: DaemonHost): Promise<void> {
    const previous = this.#entries.get(host.originHash)?.host;
    const closing = previous === undefined ? undefined : this.#remove(previous);
    this.#add(host);
    await closing;
  }

  /**
   * Removes a daemon, at once; resolves when it is disposed of. Its waiting calls fail with `error`, by default `stale`. Rejects with
   * `not-found`, and with `stale` when it is another one than `expected`.
   */
  async unregister(originHash: bigint, expected?: DaemonHost, error?: DaemonError): Promise<void> {
    const host = this.require(originHash);
    if (expected !== undefined && expected !== host) {
      throw new CoreDaemonError("stale", `daemon ${hexId(originHash)}`, { originHash });
    }
    await this.#remove(host, error);
  }

  /** The host of a daemon. */
  get(originHash: bigint): DaemonHost | undefined {
    return this.#entries.get(originHash)?.host;
  }

  /** The host of a daemon. Throws `not-found`, or why it is not here. */
  require(originHash: bigint): DaemonHost {
    const entry = this.#entries.get(originHash);
    if (entry !== undefined) return entry.host;
    throw (
      this.#explainAbsence?.(originHash) ??
      new CoreDaemonError("not-found", hexId(originHash), { originHash })
    );
  }

  /** As `DaemonHost.deliver`. Throws `not-found`. */
  deliver(originHash: bigint, event: CausalEvent): Awaitable<readonly CausalEvent[]> {
    return this.require(originHash).deliver(event);
  }

  /** As `DaemonHost.snapshot`. Throws `not-found`. */
  snapshot(originHash: bigint): Awaitable<StateSnapshot | undefined> {
    return this.require(originHash).snapshot();
  }

  /** As `DaemonHost.stats`. Throws `not-found`. */
  stats(originHash: bigint): DaemonStats {
    return this.require(originHash).stats();
  }

  /** Asks every daemon how it is doing, and tells of what has changed since it was last asked. */
  checkHealth(): void {
    for (const [originHash, entry] of [...this.#entries]) {
      const health = entry.host.health();
      const saturation = entry.host.saturation();
      if (!equalHealth(health, entry.health)) {
        entry.health = health;
        this.#tell({ kind: "health", originHash, health });
      }
      if (saturation !== entry.saturation) {
        entry.saturation = saturation;
        this.#tell({ kind: "saturation", originHash, saturation });
      }
    }
  }

  /** Tells of a daemon that no longer can be relied on. */
  reportCrash(originHash: bigint, reason: string): void {
    this.#tell({ kind: "crashed", originHash, reason });
  }

  #add(host: DaemonHost): void {
    this.#entries.set(host.originHash, { host, health: { status: "healthy" }, saturation: 0 });
    this.#tell({ kind: "registered", originHash: host.originHash, name: host.name });
  }

  #remove(host: DaemonHost, error?: DaemonError): Promise<void> {
    this.#entries.delete(host.originHash);
    this.#tell({ kind: "unregistered", originHash: host.originHash, name: host.name });
    return host.close(error);
  }

  #tell(event: RegistryEvent): void {
    try {
      this.#onEvent?.(event);
    } catch {
      // An observer's failure is not the daemon's.
    }
  }
}

function equalHealth(a: DaemonHealth, b: DaemonHealth | undefined): boolean {
  return a.status === b?.status && reasonOf(a) === reasonOf(b);
}

function reasonOf(health: DaemonHealth): string | undefined {
  return health.status === "healthy" ? undefined : health.reason;
}
