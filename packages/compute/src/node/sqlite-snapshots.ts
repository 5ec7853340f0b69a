import { isIntact } from "../durability/record-checksum.ts";
import { SnapshotStoreError } from "../durability/snapshot-store.ts";
import type { SqliteDatabase, SqliteStatement } from "./sqlite-driver.ts";
import type {
  ReadRecord,
  SqliteOperation,
  SqliteOutcome,
  SqliteResult,
  SummaryRow,
} from "./sqlite-operation.ts";

/** Marks a file as a snapshot store: "nmsn". */
const APPLICATION_ID = 0x6e6d736e;
/** Version of the tables. */
const SCHEMA_VERSION = 1;
/** How long another process that writes is waited for, in milliseconds. */
const BUSY_TIMEOUT_MS = 5000;

/**
 * `mark` has the newest version ever stored of each entity, which nothing older may replace; `snapshot` that one and the one before, to
 * go back to when it is damaged.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS mark (entity BLOB PRIMARY KEY, version BLOB NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS snapshot (
    entity BLOB NOT NULL, version BLOB NOT NULL, origin BLOB NOT NULL, factory TEXT NOT NULL, record BLOB NOT NULL,
    UNIQUE (entity, version)
  );
  CREATE TABLE IF NOT EXISTS marker (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
`;

/** The tables of a snapshot store and what is done with them; synchronous. */
export class SqliteSnapshots {
  readonly #database: SqliteDatabase;
  readonly #statements: Map<string, SqliteStatement> = new Map();

  /** Takes the database, which it closes. Throws `unavailable` when it is another application's, and what the binding throws. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    const applicationId = this.#number("application_id");
    const version = this.#number("user_version");
    const isNew =
      applicationId === 0 && version === 0 && this.#all("SELECT 1 FROM sqlite_schema").length === 0;
    if (!isNew && (applicationId !== APPLICATION_ID || version !== SCHEMA_VERSION)) {
      throw new SnapshotStoreError("unavailable", "the file is no snapshot store of this version");
    }
    // The log is flushed at every commit: what was answered survives the process, and the machine.
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec(`
      BEGIN IMMEDIATE;
      ${TABLES}
      PRAGMA application_id = ${APPLICATION_ID};
      PRAGMA user_version = ${SCHEMA_VERSION};
      COMMIT;
    `);
  }

  /** Performs operations in one transaction: one flush for all. When the database fails, none has happened. */
  perform(operations: readonly SqliteOperation[]): SqliteOutcome[] {
    const database = this.#database;
    try {
      database.exec("BEGIN IMMEDIATE");
      const outcomes = operations.map((operation) => this.#outcome(operation));
      database.exec("COMMIT");
      return outcomes;
    } catch (error) {
      try {
        database.exec("ROLLBACK");
      } catch {
        // There was no transaction, or it is already undone.
      }
      const message = error instanceof Error ? error.message : String(error);
      return operations.map(() => ({ code: "unavailable", message }));
    }
  }

  close(): void {
    this.#database.close();
  }

  #outcome(operation: SqliteOperation): SqliteOutcome {
    try {
      return { result: this.#perform(operation) };
    } catch (error) {
      if (error instanceof SnapshotStoreError) return { code: error.code, message: error.message };
      throw error;
    }
  }

  #perform(operation: SqliteOperation): SqliteResult {
    switch (operation.kind) {
      case "put":
        return this.#put(operation);
      case "get":
        return this.#get(operation.entity);
      case "delete":
        return this.#run("DELETE FROM snapshot WHERE entity = ?", operation.entity) > 0;
      case "forget":
        this.#run("DELETE FROM snapshot WHERE entity = ?", operation.entity);
        this.#run("DELETE FROM mark WHERE entity = ?", operation.entity);
        return undefined;
      case "list":
        return this.#list(operation.origin);
      case "put-marker":
        this.#run("INSERT OR REPLACE INTO marker VALUES (?, ?)", operation.name, operation.value);
        return undefined;
      case "get-marker": {
        const [row] = this.#all("SELECT value FROM marker WHERE name = ?", operation.name);
        return row === undefined ? undefined : blob(row["value"]);
      }
      case "delete-marker":
        return this.#run("DELETE FROM marker WHERE name = ?", operation.name) > 0;
      case "list-markers": {
        const { prefix } = operation;
        const rows = this.#all(
          "SELECT name FROM marker WHERE substr(name, 1, length(?)) = ?",
          prefix,
          prefix,
        );
        return rows.map((row) => row["name"] as string);
      }
    }
  }

  #put(operation: SqliteOperation & { kind: "put" }): boolean {
    const { entity, version, origin, factory, record } = operation;
    const [mark] = this.#all("SELECT version FROM mark WHERE entity = ?", entity);
    const before = mark === undefined ? undefined : blob(mark["version"]);
    if (before !== undefined && compare(version, before) <= 0) return false;
    // Whatever is newer than the mark was found to be damaged.
    this.#run("DELETE FROM snapshot WHERE entity = ? AND version <> ?", entity, before ?? version);
    this.#run("INSERT INTO snapshot VALUES (?, ?, ?, ?, ?)", entity, version, origin, factory, record);
    this.#run("INSERT OR REPLACE INTO mark VALUES (?, ?)", entity, version);
    return true;
  }

  #get(entity: Uint8Array): ReadRecord | undefined {
    const rows = this.#all(
      "SELECT version, record FROM snapshot WHERE entity = ? ORDER BY version DESC",
      entity,
    );
    for (const [damaged, row] of rows.entries()) {
      const record = blob(row["record"]);
      if (!isIntact(record)) continue;
      // Lowered, so that what the daemon becomes from here is not taken for older than what cannot be read.
      if (damaged > 0)
        this.#run("UPDATE mark SET version = ? WHERE entity = ?", blob(row["version"]), entity);
      return { record, damaged };
    }
    if (rows.length === 0) return undefined;
    throw new SnapshotStoreError("damaged", `${rows.length} snapshots of the entity are damaged`);
  }

  #list(origin: Uint8Array | undefined): SummaryRow[] {
    const sql = `SELECT entity, max(version) AS version, origin, factory FROM snapshot
      ${origin === undefined ? "" : "WHERE origin = ?"} GROUP BY entity`;
    const rows = origin === undefined ? this.#all(sql) : this.#all(sql, origin);
    return rows.map((row) => ({
      entity: blob(row["entity"]),
      version: blob(row["version"]),
      origin: blob(row["origin"]),
      factory: row["factory"] as string,
    }));
  }

  #number(pragma: string): number {
    return Number(Object.values(this.#all(`PRAGMA ${pragma}`)[0] ?? {})[0]);
  }

  #run(sql: string, ...parameters: (Uint8Array | string)[]): number {
    return Number(this.#prepared(sql).run(...parameters).changes);
  }

  #all(sql: string, ...parameters: (Uint8Array | string)[]): Record<string, unknown>[] {
    return this.#prepared(sql).all(...parameters) as Record<string, unknown>[];
  }

  #prepared(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function blob(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(value as ArrayBuffer);
}

function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
