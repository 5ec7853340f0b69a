import { DaemonError, hexId } from "../errors.ts";
import type { Departures, TravelSnapshot } from "./departures.ts";
import {
  asMigrationError,
  type FailureReason,
  failureOf,
  MigrationError,
  migrationFailed,
  stateFailed,
} from "./failure-reason.ts";
import type { MigrationMessage } from "./messages.ts";
import { Migration, type MigrationOwner } from "./migration.ts";
import type { MigrationContext } from "./migration-context.ts";
import {
  DEFAULT_PHASE_TIMEOUT_MS,
  DEFAULT_RETRY_NOT_READY_MS,
  type MigrationOptions,
  type MigrationSummary,
} from "./migrator-options.ts";
import { type AddressedMessage, MigrationOrchestrator, type MigrationRecord } from "./orchestrator.ts";
import { isAfter } from "./phases.ts";
import type { SourceRecord } from "./source.ts";

/** Migrations that one node may conduct at once; further ones are refused. */
export const MAX_MIGRATIONS = 1024;

const RESEND_MS = 1000;
const MAX_RESENDS = 5;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 16_000;

/** A migration that this node conducts. */
interface Job {
  readonly migration: Migration;
  readonly transportIdentity: boolean;
  readonly retryNotReadyMs: number;
  readonly startedMs: number;
  /** How many snapshots were begun. */
  attempts: number;
  /** Undefined while it waits to try again. */
  record: MigrationRecord | undefined;
  /** What travels, for a source here. */
  snapshot: TravelSnapshot | undefined;
  /** Whether all chunks were sent. */
  isSent: boolean;
  /** When to try again. */
  retryTimer: unknown;
  lastSentMs: number;
  lastProgressMs: number;
  resends: number;
  /** Buffered events that the target has to confirm before the daemon is let go, for a source here. */
  events: readonly MigrationMessage[];
  /** How far it has to replay for that; undefined before the cutover. */
  replayGoal: bigint | undefined;
  pausedAtMs: number | undefined;
  pauseMs: number | undefined;
  /** Whether it is being recorded that the daemon leaves. */
  isLeaving: boolean;
  /** The daemon that was let go here. */
  entityId: Uint8Array | undefined;
}

/** What a conductor is told from elsewhere in the migrator. */
export type FromTarget =
  | { readonly type: "restore-complete"; readonly originHash: bigint }
  | { readonly type: "replay-complete"; readonly originHash: bigint; readonly replayedSeq: bigint }
  | { readonly type: "activate-ack"; readonly originHash: bigint };

/**
 * Conducts migrations in the messages of Net (spec compute.md §§17, 22, 28): repeats what may have been lost, tries again while the target is not
 * ready, and ends what makes no progress.
 *
 * With the source here the daemon is let go only once the target has confirmed every event, so that until then nothing can be lost.
 */
export class Conductor implements MigrationOwner {
  readonly orchestrator: MigrationOrchestrator = new MigrationOrchestrator();
  readonly #context: MigrationContext;
  readonly #departures: Departures;
  readonly #phaseTimeoutMs: number;
  /** By origin; at most `MAX_MIGRATIONS`. */
  readonly #jobs: Map<bigint, Job> = new Map();

  constructor(context: MigrationContext, departures: Departures) {
    this.#context = context;
    this.#departures = departures;
    this.#phaseTimeoutMs = context.options.phaseTimeoutMs ?? DEFAULT_PHASE_TIMEOUT_MS;
  }

  /** Clock and timers. */
  get time(): MigrationContext["parts"]["time"] {
    return this.#context.parts.time;
  }

  /** Migrations under way. */
  get size(): number {
    return this.#jobs.size;
  }

  /** The migration of a daemon. */
  get(originHash: bigint): Migration | undefined {
    return this.#jobs.get(originHash)?.migration;
  }

  /** All migrations under way. */
  list(): MigrationSummary[] {
    const nowMs = this.#context.nowMs();
    return [...this.#jobs.values()].map((job) => {
      const { migration, record, attempts, startedMs } = job;
      return {
        originHash: migration.originHash,
        source: migration.sourceNode,
        target: migration.targetNode,
        phase: migration.lastPhase,
        elapsedMs: nowMs - startedMs,
        phaseAgeMs: nowMs - (record?.phaseSinceMs ?? nowMs),
        snapshotBytes: job.snapshot?.bytes.length ?? record?.snapshotBytes ?? 0,
        retries: attempts - 1,
      };
    });
  }

  /** Begins a migration; resolves once the first message is sent. Rejects as `Migrator.startMigration`, and then nothing is recorded. */
  async start(
    originHash: bigint,
    source: bigint,
    target: bigint,
    options: MigrationOptions,
  ): Promise<Migration> {
    const { transportIdentity = true, retryNotReadyMs = DEFAULT_RETRY_NOT_READY_MS } = options;
    const nowMs = this.#context.nowMs();
    if (this.#jobs.has(originHash)) throw alreadyMigrating(originHash);
    if (this.#jobs.size >= MAX_MIGRATIONS) {
      throw new MigrationError("backpressure", `${MAX_MIGRATIONS} migrations are under way`, { originHash });
    }
    const job: Job = {
      migration: new Migration(this, originHash, source, target),
      transportIdentity,
      retryNotReadyMs,
      startedMs: nowMs,
      attempts: 0,
      record: undefined,
      snapshot: undefined,
      isSent: false,
      retryTimer: undefined,
      lastSentMs: nowMs,
      lastProgressMs: nowMs,
      resends: 0,
      events: [],
      replayGoal: undefined,
      pausedAtMs: undefined,
      pauseMs: undefined,
      isLeaving: false,
      entityId: undefined,
    };
    this.#jobs.set(originHash, job);
    try {
      await this.#attempt(job);
    } catch (error) {
      this.#end(job);
      throw error;
    }
    return job.migration;
  }

  /** A chunk of a source elsewhere. False when the node has no say. */
  onSnapshotReady(message: MigrationMessage & { type: "snapshot-ready" }, from: bigint): boolean {
    const job = this.#jobs.get(message.originHash);
    if (job?.record === undefined || job.record.source !== from) return false;
    this.#answer(job, () => this.orchestrator.onSnapshotReady(message, this.#context.nowMs()));
    return true;
  }

  /** An answer of the target. False when it is from another node. */
  onTarget(message: FromTarget, from: bigint): boolean {
    const { originHash } = message;
    const job = this.#jobs.get(originHash);
    if (job?.record === undefined || job.record.target !== from) return false;
    const nowMs = this.#context.nowMs();
    switch (message.type) {
      case "restore-complete":
        this.#answer(job, () => this.orchestrator.onRestoreComplete(originHash, nowMs));
        break;
      case "replay-complete":
        if (job.replayGoal !== undefined) this.#confirmed(job, message.replayedSeq);
        else this.#answer(job, () => this.orchestrator.onReplayComplete(originHash, nowMs));
        break;
      case "activate-ack":
        this.#answer(job, () => {
          this.orchestrator.onActivateAck(originHash);
          this.#succeed(job);
          return undefined;
        });
    }
    return true;
  }

  /** The source has let go. False when it is not the source that says so. */
  onCleanupComplete(originHash: bigint, from: bigint): boolean {
    const job = this.#jobs.get(originHash);
    if (job?.record === undefined || job.record.source !== from) return false;
    this.#answer(job, () => this.orchestrator.onCleanupComplete(originHash, this.#context.nowMs()));
    return true;
  }

  /** Source or target have failed. False when the node is neither. */
  onFailed(originHash: bigint, reason: FailureReason, from: bigint): boolean {
    const job = this.#jobs.get(originHash);
    if (job?.record === undefined) return false;
    const { source, target } = job.record;
    if (from !== source && from !== target) return false;
    const canRetry = reason.kind === "not-ready" && job.record.phase !== "complete";
    if (canRetry && job.retryNotReadyMs > 0) this.#retryLater(job);
    else this.#fail(job, migrationFailed(originHash, reason, from), from);
    return true;
  }

  /** A local error has ended a move of this node's own. False when this node does not conduct it. */
  onLocalFailure(originHash: bigint, error: MigrationError): boolean {
    const job = this.#jobs.get(originHash);
    if (job?.record === undefined) return false;
    this.#fail(job, error);
    return true;
  }

  /** Gives up and tells both peers, unless the target has been told to go on. */
  cancel(migration: Migration, error: MigrationError): void {
    const job = this.#jobs.get(migration.originHash);
    if (job?.migration !== migration || job.record?.phase === "complete") return;
    this.#fail(job, error);
  }

  /** Repeats and ends what is due; to be called often enough. */
  tick(): void {
    const nowMs = this.#context.nowMs();
    for (const job of [...this.#jobs.values()]) {
      if (job.record === undefined) continue;
      if (nowMs - job.lastProgressMs >= this.#phaseTimeoutMs) {
        const { originHash, lastPhase } = job.migration;
        const text = `${hexId(originHash)} made no progress in phase ${lastPhase}`;
        this.#fail(job, new MigrationError("timeout", text, { originHash }));
      } else if (nowMs - job.lastSentMs >= RESEND_MS && job.resends < MAX_RESENDS) {
        this.#resend(job, job.record, nowMs);
      }
    }
  }

  /** Ends all migrations. */
  shutdown(): void {
    for (const job of [...this.#jobs.values()]) {
      const { originHash } = job.migration;
      this.#fail(job, new MigrationError("shutting-down", "the runtime has been shut down", { originHash }));
    }
  }

  get #isLocal(): (job: Job) => boolean {
    return (job) => job.migration.sourceNode === this.#context.nodeId;
  }

  async #attempt(job: Job): Promise<void> {
    const { migration } = job;
    const { originHash, sourceNode, targetNode } = migration;
    const nowMs = this.#context.nowMs();
    job.attempts++;
    const record = this.orchestrator.start(originHash, sourceNode, targetNode, nowMs);
    job.record = record;
    job.isSent = false;
    job.lastProgressMs = nowMs;
    migration.enter("snapshot");
    if (!this.#isLocal(job)) {
      const { send } = this.#context;
      if (send(sourceNode, { type: "take-snapshot", originHash, targetNode })) return;
      throw unavailable(originHash, sourceNode);
    }
    const { source } = this.#departures;
    const moving = await source.start(originHash, targetNode, this.#context.nodeId);
    if (job.record !== record || this.#jobs.get(originHash) !== job) {
      if (source.get(originHash) === moving) source.abort(originHash);
      throw (
        migration.error ??
        new MigrationError("cancelled", `${hexId(originHash)} was cancelled`, { originHash })
      );
    }
    job.snapshot = this.#departures.seal(moving, job.transportIdentity ? "required" : "never");
    record.snapshotTaken(moving.snapshot, this.#context.nowMs());
    record.snapshotBytes = job.snapshot.bytes.length;
    this.#progress(job);
    if (!this.#sendChunks(job)) throw unavailable(originHash, targetNode);
  }

  #sendChunks(job: Job): boolean {
    const { originHash, targetNode } = job.migration;
    const moving = this.#departures.source.get(originHash);
    if (moving === undefined || job.snapshot === undefined) return false;
    const total = job.snapshot.bytes.length;
    job.isSent = false;
    return this.#departures.sendChunks(moving, job.snapshot, targetNode, (count) => {
      job.lastSentMs = this.#context.nowMs();
      if (job.resends === 0) job.lastProgressMs = job.lastSentMs;
      job.isSent = count * 7000 >= total;
    });
  }

  /** Takes a step of the machine, sends what it answers, and goes on where the daemon is here. */
  #answer(job: Job, step: () => AddressedMessage | undefined): void {
    const before = job.record?.phase;
    let answer: AddressedMessage | undefined;
    try {
      answer = step();
    } catch (error) {
      this.#context.stats.unexpected++;
      if (error instanceof DaemonError && error.code === "state-failed")
        this.#fail(job, error as MigrationError);
      return;
    }
    if (before === "transfer" && job.record?.phase === "replay") job.migration.enter("restore");
    if (job.record?.phase !== before) this.#progress(job);
    if (answer?.message.type === "snapshot-ready") job.lastProgressMs = this.#context.nowMs();
    if (answer === undefined) return;
    if (answer.message.type === "cutover-notify" && this.#isLocal(job)) void this.#cutover(job);
    else this.#send(job, answer);
  }

  #send(job: Job, { to, message }: AddressedMessage): void {
    job.lastSentMs = this.#context.nowMs();
    this.#context.send(to, message);
  }

  /** A phase was entered. */
  #progress(job: Job): void {
    job.lastProgressMs = this.#context.nowMs();
    job.resends = 0;
    if (job.record !== undefined) job.migration.enter(job.record.phase);
  }

  /** The daemon here stops, and its last events go to the target. */
  async #cutover(job: Job): Promise<void> {
    if (job.pausedAtMs !== undefined) return;
    const { originHash, targetNode } = job.migration;
    job.pausedAtMs = this.#context.nowMs();
    const moving = this.#departures.source.get(originHash);
    if (moving === undefined) return;
    try {
      job.events = await this.#departures.cutover(moving);
    } catch (error) {
      this.#fail(job, asMigrationError(originHash, error));
      return;
    }
    if (this.#jobs.get(originHash) !== job || this.#departures.source.get(originHash) !== moving) return;
    let goal = moving.snapshot.throughSeq;
    for (const message of job.events) {
      if (message.type === "buffered-events") goal += BigInt(message.events.length);
      this.#send(job, { to: targetNode, message });
    }
    job.replayGoal = goal;
    if (job.events.length === 0) this.#confirmed(job, goal);
  }

  /** The target has replayed so far: once that is all, the daemon is let go. */
  #confirmed(job: Job, replayedSeq: bigint): void {
    const { originHash } = job.migration;
    const moving = this.#departures.source.get(originHash);
    if (job.replayGoal === undefined || replayedSeq < job.replayGoal || moving === undefined) return;
    if (job.isLeaving) return;
    job.isLeaving = true;
    const recording = this.#departures.recordLeaving(moving);
    if (recording === undefined) {
      this.#letGo(job, moving);
      return;
    }
    recording.then(
      () => this.#letGo(job, moving),
      (error: unknown) => {
        this.#departures.withdrawLeaving(originHash);
        this.#fail(job, asMigrationError(originHash, error));
      },
    );
  }

  /** Removes the daemon here and tells the target to go on, unless the move was given up meanwhile. */
  #letGo(job: Job, moving: SourceRecord): void {
    const { originHash, targetNode } = job.migration;
    if (this.#jobs.get(originHash) !== job || this.#departures.source.get(originHash) !== moving) {
      this.#departures.withdrawLeaving(originHash);
      return;
    }
    job.entityId = moving.host.identity.entityId;
    job.migration.setLiveCopy({ kind: "undecided", source: this.#context.nodeId, target: targetNode });
    this.#departures.letGo(moving, [], job.transportIdentity);
    this.#answer(job, () => this.orchestrator.onCleanupComplete(originHash, this.#context.nowMs()));
  }

  #resend(job: Job, record: MigrationRecord, nowMs: number): void {
    const { originHash, targetNode, sourceNode } = job.migration;
    const isLocal = this.#isLocal(job);
    const messages: AddressedMessage[] = [];
    if (record.phase === "transfer" && isLocal) {
      if (!job.isSent) return;
      job.resends++;
      this.#context.stats.resent++;
      this.#sendChunks(job);
      return;
    }
    if (record.phase === "replay") {
      messages.push({ to: targetNode, message: { type: "buffered-events", originHash, events: [] } });
    } else if (record.phase === "cutover" && isLocal) {
      for (const message of job.events) messages.push({ to: targetNode, message });
    } else if (record.phase === "cutover") {
      messages.push({ to: sourceNode, message: { type: "cutover-notify", originHash, targetNode } });
    } else if (record.phase === "complete") {
      messages.push({ to: targetNode, message: { type: "activate-target", originHash } });
    }
    if (messages.length === 0) return;
    job.resends++;
    this.#context.stats.resent++;
    job.lastSentMs = nowMs;
    for (const { to, message } of messages) this.#context.send(to, message);
  }

  /** The target is not ready: again with a fresh snapshot, until the patience ends. */
  #retryLater(job: Job): void {
    const { originHash } = job.migration;
    this.#release(job);
    const leftMs = job.startedMs + job.retryNotReadyMs - this.#context.nowMs();
    if (leftMs <= 0) {
      const attempts = Math.min(0xff, job.attempts);
      this.#fail(
        job,
        migrationFailed(originHash, { kind: "not-ready-timeout", attempts }, job.migration.targetNode),
      );
      return;
    }
    job.retryTimer = this.time.after(backoffMs(job.attempts, leftMs), () => {
      job.retryTimer = undefined;
      this.#attempt(job).catch((error: unknown) => this.#fail(job, asMigrationError(originHash, error)));
    });
  }

  #succeed(job: Job): void {
    const { migration } = job;
    if (job.pausedAtMs !== undefined) job.pauseMs = this.#context.nowMs() - job.pausedAtMs;
    this.#jobs.delete(migration.originHash);
    if (job.entityId !== undefined) void this.#departures.settle(migration.originHash, job.entityId);
    migration.succeed({
      node: migration.targetNode,
      form: "net",
      attempts: job.attempts,
      bytes: job.snapshot?.bytes.length ?? job.record?.snapshotBytes ?? 0,
      pauseMs: job.pauseMs,
    });
  }

  /** Ends a migration: the daemon serves where it was, unless it was let go. Tells the peers, but for the one that said so. */
  #fail(job: Job, error: MigrationError, except?: bigint): void {
    const { originHash, sourceNode, targetNode } = job.migration;
    if (this.#jobs.get(originHash) !== job) return;
    const phase = job.record?.phase;
    const { record } = job;
    if (job.entityId !== undefined && this.#context.options.store !== undefined) {
      this.#context.heldBack.set(originHash, { originHash, node: targetNode, why: "departed" });
    }
    this.#end(job);
    if (phase !== undefined && isAfter(phase, "replay") && !this.#isLocal(job)) {
      job.migration.setLiveCopy({ kind: "undecided", source: sourceNode, target: targetNode });
    }
    job.migration.fail(error);
    if (record === undefined || phase === "complete") return;
    const reason = error.failure ?? failureOf(error);
    const text =
      reason.kind === "state-failed"
        ? stateFailed(error.code === "cancelled" ? "cancelled" : reason.detail)
        : reason;
    for (const node of [sourceNode, targetNode]) {
      if (node === except || node === this.#context.nodeId) continue;
      this.#context.send(node, { type: "migration-failed", originHash, reason: text });
    }
  }

  /** Forgets a migration: the daemon, if it is here, serves again. */
  #end(job: Job): void {
    const { originHash } = job.migration;
    if (this.#jobs.get(originHash) === job) this.#jobs.delete(originHash);
    if (job.retryTimer !== undefined) this.time.cancel(job.retryTimer);
    this.#release(job);
  }

  #release(job: Job): void {
    const { originHash } = job.migration;
    if (job.record !== undefined && this.orchestrator.get(originHash) === job.record) {
      this.orchestrator.remove(originHash);
      const moving = this.#departures.source.get(originHash);
      if (this.#isLocal(job) && moving?.orchestrator === this.#context.nodeId) {
        this.#departures.source.abort(originHash);
      }
    }
    job.record = undefined;
    job.snapshot = undefined;
    job.events = [];
    job.replayGoal = undefined;
    job.pausedAtMs = undefined;
    job.isLeaving = false;
  }
}

/** What to wait after an attempt at a target that is not ready: 0.5, 1, 2 … 16 s, and no longer than is left (spec compute.md §22). */
export function backoffMs(attempts: number, leftMs: number): number {
  return Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempts - 1), leftMs);
}

function alreadyMigrating(originHash: bigint): MigrationError {
  return new MigrationError("already-migrating", `${hexId(originHash)} is already migrating`, { originHash });
}

function unavailable(originHash: bigint, node: bigint): MigrationError {
  return new MigrationError("target-unavailable", `no session with ${hexId(node)}`, { originHash, node });
}
