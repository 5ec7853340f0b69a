/**
 * Daemons on Node: snapshots that survive the process, and threads that keep busy daemons away from the data path.
 * @packageDocumentation
 */

export type { SqliteDriver } from "./sqlite-driver.ts";
export { SqliteSnapshotStore, type SqliteSnapshotStoreOptions } from "./sqlite-snapshot-store.ts";
