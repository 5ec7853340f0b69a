import { mkdir } from "node:fs/promises";
import { dirname, resolve as resolvePath } from "node:path";
import { Worker } from "node:worker_threads";
import { copyBytes } from "@netmesh/wire";
import {
  closedError,
  decodeMarker,
  decodeRecord,
  encodeMarker,
  encodeRecord,
  entityKey,
  markerName,
} from "../durability/snapshot-record.ts";
import {
  type SnapshotStore,
  SnapshotStoreError,
  type SnapshotSummary,
  type StoredSnapshot,
} from "../durability/snapshot-store.ts";
import type { StateSnapshot } from "../state/snapshot.ts";
import type { SqliteDriver } from "./sqlite-driver.ts";
import type {
  ReadRecord,
  SqliteOperation,
  SqliteOutcome,
  SqliteResult,
  SummaryRow,
} from "./sqlite-operation.ts";
import { threadUrl } from "./thread-url.ts";

/** Bytes of the largest record; SQLite takes blobs of a thousand million bytes. */
const MAX_RECORD_BYTES = 999_000_000;
const VERSION_SIZE = 16;
const ORIGIN_SIZE = 8;

/** How a store in a file is opened. */
export interface SqliteSnapshotStoreOptions {
  /** The file, made with its folder when it is not there; two more, with `-wal` and `-shm` behind its name, are beside it while it is open. */
  readonly path: string;
  /** The binding; by default Node's own where there is one, else `libsql`. */
  readonly driver?: SqliteDriver;
}

interface Pending {
  readonly operation: SqliteOperation;
  readonly resolve: (result: SqliteResult) => void;
  readonly reject: (error: SnapshotStoreError) => void;
}

/**
 * A snapshot store in an SQLite file. What has resolved survives `kill -9` and, as far as the disk keeps its word, a power failure: the
 * write-ahead log is flushed before an operation resolves. Operations that come while another is written share the next flush.
 *
 * Of every entity the newest snapshot and the one before are kept, each with a checksum that is verified when it is read. Several
 * processes may use one file on one machine. Deleted entities keep 48 bytes. All of it happens in a thread of its own.
 */
export class SqliteSnapshotStore implements SnapshotStore {
  readonly #worker: Worker;
  /** Waiting for the batch under way. */
  #waiting: Pending[] = [];
  /** The batch under way. */
  #underWay: Pending[] = [];
  /** Told when nothing is under way or waits any more. */
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  /** Why the thread has ended. */
  #failure: SnapshotStoreError | undefined;
  readonly #ended: Promise<void>;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (outcomes: SqliteOutcome[]) => this.#settle(outcomes));
    worker.on("error", (error) => this.#fail(error));
    this.#ended = new Promise((resolve) => {
      worker.once("exit", () => {
        this.#fail();
        resolve();
      });
    });
    worker.unref();
  }

  /**
   * Opens a store. Rejects with `not-supported` where there is no SQLite, `unavailable` when the file cannot be opened or is something else,
   * and `invalid-argument`.
   */
  static async open(options: SqliteSnapshotStoreOptions): Promise<SqliteSnapshotStore> {
    const { driver } = options;
    if (typeof options.path !== "string" || options.path === "") {
      throw new SnapshotStoreError("invalid-argument", "a store needs the path of a file");
    }
    const path = resolvePath(options.path);
    try {
      await mkdir(dirname(path), { recursive: true });
    } catch (error) {
      throw new SnapshotStoreError("unavailable", `the folder of ${path} cannot be made`, error);
    }
    const worker = new Worker(threadUrl("sqlite-thread"), {
      workerData: { path, driver },
      name: "snapshots",
    });
    const first = new Promise<SqliteOutcome | undefined>((resolve, reject) => {
      worker.once("message", ([outcome]: SqliteOutcome[]) => resolve(outcome));
      worker.once("error", (error) => reject(new SnapshotStoreError("unavailable", error.message, error)));
    });
    const outcome = await first;
    if (outcome !== undefined && "code" in outcome)
      throw new SnapshotStoreError(outcome.code, outcome.message);
    return new SqliteSnapshotStore(worker);
  }

  async put(snapshot: StateSnapshot, kind: string): Promise<boolean> {
    this.#requireOpen();
    const { entityId, originHash, throughSeq, createdAt, bytes } = encodeRecord(
      snapshot,
      kind,
      MAX_RECORD_BYTES,
    );
    const version = Buffer.alloc(VERSION_SIZE);
    version.writeBigUInt64BE(throughSeq);
    version.writeBigUInt64BE(createdAt, ORIGIN_SIZE);
    return (await this.#ask({
      kind: "put",
      entity: entityId,
      version,
      origin: originBytes(originHash),
      factory: kind,
      record: bytes,
    })) as boolean;
  }

  async get(entityId: Uint8Array): Promise<StoredSnapshot | undefined> {
    this.#requireOpen();
    entityKey(entityId);
    const found = (await this.#ask({ kind: "get", entity: copyBytes(entityId) })) as ReadRecord | undefined;
    if (found === undefined) return undefined;
    const stored = decodeRecord(found.record, entityId);
    if (stored === undefined) throw new SnapshotStoreError("damaged", "the snapshot is another entity's");
    return { ...stored, damaged: found.damaged };
  }

  async delete(entityId: Uint8Array): Promise<boolean> {
    this.#requireOpen();
    entityKey(entityId);
    return (await this.#ask({ kind: "delete", entity: copyBytes(entityId) })) as boolean;
  }

  async forget(entityId: Uint8Array): Promise<void> {
    this.#requireOpen();
    entityKey(entityId);
    await this.#ask({ kind: "forget", entity: copyBytes(entityId) });
  }

  async list(originHash?: bigint): Promise<SnapshotSummary[]> {
    this.#requireOpen();
    const origin = originHash === undefined ? undefined : originBytes(originHash);
    const rows = (await this.#ask({ kind: "list", origin })) as SummaryRow[];
    return rows.map(({ entity, version, factory, origin }) => ({
      entityId: entity,
      originHash: Buffer.from(origin).readBigUInt64BE(),
      kind: factory,
      throughSeq: Buffer.from(version).readBigUInt64BE(),
      createdAt: Buffer.from(version).readBigUInt64BE(ORIGIN_SIZE),
    }));
  }

  async putMarker(name: string, value: Uint8Array): Promise<void> {
    this.#requireOpen();
    await this.#ask({ kind: "put-marker", name, value: encodeMarker(name, value) });
  }

  async getMarker(name: string): Promise<Uint8Array | undefined> {
    this.#requireOpen();
    markerName(name);
    const bytes = (await this.#ask({ kind: "get-marker", name })) as Uint8Array | undefined;
    return bytes === undefined ? undefined : decodeMarker(name, bytes);
  }

  async deleteMarker(name: string): Promise<boolean> {
    this.#requireOpen();
    markerName(name);
    return (await this.#ask({ kind: "delete-marker", name })) as boolean;
  }

  async listMarkers(prefix = ""): Promise<string[]> {
    this.#requireOpen();
    return (await this.#ask({ kind: "list-markers", prefix })) as string[];
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    if (this.#isBusy) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#worker.ref();
    this.#worker.postMessage("close");
    await this.#ended;
  }

  get #isBusy(): boolean {
    return this.#underWay.length + this.#waiting.length > 0;
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw closedError();
    if (this.#failure !== undefined) throw this.#failure;
  }

  #ask(operation: SqliteOperation): Promise<SqliteResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operation, resolve, reject });
      if (this.#underWay.length === 0 && this.#waiting.length === 1)
        queueMicrotask(() => this.#sendWaiting());
    });
  }

  /** Sends all that waits as one batch, unless one is under way. */
  #sendWaiting(): void {
    if (this.#underWay.length > 0 || this.#waiting.length === 0) return;
    this.#underWay = this.#waiting;
    this.#waiting = [];
    this.#worker.ref();
    const operations = this.#underWay.map(({ operation }) => operation);
    this.#worker.postMessage(operations, operations.flatMap(transferred));
  }

  #settle(outcomes: readonly SqliteOutcome[]): void {
    const settled = this.#underWay;
    this.#underWay = [];
    this.#worker.unref();
    for (const [i, outcome] of outcomes.entries()) {
      if ("code" in outcome) settled[i]?.reject(new SnapshotStoreError(outcome.code, outcome.message));
      else settled[i]?.resolve(outcome.result);
    }
    this.#sendWaiting();
    if (!this.#isBusy) this.#onIdle?.();
  }

  #fail(cause?: Error): void {
    this.#failure ??= new SnapshotStoreError(
      "unavailable",
      "the thread of the snapshot store has ended",
      cause,
    );
    const pending = [...this.#underWay, ...this.#waiting];
    this.#underWay = [];
    this.#waiting = [];
    for (const { reject } of pending) reject(this.#failure);
    this.#onIdle?.();
  }
}

/** Records are made for the store alone, and need not be copied again. */
function transferred(operation: SqliteOperation): ArrayBuffer[] {
  return operation.kind === "put" ? [operation.record.buffer as ArrayBuffer] : [];
}

function originBytes(originHash: bigint): Uint8Array {
  const bytes = Buffer.alloc(ORIGIN_SIZE);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, originHash));
  return bytes;
}
