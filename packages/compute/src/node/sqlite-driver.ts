import { SnapshotStoreError } from "../durability/snapshot-store.ts";

/** What a prepared statement does in both bindings; blobs go in as Uint8Array and come out as that or as ArrayBuffer. */
export interface SqliteStatement {
  run(...parameters: SqliteValue[]): { readonly changes: number | bigint };
  all(...parameters: SqliteValue[]): unknown[];
}

/** What a statement takes. */
export type SqliteValue = Uint8Array | string | number;

/** What a database does in both bindings; all of it synchronous. */
export interface SqliteDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

/** The bindings to SQLite that are used: Node's own, from Node 22.5 on, and the package `libsql`, whose binaries come from the registry. */
export type SqliteDriver = "node:sqlite" | "libsql";

/** Opens a database file, with Node's own binding where there is one. Rejects with `not-supported` and `unavailable`. */
export async function openSqlite(path: string, driver?: SqliteDriver): Promise<SqliteDatabase> {
  const open =
    (driver === "libsql" ? undefined : builtIn()) ?? (driver === "node:sqlite" ? undefined : await libsql());
  if (open === undefined) {
    const text = "no SQLite here: use Node 22.5 or newer, or install the package libsql";
    throw new SnapshotStoreError("not-supported", text);
  }
  try {
    return open(path);
  } catch (error) {
    throw new SnapshotStoreError("unavailable", `${path} cannot be opened`, error);
  }
}

type Open = (path: string) => SqliteDatabase;

function builtIn(): Open | undefined {
  const { getBuiltinModule } = process as { getBuiltinModule?: (name: string) => unknown };
  const module = getBuiltinModule?.("node:sqlite") as
    | { DatabaseSync: new (path: string) => SqliteDatabase }
    | undefined;
  return module === undefined ? undefined : (path) => new module.DatabaseSync(path);
}

async function libsql(): Promise<Open | undefined> {
  try {
    const { default: Database } = await import("libsql");
    return (path) => new LibsqlDatabase(new Database(path) as unknown as SqliteDatabase);
  } catch {
    return undefined;
  }
}

/** libsql takes a single blob for a set of named parameters, so its statements get theirs as one list. */
class LibsqlDatabase implements SqliteDatabase {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  prepare(sql: string): SqliteStatement {
    const statement = this.#database.prepare(sql) as unknown as {
      run(parameters: SqliteValue[]): { readonly changes: number };
      all(parameters: SqliteValue[]): unknown[];
    };
    return {
      run: (...parameters) => statement.run(parameters),
      all: (...parameters) => statement.all(parameters),
    };
  }

  close(): void {
    this.#database.close();
  }
}
