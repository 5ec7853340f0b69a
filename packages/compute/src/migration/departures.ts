import { messageOf } from "../errors.ts";
import type { FactoryPlan } from "../factory-registry.ts";
import {
  encodeSnapshot,
  MAX_TRANSFER_SNAPSHOT_SIZE,
  type StateSnapshot,
  sealSnapshot,
  snapshotSize,
} from "../state/snapshot.ts";
import type { Subscription } from "../state/subscription-ledger.ts";
import { bufferedEventMessages, renumbered } from "./event-buffer.ts";
import { type FailureReason, failureOf, MigrationError, stateFailed } from "./failure-reason.ts";
import { handoverMarkers, markerName, putHandoverMarker } from "./handover/handover-marker.ts";
import type { HeldBackDaemon } from "./held-back.ts";
import type { MigrationMessage } from "./messages.ts";
import type { MigrationContext } from "./migration-context.ts";
import { chunkCount, snapshotChunk } from "./snapshot-chunks.ts";
import { MigrationSource, movedAway, type SourceRecord } from "./source.ts";

/** How long a node remembers where a daemon has gone, in milliseconds. */
export const MOVED_MEMORY_MS = 300_000;
/** Departures that are remembered; of more, the oldest is forgotten. */
export const MAX_MOVED = 1024;
/** Chunks that are sent at once, and what is waited after them, in milliseconds. */
const CHUNKS_PER_BURST = 64;
const BURST_INTERVAL_MS = 5;

/** A daemon that has left. */
interface Departure {
  readonly target: bigint;
  readonly orchestrator: bigint;
  readonly untilMs: number;
  /** The events sent after it, in case they did not arrive. */
  readonly events: readonly MigrationMessage[];
}

/** A snapshot as it travels. */
export interface TravelSnapshot {
  readonly bytes: Uint8Array;
  readonly seqThrough: bigint;
}

/** Lets daemons go, and remembers where they went (spec compute.md §§18, 20). */
export class Departures {
  readonly source: MigrationSource;
  readonly #context: MigrationContext;
  readonly #onOverflow: (originHash: bigint, error: MigrationError) => boolean;
  /** By origin; at most `MAX_MOVED`, each for `MOVED_MEMORY_MS`. */
  readonly #departed: Map<bigint, Departure> = new Map();

  /** `onOverflow` says whether this node conducts the move, and then has ended it. */
  constructor(context: MigrationContext, onOverflow: (originHash: bigint, error: MigrationError) => boolean) {
    const { parts, options } = context;
    this.#context = context;
    this.#onOverflow = onOverflow;
    this.source = new MigrationSource({
      daemons: parts.daemons,
      ...(options.bufferLimits === undefined ? {} : { limits: options.bufferLimits }),
      onOverflow: (originHash, error) => this.#overflow(originHash, error),
    });
  }

  /** A peer asks for a daemon to be sent to a node: it gets chunks, or hears why not. */
  async onTakeSnapshot(originHash: bigint, target: bigint, from: bigint): Promise<void> {
    const { options, stats } = this.#context;
    let isAllowed = false;
    try {
      isAllowed = (await options.authorize?.({ originHash, orchestrator: from, target })) === true;
    } catch {
      // Whoever cannot say yes has said no.
    }
    if (!isAllowed) {
      stats.refusedRequests++;
      return this.#refuse(originHash, from, stateFailed("this node does not let the daemon be moved"));
    }
    try {
      if (target === this.#context.nodeId) {
        throw new MigrationError("target-unavailable", "the daemon lives on the target", {
          originHash,
          node: target,
        });
      }
      const record = await this.source.start(originHash, target, from);
      this.sendChunks(record, this.seal(record, "if-possible"), from, () => {});
    } catch (error) {
      if (this.source.get(originHash)?.orchestrator === from) this.source.abort(originHash);
      this.#refuse(originHash, from, failureOf(error));
    }
  }

  /**
   * The snapshot of a move as it travels, with the daemon's key sealed for the target as asked. Throws `state-failed` when that is not
   * possible, and `snapshot-too-large`.
   */
  seal(record: SourceRecord, transport: "required" | "if-possible" | "never"): TravelSnapshot {
    const { originHash, target } = record;
    const snapshot = this.sealed(record, record.snapshot, transport);
    const size = snapshotSize(snapshot);
    if (size > MAX_TRANSFER_SNAPSHOT_SIZE) {
      throw new MigrationError(
        "snapshot-too-large",
        `${size} bytes; ${MAX_TRANSFER_SNAPSHOT_SIZE} can travel`,
        {
          originHash,
          node: target,
          size,
        },
      );
    }
    try {
      return { bytes: encodeSnapshot(snapshot), seqThrough: snapshot.throughSeq };
    } catch (error) {
      throw new MigrationError("state-failed", messageOf(error), { originHash, cause: error });
    }
  }

  /** A snapshot of the daemon of a move, with its key sealed for the target as asked. Throws `state-failed`. */
  sealed(
    record: Pick<SourceRecord, "host" | "target" | "originHash">,
    snapshot: StateSnapshot,
    transport: "required" | "if-possible" | "never",
  ): StateSnapshot {
    if (transport === "never") return snapshot;
    const { parts, emit } = this.#context;
    const { host, target, originHash } = record;
    const targetPublicKey = parts.network.staticKeyOf(target);
    const why =
      targetPublicKey === undefined
        ? "the static key of the target is not known, because it began the session"
        : "this node has no private key of the daemon";
    if (targetPublicKey !== undefined && !host.identity.isPublicOnly) {
      try {
        return sealSnapshot(snapshot, host.identity, { targetPublicKey });
      } catch (error) {
        throw new MigrationError("state-failed", `transport_identity: ${messageOf(error)}`, {
          originHash,
          cause: error,
        });
      }
    }
    if (transport === "required") {
      const text = `transport_identity: ${why}; with transportIdentity: false and the key registered at the target it can move`;
      throw new MigrationError("state-failed", text, { originHash, node: target });
    }
    emit({ kind: "unsealed", originHash, node: target });
    return snapshot;
  }

  /**
   * Sends all chunks in order, some at a time, as long as the move goes on; false when there is no session for the first. `onSent` is told after
   * each burst how many are sent.
   */
  sendChunks(
    record: SourceRecord,
    snapshot: TravelSnapshot,
    to: bigint,
    onSent: (count: number) => void,
  ): boolean {
    const { send, parts } = this.#context;
    const { bytes, seqThrough } = snapshot;
    const { originHash } = record;
    const total = chunkCount(bytes.length);
    const burst = (first: number): boolean => {
      if (this.source.get(originHash) !== record) return true;
      const end = Math.min(first + CHUNKS_PER_BURST, total);
      for (let index = first; index < end; index++) {
        const isSent = send(to, snapshotChunk(originHash, seqThrough, bytes, index));
        if (!isSent && index === 0) return false;
      }
      onSent(end);
      if (end < total) parts.time.after(BURST_INTERVAL_MS, () => burst(end));
      return true;
    };
    return burst(0);
  }

  /** The orchestrator elsewhere tells to let go. False when it has no say. */
  onCutoverNotify(originHash: bigint, from: bigint): boolean {
    const record = this.source.get(originHash);
    if (record === undefined) return this.#repeatCleanup(originHash, from);
    if (record.orchestrator !== from) return false;
    if (record.phase === "snapshot") void this.#cutover(record);
    return true;
  }

  async #cutover(record: SourceRecord): Promise<void> {
    const { originHash, orchestrator } = record;
    try {
      const events = await this.cutover(record);
      if (this.source.get(originHash) !== record) return;
      await this.recordLeaving(record);
      if (this.source.get(originHash) !== record) return this.withdrawLeaving(originHash);
      this.#sendAll(record.target, events);
      this.letGo(record, events, true);
      this.#context.send(orchestrator, { type: "cleanup-complete", originHash });
    } catch (error) {
      if (this.source.abort(originHash)) this.#refuse(originHash, orchestrator, failureOf(error));
    }
  }

  /** Stops deliveries to the daemon of a move; resolves to the messages with its buffered events. */
  async cutover(record: SourceRecord): Promise<MigrationMessage[]> {
    const events = await this.source.cutover(record.originHash);
    return bufferedEventMessages(record.originHash, renumbered(events, record.snapshot.throughSeq));
  }

  /** Goes on with what the store knows, and says what that is: daemons that left in the messages of Net, unconfirmed. */
  async restart(): Promise<HeldBackDaemon[]> {
    const heldBack: HeldBackDaemon[] = [];
    for (const { originHash, node } of await handoverMarkers(this.#context.store, "departed")) {
      this.remember(originHash, { target: node, orchestrator: this.#context.nodeId, events: [] });
      heldBack.push({ originHash, node, why: "departed" });
    }
    return heldBack;
  }

  /**
   * Records that a daemon leaves in the messages of Net, before it does: after a crash it is not restored here while it may live at the target.
   * Undefined when nothing outlives the process anyway.
   */
  recordLeaving({ originHash, target, host }: SourceRecord): Promise<void> | undefined {
    const { store } = this.#context.options;
    if (store === undefined) return undefined;
    const { entityId } = host.identity;
    const marker = { originHash, moveId: 0n, node: target, entityId, isCommitted: true };
    return putHandoverMarker(store, "departed", marker);
  }

  /** Takes that back. Should the store fail, the daemon is held back at the next start, and can be reclaimed. */
  withdrawLeaving(originHash: bigint): void {
    void this.#context.options.store?.deleteMarker(markerName("departed", originHash)).catch(() => {});
  }

  /**
   * Deletes what the store has of a daemon that lives elsewhere for certain, or is back: the snapshot before the record, so that no start finds
   * it without. Should the store fail, the record stays. Never rejects.
   */
  async settle(originHash: bigint, entityId: Uint8Array): Promise<void> {
    const { store } = this.#context.options;
    if (store === undefined) return;
    try {
      await store.forget(entityId);
      await store.deleteMarker(markerName("departed", originHash));
    } catch {
      // The record is still there, and says what is to be done.
    }
  }

  /** Removes the daemon of a move, with its key where that has travelled, and its memberships (§24). */
  letGo(record: SourceRecord, events: readonly MigrationMessage[], hasTravelled: boolean): void {
    const { originHash, host, target, orchestrator } = record;
    const subscriptions = host.ledger.subscriptions();
    this.source.cleanup(originHash);
    this.remember(originHash, { target, orchestrator, events });
    if (hasTravelled) this.#dropKey(originHash);
    this.#unsubscribe(originHash, subscriptions);
    this.#context.emit({ kind: "departed", originHash, node: target });
  }

  /** Remembers where a daemon has gone. */
  remember(originHash: bigint, departure: Omit<Departure, "untilMs">): void {
    this.#departed.delete(originHash);
    this.#departed.set(originHash, { ...departure, untilMs: this.#context.nowMs() + MOVED_MEMORY_MS });
    if (this.#departed.size <= MAX_MOVED) return;
    for (const oldest of this.#departed.keys()) {
      this.#departed.delete(oldest);
      return;
    }
  }

  /** Where a daemon has gone; undefined when that is not known, or it is back. */
  whereabouts(originHash: bigint): bigint | undefined {
    const departure = this.#departed.get(originHash);
    if (departure === undefined || departure.untilMs <= this.#context.nowMs()) return undefined;
    return departure.target;
  }

  /** Why a daemon is not here, when it has left. */
  explainAbsence(originHash: bigint): MigrationError | undefined {
    const node = this.whereabouts(originHash);
    return node === undefined ? undefined : movedAway(originHash, node);
  }

  /** Forgets that a daemon has left, as it is back. */
  forget(originHash: bigint): void {
    const { heldBack } = this.#context;
    if (heldBack.get(originHash)?.why === "departed") heldBack.delete(originHash);
    this.#departed.delete(originHash);
  }

  /** Forgets what was long ago. */
  sweep(): void {
    const nowMs = this.#context.nowMs();
    for (const [originHash, { untilMs }] of this.#departed) {
      if (untilMs <= nowMs) this.#departed.delete(originHash);
    }
  }

  /** Lets all daemons serve again; tells the orchestrators elsewhere. */
  shutdown(reason: FailureReason): void {
    for (const { originHash, orchestrator } of this.source.records()) {
      this.source.abort(originHash);
      if (orchestrator !== this.#context.nodeId) this.#refuse(originHash, orchestrator, reason);
    }
    this.#departed.clear();
  }

  /** An answer that was lost is given again, events first. */
  #repeatCleanup(originHash: bigint, from: bigint): boolean {
    const departure = this.#departed.get(originHash);
    if (departure === undefined || departure.orchestrator !== from) return false;
    this.#sendAll(departure.target, departure.events);
    this.#context.send(from, { type: "cleanup-complete", originHash });
    return true;
  }

  #overflow(originHash: bigint, error: MigrationError): void {
    if (this.#onOverflow(originHash, error)) return;
    const record = this.source.get(originHash);
    if (record === undefined) return;
    this.source.abort(originHash);
    this.#refuse(originHash, record.orchestrator, failureOf(error));
  }

  /** The entry stays, so that the daemon can come back, but only with its key. */
  #dropKey(originHash: bigint): void {
    const { factories } = this.#context.parts;
    const entry = factories.get(originHash);
    if (entry?.identity === undefined) return;
    const plan: FactoryPlan = { kind: entry.kind, factory: entry.factory, config: entry.config };
    factories.remove(originHash, entry);
    factories.registerPlaceholder(originHash, plan);
  }

  #unsubscribe(originHash: bigint, subscriptions: readonly Subscription[]): void {
    const { channels } = this.#context.options;
    if (channels === undefined) return;
    for (const { publisher, channel } of subscriptions) {
      // The publisher drops members that it no longer reaches, so that a failure needs no answer.
      void (async () => await channels.unsubscribe(publisher, channel, originHash))().catch(() => {});
    }
  }

  #sendAll(to: bigint, messages: readonly MigrationMessage[]): void {
    for (const message of messages) this.#context.send(to, message);
  }

  #refuse(originHash: bigint, to: bigint, reason: FailureReason): void {
    this.#context.send(to, { type: "migration-failed", originHash, reason });
  }
}
