import { Identity } from "@netmesh/crypto";
import { isIntact } from "../durability/record-checksum.ts";
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
import { connectRedis, type RedisConnection } from "./redis-connection.ts";
import { DELETE, FALL_BACK, PUT } from "./redis-scripts.ts";

/** Bytes of the largest record: Redis takes values of 512 MiB. */
const MAX_RECORD_BYTES = 512 * 1024 * 1024;
const DEFAULT_PREFIX = "netmesh";
const DEFAULT_REPLICA_TIMEOUT_MS = 1000;
/** Hex digits of a version, and of each of its halves. */
const VERSION_DIGITS = 32;
const HALF_DIGITS = 16;
/** Keys that a server is asked for at once. */
const SCAN_COUNT = "1000";

/** How a store in Redis is opened. */
export interface RedisSnapshotStoreOptions {
  /** URL for the package `@redis/client`, or a connection of the application, which the store closes. */
  readonly connection: string | RedisConnection;
  /** Begins all keys; `netmesh` by default. Nodes that share a prefix share the store. */
  readonly prefix?: string;
  /** Replicas that have to have a write before it resolves, 0 or more; 0 by default. */
  readonly minReplicas?: number;
  /** How long they are waited for, in milliseconds, 1 or more; 1000 by default. */
  readonly replicaTimeoutMs?: number;
}

/**
 * A snapshot store that nodes share, in Redis 4 or newer, or what speaks like it. An older snapshot never replaces a newer one, whichever
 * node stores it: the server compares and sets in one step.
 *
 * What has resolved is as durable as the server makes it: `appendonly yes` and `appendfsync always` survive its death, `minReplicas` that
 * of its machine. Of every entity the newest snapshot and the one before are kept. Deleted entities keep a key of some 100 bytes.
 */
export class RedisSnapshotStore implements SnapshotStore {
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #minReplicas: number;
  readonly #replicaTimeoutMs: number;
  #closing: Promise<void> | undefined;

  private constructor(
    connection: RedisConnection,
    options: Required<Omit<RedisSnapshotStoreOptions, "connection">>,
  ) {
    this.#connection = connection;
    this.#prefix = options.prefix;
    this.#minReplicas = options.minReplicas;
    this.#replicaTimeoutMs = options.replicaTimeoutMs;
  }

  /** Opens a store. Rejects with `invalid-argument`, `unavailable`, and `not-supported` where the client is not installed. */
  static async open(options: RedisSnapshotStoreOptions): Promise<RedisSnapshotStore> {
    const { connection, prefix = DEFAULT_PREFIX, minReplicas = 0 } = options;
    const { replicaTimeoutMs = DEFAULT_REPLICA_TIMEOUT_MS } = options;
    if (!(minReplicas >= 0 && replicaTimeoutMs >= 1)) {
      throw new SnapshotStoreError(
        "invalid-argument",
        "minReplicas must be 0 or more, replicaTimeoutMs 1 or more",
      );
    }
    const connected = typeof connection === "string" ? await connectRedis(connection) : connection;
    return new RedisSnapshotStore(connected, { prefix, minReplicas, replicaTimeoutMs });
  }

  async put(snapshot: StateSnapshot, kind: string): Promise<boolean> {
    this.#requireOpen();
    const { entityId, throughSeq, createdAt, bytes } = encodeRecord(snapshot, kind, MAX_RECORD_BYTES);
    const version = hex64(throughSeq) + hex64(createdAt);
    return await this.#change(["EVAL", PUT, "1", this.#entity(entityId), version, asBuffer(bytes), kind]);
  }

  async get(entityId: Uint8Array): Promise<StoredSnapshot | undefined> {
    this.#requireOpen();
    const key = this.#entity(entityId);
    const [version, newest, before] = (await this.#ask(["HMGET", key, "v", "r", "p"])) as (Buffer | null)[];
    if (version === null || version === undefined || newest === null || newest === undefined)
      return undefined;
    if (isIntact(newest)) return stored(newest, entityId, 0);
    if (before === null || before === undefined || !isIntact(before)) {
      throw new SnapshotStoreError("damaged", "the snapshots of the entity are damaged");
    }
    await this.#change(["EVAL", FALL_BACK, "1", key, version]);
    return stored(before, entityId, 1);
  }

  async delete(entityId: Uint8Array): Promise<boolean> {
    this.#requireOpen();
    return await this.#change(["EVAL", DELETE, "1", this.#entity(entityId)]);
  }

  async forget(entityId: Uint8Array): Promise<void> {
    this.#requireOpen();
    await this.#change(["DEL", this.#entity(entityId)]);
  }

  async list(originHash?: bigint): Promise<SnapshotSummary[]> {
    this.#requireOpen();
    const summaries: SnapshotSummary[] = [];
    for (const digits of await this.#scan("s:")) {
      const entityId = new Uint8Array(Buffer.from(digits.slice(1, -1), "hex"));
      const origin = Identity.publicOnly(entityId).originHash;
      if (originHash !== undefined && originHash !== origin) continue;
      const reply = await this.#ask(["HMGET", this.#entity(entityId), "v", "k"]);
      const [version, kind] = (reply as (Buffer | null)[]).map((value) => value?.toString());
      if (version?.length !== VERSION_DIGITS || kind === undefined) continue;
      const throughSeq = BigInt(`0x${version.slice(0, HALF_DIGITS)}`);
      const createdAt = BigInt(`0x${version.slice(HALF_DIGITS)}`);
      summaries.push({ entityId, originHash: origin, kind, throughSeq, createdAt });
    }
    return summaries;
  }

  async putMarker(name: string, value: Uint8Array): Promise<void> {
    this.#requireOpen();
    await this.#change(["SET", this.#marker(name), asBuffer(encodeMarker(name, value))]);
  }

  async getMarker(name: string): Promise<Uint8Array | undefined> {
    this.#requireOpen();
    const bytes = (await this.#ask(["GET", this.#marker(name)])) as Buffer | null;
    return bytes === null ? undefined : decodeMarker(name, new Uint8Array(bytes));
  }

  async deleteMarker(name: string): Promise<boolean> {
    this.#requireOpen();
    return await this.#change(["DEL", this.#marker(name)]);
  }

  async listMarkers(prefix = ""): Promise<string[]> {
    this.#requireOpen();
    return (await this.#scan("m:")).filter((name) => name.startsWith(prefix));
  }

  close(): Promise<void> {
    this.#closing ??= this.#connection.close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  #entity(entityId: Uint8Array): string {
    return `${this.#prefix}:s:{${entityKey(entityId)}}`;
  }

  #marker(name: string): string {
    markerName(name);
    return `${this.#prefix}:m:${name}`;
  }

  /** Sends a write; whether it changed something. When replicas are asked for, they have it then. */
  async #change(args: readonly (string | Buffer)[]): Promise<boolean> {
    const changing = this.#ask(args);
    if (this.#minReplicas === 0) return Number(await changing) !== 0;
    const waiting = this.#ask(["WAIT", `${this.#minReplicas}`, `${this.#replicaTimeoutMs}`]);
    const [changed, replicas] = await Promise.all([changing, waiting]);
    if (Number(replicas) >= this.#minReplicas) return Number(changed) !== 0;
    throw new SnapshotStoreError("unavailable", `only ${String(replicas)} replicas have the write`);
  }

  async #ask(args: readonly (string | Buffer)[]): Promise<unknown> {
    try {
      return await this.#connection.command(args);
    } catch (error) {
      throw new SnapshotStoreError("unavailable", `Redis failed at ${String(args[0])}`, error);
    }
  }

  /** What follows the prefix and `kind` in the keys that begin with them. */
  async #scan(kind: string): Promise<string[]> {
    const start = `${this.#prefix}:${kind}`;
    const pattern = `${start.replace(/[\\*?[\]]/g, "\\$&")}*`;
    const found = new Set<string>();
    let cursor = "0";
    do {
      const reply = await this.#ask(["SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT]);
      const [next, keys] = reply as [Buffer, Buffer[]];
      cursor = next.toString();
      for (const key of keys) found.add(key.toString().slice(start.length));
    } while (cursor !== "0");
    return [...found];
  }
}

function stored(record: Buffer, entityId: Uint8Array, damaged: number): StoredSnapshot {
  const decoded = decodeRecord(new Uint8Array(record), entityId);
  if (decoded === undefined) throw new SnapshotStoreError("damaged", "the snapshot is another entity's");
  return { ...decoded, damaged };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex64(value: bigint): string {
  return value.toString(16).padStart(HALF_DIGITS, "0");
}
