import {
  type CapabilityFilter,
  CausalChain,
  type CausalEvent,
  DaemonRuntime as ComputeRuntime,
  type ControlEvent,
  DaemonError,
  type DaemonFactory,
  type DaemonHandle,
  type DaemonHostConfig,
  type DaemonStats,
  type Subscription as DaemonSubscription,
  encodeSnapshot,
  type ForkGroup,
  type ForkGroupConfig,
  type HeldBackDaemon,
  type HostedMember,
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
  Scheduler,
  type SnapshotStore,
  type SpawnOptions,
  type StandbyGroup,
  type StandbyGroupConfig,
} from "@netmesh/compute";
import type { Identity } from "@netmesh/crypto";
import { requireId } from "../arguments.ts";
import type { Mesh } from "../mesh.ts";
import { ChannelFeed } from "./channel-feed.ts";
import { type DaemonOwner, DaemonRef } from "./daemon.ts";
import {
  type Durability,
  keepDaemons,
  type SnapshotEvent,
  type SnapshotOptions,
  type StartReport,
} from "./durability.ts";
import type { MeshDaemons } from "./mesh-daemons.ts";
import { MeshDirectory } from "./mesh-directory.ts";
import { MeshGroups } from "./mesh-groups.ts";

/** How a {@link DaemonRuntime} behaves. */
export interface DaemonRuntimeOptions
  extends Pick<MigratorOptions, "authorize" | "phaseTimeoutMs" | "bufferLimits" | "reassemblerLimits"> {
  /**
   * Where daemons survive a crash of this process, also in the middle of a move; without it they are in memory only. One store for each node;
   * stays the caller's to close. The mesh needs a lasting `identity`: keys of daemons are stored sealed for this node.
   */
  readonly store?: SnapshotStore;
  /** When daemons are stored there, besides when they are spawned or arrive; every 1000 ms by default. */
  readonly snapshots?: SnapshotOptions;
  /**
   * Whether a member of another node's group may live here, for as long as that node is there; none may by default. Its kind has to be registered.
   */
  readonly acceptMembers?: (member: HostedMember) => boolean;
  /** How long such members outlive the connection to their group's node, in milliseconds; 30 000 by default. */
  readonly memberLeaseMs?: number;
  /** Told of migrations, of snapshots, and of what happens to daemons. */
  readonly onEvent?: (event: MigrationEvent | RegistryEvent | SnapshotEvent) => void;
}

/** The daemons of a mesh node: it makes them, gives them events, and moves them to other nodes while they run. */
export class DaemonRuntime implements AsyncDisposable {
  readonly #compute: ComputeRuntime;
  readonly #migrator: Migrator;
  readonly #feed: ChannelFeed;
  readonly #mesh: Mesh;
  readonly #network: MeshDaemons;
  readonly #groups: MeshGroups;
  /** Makes events of bare payloads. */
  readonly #chain: CausalChain;
  readonly #durability: Durability | undefined;
  #starting: Promise<StartReport> | undefined;
  #ending: Promise<void> | undefined;
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
    save: (originHash) => this.#save(originHash),
    stop: (originHash) => this.#stop(originHash),
    destroy: (originHash) => this.#destroy(originHash),
  };

  /**
   * Made in state `registering`; kinds can be registered, and peers that send daemons hear that this node is not ready yet. One runtime a mesh:
   * a second one takes the first one's place. Throws `invalid-argument` for a number outside of its range.
   */
  constructor(mesh: Mesh, options: DaemonRuntimeOptions = {}) {
    const { onEvent, snapshots = {}, acceptMembers, memberLeaseMs, ...migratorOptions } = options;
    const { network, staticKey } = mesh.daemons;
    this.#mesh = mesh;
    this.#network = network;
    this.#chain = CausalChain.genesis(mesh.nodeId);
    this.#feed = new ChannelFeed(mesh, async (originHash, { data }, onTaken) => {
      // One that has moved, or fails, has told whoever watches it.
      await this.#compute.deliver(originHash, this.#eventOf(data), onTaken).catch(() => undefined);
    });
    const channels = this.#feed;
    let migrator: Migrator | undefined;
    this.#groups = new MeshGroups(mesh, network);
    this.#compute = new ComputeRuntime({
      channels,
      placement: this.#groups.placement,
      peers: {
        network,
        createHandler: (parts) => {
          migrator = new Migrator(parts, {
            ...migratorOptions,
            staticKey,
            channels,
            onEvent: (event) => {
              if (event.kind === "arrived") this.#keep(event.originHash);
              onEvent?.(event);
            },
          });
          return migrator;
        },
      },
      explainAbsence: (originHash) => migrator?.explainAbsence(originHash),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
    this.#migrator = migrator as unknown as Migrator;
    const { store } = options;
    try {
      this.#durability = store && keepDaemons(this.#compute, store, staticKey, snapshots, onEvent);
      if (acceptMembers !== undefined) {
        this.#groups.host({
          members: this.#compute.members,
          staticKey,
          accepts: acceptMembers,
          isReady: () => this.isReady,
          ...(memberLeaseMs === undefined ? {} : { leaseMs: memberLeaseMs }),
        });
      }
    } catch (error) {
      void this.shutdown(0);
      throw error;
    }
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

  /**
   * Makes the runtime ready: daemons can be spawned, and others arrive; those in the store go on, if their kinds are registered, and moves that a
   * crash has interrupted come to their end. Idempotent. Rejects with `shutting-down`, and when the store cannot be read, after which it may be
   * tried again.
   */
  start(): Promise<StartReport> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** A daemon that lives here; undefined for any other. */
  daemon(originHash: bigint): DaemonRef | undefined {
    const daemon = this.#compute.daemon(originHash);
    return daemon && this.#ref(daemon);
  }

  /** All daemons that live here. */
  daemons(): DaemonRef[] {
    return this.#compute.daemons().map((daemon) => this.#ref(daemon));
  }

  /**
   * Makes a daemon of a kind; with a store, resolves once its first snapshot is there. Rejects with `not-ready`, `factory-not-found`, `core`
   * ("already registered") when this node has or expects one of the identity, `invalid-daemon`, `callback-timeout`, and with a
   * `SnapshotStoreError` when it cannot be stored, or the store has an earlier life of it that was not restored; nothing is left of it then.
   */
  async spawn(kind: string, options: SpawnOptions = {}): Promise<DaemonRef> {
    return await this.#stored(await this.#compute.spawn(kind, options));
  }

  /** Makes a daemon that goes on from a snapshot of the same identity. Rejects as {@link spawn}, and with `snapshot-invalid`, `snapshot-identity-mismatch`. */
  async spawnFromSnapshot(
    kind: string,
    snapshot: Uint8Array,
    options: SpawnOptions & { readonly identity: Identity },
  ): Promise<DaemonRef> {
    return await this.#stored(await this.#compute.spawnFromSnapshot(kind, snapshot, options));
  }

  /** As {@link DaemonRef.deliver}. */
  async deliver(originHash: bigint, event: CausalEvent | Uint8Array): Promise<readonly CausalEvent[]> {
    if (this.#ending !== undefined)
      throw new DaemonError("shutting-down", "the runtime has been shut down", { originHash });
    return await this.#compute.deliver(
      originHash,
      event instanceof Uint8Array ? this.#eventOf(event) : event,
    );
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
   * A group of workers of one kind, with keys that follow from a seed, on this node and those with a session that match its filter and take members
   * in (`acceptMembers`). What was on a node that is lost is made anew elsewhere. Rejects with a `GroupError`
   * (`invalid-config`, `placement-failed`, `registry-failed`), `not-ready`, `shutting-down` or `factory-not-found`; nothing is left of it then. As
   * all groups.
   */
  async replicaGroup(kind: string, config: ReplicaGroupConfig): Promise<ReplicaGroup> {
    await this.#groups.probe();
    return this.#groups.watch(await this.#compute.replicaGroup(kind, config));
  }

  /** A group of independent descendants of one chain. */
  async forkGroup(kind: string, config: ForkGroupConfig): Promise<ForkGroup> {
    await this.#groups.probe();
    return this.#groups.watch(await this.#compute.forkGroup(kind, config));
  }

  /** A daemon, and others that take its place when it fails, or its node is lost. */
  async standbyGroup(kind: string, config: StandbyGroupConfig): Promise<StandbyGroup> {
    await this.#groups.probe();
    return this.#groups.watch(await this.#compute.standbyGroup(kind, config));
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

  /**
   * As {@link migrate}, to a node that matches the filter and has announced that it runs daemons: of several, the one with the lowest id. Rejects
   * with `no-target-available` when there is none.
   */
  async migrateAnywhere(
    originHash: bigint,
    options: MigrationOptions & { readonly filter?: CapabilityFilter } = {},
  ): Promise<Migration> {
    const { filter = {}, ...migrationOptions } = options;
    const canGo = (nodeId: bigint): boolean =>
      options.transportIdentity === false ||
      this.#network.isNetmesh(nodeId) ||
      this.#network.staticKeyOf(nodeId) !== undefined;
    const scheduler = new Scheduler(new MeshDirectory(this.#mesh, this.#network, canGo));
    const [target] = scheduler.findMigrationTargets(filter, this.#mesh.nodeId);
    if (target !== undefined) return await this.migrate(originHash, target, migrationOptions);
    throw new MigrationError("no-target-available", "no node fits", { originHash });
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

  /** Daemons in the store that do not go on here, because they live on another node, or may; see {@link start}. */
  heldBack(): HeldBackDaemon[] {
    return this.#migrator.heldBack();
  }

  /**
   * Lets a daemon go on from its last snapshot that left in the messages of Net, and of whose arrival nothing is known: the application says that it
   * does not live there, and never will. Resolves to undefined when there is nothing to go on from. Rejects with `not-ready`, with
   * `already-migrating` for a daemon that its other node decides about, and as {@link spawn}.
   */
  async reclaim(originHash: bigint): Promise<DaemonRef | undefined> {
    if (this.#durability === undefined) return undefined;
    if (!this.isReady) throw new DaemonError("not-ready", "the runtime is not ready: call start first");
    if (!(await this.#migrator.reclaim(originHash))) return undefined;
    const { restored, failed } = await this.#restore((summary) => summary.originHash === originHash);
    for (const { error } of failed) throw error;
    return restored[0];
  }

  /**
   * Ends the runtime for good: no more events are taken, daemons are stored where there is a store, are told, have `graceMs` to come to an end, and
   * are removed with their keys. Idempotent, never rejects.
   */
  shutdown(graceMs?: number): Promise<void> {
    this.#ending ??= this.#shutdown(graceMs);
    return this.#ending;
  }

  /** As {@link shutdown}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #start(): Promise<StartReport> {
    await this.#compute.start();
    const { restored, failed, fellBack } = await this.#restore((summary) => this.#belongsHere(summary));
    return { restored, failed, fellBack, heldBack: this.heldBack() };
  }

  #belongsHere({ originHash }: { readonly originHash: bigint }): boolean {
    return !this.heldBack().some((daemon) => daemon.originHash === originHash);
  }

  /** Makes the daemons of stored snapshots, with their memberships. */
  async #restore(
    isOwn: (summary: { readonly originHash: bigint }) => boolean,
  ): Promise<Omit<StartReport, "heldBack">> {
    if (this.#durability === undefined) return { restored: [], failed: [], fellBack: [] };
    const { restored, failed, fellBack } = await this.#durability.keeper.restore({
      isOwn: (summary) => {
        if (!isOwn(summary)) return false;
        // It lives here: that it may also come from elsewhere no longer holds.
        this.#compute.forget(summary.originHash);
        return true;
      },
    });
    for (const { originHash } of restored) {
      for (const subscription of this.#compute.subscriptions(originHash)) {
        this.#feed.resume(subscription, originHash, () => this.#isMember(originHash, subscription));
      }
    }
    return {
      restored: restored.map((daemon) => this.#ref(daemon)),
      failed: failed.map(({ summary: { originHash, kind }, error }) => ({ originHash, kind, error })),
      fellBack,
    };
  }

  #isMember(originHash: bigint, { publisher, channel }: DaemonSubscription): boolean {
    return this.#compute
      .subscriptions(originHash)
      .some((subscription) => subscription.publisher === publisher && subscription.channel === channel);
  }

  /** The daemon, once its first snapshot is stored; otherwise it is ended. */
  async #stored(daemon: DaemonHandle): Promise<DaemonRef> {
    try {
      await this.#durability?.keeper.snapshot(daemon.originHash);
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return this.#ref(daemon);
  }

  /** Stores a daemon that has arrived; should that fail, with its next event. */
  #keep(originHash: bigint): void {
    this.#durability?.keeper.snapshot(originHash).catch(() => undefined);
  }

  async #save(originHash: bigint): Promise<boolean> {
    return (await this.#durability?.keeper.snapshot(originHash)) ?? false;
  }

  async #stop(originHash: bigint): Promise<void> {
    // Should the store fail, what it has is what the daemon was before.
    if (this.daemon(originHash) !== undefined) await this.#save(originHash).catch(() => undefined);
    await this.#compute.stop(originHash);
  }

  async #destroy(originHash: bigint): Promise<void> {
    const entityId = this.daemon(originHash)?.entityId;
    await this.#compute.stop(originHash);
    if (entityId !== undefined) await this.#durability?.store.forget(entityId);
  }

  async #shutdown(graceMs: number | undefined): Promise<void> {
    // A daemon that waits for the end of a move could not be stored before it.
    this.#migrator.shutdown();
    if (this.isReady) await this.#durability?.keeper.snapshotAll();
    await this.#durability?.keeper.close();
    this.#groups.close();
    await Promise.all([this.#compute.shutdown(graceMs), this.#feed.close()]);
  }

  #ref({ originHash, entityId }: DaemonHandle): DaemonRef {
    return new DaemonRef(this.#owner, originHash, entityId);
  }
}
