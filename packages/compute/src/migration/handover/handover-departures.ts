import { platformRandom, randomBytes } from "@netmesh/crypto";
import { readU64 } from "@netmesh/wire";
import { hexId, messageOf } from "../../errors.ts";
import type { ByteStream } from "../../runtime/peer-network.ts";
import { type StateSnapshot, snapshotSize } from "../../state/snapshot.ts";
import { backoffMs, MAX_MIGRATIONS } from "../conductor.ts";
import type { Departures } from "../departures.ts";
import {
  asMigrationError,
  decodeFailureReason,
  type FailureReason,
  MigrationError,
  migrationFailed,
} from "../failure-reason.ts";
import type { HeldBackDaemon } from "../held-back.ts";
import { BUFFERED_EVENT_OVERHEAD } from "../messages.ts";
import { Migration, type MigrationOwner } from "../migration.ts";
import type { MigrationContext } from "../migration-context.ts";
import {
  DEFAULT_PHASE_TIMEOUT_MS,
  DEFAULT_RETRY_NOT_READY_MS,
  type MigrationOptions,
  type MigrationSummary,
} from "../migrator-options.ts";
import type { SourceRecord } from "../source.ts";
import { HandoverCopy } from "./handover-copy.ts";
import { handoverMarkers, markerName, putHandoverMarker } from "./handover-marker.ts";
import type { HandoverMessage } from "./handover-messages.ts";
import {
  type HandoverSourceEffect,
  type HandoverSourceInput,
  type HandoverSourcePhase,
  stepHandoverSource,
} from "./handover-source.ts";
import { MAX_HANDOVER_FRAME_SIZE, MAX_HANDOVER_SNAPSHOT_SIZE, readFrames } from "./handover-stream.ts";

const RESEND_MS = 1000;
/** What the caller asked for. */
interface Job {
  readonly migration: Migration;
  readonly transportIdentity: boolean;
  readonly retryNotReadyMs: number;
  readonly startedMs: number;
  /** How many handovers were begun. */
  attempts: number;
  /** When to begin another, while the target is not ready. */
  timer: unknown;
}

/** A handover as its source sees it. */
interface Handover {
  readonly originHash: bigint;
  readonly moveId: bigint;
  readonly target: bigint;
  readonly entityId: Uint8Array;
  phase: HandoverSourcePhase;
  /** Undefined after a restart, when the daemon is not here. */
  readonly record: SourceRecord | undefined;
  readonly job: Job | undefined;
  stream: ByteStream | undefined;
  lastSentMs: number;
  lastProgressMs: number;
  pausedAtMs: number | undefined;
  bytes: number;
  /** Why it is aborted. */
  error: MigrationError | undefined;
  /** What writes the daemon to the target. */
  copy: HandoverCopy | undefined;
  /** Who waits for it to be decided where the daemon lives: one for each attempt to stop it. */
  onDecided: (() => void)[];
}

/** Daemons that this node hands over to other netmesh nodes (docs/protocol/migration.md). */
export class HandoverDepartures implements MigrationOwner {
  readonly #context: MigrationContext;
  readonly #departures: Departures;
  /** By origin; at most `MAX_MIGRATIONS` with a daemon, and those that the store knew at the start. */
  readonly #handovers: Map<bigint, Handover> = new Map();
  /** Those that wait until the target is ready, by origin; as many again. */
  readonly #waiting: Map<bigint, Job> = new Map();
  /** What the store is asked to forget, by origin: of what has arrived at its target, and no more. */
  readonly #forgetting: Map<bigint, Promise<void>> = new Map();
  /** Those of which a snapshot is being taken, by origin; as many again. */
  readonly #beginning: Map<bigint, Job> = new Map();
  readonly #isReturning: (originHash: bigint) => boolean;

  /** `isReturning` says whether what the store has of a daemon is of its way back here. */
  constructor(
    context: MigrationContext,
    departures: Departures,
    isReturning: (originHash: bigint) => boolean,
  ) {
    this.#context = context;
    this.#departures = departures;
    this.#isReturning = isReturning;
  }

  /** Clock and timers. */
  get time(): MigrationContext["parts"]["time"] {
    return this.#context.parts.time;
  }

  /** Handovers not over. */
  get size(): number {
    return this.#handovers.size + this.#waiting.size;
  }

  /** The migration of a daemon. */
  get(originHash: bigint): Migration | undefined {
    const { job } = this.#handovers.get(originHash) ?? {};
    return (job ?? this.#waiting.get(originHash) ?? this.#beginning.get(originHash))?.migration;
  }

  /** All handovers of daemons of this process. */
  list(): MigrationSummary[] {
    const nowMs = this.#context.nowMs();
    const jobs = [...this.#waiting.values()];
    for (const { job } of this.#handovers.values()) if (job !== undefined) jobs.push(job);
    return jobs.map(({ migration, startedMs, attempts }) => {
      const { originHash, sourceNode: source, targetNode: target, lastPhase: phase } = migration;
      const { lastProgressMs = nowMs, bytes = 0 } = this.#handovers.get(originHash) ?? {};
      const elapsedMs = nowMs - startedMs;
      const phaseAgeMs = nowMs - lastProgressMs;
      return {
        originHash,
        source,
        target,
        phase,
        elapsedMs,
        phaseAgeMs,
        snapshotBytes: bytes,
        retries: attempts - 1,
      };
    });
  }

  /** Goes on with what the store knows, and says what that is: daemons that were handed over before this process began. */
  async restart(): Promise<HeldBackDaemon[]> {
    const heldBack: HeldBackDaemon[] = [];
    for (const { originHash, moveId, node, entityId } of await handoverMarkers(this.#context.store, "out")) {
      const nowMs = this.#context.nowMs();
      this.#handovers.set(originHash, {
        originHash,
        moveId,
        target: node,
        entityId,
        phase: "handed-over",
        record: undefined,
        job: undefined,
        stream: undefined,
        lastSentMs: 0,
        lastProgressMs: nowMs,
        pausedAtMs: undefined,
        bytes: 0,
        error: undefined,
        copy: undefined,
        onDecided: [],
      });
      heldBack.push({ originHash, node, why: "handed-over" });
    }
    return heldBack;
  }

  /** Where a daemon was handed over to, as long as the target has not confirmed. */
  whereabouts(originHash: bigint): bigint | undefined {
    const handover = this.#handovers.get(originHash);
    return handover?.phase === "handed-over" ? handover.target : undefined;
  }

  /** The daemon is back, so that it did arrive where it was handed over to. */
  onReturn(originHash: bigint): void {
    const handover = this.#handovers.get(originHash);
    if (handover?.phase !== "handed-over") return;
    this.#succeed(handover);
    this.#handovers.delete(originHash);
    this.#release(originHash);
  }

  /** Resolves when the store is not forgetting anything of a daemon; undefined when it is not now. */
  forgetting(originHash: bigint): Promise<void> | undefined {
    return this.#forgetting.get(originHash);
  }

  /** Begins a handover. Rejects as `Migrator.startMigration`. */
  async start(originHash: bigint, target: bigint, options: MigrationOptions): Promise<Migration> {
    const { nodeId, nowMs } = this.#context;
    if (this.#waiting.has(originHash) || this.#beginning.has(originHash)) {
      throw new MigrationError("already-migrating", `${hexId(originHash)} is already migrating`, {
        originHash,
      });
    }
    if (this.size >= MAX_MIGRATIONS) {
      throw new MigrationError("backpressure", `${MAX_MIGRATIONS} migrations are under way`, { originHash });
    }
    const { transportIdentity = true, retryNotReadyMs = DEFAULT_RETRY_NOT_READY_MS } = options;
    const migration = new Migration(this, originHash, nodeId, target);
    await this.#attempt({
      migration,
      transportIdentity,
      retryNotReadyMs,
      startedMs: nowMs(),
      attempts: 0,
      timer: undefined,
    });
    return migration;
  }

  async #attempt(job: Job): Promise<void> {
    const { originHash } = job.migration;
    this.#beginning.set(originHash, job);
    try {
      await this.#begin(job);
    } finally {
      this.#beginning.delete(originHash);
    }
  }

  async #begin(job: Job): Promise<void> {
    const { parts, nodeId, nowMs } = this.#context;
    const { originHash, targetNode: target } = job.migration;
    const { source } = this.#departures;
    const { hasDeltas = false } = parts.daemons.get(originHash) ?? {};
    const maxPayload = MAX_HANDOVER_FRAME_SIZE - BUFFERED_EVENT_OVERHEAD;
    job.attempts++;
    const record = hasDeltas
      ? await source.startInParts(originHash, target, nodeId)
      : await source.start(originHash, target, nodeId, { ...this.#context.options.bufferLimits, maxPayload });
    try {
      if (job.migration.error !== undefined) throw job.migration.error;
      const sealed = this.#departures.sealed(
        record,
        record.snapshot,
        job.transportIdentity ? "required" : "never",
      );
      const size = snapshotSize(sealed);
      if (size > MAX_HANDOVER_SNAPSHOT_SIZE) {
        throw new MigrationError("snapshot-too-large", `${size} bytes`, { originHash, size });
      }
      const stream = await this.#open(originHash, target);
      if (job.migration.error !== undefined) {
        stream.abort();
        throw job.migration.error;
      }
      const handover: Handover = {
        originHash,
        moveId: readU64(randomBytes(8, this.#context.options.random ?? platformRandom), 0),
        target,
        entityId: record.host.identity.entityId,
        phase: "copying",
        record,
        job,
        stream,
        lastSentMs: nowMs(),
        lastProgressMs: nowMs(),
        pausedAtMs: undefined,
        bytes: 0,
        error: undefined,
        copy: undefined,
        onDecided: [],
      };
      this.#handovers.set(originHash, handover);
      this.#step(handover, "tick");
      void this.#listen(handover, stream);
      void this.#copy(handover, record, stream, sealed, hasDeltas);
    } catch (error) {
      if (source.get(originHash) === record) source.abort(originHash);
      throw error;
    }
  }

  /** A message of a target. What is about an unknown move is answered with abort: nothing was decided for it. */
  receive({ type, originHash, moveId }: HandoverMessage, from: bigint): boolean {
    const handover = this.#handovers.get(originHash);
    if (handover !== undefined && handover.moveId === moveId) {
      if (handover.target !== from) return false;
      if (type === "committed" && this.#isReturning(originHash)) {
        // What is stored has to stay: the next confirmation, or the return, ends the handover.
        this.#succeed(handover);
        return true;
      }
      if (type === "prepared" || type === "query" || type === "committed" || type === "refused")
        this.#step(handover, type);
      return true;
    }
    if (type === "prepared" || type === "query") this.#send(from, { type: "abort", originHash, moveId });
    return true;
  }

  /** An event could not be kept: the daemon stays. Whether there is a handover of it. */
  onLocalFailure(originHash: bigint, error: MigrationError): boolean {
    const handover = this.#handovers.get(originHash);
    if (handover?.record === undefined) return false;
    this.#abort(handover, error);
    return true;
  }

  /** The target refuses, in a message. Whether there is a handover to it. */
  onTargetFailed(originHash: bigint, reason: FailureReason, from: bigint): boolean {
    const handover = this.#handovers.get(originHash);
    if (handover?.target !== from) return false;
    this.#abort(handover, migrationFailed(originHash, reason, from));
    return true;
  }

  /** Gives up, unless the daemon is being handed over. */
  cancel(migration: Migration, error: MigrationError): void {
    const { originHash } = migration;
    const handover = this.#handovers.get(originHash);
    if (handover?.job?.migration === migration) this.#abort(handover, error);
    if (this.#beginning.get(originHash)?.migration === migration) migration.fail(error);
    const waiting = this.#waiting.get(originHash);
    if (waiting?.migration !== migration) return;
    this.#waiting.delete(originHash);
    this.time.cancel(waiting.timer);
    migration.fail(error);
  }

  /**
   * The daemon is to be stopped: gives up its handover, unless it is being stored that it is the target's. Then resolves once it is decided
   * whose it is.
   */
  giveUp(originHash: bigint, error: MigrationError): Promise<void> | undefined {
    const migration = this.get(originHash);
    if (migration !== undefined) this.cancel(migration, error);
    const handover = this.#handovers.get(originHash);
    if (handover === undefined || !isBeingDecided(handover)) return undefined;
    return new Promise((resolve) => handover.onDecided.push(resolve));
  }

  /** Repeats and ends what is due. */
  tick(): void {
    const nowMs = this.#context.nowMs();
    const timeoutMs = this.#context.options.phaseTimeoutMs ?? DEFAULT_PHASE_TIMEOUT_MS;
    for (const handover of [...this.#handovers.values()]) {
      const { originHash, phase } = handover;
      const migration = handover.job?.migration;
      if (nowMs - handover.lastProgressMs >= timeoutMs && handover.error === undefined) {
        const text = `${hexId(originHash)} made no progress in phase ${migration?.lastPhase}`;
        const error = new MigrationError("timeout", text, { originHash });
        // Once handed over only the target can end it; whoever waits is told that it is not known yet.
        if (phase === "handed-over") migration?.fail(error);
        else this.#abort(handover, error);
      }
      if (nowMs - handover.lastSentMs >= RESEND_MS) {
        handover.lastSentMs = nowMs;
        this.#step(handover, "tick");
      }
    }
  }

  /** Ends what is not decided; what is handed over goes on at the next start. */
  shutdown(): void {
    for (const handover of [...this.#handovers.values()]) {
      const { originHash } = handover;
      const error = new MigrationError("shutting-down", "the runtime has been shut down", { originHash });
      this.#abort(handover, error);
      // What waits for the daemon must not be served by it any more: it may be the target's.
      if (isBeingDecided(handover)) this.#departures.source.cleanup(originHash, error);
      handover.job?.migration.fail(error);
      for (const decided of handover.onDecided) decided();
    }
    this.#handovers.clear();
    for (const { migration } of [...this.#waiting.values(), ...this.#beginning.values()]) {
      const { originHash } = migration;
      this.cancel(
        migration,
        new MigrationError("shutting-down", "the runtime has been shut down", { originHash }),
      );
    }
  }

  async #open(originHash: bigint, target: bigint): Promise<ByteStream> {
    const { network } = this.#context.parts;
    try {
      const stream = await network.openStream?.(target);
      if (stream !== undefined) return stream;
    } catch (error) {
      throw new MigrationError("target-unavailable", messageOf(error), {
        originHash,
        node: target,
        cause: error,
      });
    }
    throw new MigrationError("target-unavailable", "no streams here", { originHash, node: target });
  }

  /** Writes all that the daemon is; stops it for the last of it. */
  async #copy(
    handover: Handover,
    record: SourceRecord,
    stream: ByteStream,
    snapshot: StateSnapshot,
    hasDeltas: boolean,
  ): Promise<void> {
    const { originHash, moveId } = handover;
    const progress = (): void => {
      handover.lastProgressMs = this.#context.nowMs();
    };
    const copy = new HandoverCopy(this.#context, this.#departures.source, record, stream, {
      onPhase: (phase) => {
        if (phase === "cutover") handover.pausedAtMs = this.#context.nowMs();
        handover.job?.migration.enter(phase);
        progress();
      },
      onWritten: (size) => {
        handover.bytes += size;
        progress();
      },
    });
    handover.copy = copy;
    try {
      await copy.write(moveId, snapshot, hasDeltas);
      this.#step(handover, "copied");
      await stream.close();
    } catch (error) {
      this.#abort(handover, asMigrationError(originHash, error));
    }
  }

  /** The target writes when it is at a mark, and when it refuses; it closes once the daemon lives there. */
  async #listen(handover: Handover, stream: ByteStream): Promise<void> {
    let cause: unknown;
    try {
      for await (const { type, payload } of readFrames(stream)) {
        if (type === "reached") handover.copy?.reach();
        const reason = type === "refused" ? decodeFailureReason(payload) : undefined;
        if (reason === undefined) continue;
        this.#abort(handover, migrationFailed(handover.originHash, reason, handover.target));
      }
    } catch (error) {
      cause = error;
    }
    // Before that the target is gone, or has begun anew: it is prepared for nothing.
    const { originHash, target: node } = handover;
    const error = new MigrationError("target-unavailable", "the stream has ended", {
      originHash,
      node,
      cause,
    });
    this.#abort(handover, error);
  }

  #abort(handover: Handover, error: MigrationError): void {
    if (handover.phase !== "copying" && handover.phase !== "preparing") return;
    handover.error = error;
    this.#step(handover, "cancel");
  }

  #step(handover: Handover, input: HandoverSourceInput): void {
    if (this.#handovers.get(handover.originHash) !== handover) return;
    const before = handover.phase;
    const { phase, effects } = stepHandoverSource(before, input);
    handover.phase = phase;
    if (phase !== before) handover.lastProgressMs = this.#context.nowMs();
    for (const effect of effects) this.#do(handover, effect);
    if (phase === "aborted") this.#settleAborted(handover);
    if (isBeingDecided(handover)) return;
    for (const decided of handover.onDecided.splice(0)) decided();
  }

  #do(handover: Handover, effect: HandoverSourceEffect): void {
    const { originHash, moveId, target, entityId, record, job } = handover;
    const migration = job?.migration;
    const { store, nodeId } = this.#context;
    switch (effect) {
      case "send-offer":
      case "send-prepare":
      case "send-commit":
      case "send-abort": {
        handover.lastSentMs = this.#context.nowMs();
        const type = effect.slice("send-".length) as "offer" | "prepare" | "commit" | "abort";
        this.#send(target, { type, originHash, moveId });
        break;
      }
      case "record": {
        const marker = { originHash, moveId, node: target, entityId, isCommitted: true };
        putHandoverMarker(store, "out", marker).then(
          () => this.#step(handover, "recorded"),
          () => this.#step(handover, "record-failed"),
        );
        break;
      }
      case "withdraw":
        store.deleteMarker(markerName("out", originHash)).then(
          () => this.#step(handover, "withdrawn"),
          () => this.#step(handover, "withdraw-failed"),
        );
        break;
      case "relinquish":
        migration?.setLiveCopy({ kind: "undecided", source: nodeId, target });
        if (record !== undefined) this.#departures.letGo(record, [], job?.transportIdentity === true);
        migration?.enter("complete");
        break;
      case "resume":
        this.#departures.source.abort(originHash);
        break;
      case "forget": {
        this.#succeed(handover);
        this.#handovers.delete(originHash);
        const forgetting = this.#forget(handover).finally(() => {
          if (this.#forgetting.get(originHash) === forgetting) this.#forgetting.delete(originHash);
        });
        this.#forgetting.set(originHash, forgetting);
      }
    }
  }

  /** The target has confirmed. */
  #succeed({ job, pausedAtMs, target, bytes }: Handover): void {
    const pauseMs = pausedAtMs === undefined ? undefined : this.#context.nowMs() - pausedAtMs;
    job?.migration.succeed({ node: target, form: "netmesh", attempts: job.attempts, bytes, pauseMs });
  }

  /** Nothing of the daemon is in the store any more that has to be left alone. */
  #release(originHash: bigint): void {
    const { heldBack } = this.#context;
    if (heldBack.get(originHash)?.why === "handed-over") heldBack.delete(originHash);
  }

  /** The snapshot goes before the record, so that no start finds it without. What the store fails at is done at the next start. */
  async #forget({ originHash, entityId }: Handover): Promise<void> {
    const { store } = this.#context;
    try {
      await store.forget(entityId);
      await store.deleteMarker(markerName("in", originHash));
      await store.deleteMarker(markerName("out", originHash));
      this.#release(originHash);
    } catch {
      // The record is still there, and with it all that is needed to try again.
    }
  }

  #settleAborted(handover: Handover): void {
    const { originHash, job, error, stream } = handover;
    this.#handovers.delete(originHash);
    stream?.abort();
    handover.copy?.end();
    if (job === undefined) return;
    if (error?.failure?.kind === "not-ready" && job.retryNotReadyMs > 0) {
      this.#retryLater(job);
      return;
    }
    const text = "the target refused or the store failed";
    job.migration.fail(error ?? new MigrationError("state-failed", text, { originHash }));
  }

  /** The target is not ready: again with a fresh snapshot, until the patience ends. */
  #retryLater(job: Job): void {
    const { migration, attempts, startedMs, retryNotReadyMs } = job;
    const { originHash, targetNode } = migration;
    const leftMs = startedMs + retryNotReadyMs - this.#context.nowMs();
    if (leftMs <= 0) {
      const kind = "not-ready-timeout";
      migration.fail(migrationFailed(originHash, { kind, attempts: Math.min(0xff, attempts) }, targetNode));
      return;
    }
    this.#waiting.set(originHash, job);
    job.timer = this.time.after(backoffMs(attempts, leftMs), () => {
      this.#waiting.delete(originHash);
      migration.enter("snapshot");
      this.#attempt(job).catch((error: unknown) => migration.fail(asMigrationError(originHash, error)));
    });
  }

  #send(to: bigint, message: HandoverMessage): void {
    this.#context.sendHandover(to, message);
  }
}

/** Whether only the store can say whose the daemon is. */
function isBeingDecided({ phase }: Handover): boolean {
  return phase === "recording" || phase === "withdrawing";
}
