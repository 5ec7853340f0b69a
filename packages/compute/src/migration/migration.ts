import { hexId } from "../errors.ts";
import type { DaemonTime } from "../time.ts";
import { MigrationError } from "./failure-reason.ts";
import type { MigrationPhase } from "./phases.ts";

/** Where the only live copy of a daemon is after a migration, or where it can be had again. */
export type LiveCopy =
  /** It lives on this node. */
  | { readonly kind: "live"; readonly node: bigint }
  /** One of these nodes has it, and which is not known until they can be reached: nobody else may start it. */
  | { readonly kind: "undecided"; readonly source: bigint; readonly target: bigint };

/** How a migration succeeded. */
export interface MigrationOutcome {
  /** The daemon's new home. */
  readonly node: bigint;
  /** How it travelled: in the messages of Net, or in the stream that netmesh nodes use. */
  readonly form: "net" | "netmesh";
  /** Snapshots sent before one was taken: 1 unless the target was not ready. */
  readonly attempts: number;
  /** Bytes of state that travelled before the pause, and during it. */
  readonly bytes: number;
  /** How long events waited, in milliseconds; undefined when another node was the source. */
  readonly pauseMs: number | undefined;
}

/** What a `Migration` needs of whoever runs it. */
export interface MigrationOwner {
  /** Gives up a migration and tells the peers. */
  cancel(migration: Migration, error: MigrationError): void;
  readonly time: DaemonTime;
}

/** A migration under way, and what became of it. It goes on whether or not somebody waits; dropping it changes nothing. */
export class Migration {
  /** The daemon's address. */
  readonly originHash: bigint;
  /** Where the daemon lives. */
  readonly sourceNode: bigint;
  /** Where it will live. */
  readonly targetNode: bigint;
  /** Settles when the migration is over; rejects with a {@link MigrationError}. Nobody has to listen. */
  readonly done: Promise<MigrationOutcome>;
  readonly #owner: MigrationOwner;
  #phase: MigrationPhase | undefined = "snapshot";
  #lastPhase: MigrationPhase = "snapshot";
  #history: MigrationPhase[] = ["snapshot"];
  #result: { outcome: MigrationOutcome } | { error: MigrationError } | undefined;
  #liveCopy: LiveCopy;
  #resolve: (outcome: MigrationOutcome) => void = () => {};
  #reject: (error: MigrationError) => void = () => {};
  /** Wake those that iterate over the phases. */
  #waiters: (() => void)[] = [];

  /** @internal */
  constructor(owner: MigrationOwner, originHash: bigint, sourceNode: bigint, targetNode: bigint) {
    this.#owner = owner;
    this.originHash = originHash;
    this.sourceNode = sourceNode;
    this.targetNode = targetNode;
    this.#liveCopy = { kind: "live", node: sourceNode };
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {});
  }

  /** The phase it is in; undefined when it is over. */
  get phase(): MigrationPhase | undefined {
    return this.#phase;
  }

  /** The phase it is or was last in. */
  get lastPhase(): MigrationPhase {
    return this.#lastPhase;
  }

  /** How it succeeded; undefined before, and when it failed. */
  get outcome(): MigrationOutcome | undefined {
    return this.#result !== undefined && "outcome" in this.#result ? this.#result.outcome : undefined;
  }

  /** Why it failed. */
  get error(): MigrationError | undefined {
    return this.#result !== undefined && "error" in this.#result ? this.#result.error : undefined;
  }

  /** Which copy of the daemon is the live one, as far as is known here. */
  get liveCopy(): LiveCopy {
    return this.#liveCopy;
  }

  /**
   * Resolves or rejects as `done`. After `timeoutMs`, if given, or once the signal aborts, gives up: tells the peers and rejects with
   * `timeout` or `cancelled`, unless the daemon has been handed over, which cannot be taken back.
   */
  async wait(
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<MigrationOutcome> {
    const { timeoutMs, signal } = options;
    const giveUp = (code: "timeout" | "cancelled", why: string): void => {
      const { originHash } = this;
      const text = `${hexId(originHash)} ${why} in phase ${this.#lastPhase}`;
      this.#owner.cancel(this, new MigrationError(code, text, { originHash }));
    };
    const abort = (): void => giveUp("cancelled", "was cancelled");
    const { time } = this.#owner;
    const timer =
      timeoutMs === undefined ? undefined : time.after(timeoutMs, () => giveUp("timeout", "took too long"));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    try {
      return await this.done;
    } finally {
      if (timer !== undefined) time.cancel(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Gives up and tells both peers; `done` rejects with `cancelled`. Throws `daemon-not-found` when the migration is over, and `wrong-phase` when the daemon has been handed over.
   */
  cancel(): void {
    const { originHash } = this;
    if (this.#result !== undefined) {
      throw new MigrationError("daemon-not-found", `no migration of ${hexId(originHash)}`, { originHash });
    }
    this.#owner.cancel(
      this,
      new MigrationError("cancelled", `${hexId(originHash)} was cancelled`, { originHash }),
    );
    if (this.#result === undefined) {
      throw new MigrationError("wrong-phase", `${hexId(originHash)} is handed over`, { originHash });
    }
  }

  /** Every phase from the first one on, as it is entered. Ends when the migration succeeded, throws its error when it failed. */
  async *phases(): AsyncGenerator<MigrationPhase, void> {
    for (let next = 0; ; next++) {
      while (next >= this.#history.length) {
        if (this.#result !== undefined) {
          if ("error" in this.#result) throw this.#result.error;
          return;
        }
        await new Promise<void>((resolve) => this.#waiters.push(resolve));
      }
      yield this.#history[next] as MigrationPhase;
    }
  }

  /** As `phases`. */
  [Symbol.asyncIterator](): AsyncGenerator<MigrationPhase, void> {
    return this.phases();
  }

  /** @internal Enters a phase, unless it is in it or over. */
  enter(phase: MigrationPhase): void {
    if (this.#result !== undefined || this.#phase === phase) return;
    this.#phase = phase;
    this.#lastPhase = phase;
    this.#history.push(phase);
    this.#wake();
  }

  /** @internal */
  setLiveCopy(copy: LiveCopy): void {
    this.#liveCopy = copy;
  }

  /** @internal Ends it, the first time. */
  succeed(outcome: MigrationOutcome): void {
    if (this.#result !== undefined) return;
    this.#phase = undefined;
    this.#liveCopy = { kind: "live", node: outcome.node };
    this.#result = { outcome };
    this.#resolve(outcome);
    this.#wake();
  }

  /** @internal Ends it, the first time. */
  fail(error: MigrationError): void {
    if (this.#result !== undefined) return;
    this.#phase = undefined;
    this.#result = { error };
    this.#reject(error);
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
