import {
  CausalChain,
  type CausalEvent,
  DaemonRuntime as ComputeRuntime,
  type ControlEvent,
  type DaemonFactory,
  type DaemonHandle,
  type DaemonHostConfig,
  type DaemonStats,
  type Subscription as DaemonSubscription,
  encodeSnapshot,
  type ForkGroup,
  type ForkGroupConfig,
  type HandoverStore,
  type Migration,
  MigrationError,
  type MigrationEvent,
  type MigrationOptions,
  type MigrationSummary,
  Migrator,
  type MigratorOptions,
  type MigratorStats,
  platformTime,
  type RegistryEvent,
  type ReplicaGroup,
  type ReplicaGroupConfig,
  type RuntimeState,
  type SpawnOptions,
  type StandbyGroup,
  type StandbyGroupConfig,
} from "@netmesh/compute";
import type { Identity } from "@netmesh/crypto";
import { requireId } from "../arguments.ts";
import type { Mesh } from "../mesh.ts";
import { ChannelFeed } from "./channel-feed.ts";
import { type DaemonOwner, DaemonRef } from "./daemon.ts";
import type { MeshDaemons } from "./mesh-daemons.ts";

/** How a {@link DaemonRuntime} behaves. */
export interface DaemonRuntimeOptions
  extends Pick<
    MigratorOptions,
    "authorize" | "chooseTarget" | "phaseTimeoutMs" | "bufferLimits" | "reassemblerLimits"
  > {
  /** Where daemons that are being handed over survive a crash; without it they are in memory only. */
  readonly store?: HandoverStore;
  /** Told of migrations, and of what happens to daemons. */
  readonly onEvent?: (event: MigrationEvent | RegistryEvent) => void;
}

/** The daemons of a mesh node: it makes them, gives them events, and moves them to other nodes while they run. */
export class DaemonRuntime implements AsyncDisposable {
  readonly #compute: ComputeRuntime;
  readonly #migrator: Migrator;
  readonly #feed: ChannelFeed;
  readonly #network: MeshDaemons;
  /** Makes events of bare payloads. */
  readonly #chain: CausalChain;
  readonly #owner: DaemonOwner = {
    deliver: (originHash, event) => this.deliver(originHash, event),
    snapshot: (originHash) => this.snapshot(originHash),
    stats: (originHash) => this.stats(originHash),
    control: (originHash, event) => this.control(originHash, event),
    migrate: (originHash, target, options) => this.migrate(originHash, target, options),
    subscribe: (originHash, subscription) => this.#compute.subscribeChannel(originHash, subscription),
    unsubscribe: (originHash, publisher, channel) =>
      this.#compute.unsubscribeChannel(originHash, publisher, channel),
    observe: (originHash, onOutputs) =>
      this.#compute.observeDeliveries((of, _, outputs) => {
        if (of === originHash) onOutputs(outputs);
      }),
    stop: (originHash) => this.#compute.stop(originHash),
  };

  /**
   * Made in state `registering`; kinds can be registered, and peers that send daemons hear that this node is not ready yet. One runtime a mesh:
   * a second one takes the first one's place.
   */
  constructor(mesh: Mesh, options: DaemonRuntimeOptions = {}) {
    const { onEvent, ...migratorOptions } = options;
    const { network, staticKey } = mesh.daemons;
    this.#network = network;
    this.#chain = CausalChain.genesis(mesh.nodeId);
    this.#feed = new ChannelFeed(mesh, async (originHash, { data }, onTaken) => {
      // One that has moved, or fails, has told whoever watches it.
      await this.#compute.deliver(originHash, this.#eventOf(data), onTaken).catch(() => undefined);
    });
    const channels = this.#feed;
    let migrator: Migrator | undefined;
    this.#compute = new ComputeRuntime({
      channels,
      peers: {
        network,
        createHandler: (parts) => {
          migrator = new Migrator(parts, {
            ...migratorOptions,
            staticKey,
            channels,
            ...(onEvent === undefined ? {} : { onEvent }),
          });
          return migrator;
        },
      },
      explainAbsence: (originHash) => migrator?.explainAbsence(originHash),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    this.#migrator = migrator as unknown as Migrator;
  }

  /** Where it is in its life; there is no way back. */
  get state(): RuntimeState {
    return this.#compute.state;
  }

  /** Whether daemons can be spawned and taken. */
  get isReady(): boolean {
    return this.#compute.isReady;
  }

  /** Daemons that live here. */
  get daemonCount(): number {
    return this.#compute.daemonCount;
  }

  /** Registers how daemons of a kind are made. Throws `factory-already-registered`, `shutting-down`. */
  register(kind: string, factory: DaemonFactory): void {
    this.#compute.registerFactory(kind, factory);
  }

  /** Makes the runtime ready: daemons can be spawned, and others arrive. Idempotent. Rejects with `shutting-down`. */
  start(): Promise<void> {
    return this.#compute.start();
  }

  /**
   * Makes a daemon of a kind. Rejects with `not-ready`, `factory-not-found`, `core` ("already registered") when this node has or expects one of
   * the identity, `invalid-daemon`, `callback-timeout`.
   */
  async spawn(kind: string, options: SpawnOptions = {}): Promise<DaemonRef> {
    return this.#ref(await this.#compute.spawn(kind, options));
  }

  /** Makes a daemon that goes on from a snapshot of the same identity. Rejects as {@link spawn}, and with `snapshot-invalid`, `snapshot-identity-mismatch`. */
  async spawnFromSnapshot(
    kind: string,
    snapshot: Uint8Array,
    options: SpawnOptions & { readonly identity: Identity },
  ): Promise<DaemonRef> {
    return this.#ref(await this.#compute.spawnFromSnapshot(kind, snapshot, options));
  }

  /** As {@link DaemonRef.deliver}. */
  deliver(originHash: bigint, event: CausalEvent | Uint8Array): Promise<readonly CausalEvent[]> {
    return this.#compute.deliver(originHash, event instanceof Uint8Array ? this.#eventOf(event) : event);
  }

  #eventOf(payload: Uint8Array): CausalEvent {
    return this.#chain.append(payload, 0n, platformTime.unixTimeNs());
  }

  /** As {@link DaemonRef.snapshot}. */
  async snapshot(originHash: bigint): Promise<Uint8Array | undefined> {
    const snapshot = await this.#compute.snapshot(originHash);
    return snapshot === undefined ? undefined : encodeSnapshot(snapshot);
  }

  /** What a daemon has done so far. Throws `not-found`. */
  stats(originHash: bigint): DaemonStats {
    return this.#compute.stats(originHash);
  }

  /** Tells a daemon about its surroundings. */
  control(originHash: bigint, event: ControlEvent): Promise<void> {
    return this.#compute.control(originHash, event);
  }

  /** The channels that a daemon is a member of. */
  subscriptions(originHash: bigint): readonly DaemonSubscription[] {
    return this.#compute.subscriptions(originHash);
  }

  /**
   * Allows a daemon to arrive here; with `from`, only from that node. `arrived` resolves when it lives here, and rejects with `cancelled` when it
   * is forgotten, or `shutting-down`; it need not be waited for. Throws `factory-not-found`, `core` ("already registered") when the origin is
   * taken.
   */
  expectMigration(
    kind: string,
    originHash: bigint,
    options: { readonly from?: bigint; readonly config?: DaemonHostConfig } = {},
  ): { readonly originHash: bigint; readonly arrived: Promise<DaemonRef> } {
    const expected = this.#compute.expectMigration(kind, originHash, options);
    const arrived = expected.arrived.then((daemon) => this.#ref(daemon));
    // Whoever does not wait for it is not told of its end either.
    arrived.catch(() => undefined);
    return { originHash, arrived };
  }

  /**
   * Allows daemons to arrive here that nobody has announced: those for which `accepts` says so, given origin hash and sender. Returns what takes
   * the rule back. Throws `factory-not-found`, `shutting-down`.
   */
  acceptMigration(
    kind: string,
    accepts: (originHash: bigint, from: bigint) => boolean,
    config?: DaemonHostConfig,
  ): () => void {
    return this.#compute.acceptMigration(kind, accepts, config);
  }

  /**
   * A group of workers of one kind on this node, with keys that follow from a seed. Rejects with a `GroupError` (`invalid-config`,
   * `registry-failed`), `not-ready`, `shutting-down` or `factory-not-found`; nothing is left of it then. As all groups.
   */
  replicaGroup(kind: string, config: ReplicaGroupConfig): Promise<ReplicaGroup> {
    return this.#compute.replicaGroup(kind, config);
  }

  /** A group of independent descendants of one chain, on this node. */
  forkGroup(kind: string, config: ForkGroupConfig): Promise<ForkGroup> {
    return this.#compute.forkGroup(kind, config);
  }

  /** A daemon, and others on this node that take its place when it fails. */
  standbyGroup(kind: string, config: StandbyGroupConfig): Promise<StandbyGroup> {
    return this.#compute.standbyGroup(kind, config);
  }

  /** Allows a daemon whose key is known here to arrive without it. Throws as {@link expectMigration}. */
  registerMigrationTargetIdentity(kind: string, identity: Identity, config?: DaemonHostConfig): void {
    this.#compute.registerMigrationTargetIdentity(kind, identity, config);
  }

  /** Forgets that a daemon that does not live here may arrive, or come back; whether it could. */
  forget(originHash: bigint): boolean {
    return this.#compute.forget(originHash);
  }

  /**
   * Moves a daemon, live, to a node with a session: it goes on from where it was, and no event is lost, repeated or reordered. With `source`, from
   * another node to a third one, where its runtime allows that. Resolves once the first message is on its way.
   *
   * Rejects with `daemon-not-found`, `already-migrating`, `target-unavailable`, `state-failed` for a stateless daemon, or one whose key cannot
   * travel: to a node of Net only if this node has connected to it, to others if they have proven who they are.
   */
  async migrate(
    originHash: bigint,
    target: bigint,
    options: MigrationOptions & { readonly source?: bigint } = {},
  ): Promise<Migration> {
    requireId(target, "target");
    if (options.source !== undefined) requireId(options.source, "source");
    if (this.isReady && !this.#network.isConnected(options.source ?? target)) {
      const node = options.source ?? target;
      throw new MigrationError("target-unavailable", `no session with ${node}`, { originHash, node });
    }
    return await this.#migrator.startMigration(originHash, target, options);
  }

  /** A migration that this node conducts. */
  migration(originHash: bigint): Migration | undefined {
    return this.#migrator.migration(originHash);
  }

  /** All migrations that this node conducts. */
  migrations(): MigrationSummary[] {
    return this.#migrator.migrations();
  }

  /** What was dropped or repeated in migrations so far. */
  migrationStats(): MigratorStats {
    return this.#migrator.stats();
  }

  /** Ends the runtime for good: daemons are told, have `graceMs` to come to an end, and are removed with their keys. Idempotent, never rejects. */
  async shutdown(graceMs?: number): Promise<void> {
    await Promise.all([this.#compute.shutdown(graceMs), this.#feed.close()]);
  }

  /** As {@link shutdown}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #ref({ originHash, entityId }: DaemonHandle): DaemonRef {
    return new DaemonRef(this.#owner, originHash, entityId);
  }
}
