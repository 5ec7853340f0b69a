import { createClient } from "@redis/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RedisSnapshotStore } from "../../src/node/index.ts";
import { bytes, identity, text } from "../support/daemons.ts";
import { behavesAsSnapshotStore } from "../support/snapshot-store-conformance.ts";
import { snapshotOf, storeCodeOf } from "../support/snapshot-stores.ts";
import { hasRedis, RedisServer } from "./redis-server.ts";

const A = identity(1);

it("nothing is there to connect to", async () => {
  expect(await storeCodeOf(() => RedisSnapshotStore.open({ connection: "redis://127.0.0.1:1" }))).toBe(
    "unavailable",
  );
});

describe.skipIf(!hasRedis)("with a Redis server (skipped where redis-server is not installed)", () => {
  let server: RedisServer;
  let prefixes = 0;
  const fresh = (): string => `test [*]? ${++prefixes}`;
  const open = (prefix: string): Promise<RedisSnapshotStore> =>
    RedisSnapshotStore.open({ connection: server.url, prefix });

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  behavesAsSnapshotStore("Redis", async () => await open(fresh()));

  it("of what many nodes store at once the newest stays", async () => {
    const prefix = fresh();
    const stores = await Promise.all([1, 2, 3, 4].map(() => open(prefix)));
    const puts = stores.flatMap((store, node) =>
      Array.from({ length: 25 }, (_, i) => {
        const n = 1 + ((i * 7 + node * 3) % 25);
        return store.put(snapshotOf(A, n, bytes(`${n}`)), "k");
      }),
    );
    await Promise.all(puts);
    for (const store of stores) {
      expect(text((await store.get(A.entityId))?.snapshot.state ?? bytes(""))).toBe("25");
      await store.close();
    }
  });

  it("a damaged newest snapshot is passed over, and the daemon can be stored from there", async () => {
    const prefix = fresh();
    await using store = await open(prefix);
    for (const n of [5, 90]) await store.put(snapshotOf(A, n, bytes(`state ${n}`)), "k");
    const client = await createClient({ url: server.url }).connect();
    const [key] = await client.keys(`${prefix.replace(/[[\]*?]/g, "\\$&")}:s:*`);
    await client.hSet(key ?? "", "r", "something else entirely");
    await client.close();
    const found = await store.get(A.entityId);
    expect(found?.damaged).toBe(1);
    expect(text(found?.snapshot.state ?? bytes(""))).toBe("state 5");
    expect(await store.put(snapshotOf(A, 6, bytes("state 6")), "k")).toBe(true);
    expect(await store.get(A.entityId)).toMatchObject({ damaged: 0, snapshot: { throughSeq: 6n } });
  });

  it("a write without the replicas that were asked for is not taken for stored", async () => {
    await using store = await RedisSnapshotStore.open({
      connection: server.url,
      prefix: fresh(),
      minReplicas: 1,
      replicaTimeoutMs: 1,
    });
    expect(await storeCodeOf(() => store.put(snapshotOf(A, 1, bytes("")), "k"))).toBe("unavailable");
  });

  it("what was stored is there after the server was killed, and the store finds it again by itself", async () => {
    await using store = await open(fresh());
    await store.put(snapshotOf(A, 7, bytes("seven")), "k");
    await server.kill();
    expect(await storeCodeOf(() => store.get(A.entityId))).toBe("unavailable");
    await server.start();
    await expect
      .poll(() => store.get(A.entityId).catch(() => undefined), { timeout: 20_000 })
      .toMatchObject({
        snapshot: { throughSeq: 7n },
      });
  });
});
