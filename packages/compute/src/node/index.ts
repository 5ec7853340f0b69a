/**
 * Daemons on Node: snapshots that survive the process, and threads that keep busy daemons away from the data path.
 * @packageDocumentation
 */

export {
  DEFAULT_BACKOFF_MS,
  DEFAULT_DISPOSE_GRACE_MS,
  DEFAULT_MAX_RESTARTS,
  DEFAULT_MEMORY_LIMIT_MB,
  DEFAULT_STABLE_AFTER_MS,
  DEFAULT_START_TIMEOUT_MS,
  type IsolationEvent,
  type IsolationOptions,
  isolatedDaemon,
  MAX_BACKOFF_MS,
} from "./isolated-daemon.ts";
export type { RedisConnection } from "./redis-connection.ts";
export { RedisSnapshotStore, type RedisSnapshotStoreOptions } from "./redis-snapshot-store.ts";
export type { SqliteDriver } from "./sqlite-driver.ts";
export { SqliteSnapshotStore, type SqliteSnapshotStoreOptions } from "./sqlite-snapshot-store.ts";
