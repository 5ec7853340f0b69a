import type { DaemonHost, DeliveryGate, HeldDaemon } from "../daemon-host.ts";
import type { DaemonRegistry } from "../daemon-registry.ts";
import { hexId } from "../errors.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import type { StateSnapshot } from "../state/snapshot.ts";
import { type BufferLimits, EventBuffer } from "./event-buffer.ts";
import { MigrationError } from "./failure-reason.ts";
import { wrongPhase } from "./phases.ts";

/** A daemon of this node that is on its way. */
export interface SourceRecord {
  readonly originHash: bigint;
  readonly host: DaemonHost;
  /** Where it goes. */
  readonly target: bigint;
  /** Who conducts the move. */
  readonly orchestrator: bigint;
  /** What travels. */
  readonly snapshot: StateSnapshot;
  /** What happened to the daemon since. */
  readonly buffer: EventBuffer;
  /** `snapshot` while the daemon serves and its events are buffered; `cutover` once nothing is delivered to it any more. */
  readonly phase: "snapshot" | "cutover";
}

type Mutable = { -readonly [K in keyof SourceRecord]: SourceRecord[K] } & {
  held: HeldDaemon | undefined;
  detach: () => void;
};

/** What the machine of a source works on. */
export interface MigrationSourceOptions {
  readonly daemons: DaemonRegistry;
  readonly limits?: BufferLimits;
  /** Told that an event could not be buffered: it is in the daemon, so that the migration cannot succeed any more. */
  readonly onOverflow: (originHash: bigint, error: MigrationError) => void;
}

/**
 * The daemons of this node that are on their way (spec compute.md §18). Snapshot and record are one step with respect to deliveries: an event
 * is either in the snapshot or in the buffer. Until the cutover the daemon serves; then deliveries wait, and fail with `migrated` once
 * it is removed, or are served when the move is aborted.
 */
export class MigrationSource {
  readonly #options: MigrationSourceOptions;
  readonly #records: Map<bigint, Mutable> = new Map();
  /** Origins whose snapshot is being taken. */
  readonly #claims: Set<bigint> = new Set();

  constructor(options: MigrationSourceOptions) {
    this.#options = options;
  }

  /** Daemons on their way. */
  get size(): number {
    return this.#records.size;
  }

  /** The move of a daemon. */
  get(originHash: bigint): SourceRecord | undefined {
    return this.#records.get(originHash);
  }

  /** Whether the daemon is on its way or about to be. */
  isMoving(originHash: bigint): boolean {
    return this.#records.has(originHash) || this.#claims.has(originHash);
  }

  /** All moves. */
  records(): SourceRecord[] {
    return [...this.#records.values()];
  }

  /**
   * Takes a snapshot and buffers from then on. Rejects with `daemon-not-found`, `already-migrating`, `state-failed` for a stateless daemon, or as
   * `DaemonHost.snapshot`; then nothing is recorded.
   */
  async start(
    originHash: bigint,
    target: bigint,
    orchestrator: bigint,
    limits: BufferLimits | undefined = this.#options.limits,
  ): Promise<SourceRecord> {
    const host = this.#requireStill(originHash);
    this.#claims.add(originHash);
    try {
      await host.snapshot((snapshot) => {
        const buffer = new EventBuffer(originHash, limits);
        const record = this.#record(host, target, orchestrator, snapshot, buffer);
        record.detach = this.#attach(record);
      });
    } finally {
      this.#claims.delete(originHash);
    }
    const record = this.#records.get(originHash);
    if (record !== undefined) return record;
    throw new MigrationError("state-failed", `${hexId(originHash)} is stateless`, { originHash });
  }

  /** As `start` for a daemon whose state travels in parts: its events are in later parts, so that none are buffered. */
  async startInParts(originHash: bigint, target: bigint, orchestrator: bigint): Promise<SourceRecord> {
    const host = this.#requireStill(originHash);
    this.#claims.add(originHash);
    try {
      const held = await host.hold();
      const record = this.#record(host, target, orchestrator, held.head(), new EventBuffer(originHash));
      held.release();
      return record;
    } finally {
      this.#claims.delete(originHash);
    }
  }

  #record(
    host: DaemonHost,
    target: bigint,
    orchestrator: bigint,
    snapshot: StateSnapshot,
    buffer: EventBuffer,
  ): Mutable {
    const { originHash } = host;
    const base = { originHash, host, target, orchestrator, snapshot, buffer, phase: "snapshot" as const };
    const record: Mutable = { ...base, held: undefined, detach: () => {} };
    this.#records.set(originHash, record);
    return record;
  }

  /** The host of a daemon that is not on its way. */
  #requireStill(originHash: bigint): DaemonHost {
    const host = this.#options.daemons.get(originHash);
    if (host === undefined) throw notFound(originHash);
    if (!this.isMoving(originHash)) return host;
    throw new MigrationError("already-migrating", `${hexId(originHash)} is already migrating`, {
      originHash,
    });
  }

  /** Keeps an event that the daemon has processed: false without a move. Throws `state-failed` after the cutover, and `buffer-full`. */
  bufferEvent(originHash: bigint, event: CausalEvent): boolean {
    const record = this.#records.get(originHash);
    if (record === undefined) return false;
    if (record.phase === "cutover") {
      throw new MigrationError("state-failed", `${hexId(originHash)} is handed over`, { originHash });
    }
    record.buffer.push(event);
    return true;
  }

  /** The buffered events, which are forgotten. Throws `daemon-not-found`, and `wrong-phase` after the cutover. */
  takeBuffered(originHash: bigint): CausalEvent[] {
    const record = this.#require(originHash);
    if (record.phase === "cutover") throw wrongPhase(originHash, "replay", "cutover");
    return record.buffer.drain();
  }

  /**
   * Lets nothing more through to the daemon, and gives what is buffered. Again, it gives nothing. Rejects with `daemon-not-found`, also when the
   * move is aborted meanwhile.
   */
  async cutover(originHash: bigint): Promise<CausalEvent[]> {
    const record = this.#require(originHash);
    const held = await record.host.hold();
    if (this.#records.get(originHash) !== record || record.held !== undefined) {
      held.release();
      this.#require(originHash);
      return [];
    }
    record.held = held;
    record.phase = "cutover";
    return record.buffer.drain();
  }

  /** The daemon, held since the cutover. */
  heldOf(originHash: bigint): HeldDaemon | undefined {
    return this.#records.get(originHash)?.held;
  }

  /**
   * Removes a daemon after the cutover, with its key; those that wait for it fail with `error`, by default `migrated`. False without a move: then the
   * daemon is left alone. Throws `wrong-phase` before the cutover.
   */
  cleanup(originHash: bigint, error?: MigrationError): boolean {
    const record = this.#records.get(originHash);
    if (record === undefined) return false;
    if (record.phase !== "cutover") throw wrongPhase(originHash, "cutover", "snapshot");
    this.#end(record);
    const { daemons } = this.#options;
    if (daemons.get(originHash) === record.host) {
      void daemons.unregister(originHash, record.host, error ?? movedAway(originHash, record.target));
    }
    record.held?.release();
    return true;
  }

  /** Forgets a move: the daemon serves again. Whether there was one. */
  abort(originHash: bigint): boolean {
    const record = this.#records.get(originHash);
    if (record === undefined) return false;
    this.#end(record);
    record.held?.release();
    return true;
  }

  #end(record: Mutable): void {
    this.#records.delete(record.originHash);
    record.detach();
  }

  /** Sees what is delivered, behind whatever else stands before the daemon. */
  #attach(record: Mutable): () => void {
    const { host, originHash } = record;
    const before = host.gate;
    const gate: DeliveryGate = {
      admit: (event) => before?.admit?.(event),
      delivered: (event, outputs) => {
        before?.delivered?.(event, outputs);
        try {
          this.bufferEvent(originHash, event);
        } catch (error) {
          this.#options.onOverflow(originHash, error as MigrationError);
        }
      },
    };
    host.gate = gate;
    return () => {
      if (host.gate === gate) host.gate = before;
    };
  }

  #require(originHash: bigint): Mutable {
    const record = this.#records.get(originHash);
    if (record === undefined) throw notFound(originHash);
    return record;
  }
}

/** The error of a call on a daemon that has moved. */
export function movedAway(originHash: bigint, node: bigint): MigrationError {
  return new MigrationError("migrated", `${hexId(originHash)} has moved to ${hexId(node)}`, {
    originHash,
    node,
  });
}

function notFound(originHash: bigint): MigrationError {
  return new MigrationError("daemon-not-found", `no daemon ${hexId(originHash)}`, { originHash });
}
