import { DaemonError, hexId } from "../errors.ts";
import type { ByteStream, PeerMessageHandler, RuntimeParts } from "../runtime/peer-network.ts";
import { Arrivals } from "./arrivals.ts";
import { Conductor } from "./conductor.ts";
import { Departures } from "./departures.ts";
import { type FailureReason, MigrationError } from "./failure-reason.ts";
import { HandoverArrivals } from "./handover/handover-arrivals.ts";
import { HandoverDepartures } from "./handover/handover-departures.ts";
import { markerName } from "./handover/handover-marker.ts";
import { decodeHandoverMessage, encodeHandoverMessage } from "./handover/handover-messages.ts";
import { VolatileHandoverStore } from "./handover-store.ts";
import type { HeldBackDaemon } from "./held-back.ts";
import { decodeMigrationMessage, encodeMigrationMessage, type MigrationMessage } from "./messages.ts";
import type { Migration } from "./migration.ts";
import type { MigrationContext } from "./migration-context.ts";
import type {
  MigrationEvent,
  MigrationOptions,
  MigrationSummary,
  MigratorOptions,
  MigratorStats,
} from "./migrator-options.ts";
import type { MigrationPhase } from "./phases.ts";
import { movedAway } from "./source.ts";
import type { TargetRecord } from "./target.ts";

const TICK_MS = 250;
/** Messages that a node sends itself in answer to one. */
const MAX_LOCAL_ROUNDS = 32;
/** What a runtime that ends tells its peers. */
const SHUT_DOWN: FailureReason = { kind: "state-failed", detail: "the runtime has been shut down" };

/**
 * The migrations of one node, in all three roles: it conducts moves, lets daemons go, and takes daemons in (spec compute.md Part C).
 *
 * Made in `RuntimePeers.createHandler`. Every message is taken only from the node that has a say; whatever fails before a daemon is handed
 * over leaves it serving where it was, and nothing elsewhere.
 */
export class Migrator implements PeerMessageHandler {
  readonly #parts: RuntimeParts;
  readonly #context: MigrationContext;
  readonly #departures: Departures;
  readonly #arrivals: Arrivals;
  readonly #conductor: Conductor;
  readonly #handingOver: HandoverDepartures;
  readonly #takingOver: HandoverArrivals;
  readonly #stats: MigratorStats = {
    malformed: 0,
    wrongPeer: 0,
    unexpected: 0,
    refusedChunks: 0,
    resent: 0,
    cutLoops: 0,
    refusedRequests: 0,
  };
  /** Messages of this node to itself that wait for their turn. */
  readonly #local: MigrationMessage[] = [];
  #isDraining = false;
  #ticker: unknown;
  #isShutDown = false;

  constructor(parts: RuntimeParts, options: MigratorOptions = {}) {
    this.#parts = parts;
    this.#context = {
      parts,
      options,
      store: options.store ?? new VolatileHandoverStore(),
      stats: this.#stats,
      heldBack: new Map(),
      nodeId: parts.network.nodeId,
      nowMs: () => Number(parts.time.unixTimeNs() / 1_000_000n),
      send: (to, message) => this.#send(to, message),
      sendHandover: (to, message) => void parts.network.send(to, encodeHandoverMessage(message)),
      emit: (event) => this.#emit(event),
    };
    this.#departures = new Departures(
      this.#context,
      (originHash, error) =>
        this.#conductor.onLocalFailure(originHash, error) ||
        this.#handingOver.onLocalFailure(originHash, error),
    );
    this.#arrivals = new Arrivals(this.#context);
    this.#conductor = new Conductor(this.#context, this.#departures);
    this.#handingOver = new HandoverDepartures(this.#context, this.#departures);
    this.#takingOver = new HandoverArrivals(this.#context, this.#arrivals, this.#departures, (originHash) =>
      this.#handingOver.onReturn(originHash),
    );
  }

  /**
   * Moves a daemon from one node, this one by default, to another. Resolves to a handle once the first message is on its way; the move goes on
   * whether or not somebody waits for it.
   *
   * Rejects with `not-ready` and `shutting-down`, `daemon-not-found`, `already-migrating`, `target-unavailable` without a session or when source and
   * target are the same, `state-failed` for a stateless daemon or a key that cannot travel, `snapshot-too-large`; and nothing has changed then.
   */
  async startMigration(
    originHash: bigint,
    target: bigint,
    options: MigrationOptions & { readonly source?: bigint } = {},
  ): Promise<Migration> {
    this.#requireReady();
    const { source = this.#context.nodeId } = options;
    if (source === target) {
      const text = `${hexId(target)} is source and target`;
      throw new MigrationError("target-unavailable", text, { originHash, node: target });
    }
    this.#arm();
    const { network } = this.#parts;
    const isHandover = source === this.#context.nodeId && options.form !== "net";
    if (isHandover && network.openStream !== undefined && network.isNetmesh?.(target) === true) {
      const { transportIdentity = true } = options;
      const needsKey = transportIdentity && network.staticKeyOf(target) === undefined;
      if (needsKey) await network.learnStaticKey?.(target, originHash);
      this.#requireReady();
      return await this.#handingOver.start(originHash, target, options);
    }
    return await this.#conductor.start(originHash, source, target, options);
  }

  /** As `startMigration`, to the node that `chooseTarget` names. Rejects with `no-target-available` when there is none. */
  async startMigrationAnywhere(originHash: bigint, options: MigrationOptions = {}): Promise<Migration> {
    const target = this.#context.options.chooseTarget?.(originHash);
    if (target !== undefined) return await this.startMigration(originHash, target, options);
    throw new MigrationError("no-target-available", `no node fits ${hexId(originHash)}`, { originHash });
  }

  /** The migration of a daemon that this node conducts. */
  migration(originHash: bigint): Migration | undefined {
    return this.#conductor.get(originHash) ?? this.#handingOver.get(originHash);
  }

  /** The phase of such a migration; undefined without one. */
  migrationPhase(originHash: bigint): MigrationPhase | undefined {
    return this.migration(originHash)?.phase;
  }

  /** All migrations that this node conducts. */
  migrations(): MigrationSummary[] {
    return [...this.#conductor.list(), ...this.#handingOver.list()];
  }

  /** What was dropped or repeated so far; a copy. */
  stats(): MigratorStats {
    return { ...this.#stats };
  }

  /** Moves, departures and arrivals that are not over: 0 when nothing is under way. */
  get pending(): number {
    const { source } = this.#departures;
    const inNet = this.#conductor.size + source.size + this.#arrivals.pending + this.#arrivals.target.size;
    return inNet + this.#handingOver.size + this.#takingOver.size;
  }

  /** Why a daemon is not here, when it has left: `migrated`, with its new node. For `DaemonRuntimeOptions.explainAbsence`. */
  explainAbsence(originHash: bigint): DaemonError | undefined {
    const node = this.#handingOver.whereabouts(originHash);
    return node === undefined ? this.#departures.explainAbsence(originHash) : movedAway(originHash, node);
  }

  /** Goes on with moves that a crash or shutdown has left undecided; called by the runtime. Rejects with what the store does. */
  async start(): Promise<void> {
    if (this.#context.options.store === undefined) return;
    const found = [
      ...(await this.#departures.restart()),
      ...(await this.#takingOver.restart()),
      ...(await this.#handingOver.restart()),
    ];
    for (const daemon of found) this.#context.heldBack.set(daemon.originHash, daemon);
    this.#arm();
  }

  /** The daemons in the store that must not be restored here, as they live elsewhere or may. */
  heldBack(): HeldBackDaemon[] {
    return [...this.#context.heldBack.values()];
  }

  /**
   * The application knows that a daemon which left in the messages of Net does not live where it went, and never will: its snapshot may be restored
   * here. Resolves once that is stored. Rejects with `already-migrating` for one that is decided about by its other node, and as the store does;
   * resolves to false for any other.
   */
  async reclaim(originHash: bigint): Promise<boolean> {
    const { heldBack, store } = this.#context;
    const found = heldBack.get(originHash);
    if (found === undefined) return false;
    if (found.why !== "departed") {
      const text = `${hexId(found.node)} decides about ${hexId(originHash)}`;
      throw new MigrationError("already-migrating", text, { originHash, node: found.node });
    }
    await store.deleteMarker(markerName("departed", originHash));
    heldBack.delete(originHash);
    this.#departures.forget(originHash);
    return true;
  }

  /** Takes a message of subprotocol 0x0500; called by the network. */
  receive(message: Uint8Array, from: bigint): void {
    if (this.#isShutDown) return;
    const handover = decodeHandoverMessage(message);
    if (handover !== undefined) {
      this.#arm();
      const { type } = handover;
      const isForTarget = type === "offer" || type === "prepare" || type === "commit" || type === "abort";
      this.#gate((isForTarget ? this.#takingOver : this.#handingOver).receive(handover, from));
      return;
    }
    const decoded = decodeMigrationMessage(message);
    if (decoded === undefined) {
      this.#stats.malformed++;
      return;
    }
    this.#arm();
    this.#handle(owned(decoded), from);
  }

  /** Takes a stream that a netmesh peer has opened; called by the network. */
  acceptStream(stream: ByteStream, from: bigint): void {
    if (this.#isShutDown) {
      stream.abort();
      return;
    }
    this.#arm();
    void this.#takingOver.accept(stream, from);
  }

  /** Ends everything under way and tells the peers; called by the runtime. */
  shutdown(): void {
    if (this.#isShutDown) return;
    this.#conductor.shutdown();
    this.#handingOver.shutdown();
    this.#takingOver.shutdown();
    this.#departures.shutdown(SHUT_DOWN);
    this.#arrivals.shutdown(SHUT_DOWN);
    this.#isShutDown = true;
    if (this.#ticker !== undefined) this.#parts.time.cancel(this.#ticker);
    this.#ticker = undefined;
  }

  /** What each message does, and from whom it is taken (§20). */
  #handle(message: MigrationMessage, from: bigint): void {
    const { originHash } = message;
    switch (message.type) {
      case "take-snapshot":
        this.#onTakeSnapshot(originHash, message.targetNode, from);
        break;
      case "snapshot-ready": {
        const record = this.#conductor.orchestrator.get(originHash);
        const isOwn = from === this.#context.nodeId && record?.target === from;
        const taker = record === undefined || isOwn ? this.#arrivals : this.#conductor;
        this.#gate(taker.onSnapshotReady(message, from));
        break;
      }
      case "restore-complete":
      case "replay-complete":
      case "activate-ack":
        this.#gate(this.#conductor.onTarget(message, from));
        break;
      case "cutover-notify":
        this.#gate(this.#departures.onCutoverNotify(originHash, from));
        break;
      case "cleanup-complete":
        this.#gate(this.#conductor.onCleanupComplete(originHash, from));
        break;
      case "buffered-events":
        this.#gate(this.#onBufferedEvents(message, from));
        break;
      case "activate-target":
        this.#gate(this.#onActivateTarget(originHash, from));
        break;
      case "migration-failed":
        this.#onFailed(originHash, message.reason, from);
    }
  }

  #onTakeSnapshot(originHash: bigint, target: bigint, from: bigint): void {
    if (this.#parts.isReady()) void this.#departures.onTakeSnapshot(originHash, target, from);
    else this.#refuse(originHash, from, { kind: "not-ready" });
  }

  #onBufferedEvents(message: MigrationMessage & { type: "buffered-events" }, from: bigint): boolean {
    const { originHash, events } = message;
    const { target } = this.#arrivals;
    const arriving = target.get(originHash);
    const record = arriving ?? target.completed(originHash);
    if (record === undefined) return false;
    // A source that does not conduct the move is not known here; only where nobody was named it is taken at its word.
    const isPinned = this.#parts.factories.get(originHash)?.expectedOrchestrator !== undefined;
    const isOther = record.orchestrator !== from;
    if (isOther && (isPinned || arriving === undefined)) return false;
    void this.#arrivals.onBufferedEvents(originHash, events);
    return true;
  }

  #onActivateTarget(originHash: bigint, from: bigint): boolean {
    const { target } = this.#arrivals;
    const record = target.get(originHash) ?? target.completed(originHash);
    if (record?.orchestrator !== from) return false;
    this.#departures.forget(originHash);
    void this.#activate(originHash, target.get(originHash));
    return true;
  }

  /** What this node had stored of the daemon is of an earlier life here. */
  async #activate(originHash: bigint, arriving: TargetRecord | undefined): Promise<void> {
    if (arriving !== undefined) await this.#departures.settle(originHash, arriving.host.identity.entityId);
    await this.#arrivals.onActivateTarget(originHash);
  }

  #onFailed(originHash: bigint, reason: FailureReason, from: bigint): void {
    if (this.#conductor.onFailed(originHash, reason, from)) return;
    if (this.#handingOver.onTargetFailed(originHash, reason, from)) return;
    const { source } = this.#departures;
    let isKnown = false;
    if (source.get(originHash)?.orchestrator === from) {
      source.abort(originHash);
      isKnown = true;
    }
    if (this.#arrivals.orchestratorOf(originHash) === from) {
      this.#arrivals.abort(originHash);
      isKnown = true;
    }
    this.#gate(isKnown);
    if (isKnown) this.#emit({ kind: "failed", originHash, reason });
  }

  #gate(isAllowed: boolean): void {
    if (!isAllowed) this.#stats.wrongPeer++;
  }

  #refuse(originHash: bigint, to: bigint, reason: FailureReason): void {
    this.#send(to, { type: "migration-failed", originHash, reason });
  }

  #send(to: bigint, message: MigrationMessage): boolean {
    if (to !== this.#context.nodeId) return this.#parts.network.send(to, encodeMigrationMessage(message));
    this.#local.push(message);
    this.#drainLocal();
    return true;
  }

  /** Handles what this node sends itself, one after the other, and not for ever (§13). */
  #drainLocal(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    for (let round = 0; this.#local.length > 0; round++) {
      const message = this.#local.shift() as MigrationMessage;
      if (round >= MAX_LOCAL_ROUNDS && message.type !== "snapshot-ready") {
        this.#stats.cutLoops++;
        continue;
      }
      this.#handle(owned(message), this.#context.nodeId);
    }
    this.#isDraining = false;
  }

  #arm(): void {
    if (this.#ticker !== undefined || this.#isShutDown) return;
    this.#ticker = this.#parts.time.after(TICK_MS, () => {
      this.#ticker = undefined;
      this.#conductor.tick();
      this.#handingOver.tick();
      this.#takingOver.tick();
      this.#arrivals.sweep();
      this.#departures.sweep();
      if (this.pending > 0) this.#arm();
    });
  }

  #emit(event: MigrationEvent): void {
    try {
      this.#context.options.onEvent?.(event);
    } catch {
      // An observer's failure is not the migration's.
    }
  }

  #requireReady(): void {
    if (this.#isShutDown) throw new DaemonError("shutting-down", "the runtime has been shut down");
    if (!this.#parts.isReady())
      throw new DaemonError("not-ready", "the runtime is not ready: call start first");
  }
}

/** The message with events that outlive the bytes it came in. */
function owned(message: MigrationMessage): MigrationMessage {
  if (message.type !== "buffered-events") return message;
  const events = message.events.map((event) => ({ ...event, payload: new Uint8Array(event.payload) }));
  return { ...message, events };
}
