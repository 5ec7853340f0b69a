import { Identity } from "@netmesh/crypto";
import { readU64 } from "@netmesh/wire";
import { hexId } from "../errors.ts";
import { decodeSnapshot, type StateSnapshot } from "../state/snapshot.ts";
import { MigrationError } from "./failure-reason.ts";
import type { MigrationMessage, SnapshotReady } from "./messages.ts";
import { isAfter, type MigrationPhase, wrongPhase } from "./phases.ts";

/** Magic, version and entity: what the first chunk has to show (spec compute.md §17). */
const MIN_FIRST_CHUNK = 37;
const ENTITY = 5;
/** "CDS1" and version 2. */
const SNAPSHOT_PREFIX = 0x0231534443n;
const PREFIX_MASK = 0xff_ffff_ffffn;

/** A message and the node it is for. */
export interface AddressedMessage {
  readonly to: bigint;
  readonly message: MigrationMessage;
}

/** A migration as the orchestrator sees it: which phase follows which (§13). */
export class MigrationRecord {
  /** The daemon's address. */
  readonly originHash: bigint;
  /** Where the daemon lives. */
  readonly source: bigint;
  /** Where it will live. */
  readonly target: bigint;
  /** When it began, in milliseconds. */
  readonly startedMs: number;
  /** When it entered its phase, in milliseconds. */
  phaseSinceMs: number;
  /** Bytes of the snapshot, as far as known. */
  snapshotBytes = 0;
  #phase: MigrationPhase = "snapshot";

  constructor(originHash: bigint, source: bigint, target: bigint, nowMs: number) {
    this.originHash = originHash;
    this.source = source;
    this.target = target;
    this.startedMs = nowMs;
    this.phaseSinceMs = nowMs;
  }

  /** Where it is. */
  get phase(): MigrationPhase {
    return this.#phase;
  }

  /** The snapshot is there. Throws `wrong-phase`, and `state-failed` when it is another daemon's. */
  snapshotTaken(snapshot: Pick<StateSnapshot, "chainLink">, nowMs: number): void {
    this.#require("snapshot");
    if (snapshot.chainLink.originHash !== this.originHash) {
      throw new MigrationError("state-failed", "the snapshot is of another origin", {
        originHash: this.originHash,
      });
    }
    this.#enter("transfer", nowMs);
  }

  /** All of it has travelled. Throws `wrong-phase`, as all of these. */
  transferComplete(nowMs: number): void {
    this.#require("transfer");
    this.#enter("restore", nowMs);
  }

  /** The target has restored it. */
  restoreComplete(nowMs: number): void {
    this.#require("restore");
    this.#enter("replay", nowMs);
  }

  /** The target is as far as the source. */
  replayComplete(nowMs: number): void {
    this.#require("replay");
    this.#enter("cutover", nowMs);
  }

  /** The source has let go. */
  cutoverComplete(nowMs: number): void {
    this.#require("cutover");
    this.#enter("complete", nowMs);
  }

  #require(phase: MigrationPhase): void {
    if (this.#phase !== phase) throw wrongPhase(this.originHash, phase, this.#phase);
  }

  #enter(phase: MigrationPhase, nowMs: number): void {
    this.#phase = phase;
    this.phaseSinceMs = nowMs;
  }
}

/**
 * What the orchestrator of migrations answers to each message (§17). Senders have been checked. A message that comes early throws `wrong-phase`,
 * one for no migration `daemon-not-found`; one that is repeated gives the same answer or none, and changes nothing.
 */
export class MigrationOrchestrator {
  readonly #records: Map<bigint, MigrationRecord> = new Map();

  /** Migrations under way. */
  get size(): number {
    return this.#records.size;
  }

  /** The migration of a daemon. */
  get(originHash: bigint): MigrationRecord | undefined {
    return this.#records.get(originHash);
  }

  /** All migrations under way. */
  records(): MigrationRecord[] {
    return [...this.#records.values()];
  }

  /** Begins a migration. Throws `already-migrating`. */
  start(originHash: bigint, source: bigint, target: bigint, nowMs: number): MigrationRecord {
    if (this.#records.has(originHash)) {
      throw new MigrationError("already-migrating", `${hexId(originHash)} is already migrating`, {
        originHash,
      });
    }
    const record = new MigrationRecord(originHash, source, target, nowMs);
    this.#records.set(originHash, record);
    return record;
  }

  /** Ends a migration, one way or another; whether there was one. */
  remove(originHash: bigint): boolean {
    return this.#records.delete(originHash);
  }

  /** A chunk from a source elsewhere: forwarded to the target. Throws `state-failed` for one that shows another snapshot. */
  onSnapshotReady(message: SnapshotReady, nowMs: number): AddressedMessage | undefined {
    const record = this.#require(message.originHash);
    if (isAfter(record.phase, "transfer")) return undefined;
    const snapshot = checkChunk(message);
    if (record.phase === "snapshot") {
      const originHash = message.originHash;
      record.snapshotTaken(
        snapshot ?? { chainLink: { originHash, horizon: 0n, sequence: 0n, parentHash: 0n } },
        nowMs,
      );
    }
    if (message.chunkIndex === 0) record.snapshotBytes = message.chunk.length * message.totalChunks;
    return { to: record.target, message };
  }

  /** The target has restored: it is asked to replay. */
  onRestoreComplete(originHash: bigint, nowMs: number): AddressedMessage | undefined {
    const record = this.#require(originHash);
    if (record.phase === "snapshot") throw wrongPhase(originHash, "transfer", record.phase);
    if (record.phase === "transfer") record.transferComplete(nowMs);
    if (record.phase === "restore") record.restoreComplete(nowMs);
    if (record.phase !== "replay") return undefined;
    return { to: record.target, message: { type: "buffered-events", originHash, events: [] } };
  }

  /** The target has replayed: the source is told to let go. */
  onReplayComplete(originHash: bigint, nowMs: number): AddressedMessage | undefined {
    const record = this.#require(originHash);
    if (!isAfter(record.phase, "restore")) throw wrongPhase(originHash, "replay", record.phase);
    if (record.phase === "replay") record.replayComplete(nowMs);
    if (record.phase !== "cutover") return undefined;
    return { to: record.source, message: { type: "cutover-notify", originHash, targetNode: record.target } };
  }

  /** The source has let go: the target is told to go on. */
  onCleanupComplete(originHash: bigint, nowMs: number): AddressedMessage {
    const record = this.#require(originHash);
    if (!isAfter(record.phase, "replay")) throw wrongPhase(originHash, "cutover", record.phase);
    if (record.phase === "cutover") record.cutoverComplete(nowMs);
    return { to: record.target, message: { type: "activate-target", originHash } };
  }

  /** The target goes on: the migration is over. */
  onActivateAck(originHash: bigint): MigrationRecord {
    const record = this.#require(originHash);
    if (record.phase !== "complete") throw wrongPhase(originHash, "complete", record.phase);
    this.#records.delete(originHash);
    return record;
  }

  #require(originHash: bigint): MigrationRecord {
    const record = this.#records.get(originHash);
    if (record !== undefined) return record;
    throw new MigrationError("daemon-not-found", `no migration of ${hexId(originHash)}`, { originHash });
  }
}

/** The snapshot of a single chunk; undefined for a part of one. Throws `state-failed` when what it shows is wrong. */
function checkChunk(message: SnapshotReady): StateSnapshot | undefined {
  const { originHash, chunk, chunkIndex, totalChunks, seqThrough } = message;
  if (chunkIndex > 0) return undefined;
  const fail = (text: string): never => {
    throw new MigrationError("state-failed", text, { originHash });
  };
  if (chunk.length < MIN_FIRST_CHUNK) fail(`a first chunk of ${chunk.length} bytes`);
  if ((readU64(chunk, 0) & PREFIX_MASK) !== SNAPSHOT_PREFIX) fail("the first chunk begins no snapshot");
  if (Identity.publicOnly(chunk.subarray(ENTITY, MIN_FIRST_CHUNK)).originHash !== originHash) {
    fail("the snapshot is of another entity");
  }
  if (totalChunks > 1) return undefined;
  const snapshot = decodeSnapshot(chunk);
  if (snapshot === undefined) return fail("the snapshot cannot be parsed");
  if (snapshot.throughSeq !== seqThrough) fail(`through ${snapshot.throughSeq}, announced ${seqThrough}`);
  return snapshot;
}
