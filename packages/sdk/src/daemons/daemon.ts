import type {
  CausalEvent,
  ControlEvent,
  DaemonStats,
  Subscription as DaemonSubscription,
  Migration,
  MigrationOptions,
} from "@netmesh/compute";
import { EventQueue, iterate } from "../event-queue.ts";

/** Outputs that may wait for one reader. */
const OUTPUT_QUEUE = 1_024;

/** What a daemon's handle needs of its runtime. */
export interface DaemonOwner {
  deliver(originHash: bigint, event: CausalEvent | Uint8Array): Promise<readonly CausalEvent[]>;
  snapshot(originHash: bigint): Promise<Uint8Array | undefined>;
  stats(originHash: bigint): DaemonStats;
  control(originHash: bigint, event: ControlEvent): Promise<void>;
  migrate(originHash: bigint, target: bigint, options?: MigrationOptions): Promise<Migration>;
  subscribe(originHash: bigint, subscription: DaemonSubscription): Promise<void>;
  unsubscribe(originHash: bigint, publisher: bigint, channel: string): Promise<void>;
  /** Calls back with the outputs of each delivery; returns what takes it back. */
  observe(originHash: bigint, onOutputs: (outputs: readonly CausalEvent[]) => void): () => void;
  save(originHash: bigint): Promise<boolean>;
  stop(originHash: bigint): Promise<void>;
  destroy(originHash: bigint): Promise<void>;
}

/**
 * A daemon that lives on this node. Once it is stopped everything fails with `not-found`; once it has moved, with `migrated` and the
 * node that has it, for five minutes.
 */
export class DaemonRef implements AsyncDisposable {
  /** The daemon's address. */
  readonly originHash: bigint;
  /** Public key of the daemon, 32 bytes. */
  readonly entityId: Uint8Array;
  readonly #owner: DaemonOwner;

  /** @internal */
  constructor(owner: DaemonOwner, originHash: bigint, entityId: Uint8Array) {
    this.#owner = owner;
    this.originHash = originHash;
    this.entityId = entityId;
  }

  /**
   * Gives the daemon an event, or a payload of which the runtime makes one; resolves to its outputs once they are in its chain. Events of
   * one caller are processed in the order of the calls. Rejects with `process-failed`, `callback-timeout`, `overloaded`, `not-found`,
   * `migrated`.
   */
  deliver(event: CausalEvent | Uint8Array): Promise<readonly CausalEvent[]> {
    return this.#owner.deliver(this.originHash, event);
  }

  /** Iterates what the daemon says from now on; a reader that falls more than 1024 outputs behind loses the newest. */
  outputs(options: { readonly signal?: AbortSignal } = {}): AsyncIterableIterator<CausalEvent, undefined> {
    const queue = new EventQueue<CausalEvent>(OUTPUT_QUEUE, "drop-newest");
    const stop = this.#owner.observe(this.originHash, (outputs) => {
      for (const output of outputs) queue.push(output);
    });
    return iterate(queue, options.signal, stop);
  }

  /** The daemon's state as bytes that `spawnFromSnapshot` takes; undefined when it is stateless. Rejects with `snapshot-failed`. */
  snapshot(): Promise<Uint8Array | undefined> {
    return this.#owner.snapshot(this.originHash);
  }

  /** What it has done so far. Throws `not-found`. */
  stats(): DaemonStats {
    return this.#owner.stats(this.originHash);
  }

  /** Tells it about its surroundings. */
  control(event: ControlEvent): Promise<void> {
    return this.#owner.control(this.originHash, event);
  }

  /**
   * Makes it a member of a channel: what is published there is delivered to it, also after it has moved. Around a move a message can arrive
   * twice, and none is missed. Rejects with `process-failed` with the publisher's refusal as its cause.
   */
  subscribe(publisher: bigint, channel: string, token?: Uint8Array): Promise<void> {
    const subscription = { publisher, channel, ...(token === undefined ? {} : { token }) };
    return this.#owner.subscribe(this.originHash, subscription);
  }

  /** Takes that back. */
  unsubscribe(publisher: bigint, channel: string): Promise<void> {
    return this.#owner.unsubscribe(this.originHash, publisher, channel);
  }

  /** Moves it, live, to a node with a session; see `DaemonRuntime.migrate`. */
  migrate(target: bigint, options?: MigrationOptions): Promise<Migration> {
    return this.#owner.migrate(this.originHash, target, options);
  }

  /** Stores it as it is now; resolves once that outlives the process. False when it is stateless, or the runtime has no store. */
  save(): Promise<boolean> {
    return this.#owner.save(this.originHash);
  }

  /** Removes it; resolves when it is disposed of. From a store it comes back with the next start, as it was. */
  stop(): Promise<void> {
    return this.#owner.stop(this.originHash);
  }

  /** Ends it for good: as `stop`, and nothing of it is left in the store. Rejects as `stop` and the store do. */
  destroy(): Promise<void> {
    return this.#owner.destroy(this.originHash);
  }

  /** As `stop`; a daemon that is gone already is left alone. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => undefined);
  }
}
