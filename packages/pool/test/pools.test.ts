import { bytesToHex, PacketCipher } from "@netmesh/crypto";
import { decodeHeader } from "@netmesh/wire";
import { describe, expect, test, vi } from "vitest";
import {
  BuilderGuard,
  PacketBuilder,
  PacketPool,
  packetFields,
  SealingKey,
  ThreadCaches,
  ThreadLocalPool,
} from "../src/index.ts";
import { counterOf, pattern } from "./support/vectors.ts";

const [keyA, keyB] = [pattern(32, 1), pattern(32, 2)];
const event = [pattern(20, 3)];

function opens(packet: Uint8Array, key: Uint8Array, sessionId: bigint): boolean {
  return new PacketCipher(key, sessionId).openPacket(packet.slice(), 0, packet.length) >= 0;
}

const INSPECT = Symbol.for("nodejs.util.inspect.custom");
const inspect = (object: object) => (object as { [INSPECT]: () => string })[INSPECT]();

test("the figures of a new pool: capacity, local capacity, session; the origin stays with it", () => {
  const pool = new ThreadLocalPool(keyA, 9n, { size: 8, originHash: 77n });
  expect(pool).toMatchObject({
    capacity: 8,
    localCapacity: 8,
    sharedAvailable: 8,
    sessionId: 9n,
    isClosed: false,
  });
  using guard = pool.acquire();
  expect(guard.sessionId).toBe(9n);
  expect(decodeHeader(guard.build(1n, 0n, event))).toMatchObject({ originHash: 77n, sessionId: 9n });
  expect(new ThreadLocalPool(keyA, 9n)).toMatchObject({ capacity: 64, localCapacity: 8 });
  const queue = new PacketPool(4, keyA, 9n, { originHash: 78n });
  expect(decodeHeader(queue.get().build(1n, 0n, event))?.originHash).toBe(78n);
});

test("inspection shows sessions and capacities, and no key", () => {
  const texts = [
    inspect(new PacketBuilder(new SealingKey(keyA, 0xabcdefn))),
    inspect(new PacketPool(4, keyA, 0xabcdefn)),
    inspect(new ThreadLocalPool(keyA, 0xabcdefn, { size: 16, localCapacity: 4 })),
    inspect(new SealingKey(keyA, 0xabcdefn)),
  ];
  for (const text of texts) {
    expect(text).toContain("0000000000abcdef");
    expect(text).not.toContain(bytesToHex(keyA).slice(0, 8));
  }
  expect(texts[0]).toMatch(/PacketBuilder.*payloadCapacity: 8108, packetCapacity: 8192/);
  expect(texts[1]).toContain("capacity: 4, available: 4");
  expect(texts[2]).toContain("capacity: 16, sharedAvailable: 16, localCapacity: 4");
});

test("pools have 1 to 16,384 builders", () => {
  for (const size of [0, -1, 1.5, 16_385]) {
    const refusal = expect.objectContaining({ code: "invalid-size", value: size, limit: 16_384 });
    expect(() => new PacketPool(size, keyA, 1n)).toThrow(refusal);
    expect(() => new ThreadLocalPool(keyA, 1n, { size })).toThrow(refusal);
    expect(() => new ThreadLocalPool(keyA, 1n, { localCapacity: size })).toThrow(refusal);
  }
  expect(new PacketPool(16_384, keyA, 1n).available).toBe(16_384);
});

describe("a guard", () => {
  test("does all that its builder does", () => {
    using guard = new ThreadLocalPool(keyA, 1n).acquire();
    expect(guard.buildHandshake(pattern(48, 1)).length).toBeGreaterThan(0);
    expect(guard.buildHeartbeat()).toHaveLength(84);
    expect(guard.wouldFit([new Uint8Array(1)])).toBe(true);
    expect(guard.wouldFit([new Uint8Array(8109)])).toBe(false);
    const target = new Uint8Array(200);
    expect(guard.heartbeatInto(target, 0)).toBe(84);
    expect(guard.buildInto(target, 0, packetFields(), event, 0, 1)).toBe(84 + 24);
    expect(counterOf(guard.buildSubprotocol(1n, 0n, event, 0, 5))).toBe(3n);
  });

  test("gives its builder back once, however often it is released, and is useless afterwards", () => {
    const pool = new PacketPool(4, keyA, 1n);
    const guard = pool.get();
    expect(pool.available).toBe(3);
    guard.release();
    guard.release();
    guard[Symbol.dispose]();
    expect(pool.available).toBe(4);
    expect(() => guard.build(1n, 0n, event)).toThrow(expect.objectContaining({ code: "released" }));
    {
      using _ = pool.get();
    }
    expect(pool.available).toBe(4);
  });

  test("starts with channel hash 0 and the pool's origin, whatever the one before it set", () => {
    const pools = [
      new PacketPool(1, keyA, 1n, { originHash: 5n }),
      new ThreadLocalPool(keyA, 1n, { size: 1, originHash: 5n }),
    ];
    for (const pool of pools) {
      const borrow = () => (pool instanceof PacketPool ? pool.get() : pool.acquire());
      {
        using guard = borrow();
        guard.setChannelHash(0xbeef);
        guard.setOriginHash(99n);
        expect(decodeHeader(guard.build(1n, 0n, event))).toMatchObject({
          channelHash: 0xbeef,
          originHash: 99n,
        });
      }
      using guard = borrow();
      expect(decodeHeader(guard.build(1n, 1n, event))).toMatchObject({ channelHash: 0, originHash: 5n });
    }
  });
});

describe("PacketPool", () => {
  test("its builders share one counter, those beyond its capacity too", () => {
    const pool = new PacketPool(1, keyA, 1n);
    const guards = [pool.get(), pool.get(), pool.get()];
    expect(guards.map((guard) => counterOf(guard.build(1n, 0n, event)))).toEqual([0n, 1n, 2n]);
    for (const guard of guards) guard.release();
    expect(pool.available).toBe(1);
  });

  test("a new key empties it, starts a new counter, and seals with nothing but the new key", () => {
    const pool = new PacketPool(4, keyA, 1n);
    const before = pool.get().build(1n, 0n, event);
    pool.setKey(keyB, 2n);
    expect(pool.available).toBe(0);
    const after = pool.get().build(1n, 0n, event);
    expect(pool.sessionId).toBe(2n);
    expect([counterOf(before), counterOf(after)]).toEqual([0n, 0n]);
    expect(before.subarray(12, 24)).not.toEqual(after.subarray(12, 24));
    expect([opens(before, keyA, 1n), opens(before, keyB, 2n)]).toEqual([true, false]);
    expect([opens(after, keyA, 1n), opens(after, keyB, 2n)]).toEqual([false, true]);
  });

  test("a builder that is out while the key is replaced under the same session id never seals again", () => {
    const pool = new PacketPool(4, keyA, 1n);
    const outstanding = pool.get();
    outstanding.build(1n, 0n, event);
    pool.setKey(keyB, 1n);
    expect(() => outstanding.build(1n, 1n, event)).toThrow(
      expect.objectContaining({ code: "stale-generation" }),
    );
    outstanding.release();
    expect(pool.available).toBe(0);
    for (let i = 0; i < 3; i++) {
      using guard = pool.get();
      expect(opens(guard.build(1n, 0n, event), keyB, 1n)).toBe(true);
    }
    expect(pool.available).toBe(1);
  });

  test("once closed it seals no more", () => {
    const pool = new PacketPool(2, keyA, 1n);
    pool.close();
    pool.close();
    expect(() => pool.get().buildHeartbeat()).toThrow(expect.objectContaining({ code: "stale-generation" }));
  });
});

describe("ThreadLocalPool", () => {
  test("8 builders out of a pool of 16 with local capacity 4 are all good", () => {
    const pool = new ThreadLocalPool(keyA, 1n, { size: 16, localCapacity: 4 });
    const guards = Array.from({ length: 8 }, () => pool.acquire());
    expect(pool.sharedAvailable).toBe(8);
    const packets = guards.map((guard) => guard.build(1n, 0n, event));
    expect(packets.map(counterOf)).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n]);
    expect(packets.every((packet) => opens(packet, keyA, 1n))).toBe(true);
  });

  test("after 10 rounds with local capacity 2 they still are", () => {
    const pool = new ThreadLocalPool(keyA, 1n, { size: 2, localCapacity: 2 });
    for (let i = 0; i < 10; i++) {
      using guard = pool.acquire();
      expect(opens(guard.build(1n, 0n, event), keyA, 1n)).toBe(true);
    }
  });

  test("what the thread's cache does not hold goes to the shared queue, the rest is dropped", () => {
    const pool = new ThreadLocalPool(keyA, 1n, { size: 3, localCapacity: 2 });
    const guards = Array.from({ length: 12 }, () => pool.acquire());
    expect(pool.sharedAvailable).toBe(0);
    guards.forEach((guard, i) => {
      guard.release();
      expect(pool.sharedAvailable).toBe(Math.min(3, Math.max(0, i + 1 - 4)));
    });
  });

  test("a builder released to one pool never comes out of another", () => {
    const caches = new ThreadCaches();
    const pools = [
      new ThreadLocalPool(keyA, 1n, { caches }),
      new ThreadLocalPool(keyB, 1n, { caches }),
    ] as const;
    for (const order of [
      [0, 1],
      [1, 0],
      [0, 1],
    ]) {
      const guards = order.map((i) => (pools[i] as ThreadLocalPool).acquire());
      for (const guard of guards.toReversed()) guard.release();
    }
    for (let i = 0; i < 20; i++) {
      expect(opens(pools[0].acquire().build(1n, 0n, event), keyA, 1n)).toBe(true);
      expect(opens(pools[1].acquire().build(1n, 0n, event), keyB, 1n)).toBe(true);
    }
  });

  test("a closed pool hands out nothing, takes nothing back, and its guards do not seal", () => {
    const pool = new ThreadLocalPool(keyA, 1n);
    const guard = pool.acquire();
    {
      using closing = pool;
      expect(closing.isClosed).toBe(false);
    }
    expect(pool.isClosed).toBe(true);
    expect(() => pool.acquire()).toThrow(expect.objectContaining({ code: "closed" }));
    expect(() => guard.buildHeartbeat()).toThrow(expect.objectContaining({ code: "stale-generation" }));
    guard.release();
    expect(pool.sharedAvailable).toBe(0);
  });

  test("the cache of a closed pool outlives one call and is gone after 4096", () => {
    const caches = new ThreadCaches();
    const [dead, live] = [
      new ThreadLocalPool(keyA, 1n, { caches }),
      new ThreadLocalPool(keyB, 2n, { caches }),
    ];
    dead.acquire().release();
    dead.close();
    live.acquire();
    expect(caches.size).toBe(2);
    for (let calls = 3; calls < 4095; calls++) caches.tick();
    expect(caches.size).toBe(2);
    live.acquire();
    expect(caches.size).toBe(1);
    expect(opens(live.acquire().build(1n, 0n, event), keyB, 2n)).toBe(true);
  });

  test("the cache of a pool that was collected without being closed goes the same way", () => {
    const deref = vi.spyOn(WeakRef.prototype, "deref").mockReturnValue(undefined);
    const caches = new ThreadCaches();
    new ThreadLocalPool(keyA, 1n, { caches }).acquire();
    for (let calls = 1; calls < 4096; calls++) caches.tick();
    expect(caches.size).toBe(0);
    deref.mockRestore();
  });
});

test("a guard can stand for any builder", () => {
  const back: PacketBuilder[] = [];
  const builder = new PacketBuilder(new SealingKey(keyA, 1n));
  new BuilderGuard(builder, (returned) => back.push(returned)).release();
  expect(back).toEqual([builder]);
});
