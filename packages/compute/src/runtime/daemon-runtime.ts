import { equalBytes, Identity, type RandomSource } from "@netmesh/crypto";
import { isPromiseLike } from "../call-queue.ts";
import type { Awaitable, ControlEvent, Daemon } from "../daemon.ts";
import {
  cancelled,
  constructDaemon,
  type DaemonContext,
  type DaemonFactory,
  discardDaemon,
} from "../daemon-factory.ts";
import {
  DaemonHost,
  type DaemonHostConfig,
  type DaemonHostOptions,
  type DaemonStats,
  DEFAULT_CALL_TIMEOUT_MS,
  requireHostConfig,
} from "../daemon-host.ts";
import { DaemonRegistry, type RegistryEvent } from "../daemon-registry.ts";
import { CoreDaemonError, DaemonError, hexId, messageOf } from "../errors.ts";
import { type FactoryEntry, type FactoryPlan, FactoryRegistry } from "../factory-registry.ts";
import { ForkGroup, type ForkGroupConfig } from "../groups/fork-group.ts";
import type { GroupContext } from "../groups/group-members.ts";
import { LocalMembers } from "../groups/local-members.ts";
import type { MemberPlan, RemoteMembers, RuntimePlacement } from "../groups/member-hosting.ts";
import { ReplicaGroup, type ReplicaGroupConfig } from "../groups/replica-group.ts";
import { StandbyGroup, type StandbyGroupConfig } from "../groups/standby-group.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import { parentHash } from "../state/causal-link.ts";
import type { ForkRecord } from "../state/fork-record.ts";
import { decodeSnapshot, type StateSnapshot } from "../state/snapshot.ts";
import type { Subscription } from "../state/subscription-ledger.ts";
import { type DaemonTime, platformTime } from "../time.ts";
import { DaemonHandle, type HandleOwner } from "./daemon-handle.ts";
import type { ChannelMembership, PeerMessageHandler, RuntimePeers } from "./peer-network.ts";

/** Where a runtime is in its life; there is no way back (§26). */
export type RuntimeState = "registering" | "ready" | "shutting-down";

/** What a shutdown leaves daemons to come to an end, unless told otherwise. */
export const DEFAULT_GRACE_MS = 1000;

const NO_BYTES = new Uint8Array(0);

/** What a runtime is made of. */
export interface DaemonRuntimeOptions {
  /** Other nodes, and what answers them; without, daemons stay here. */
  readonly peers?: RuntimePeers;
  /** How daemons become members of channels; without, they cannot. */
  readonly channels?: ChannelMembership;
  /** Where the members of groups can live besides here. */
  readonly placement?: RuntimePlacement;
  /** The platform's by default. */
  readonly time?: DaemonTime;
  /** Makes the keys of daemons that are spawned without one; the platform's by default. */
  readonly random?: RandomSource;
  /** Told what happens to daemons. */
  readonly onEvent?: (event: RegistryEvent) => void;
  /** Why a daemon is not here, if that is known. */
  readonly explainAbsence?: (originHash: bigint) => DaemonError | undefined;
}

/** How a daemon is spawned. */
export interface SpawnOptions {
  /** Key of the daemon; copied. A new one by default. */
  readonly identity?: Identity;
  /** Limits of its host. */
  readonly config?: DaemonHostConfig;
  /** Gives up making the daemon when aborted. */
  readonly signal?: AbortSignal;
}

/** A daemon that may arrive by a migration. */
export interface ExpectedDaemon {
  readonly originHash: bigint;
  /**
   * Resolves when the migration is complete and the daemon lives here. Rejects with `cancelled` when it is forgotten, and with
   * `shutting-down`; need not be waited for.
   */
  readonly arrived: Promise<DaemonHandle>;
}

interface Arrival {
  readonly resolve: (daemon: DaemonHandle) => void;
  readonly reject: (error: DaemonError) => void;
}

/** Sees what was delivered; its failure is not the delivery's. */
export type DeliveryObserver = (
  originHash: bigint,
  event: CausalEvent,
  outputs: readonly CausalEvent[],
) => void;

/**
 * The daemons of one node: kinds and their factories, the daemons made by them, and what may arrive from elsewhere (§26).
 *
 * Made in state `registering`, in which kinds can be registered; `start` makes it ready for daemons, `shutdown` ends it for good. Every
 * operation fails with `not-ready` before and `shutting-down` after, where its own comment does not say otherwise; no daemon and no key
 * is left behind by anything that fails, or by `shutdown`.
 */
export class DaemonRuntime {
  readonly #time: DaemonTime;
  readonly #random: RandomSource | undefined;
  readonly #peers: RuntimePeers | undefined;
  readonly #channels: ChannelMembership | undefined;
  /** Answers peers from the beginning, so that one that asks too early hears that this node is not ready yet (§26.1). */
  readonly #handler: PeerMessageHandler | undefined;
  readonly #kinds: Map<string, DaemonFactory> = new Map();
  readonly #factories: FactoryRegistry = new FactoryRegistry((entry) => this.#onEntryRemoved(entry));
  /** Who waits for daemons to arrive; an entry goes with that of the registry. */
  readonly #expected: Map<FactoryEntry, Arrival> = new Map();
  readonly #daemons: DaemonRegistry;
  readonly #observers: Set<DeliveryObserver> = new Set();
  /** Groups that have not been closed: no more than the application makes. */
  readonly #groups: Set<{ forget(): void }> = new Set();
  readonly #groupContext: GroupContext;
  readonly #handleOwner: HandleOwner = {
    requireHost: (host) => this.#requireHost(host),
    deliver: (originHash, event) => this.deliver(originHash, event),
    stopHost: (host) => this.#stopHost(host),
  };
  #state: RuntimeState = "registering";
  #starting: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(options: DaemonRuntimeOptions = {}) {
    const { peers, channels, time = platformTime, random, onEvent, explainAbsence, placement } = options;
    this.#time = time;
    this.#random = random;
    this.#peers = peers;
    this.#channels = channels;
    this.#daemons = new DaemonRegistry({
      ...(onEvent === undefined ? {} : { onEvent }),
      ...(explainAbsence === undefined ? {} : { explainAbsence }),
    });
    this.#groupContext = {
      nodeId: placement?.directory.nodeId ?? peers?.network.nodeId ?? 0n,
      local: new LocalMembers({
        daemons: this.#daemons,
        spawnMember: (member) => this.#spawnMember(member),
        stopMember: (originHash) => this.stop(originHash),
        deliver: (originHash, event) => this.deliver(originHash, event),
      }),
      placement,
      random,
      onClose: (group) => void this.#groups.delete(group),
    };
    if (peers === undefined) return;
    this.#handler = peers.createHandler({
      network: peers.network,
      daemons: this.#daemons,
      factories: this.#factories,
      time,
      isReady: () => this.isReady,
      planOf: (kind, config = {}) => {
        const factory = this.#kinds.get(kind);
        return factory === undefined ? undefined : { kind, factory, config };
      },
    });
    peers.network.setHandler(this.#handler);
  }

  /** Where it is in its life. */
  get state(): RuntimeState {
    return this.#state;
  }

  /** Whether daemons can be spawned. Then peers are answered, too. */
  get isReady(): boolean {
    return this.#state === "ready";
  }

  /** Daemons that live here. */
  get daemonCount(): number {
    return this.#daemons.size;
  }

  /** Origins that this node may run, whether they live here or not. */
  get factoryCount(): number {
    return this.#factories.size;
  }

  /**
   * Registers how daemons of a kind are made; also once ready, for daemons spawned from then on. Throws `factory-already-registered` and
   * `shutting-down`.
   */
  registerFactory(kind: string, factory: DaemonFactory): void {
    this.#requireOpen();
    if (typeof factory !== "function") {
      throw new DaemonError("invalid-argument", `the factory of ${kind} is no function`, { kind });
    }
    if (this.#kinds.has(kind)) {
      throw new DaemonError("factory-already-registered", `factory for kind ${kind} already registered`, {
        kind,
      });
    }
    this.#kinds.set(kind, factory);
  }

  /**
   * Makes the runtime ready. Idempotent; concurrent calls share one outcome. Rejects with `shutting-down`, also when `shutdown` comes first,
   * and with what the preparation of migrations does, after which it may be tried again.
   */
  start(): Promise<void> {
    if (this.#state === "ready") return Promise.resolve();
    if (this.#state === "shutting-down") return Promise.reject(shuttingDown());
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    try {
      await this.#handler?.start?.();
    } finally {
      this.#starting = undefined;
    }
    this.#requireOpen();
    this.#state = "ready";
  }

  /**
   * Ends the runtime: peers are no longer answered, every daemon is told and has `graceMs` to come to an end, then it is removed with its
   * key. Resolves when all are disposed of; a call under way is waited for up to its time limit. Idempotent, never rejects.
   */
  shutdown(graceMs: number = DEFAULT_GRACE_MS): Promise<void> {
    this.#state = "shutting-down";
    this.#ending ??= this.#shutdown(graceMs);
    return this.#ending;
  }

  async #shutdown(graceMs: number): Promise<void> {
    this.#handler?.shutdown?.();
    this.#peers?.network.setHandler(undefined);
    this.#factories.clear();
    this.#observers.clear();
    for (const group of this.#groups) group.forget();
    this.#groups.clear();
    await Promise.all(
      this.#daemons.origins().map(async (originHash) => {
        const host = this.#daemons.require(originHash);
        await this.#announceShutdown(host, graceMs);
        if (this.#daemons.get(originHash) === host) {
          await this.#daemons.unregister(originHash, host, shuttingDown());
        }
      }),
    );
  }

  /** Resolves when the daemon has taken note, or its grace is over. */
  #announceShutdown(host: DaemonHost, graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#time.after(graceMs, resolve);
      const end = (): void => {
        this.#time.cancel(timer);
        resolve();
      };
      settled(() => host.control({ kind: "shutdown", graceMs })).then(end, end);
    });
  }

  /** As `shutdown`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /**
   * Makes a daemon of a kind at the beginning of its chain. The factory is called once, and not at all when the identity is taken.
   *
   * Rejects with `factory-not-found`, `process-failed` ("already registered") when this node has a daemon or expects one with the origin
   * hash, which is left alone, `invalid-argument`, `cancelled`, and as `constructDaemon` does: `process-failed`, `callback-timeout`,
   * `invalid-daemon`.
   */
  async spawn(kind: string, options: SpawnOptions = {}): Promise<DaemonHandle> {
    const { identity = Identity.generate(this.#random) } = options;
    return await this.#spawn(kind, identity, options, async (daemon, hostOptions) =>
      DaemonHost.create(identity, daemon, hostOptions),
    );
  }

  /**
   * Makes a daemon of a kind that goes on from a snapshot of the same identity, decoded or encoded.
   *
   * Rejects as `spawn` does, with `snapshot-invalid` for bytes that are none, `snapshot-identity-mismatch` unless all 32 bytes of the
   * entity are the identity's, both before the factory is called, and `restore-failed`.
   */
  async spawnFromSnapshot(
    kind: string,
    snapshot: StateSnapshot | Uint8Array,
    options: SpawnOptions & { readonly identity: Identity },
  ): Promise<DaemonHandle> {
    this.#requireReady();
    this.#requireKind(kind);
    const decoded = snapshot instanceof Uint8Array ? decodeSnapshot(snapshot) : snapshot;
    if (decoded === undefined)
      throw new DaemonError("snapshot-invalid", "these bytes are no snapshot", { kind });
    const { identity } = options;
    if (!equalBytes(decoded.entityId, identity.entityId)) throw identityMismatch(decoded, identity);
    return await this.#spawn(kind, identity, options, (daemon, hostOptions) =>
      DaemonHost.fromSnapshot(decoded, identity, daemon, hostOptions),
    );
  }

  /**
   * Makes a daemon of a kind at the beginning of a fork, with the state of a snapshot if there is one, of whatever entity. Rejects as
   * `spawn` does, and with `restore-failed` when the fork is not the identity's, or the state is refused.
   */
  async spawnFork(
    kind: string,
    record: ForkRecord,
    options: SpawnOptions & { readonly identity: Identity; readonly state?: Uint8Array },
  ): Promise<DaemonHandle> {
    const { identity, state } = options;
    if (record.forkedOrigin !== identity.originHash) {
      const text = `the fork is of ${hexId(record.forkedOrigin)}, not ${hexId(identity.originHash)}`;
      throw new CoreDaemonError("restore-failed", text, { originHash: identity.originHash });
    }
    return await this.#spawn(kind, identity, options, async (daemon, hostOptions) => {
      const host = DaemonHost.fromFork(record, identity, daemon, hostOptions);
      if (state !== undefined) await restoreAtFork(host, record, state);
      return host;
    });
  }

  /**
   * A group of workers with keys that follow from a seed (§25). Rejects with a `GroupError`: `invalid-config`, `placement-failed`,
   * `registry-failed`; and with `not-ready`, `shutting-down` or `factory-not-found`. Nothing is left of it then. As all groups.
   */
  async replicaGroup(kind: string, config: ReplicaGroupConfig): Promise<ReplicaGroup> {
    return await this.#group(kind, () => ReplicaGroup.create(this.#groupContext, kind, config));
  }

  /** A group of independent descendants of one chain (§25). */
  async forkGroup(kind: string, config: ForkGroupConfig): Promise<ForkGroup> {
    return await this.#group(kind, () => ForkGroup.create(this.#groupContext, kind, config));
  }

  /** A daemon, and others that take its place (§25). */
  async standbyGroup(kind: string, config: StandbyGroupConfig): Promise<StandbyGroup> {
    return await this.#group(kind, () => StandbyGroup.create(this.#groupContext, kind, config));
  }

  async #group<G extends { forget(): void }>(kind: string, create: () => Promise<G>): Promise<G> {
    this.#requireReady();
    this.#requireKind(kind);
    const group = await create();
    if (this.#state === "shutting-down") {
      group.forget();
      throw shuttingDown();
    }
    this.#groups.add(group);
    return group;
  }

  async #spawnMember({ kind, identity, config, fork, state }: MemberPlan): Promise<void> {
    if (fork === undefined) await this.spawn(kind, { identity, config });
    else await this.spawnFork(kind, fork, { identity, config, ...(state === undefined ? {} : { state }) });
  }

  async #spawn(
    kind: string,
    identity: Identity,
    { config = {}, signal }: SpawnOptions,
    createHost: (daemon: Daemon, options: DaemonHostOptions) => Promise<DaemonHost>,
  ): Promise<DaemonHandle> {
    this.#requireReady();
    const factory = this.#requireKind(kind);
    requireHostConfig(config);
    const { originHash } = identity;
    const context = { kind, originHash };
    if (signal?.aborted) throw cancelled(context, signal);
    this.#requireAbsent(originHash);
    // Taken before anything is awaited: of two spawns of one identity one gets the entry, and only that one removes it.
    const entry = this.#factories.register(identity, { kind, factory, config });
    const { callTimeoutMs: timeoutMs = DEFAULT_CALL_TIMEOUT_MS } = config;
    try {
      const daemon = await constructDaemon(factory, context, { timeoutMs, signal }, this.#time);
      const refusal = this.#refusalOf(entry, context, signal);
      if (refusal !== undefined) {
        await discardDaemon(daemon);
        throw refusal;
      }
      const host = await createHost(daemon, this.#hostOptions(context, config));
      return await this.#admit(host, entry, context, signal);
    } catch (error) {
      this.#factories.remove(originHash, entry);
      throw error;
    }
  }

  async #admit(
    host: DaemonHost,
    entry: FactoryEntry,
    context: DaemonContext,
    signal: AbortSignal | undefined,
  ): Promise<DaemonHandle> {
    try {
      const refusal = this.#refusalOf(entry, context, signal);
      if (refusal !== undefined) throw refusal;
      this.#daemons.register(host);
    } catch (error) {
      await host.close();
      throw error;
    }
    return new DaemonHandle(this.#handleOwner, host);
  }

  /** Why a spawn under way must not go on. */
  #refusalOf(
    entry: FactoryEntry,
    context: DaemonContext,
    signal: AbortSignal | undefined,
  ): DaemonError | undefined {
    if (this.#state === "shutting-down") return shuttingDown();
    const isWanted = !signal?.aborted && this.#factories.get(entry.originHash) === entry;
    return isWanted ? undefined : cancelled(context, signal);
  }

  #hostOptions({ originHash, kind }: DaemonContext, config: DaemonHostConfig): DaemonHostOptions {
    return {
      kind,
      config,
      time: this.#time,
      onCrash: (reason) => this.#daemons.reportCrash(originHash, reason),
    };
  }

  /**
   * Removes a daemon, its factory entry and its keys; resolves when it is disposed of. Calls that wait for it fail with `stale`. Rejects with
   * `not-found` while ready, with `not-ready` before.
   */
  async stop(originHash: bigint): Promise<void> {
    if (this.#state === "registering") throw notReady();
    const host = this.#daemons.get(originHash);
    if (host === undefined && this.#state === "shutting-down") return;
    await this.#stopHost(host ?? this.#daemons.require(originHash));
  }

  async #stopHost(host: DaemonHost): Promise<void> {
    const { originHash } = host;
    if (this.#daemons.get(originHash) !== host) return await host.close();
    this.#factories.remove(originHash);
    await this.#daemons.unregister(originHash, host);
  }

  /**
   * Forgets that this node may run a daemon that does not live here: one that has left, or is expected. Whether there was something to
   * forget. Never throws.
   */
  forget(originHash: bigint): boolean {
    return this.#daemons.get(originHash) === undefined && this.#factories.remove(originHash);
  }

  /**
   * Gives a daemon an event; resolves to its outputs once they are in its chain. As `DaemonHost.deliver`, and rejects with `not-found`.
   * Events of one caller are processed in the order of the calls, also when it does not wait.
   */
  deliver(originHash: bigint, event: CausalEvent, onTaken?: () => void): Promise<readonly CausalEvent[]> {
    try {
      return Promise.resolve(this.deliverNow(originHash, event, onTaken));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** As `deliver`, without a promise where the daemon answers at once: then it returns the outputs, or throws. */
  deliverNow(
    originHash: bigint,
    event: CausalEvent,
    onTaken?: () => void,
  ): Awaitable<readonly CausalEvent[]> {
    this.#requireReady();
    requireEvent(event);
    const outputs = this.#daemons.require(originHash).deliver(event, onTaken);
    if (this.#observers.size === 0) return outputs;
    if (!isPromiseLike(outputs)) return this.#observe(originHash, event, outputs);
    return outputs.then((settledOutputs) => this.#observe(originHash, event, settledOutputs));
  }

  #observe(originHash: bigint, event: CausalEvent, outputs: readonly CausalEvent[]): readonly CausalEvent[] {
    for (const observer of this.#observers) {
      try {
        observer(originHash, event, outputs);
      } catch {
        // The event was processed all the same.
      }
    }
    return outputs;
  }

  /** Shows every delivery that succeeds to `observer`; returns what takes it back. */
  observeDeliveries(observer: DeliveryObserver): () => void {
    this.#requireOpen();
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  /**
   * A snapshot of a daemon; undefined when it is stateless. In the daemon's turn `onTaken` is called with it and the daemon's key, which stays the
   * runtime's: no delivery is between the two. Rejects with `not-found` and as `DaemonHost.snapshot`.
   */
  async snapshot(
    originHash: bigint,
    onTaken?: (snapshot: StateSnapshot, identity: Identity) => void,
  ): Promise<StateSnapshot | undefined> {
    this.#requireReady();
    const host = this.#daemons.require(originHash);
    return await host.snapshot(onTaken && ((snapshot) => onTaken(snapshot, host.identity)));
  }

  /** A daemon that lives here; undefined for any other. Never gated by the state. */
  daemon(originHash: bigint): DaemonHandle | undefined {
    const host = this.#daemons.get(originHash);
    return host && new DaemonHandle(this.#handleOwner, host);
  }

  /** All daemons that live here. Never gated by the state. */
  daemons(): DaemonHandle[] {
    return this.#daemons.origins().map((originHash) => this.daemon(originHash) as DaemonHandle);
  }

  /** The members of groups that live here, for a {@link MemberHost}. */
  get members(): RemoteMembers {
    return this.#groupContext.local;
  }

  /** Whether a daemon that lives here belongs to a group. Never gated by the state. */
  isMember(originHash: bigint): boolean {
    return this.#groupContext.local.has(originHash);
  }

  /** The kind of a daemon that lives here or may; undefined for any other. Never gated by the state. */
  kindOf(originHash: bigint): string | undefined {
    return this.#daemons.get(originHash)?.kind ?? this.#factories.get(originHash)?.kind;
  }

  /** What a daemon has done so far. Throws `not-found`; never gated by the state. */
  stats(originHash: bigint): DaemonStats {
    return this.#daemons.stats(originHash);
  }

  /** Tells a daemon about its surroundings. Rejects with `not-found`, and `process-failed` when it throws. */
  async control(originHash: bigint, event: ControlEvent): Promise<void> {
    this.#requireReady();
    await this.#daemons.require(originHash).control(event);
  }

  /** Asks every daemon how it is doing and tells of changes; to be called now and then. */
  checkHealth(): void {
    this.#daemons.checkHealth();
  }

  /**
   * Allows a daemon to arrive here, key and all; with `from`, only from that orchestrator. Throws `factory-not-found`, `process-failed`
   * ("already registered") when the origin hash is taken, `invalid-argument` and `shutting-down`.
   */
  expectMigration(
    kind: string,
    originHash: bigint,
    options: { readonly from?: bigint; readonly config?: DaemonHostConfig } = {},
  ): ExpectedDaemon {
    const plan = this.#requirePlan(kind, options.config);
    this.#requireAbsent(originHash);
    const entry = this.#factories.registerPlaceholder(originHash, plan);
    if (options.from !== undefined) this.#factories.bindExpectedOrchestrator(originHash, options.from);
    const arrived = new Promise<DaemonHandle>((resolve, reject) => {
      this.#expected.set(entry, { resolve, reject });
    });
    // Whoever does not wait for it is not told of its end either.
    arrived.catch(() => undefined);
    return { originHash, arrived };
  }

  /**
   * Allows daemons to arrive here that nobody has announced: those for which `accepts` says so, given origin hash and orchestrator. It must
   * answer at once; throwing means no. Returns what takes the rule back. Throws `factory-not-found`, `invalid-argument`, `shutting-down`.
   */
  acceptMigration(
    kind: string,
    accepts: (originHash: bigint, from: bigint) => boolean,
    config?: DaemonHostConfig,
  ): () => void {
    const plan = this.#requirePlan(kind, config);
    return this.#factories.addRule({
      plan,
      accepts: (originHash, from) =>
        this.isReady && this.#daemons.get(originHash) === undefined && accepts(originHash, from),
    });
  }

  /** An entry is gone, as it is when its daemon has arrived, or is not expected any more. */
  #onEntryRemoved(entry: FactoryEntry): void {
    const waiting = this.#expected.get(entry);
    if (waiting === undefined) return;
    this.#expected.delete(entry);
    const { originHash, kind } = entry;
    const host = this.#daemons.get(originHash);
    if (this.#state === "shutting-down") waiting.reject(shuttingDown());
    else if (host === undefined) waiting.reject(cancelled({ kind, originHash }, undefined));
    else waiting.resolve(new DaemonHandle(this.#handleOwner, host));
  }

  /** Allows a daemon whose key is known here, and copied, to arrive without it. Throws as `expectMigration`. */
  registerMigrationTargetIdentity(kind: string, identity: Identity, config?: DaemonHostConfig): void {
    const plan = this.#requirePlan(kind, config);
    this.#requireAbsent(identity.originHash);
    this.#factories.register(identity, plan);
  }

  /**
   * Makes a daemon a member of a channel, and records it once the publisher has accepted. Rejects with `not-found`, `process-failed` with the
   * refusal as its cause, and with a `StateError` before asking when the token is too long or the ledger full.
   */
  async subscribeChannel(originHash: bigint, subscription: Subscription): Promise<void> {
    const { host, channels } = this.#requireMembership(originHash);
    host.ledger.check(subscription);
    const { publisher, channel, token } = subscription;
    await asked(() => channels.subscribe(publisher, channel, token, originHash), originHash);
    this.#requireHost(host).ledger.record(subscription);
  }

  /** Takes a membership back, in the ledger even when the publisher cannot be asked. Rejects as `subscribeChannel`. */
  async unsubscribeChannel(originHash: bigint, publisher: bigint, channel: string): Promise<void> {
    const { host, channels } = this.#requireMembership(originHash);
    host.ledger.forget(publisher, channel);
    await asked(() => channels.unsubscribe(publisher, channel, originHash), originHash);
  }

  /** The channels that a daemon is a member of; none for an unknown one. Never gated by the state. */
  subscriptions(originHash: bigint): Subscription[] {
    return this.#daemons.get(originHash)?.ledger.subscriptions() ?? [];
  }

  #requireMembership(originHash: bigint): { host: DaemonHost; channels: ChannelMembership } {
    this.#requireReady();
    const host = this.#daemons.require(originHash);
    if (this.#channels !== undefined) return { host, channels: this.#channels };
    throw new CoreDaemonError("process-failed", "this runtime has no channels", { originHash });
  }

  #requireHost(host: DaemonHost): DaemonHost {
    if (this.#daemons.require(host.originHash) === host) return host;
    throw new CoreDaemonError("not-found", hexId(host.originHash), { originHash: host.originHash });
  }

  /** Throws unless neither a daemon nor an expected one has the origin hash. */
  #requireAbsent(originHash: bigint): void {
    if (this.#daemons.get(originHash) === undefined) return;
    throw new CoreDaemonError("process-failed", `daemon ${hexId(originHash)} already registered`, {
      originHash,
    });
  }

  #requirePlan(kind: string, config: DaemonHostConfig = {}): FactoryPlan {
    this.#requireOpen();
    const factory = this.#requireKind(kind);
    requireHostConfig(config);
    return { kind, factory, config };
  }

  #requireKind(kind: string): DaemonFactory {
    const factory = this.#kinds.get(kind);
    if (factory !== undefined) return factory;
    throw new DaemonError("factory-not-found", `no factory for kind ${kind}`, { kind });
  }

  #requireOpen(): void {
    if (this.#state === "shutting-down") throw shuttingDown();
  }

  #requireReady(): void {
    if (this.#state === "ready") return;
    throw this.#state === "registering" ? notReady() : shuttingDown();
  }
}

/** Gives a daemon at the beginning of a fork a state, and leaves it there. Closes the host when that fails. */
async function restoreAtFork(
  host: DaemonHost,
  { forkGenesis }: ForkRecord,
  state: Uint8Array,
): Promise<void> {
  try {
    await host.restoreFrom({
      entityId: host.identity.entityId,
      throughSeq: forkGenesis.sequence,
      chainLink: forkGenesis,
      createdAt: 0n,
      state,
      bindings: NO_BYTES,
      headHash: parentHash(forkGenesis, NO_BYTES),
    });
  } catch (error) {
    await host.close();
    throw error;
  }
}

function notReady(): DaemonError {
  return new DaemonError("not-ready", "the runtime is not ready: call start first");
}

function shuttingDown(): DaemonError {
  return new DaemonError("shutting-down", "the runtime has been shut down");
}

function identityMismatch(snapshot: StateSnapshot, identity: Identity): DaemonError {
  const snapshotOrigin = snapshot.chainLink.originHash;
  const identityOrigin = identity.originHash;
  const text = `snapshot identity mismatch: of ${hexId(snapshotOrigin)}, not ${hexId(identityOrigin)}`;
  return new DaemonError("snapshot-identity-mismatch", text, { snapshotOrigin, identityOrigin });
}

/** Throws `invalid-argument` for what is no event. */
function requireEvent(event: CausalEvent): void {
  const { link, payload } = event;
  const isEvent =
    payload instanceof Uint8Array &&
    typeof link?.originHash === "bigint" &&
    typeof link.sequence === "bigint";
  if (!isEvent) throw new DaemonError("invalid-argument", "not a causal event");
}

/** What an action gives or throws, as a promise. */
async function settled<T>(action: () => Awaitable<T>): Promise<T> {
  return await action();
}

async function asked(action: () => Promise<void>, originHash: bigint): Promise<void> {
  try {
    await action();
  } catch (error) {
    throw new CoreDaemonError("process-failed", messageOf(error), { originHash, cause: error });
  }
}
