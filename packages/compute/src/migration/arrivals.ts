import { type Identity, X25519_KEY_SIZE } from "@netmesh/crypto";
import { constructDaemon, discardDaemon } from "../daemon-factory.ts";
import { DaemonHost, DEFAULT_CALL_TIMEOUT_MS } from "../daemon-host.ts";
import { hexId, messageOf } from "../errors.ts";
import type { FactoryEntry } from "../factory-registry.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import { decodeSnapshot, openSnapshotIdentity, type StateSnapshot } from "../state/snapshot.ts";
import type { Subscription } from "../state/subscription-ledger.ts";
import { type FailureReason, failureOf, MigrationError, stateFailed } from "./failure-reason.ts";
import type { SnapshotReady } from "./messages.ts";
import type { MigrationContext } from "./migration-context.ts";
import { SnapshotReassembler } from "./snapshot-reassembler.ts";
import { MigrationTarget } from "./target.ts";

/** A restoration under way. */
interface Restoration {
  readonly orchestrator: bigint;
  isAborted: boolean;
}

/**
 * Takes daemons in that come in the messages of Net (spec compute.md §§19, 20). What fails is answered, and leaves the factory entry, so that
 * another attempt can succeed.
 */
export class Arrivals {
  readonly target: MigrationTarget;
  readonly #context: MigrationContext;
  readonly #reassembler: SnapshotReassembler;
  /** By origin; each has a factory entry, so that the application bounds them. */
  readonly #restorations: Map<bigint, Restoration> = new Map();

  constructor(context: MigrationContext) {
    const { parts, options } = context;
    this.#context = context;
    this.#reassembler = new SnapshotReassembler(options.reassemblerLimits);
    this.target = new MigrationTarget({
      daemons: parts.daemons,
      factories: parts.factories,
      ...(options.bufferLimits === undefined ? {} : { limits: options.bufferLimits }),
      onLeftOver: (originHash, events) => context.emit({ kind: "events-left-over", originHash, events }),
    });
  }

  /** Snapshots on their way here. */
  get pending(): number {
    return this.#reassembler.pending + this.#restorations.size;
  }

  /** Drops what is too old. */
  sweep(): void {
    this.#reassembler.sweep(this.#context.nowMs());
  }

  /** A chunk for this node. False when it is from a node that has no say. */
  onSnapshotReady(message: SnapshotReady, from: bigint): boolean {
    const { parts, stats } = this.#context;
    const { originHash, chunkIndex, totalChunks } = message;
    const known = this.target.get(originHash) ?? this.target.completed(originHash);
    if (known !== undefined && (this.target.get(originHash) !== undefined || this.#livesHere(originHash))) {
      if (known.orchestrator !== from) return false;
      if (chunkIndex === totalChunks - 1) this.#confirm(originHash, message.seqThrough, from);
      return true;
    }
    const restoration = this.#restorations.get(originHash);
    if (restoration !== undefined) return restoration.orchestrator === from;
    const entry = parts.factories.admit(originHash, from);
    if (entry?.expectedOrchestrator !== undefined && entry.expectedOrchestrator !== from) return false;
    const refusal = this.refusalOf(originHash);
    if (refusal !== undefined) {
      if (chunkIndex === 0) this.#refuse(originHash, from, refusal);
      return true;
    }
    const result = this.#reassembler.feed(message, from, this.#context.nowMs());
    if (result.kind === "complete") void this.#restore(message, from, result.snapshot);
    if (result.kind === "refused") {
      stats.refusedChunks++;
      const { code } = result.fault;
      if (code === "snapshot-too-large" || code === "too-many")
        this.#refuse(originHash, from, stateFailed(code));
    }
    return true;
  }

  /** Why no daemon of that origin can arrive here now; from that node, if one is named, also by a rule. */
  refusalOf(originHash: bigint, from?: bigint): FailureReason | undefined {
    const { parts } = this.#context;
    if (!parts.isReady()) return { kind: "not-ready" };
    const entry =
      from === undefined ? parts.factories.get(originHash) : parts.factories.admit(originHash, from);
    if (entry === undefined) return { kind: "factory-not-found" };
    if (!this.#livesHere(originHash)) return undefined;
    return stateFailed(`daemon ${hexId(originHash)} already registered`);
  }

  /** Events of the source, or the trigger without any: replayed, and answered with how far that came. */
  async onBufferedEvents(originHash: bigint, events: readonly CausalEvent[]): Promise<void> {
    const record = this.target.get(originHash) ?? this.target.completed(originHash);
    if (record === undefined) return;
    const { orchestrator } = record;
    try {
      if (this.target.get(originHash) === undefined) await this.target.deliverLate(originHash, events);
      const replayedSeq = await this.target.replay(originHash, events);
      const targetHead = this.target.headOf(originHash);
      if (targetHead === undefined) return;
      this.#context.send(orchestrator, { type: "replay-complete", originHash, replayedSeq, targetHead });
    } catch (error) {
      if (this.target.get(originHash) === undefined) return;
      this.abort(originHash);
      this.#refuse(originHash, orchestrator, failureOf(error));
    }
  }

  /** The daemon shall live here: it does, and that is confirmed, as often as asked. */
  async onActivateTarget(originHash: bigint): Promise<void> {
    const { emit, send } = this.#context;
    const record = this.target.get(originHash);
    const orchestrator = record?.orchestrator ?? this.target.completed(originHash)?.orchestrator;
    if (orchestrator === undefined) return;
    try {
      const replayedSeq = await this.target.activate(originHash);
      if (record !== undefined) emit({ kind: "arrived", originHash, from: orchestrator });
      send(orchestrator, { type: "activate-ack", originHash, replayedSeq });
    } catch (error) {
      this.target.abort(originHash);
      this.#refuse(originHash, orchestrator, failureOf(error));
    }
  }

  /** Discards what is on its way here of an origin; whether there was something. */
  abort(originHash: bigint): boolean {
    this.#reassembler.cancel(originHash);
    const restoration = this.#restorations.get(originHash);
    if (restoration !== undefined) restoration.isAborted = true;
    return this.target.abort(originHash) || restoration !== undefined;
  }

  /** Who conducts the arrival of an origin that is not over. */
  orchestratorOf(originHash: bigint): bigint | undefined {
    return (this.target.get(originHash) ?? this.#restorations.get(originHash))?.orchestrator;
  }

  /** Discards all that is on its way here; tells the orchestrators. */
  shutdown(reason: FailureReason): void {
    const origins = new Set([
      ...this.#restorations.keys(),
      ...this.target.records().map((r) => r.originHash),
    ]);
    for (const originHash of origins) {
      const orchestrator = this.orchestratorOf(originHash);
      this.abort(originHash);
      if (orchestrator !== undefined) this.#refuse(originHash, orchestrator, reason);
    }
  }

  #livesHere(originHash: bigint): boolean {
    return this.#context.parts.daemons.get(originHash) !== undefined;
  }

  #refuse(originHash: bigint, to: bigint, reason: FailureReason): void {
    this.#context.send(to, { type: "migration-failed", originHash, reason });
  }

  #confirm(originHash: bigint, restoredSeq: bigint, to: bigint): void {
    this.#context.send(to, { type: "restore-complete", originHash, restoredSeq });
  }

  async #restore(message: SnapshotReady, from: bigint, bytes: Uint8Array): Promise<void> {
    const { originHash, seqThrough } = message;
    const restoration: Restoration = { orchestrator: from, isAborted: false };
    this.#restorations.set(originHash, restoration);
    try {
      const snapshot = checkedSnapshot(bytes, message);
      const host = await restoreHost(this.#context, snapshot);
      if (restoration.isAborted || this.refusalOf(originHash) !== undefined) {
        await host.close();
        throw new MigrationError("state-failed", "the restoration was aborted", { originHash });
      }
      this.target.admit(host, snapshot, from);
      rebind(this.#context, host);
      this.#confirm(originHash, seqThrough, from);
    } catch (error) {
      if (!restoration.isAborted) this.#refuse(originHash, from, failureOf(error));
    } finally {
      this.#restorations.delete(originHash);
      this.#reassembler.forget(originHash, from);
    }
  }
}

function checkedSnapshot(bytes: Uint8Array, { originHash, seqThrough }: SnapshotReady): StateSnapshot {
  const snapshot = decodeSnapshot(bytes);
  if (snapshot === undefined) {
    throw new MigrationError("state-failed", "the snapshot could not be parsed", { originHash });
  }
  if (snapshot.chainLink.originHash !== originHash) {
    throw new MigrationError("state-failed", "the snapshot is of another origin", { originHash });
  }
  if (snapshot.throughSeq !== seqThrough) {
    throw new MigrationError("state-failed", "the snapshot is of another sequence than announced", {
      originHash,
    });
  }
  return snapshot;
}

/**
 * A daemon restored of a snapshot with the factory entry of its origin, not registered yet. The key is that in the envelope if there is one,
 * however the registered one; a failure to open it is final (§20). With `givesState` the snapshot's state is the daemon's from then on.
 *
 * Rejects with `factory-not-found`, `identity-transport-failed`, `state-failed`, and as the factory and the daemon do.
 */
export async function restoreHost(
  context: MigrationContext,
  snapshot: StateSnapshot,
  givesState = false,
): Promise<DaemonHost> {
  const entry = requireEntry(context, snapshot.chainLink.originHash);
  const identity = arrivingIdentity(context, snapshot, entry);
  try {
    return await makeHost(context, entry, identity, (daemon, options) =>
      DaemonHost.fromSnapshot(snapshot, identity, daemon, { ...options, givesState }),
    );
  } finally {
    if (identity !== entry.identity) identity.zeroize();
  }
}

/** The factory entry of an origin. Throws `factory-not-found`. */
export function requireEntry({ parts }: MigrationContext, originHash: bigint): FactoryEntry {
  const entry = parts.factories.get(originHash);
  if (entry !== undefined) return entry;
  throw new MigrationError("factory-not-found", `no factory for ${hexId(originHash)}`, { originHash });
}

/** Makes a daemon with an entry's factory and a host around it. */
export async function makeHost(
  { parts }: MigrationContext,
  entry: FactoryEntry,
  identity: Identity,
  create: (
    daemon: Awaited<ReturnType<typeof constructDaemon>>,
    options: NonNullable<Parameters<typeof DaemonHost.create>[2]>,
  ) => DaemonHost | Promise<DaemonHost>,
): Promise<DaemonHost> {
  const { kind, factory, config } = entry;
  const { originHash } = identity;
  const { callTimeoutMs: timeoutMs = DEFAULT_CALL_TIMEOUT_MS } = config;
  const daemon = await constructDaemon(factory, { kind, originHash }, { timeoutMs }, parts.time);
  if (parts.factories.get(entry.originHash) !== entry) {
    await discardDaemon(daemon);
    throw new MigrationError("state-failed", "the daemon is no longer expected", { originHash });
  }
  return await create(daemon, {
    config,
    time: parts.time,
    onCrash: (reason) => parts.daemons.reportCrash(originHash, reason),
    kind,
  });
}

/** The key of a daemon that arrives: the entry's own, or one that is the caller's to wipe. */
export function arrivingIdentity(
  { options }: MigrationContext,
  snapshot: StateSnapshot,
  entry: FactoryEntry,
): Identity {
  const { originHash } = entry;
  if (snapshot.envelope === undefined) {
    if (entry.identity !== undefined) return entry.identity;
    throw new MigrationError("state-failed", "no identity envelope, and the key is not registered here", {
      originHash,
    });
  }
  const { staticKey } = options;
  if (staticKey?.privateKey.length !== X25519_KEY_SIZE) {
    throw new MigrationError("identity-transport-failed", "this node has no key to open envelopes with", {
      originHash,
    });
  }
  try {
    return openSnapshotIdentity(snapshot, { target: staticKey }) as Identity;
  } catch (error) {
    throw new MigrationError("identity-transport-failed", messageOf(error), { originHash, cause: error });
  }
}

/** Asks for memberships of a daemon that has arrived, by default all, without waiting (§24). */
export function rebind(
  { options, emit }: MigrationContext,
  { originHash, ledger }: DaemonHost,
  subscriptions: readonly Subscription[] = ledger.subscriptions(),
): void {
  const { channels } = options;
  if (channels === undefined) return;
  for (const subscription of subscriptions) {
    const { publisher, channel, token } = subscription;
    void (async () => await channels.subscribe(publisher, channel, token, originHash))().catch(
      (cause: unknown) => emit({ kind: "subscription-failed", originHash, subscription, cause }),
    );
  }
}
