/** The thread of a store: opens the database, then performs one batch of operations after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { SnapshotStoreError } from "../durability/snapshot-store.ts";
import { openSqlite, type SqliteDriver } from "./sqlite-driver.ts";
import type { SqliteOperation, SqliteOutcome } from "./sqlite-operation.ts";
import { SqliteSnapshots } from "./sqlite-snapshots.ts";

const { path, driver } = workerData as { path: string; driver: SqliteDriver | undefined };

async function open(): Promise<SqliteSnapshots> {
  const database = await openSqlite(path, driver);
  try {
    return new SqliteSnapshots(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

function outcomeOf(error: unknown): SqliteOutcome {
  if (error instanceof SnapshotStoreError) return { code: error.code, message: error.message };
  return { code: "unavailable", message: error instanceof Error ? error.message : String(error) };
}

try {
  const snapshots = await open();
  parentPort?.on("message", (operations: SqliteOperation[] | "close") => {
    if (operations !== "close") {
      parentPort?.postMessage(snapshots.perform(operations));
      return;
    }
    snapshots.close();
    parentPort?.close();
  });
  parentPort?.postMessage([{ result: undefined }]);
} catch (error) {
  parentPort?.postMessage([outcomeOf(error)]);
  parentPort?.close();
}
