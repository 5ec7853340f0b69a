import type { ControlEvent } from "../daemon.ts";
import type { DaemonHost, DaemonStats } from "../daemon-host.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import type { StateSnapshot } from "../state/snapshot.ts";

/**
 * What a handle needs of its runtime.
 * @internal
 */
export interface HandleOwner {
  /** Throws `not-found` unless this very host is registered. */
  requireHost(host: DaemonHost): DaemonHost;
  /** As the runtime's. */
  deliver(originHash: bigint, event: CausalEvent): Promise<readonly CausalEvent[]>;
  /** Stops this very daemon. */
  stopHost(host: DaemonHost): Promise<void>;
}

/** A daemon that was spawned here. Once it is stopped or has left, everything fails with `not-found`. */
export class DaemonHandle {
  /** The daemon's address. */
  readonly originHash: bigint;
  /** The daemon's label. */
  readonly name: string;
  readonly #owner: HandleOwner;
  readonly #host: DaemonHost;

  /** @internal */
  constructor(owner: HandleOwner, host: DaemonHost) {
    this.#owner = owner;
    this.#host = host;
    this.originHash = host.originHash;
    this.name = host.name;
  }

  /** Public key of the daemon, 32 bytes; a copy. */
  get entityId(): Uint8Array {
    return this.#host.identity.entityId;
  }

  /** Gives the daemon an event; resolves to its outputs. As `DaemonRuntime.deliver`. */
  async deliver(event: CausalEvent): Promise<readonly CausalEvent[]> {
    this.#owner.requireHost(this.#host);
    return await this.#owner.deliver(this.originHash, event);
  }

  /** A snapshot of the daemon; undefined when it is stateless. */
  async snapshot(): Promise<StateSnapshot | undefined> {
    return await this.#owner.requireHost(this.#host).snapshot();
  }

  /** What it has done so far. Throws `not-found`. */
  stats(): DaemonStats {
    return this.#owner.requireHost(this.#host).stats();
  }

  /** Tells it about its surroundings. */
  async control(event: ControlEvent): Promise<void> {
    await this.#owner.requireHost(this.#host).control(event);
  }

  /** Removes it; resolves when it is disposed of. Idempotent. Rejects with `migrated` when it was being handed over, and is. */
  async stop(): Promise<void> {
    await this.#owner.stopHost(this.#host);
  }

  /** As `stop`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
