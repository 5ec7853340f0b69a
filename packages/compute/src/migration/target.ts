import type { DaemonHost } from "../daemon-host.ts";
import type { DaemonRegistry } from "../daemon-registry.ts";
import { hexId } from "../errors.ts";
import type { FactoryRegistry } from "../factory-registry.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import type { CausalLink } from "../state/causal-link.ts";
import type { StateSnapshot } from "../state/snapshot.ts";
import { type BufferLimits, MAX_BUFFERED_BYTES, MAX_BUFFERED_EVENTS } from "./event-buffer.ts";
import { MigrationError } from "./failure-reason.ts";
import { BUFFERED_EVENT_OVERHEAD } from "./messages.ts";

/** Arrivals that are remembered, so that who asks again gets the same answer; of more, the oldest is forgotten. */
export const MAX_COMPLETED_ARRIVALS = 1024;

/** A daemon that is arriving here. */
export interface TargetRecord {
  readonly originHash: bigint;
  /** Who conducts the move. */
  readonly orchestrator: bigint;
  /** The daemon: nobody can reach it before it is activated. */
  readonly host: DaemonHost;
  /** `throughSeq` of the snapshot. */
  readonly restoredSeq: bigint;
  /** How far events were replayed, as the target counts them (§21). */
  readonly replayedThrough: bigint;
}

/** A daemon that has arrived. */
export interface CompletedArrival {
  readonly orchestrator: bigint;
  readonly host: DaemonHost;
  readonly replayedThrough: bigint;
}

type Mutable = { -readonly [K in keyof TargetRecord]: TargetRecord[K] } & {
  /** Events ahead of their turn, by sequence; bounded as a source's buffer. */
  readonly waiting: Map<bigint, CausalEvent>;
  waitingBytes: number;
  /** What was last asked for: one thing after the other. */
  tail: Promise<void>;
};

/** What the machine of a target works on. */
export interface MigrationTargetOptions {
  readonly daemons: DaemonRegistry;
  readonly factories: FactoryRegistry;
  readonly limits?: BufferLimits;
  /** Told of events that could not be replayed, because one before them never came. */
  readonly onLeftOver: (originHash: bigint, events: readonly CausalEvent[]) => void;
}

/** The daemons that are arriving on this node (spec compute.md §19). They are reachable once activated, and only then. */
export class MigrationTarget {
  readonly #options: MigrationTargetOptions;
  readonly #maxEvents: number;
  readonly #maxBytes: number;
  readonly #records: Map<bigint, Mutable> = new Map();
  readonly #completed: Map<bigint, CompletedArrival> = new Map();

  constructor(options: MigrationTargetOptions) {
    this.#options = options;
    this.#maxEvents = options.limits?.maxEvents ?? MAX_BUFFERED_EVENTS;
    this.#maxBytes = options.limits?.maxBytes ?? MAX_BUFFERED_BYTES;
  }

  /** Daemons arriving. */
  get size(): number {
    return this.#records.size;
  }

  /** The arrival of a daemon. */
  get(originHash: bigint): TargetRecord | undefined {
    return this.#records.get(originHash);
  }

  /** All arrivals. */
  records(): TargetRecord[] {
    return [...this.#records.values()];
  }

  /** How a daemon arrived that lives here. */
  completed(originHash: bigint): CompletedArrival | undefined {
    return this.#completed.get(originHash);
  }

  /** Records a daemon that was restored of `snapshot`. Throws `already-migrating`, and `state-failed` when one of its origin lives here. */
  admit(host: DaemonHost, snapshot: StateSnapshot, orchestrator: bigint): TargetRecord {
    const { originHash } = host;
    if (this.#records.has(originHash)) {
      throw new MigrationError("already-migrating", `${hexId(originHash)} is already migrating`, {
        originHash,
      });
    }
    if (this.#options.daemons.get(originHash) !== undefined) {
      throw new MigrationError("state-failed", `daemon ${hexId(originHash)} already registered`, {
        originHash,
      });
    }
    const { throughSeq } = snapshot;
    const record: Mutable = {
      originHash,
      orchestrator,
      host,
      restoredSeq: throughSeq,
      replayedThrough: throughSeq,
      waiting: new Map(),
      waitingBytes: 0,
      tail: Promise.resolve(),
    };
    this.#completed.delete(originHash);
    this.#records.set(originHash, record);
    return record;
  }

  /**
   * Replays events in the order of their sequences, as far as they are there; keeps those that wait for others, drops those that were replayed
   * before. Resolves to how far it came. Once activated it replays nothing. Rejects with `daemon-not-found`, `buffer-full`, and what the daemon does,
   * which then keeps what it has processed.
   */
  async replay(originHash: bigint, events: readonly CausalEvent[]): Promise<bigint> {
    const record = this.#records.get(originHash);
    const completed = this.#completed.get(originHash);
    if (record === undefined && completed !== undefined) return completed.replayedThrough;
    if (record === undefined) throw notFound(originHash);
    for (const event of events) this.#keep(record, event);
    return await this.#inTurn(record, async () => {
      await this.#drain(record);
      return record.replayedThrough;
    });
  }

  /** As `replay` of one event; whether there is an arrival that can take it. */
  async bufferEvent(originHash: bigint, event: CausalEvent): Promise<boolean> {
    if (!this.#records.has(originHash)) return false;
    await this.replay(originHash, [event]);
    return true;
  }

  /** Head of the chain of a daemon that is arriving or has arrived. */
  headOf(originHash: bigint): CausalLink | undefined {
    return (this.#records.get(originHash) ?? this.#completed.get(originHash))?.host.head;
  }

  /**
   * Lets the daemon live here, after what is being replayed; its factory entry is used up. Resolves to how far it has replayed, again to the same.
   * Rejects with `daemon-not-found`, and `state-failed` when its place was taken.
   */
  async activate(originHash: bigint): Promise<bigint> {
    const record = this.#records.get(originHash);
    if (record === undefined) {
      const completed = this.#completed.get(originHash);
      if (completed === undefined) throw notFound(originHash);
      return completed.replayedThrough;
    }
    return await this.#inTurn(record, async () => {
      if (this.#records.get(originHash) !== record) return await this.activate(originHash);
      await this.#drain(record);
      const { host, orchestrator, replayedThrough, waiting } = record;
      this.#options.daemons.register(host);
      this.#records.delete(originHash);
      this.#options.factories.remove(originHash);
      this.#remember(originHash, { host, orchestrator, replayedThrough });
      if (waiting.size > 0) this.#options.onLeftOver(originHash, [...waiting.values()]);
      return replayedThrough;
    });
  }

  /**
   * Gives a daemon that has arrived events that come late, if they continue what was replayed; the others are reported. Resolves when they are
   * processed.
   */
  async deliverLate(originHash: bigint, events: readonly CausalEvent[]): Promise<void> {
    const completed = this.#completed.get(originHash);
    if (completed === undefined) return;
    let { replayedThrough } = completed;
    const left: CausalEvent[] = [];
    for (const event of events.map(owned)) {
      if (event.link.sequence <= replayedThrough) continue;
      if (event.link.sequence !== replayedThrough + 1n) {
        left.push(event);
        continue;
      }
      replayedThrough++;
      this.#completed.set(originHash, { ...completed, replayedThrough });
      await completed.host.replay(event);
    }
    if (left.length > 0) this.#options.onLeftOver(originHash, left);
  }

  /** Discards a daemon that was arriving, and forgets one that has arrived, which lives on. Whether one was discarded. */
  abort(originHash: bigint): boolean {
    this.#completed.delete(originHash);
    const record = this.#records.get(originHash);
    if (record === undefined) return false;
    this.#records.delete(originHash);
    void record.host.close();
    return true;
  }

  #keep(record: Mutable, event: CausalEvent): void {
    const { sequence } = event.link;
    if (sequence <= record.replayedThrough || record.waiting.has(sequence)) return;
    const bytes = record.waitingBytes + BUFFERED_EVENT_OVERHEAD + event.payload.length;
    if (record.waiting.size >= this.#maxEvents || bytes > this.#maxBytes) {
      throw new MigrationError("buffer-full", `${record.waiting.size} events wait`, {
        originHash: record.originHash,
        size: bytes,
      });
    }
    record.waiting.set(sequence, owned(event));
    record.waitingBytes = bytes;
  }

  async #drain(record: Mutable): Promise<void> {
    for (;;) {
      const next = record.replayedThrough + 1n;
      const event = record.waiting.get(next);
      if (event === undefined) return;
      await record.host.replay(event);
      record.waiting.delete(next);
      record.waitingBytes -= BUFFERED_EVENT_OVERHEAD + event.payload.length;
      record.replayedThrough = next;
    }
  }

  #inTurn<T>(record: Mutable, action: () => Promise<T>): Promise<T> {
    const result = record.tail.then(action);
    record.tail = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  #remember(originHash: bigint, arrival: CompletedArrival): void {
    this.#completed.delete(originHash);
    this.#completed.set(originHash, arrival);
    if (this.#completed.size <= MAX_COMPLETED_ARRIVALS) return;
    for (const oldest of this.#completed.keys()) {
      this.#completed.delete(oldest);
      return;
    }
  }
}

/** The event with a payload that outlives the message it came in. */
function owned(event: CausalEvent): CausalEvent {
  return { ...event, payload: new Uint8Array(event.payload) };
}

function notFound(originHash: bigint): MigrationError {
  return new MigrationError("daemon-not-found", `no arrival of ${hexId(originHash)}`, { originHash });
}
