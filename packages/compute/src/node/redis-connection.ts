import { SnapshotStoreError } from "../durability/snapshot-store.ts";

/** What a store needs of a Redis client; any client fits behind it. */
export interface RedisConnection {
  /**
   * Sends one command, in the order of the calls. Resolves to its reply, in which texts of any kind are Buffers; rejects when the server
   * refuses it or is not there.
   */
  command(args: readonly (string | Buffer)[]): Promise<unknown>;
  /** Ends the connection after what was sent. */
  close(): Promise<void>;
}

/** Type of texts in replies (RESP, `$`). */
const BLOB_STRING = 36;
/** Longest wait for the connection, in milliseconds. */
const CONNECT_TIMEOUT_MS = 5000;
/** Longest delay before it is tried again. */
const MAX_RETRY_MS = 2000;

/**
 * A connection by the package `@redis/client` (or `redis`, which has it), made again when it is lost; commands fail meanwhile. Rejects with
 * `not-supported` where the package is not installed, and `unavailable`.
 */
export async function connectRedis(url: string): Promise<RedisConnection> {
  const createClient = await clientFactory();
  let isConnected = false;
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: {
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectStrategy: (retries: number) =>
        isConnected ? Math.min(25 * 2 ** retries, MAX_RETRY_MS) : false,
    },
  });
  // Without a listener an error would end the process; every command under way is told anyway.
  client.on("error", () => {});
  try {
    await client.connect();
  } catch (error) {
    throw new SnapshotStoreError("unavailable", `no Redis at ${url}`, error);
  }
  isConnected = true;
  const options = { typeMapping: { [BLOB_STRING]: Buffer } };
  return {
    command: (args) => client.sendCommand(args, options),
    close: async () => {
      if (client.isReady) await client.close();
      else client.destroy();
    },
  };
}

async function clientFactory(): Promise<typeof import("@redis/client").createClient> {
  try {
    return (await import("@redis/client")).createClient;
  } catch (error) {
    throw new SnapshotStoreError("not-supported", "install the package @redis/client", error);
  }
}
