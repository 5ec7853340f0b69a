import { DatagramBatch, decodeRoutingHeader, RoutingFlags, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { buildRoutedPacket, MAX_DRAIN, Router, RoutingError, RoutingTable } from "../src/index.ts";

const LOCAL = 0x1122334455667788n;
const B = SocketAddress.parse("10.0.0.2:9002");
const C = SocketAddress.parse("10.0.0.3:9003");

/** A router with routes to 7 by B and to 8 by C. */
function routerOf(options: ConstructorParameters<typeof Router>[1] = {}): Router {
  const table = new RoutingTable(LOCAL);
  table.addRoute(7n, B, 0);
  table.addRoute(8n, C, 0);
  return new Router(table, options);
}

/** A routed packet of stream `stream`, numbered in its last byte. */
function packet(
  destination: bigint,
  { ttl = 8, stream = 1, number = 0, kind = "plain" as const } = {},
): Uint8Array {
  const inner = new Uint8Array(100);
  inner[32] = stream;
  inner[99] = number;
  return buildRoutedPacket(5n, destination, ttl, inner, kind);
}

function drain(router: Router, nowMs = 0): { to: string; number: number | undefined }[] {
  const batch = new DatagramBatch();
  router.drain(batch, nowMs);
  return Array.from({ length: batch.count }, (_, i) => ({
    to: (batch.addresses[i] as SocketAddress).key,
    number: batch.bytes[i]?.at(-1),
  }));
}

describe("routing", () => {
  it("keeps the accounts of the stream named at offset 50, and of stream 0 for shorter packets", () => {
    const router = routerOf();
    router.route(packet(7n, { stream: 9 }), 0);
    router.route(packet(7n).subarray(0, 85), 0);
    expect(router.table.streams.getStreamStats(9n, 0)).toMatchObject({
      packetsIn: 1,
      packetsOut: 1,
      bytesIn: 118,
    });
    expect(router.table.streams.getStreamStats(0n, 0)).toMatchObject({
      packetsIn: 1,
      packetsOut: 1,
      bytesIn: 85,
    });
  });

  it("drops its own packets that come back, counted once", () => {
    const router = routerOf();
    const own = packet(7n);
    own.set([0x88, 0x77, 0x66, 0x55], 6);
    own[3] = 1;
    expect(router.route(own, 0)).toBe("loop");
    expect(router.stats()).toMatchObject({ received: 1, dropped: 1, droppedLoop: 1, forwarded: 0 });
  });

  it("expires ttl 0 and 1, and forwards ttl 2 as ttl 1, hop 1", () => {
    const router = routerOf();
    expect(router.route(packet(7n, { ttl: 0 }), 0)).toBe("ttl-expired");
    expect(router.route(packet(7n, { ttl: 1 }), 0)).toBe("ttl-expired");
    const two = packet(7n, { ttl: 2 });
    expect(router.route(two, 0)).toBe("forward");
    expect(decodeRoutingHeader(two)).toMatchObject({ ttl: 1, hopCount: 1 });
    expect(router.stats()).toMatchObject({ dropped: 2, droppedTtlExpired: 2, forwarded: 1 });
  });

  it("counts an expired packet as a drop of its stream and not as one that came in", () => {
    const router = routerOf();
    router.route(packet(7n, { ttl: 0, stream: 3 }), 0);
    expect(router.table.streams.getStreamStats(3n, 0)).toMatchObject({ packetsIn: 0, packetsDropped: 1 });
  });

  it("counts packets without a route and without a header, each once (W12)", () => {
    const router = routerOf();
    expect(router.route(packet(9n), 0)).toBe("no-route");
    expect(router.route(new Uint8Array(30), 0)).toBe("invalid-header");
    expect(router.route(new Uint8Array(17), 0)).toBe("too-short");
    expect(router.stats()).toMatchObject({
      received: 3,
      bytesReceived: 118 + 30 + 17,
      dropped: 3,
      droppedNoRoute: 1,
      droppedInvalidHeader: 1,
      droppedTooShort: 1,
    });
  });

  it("delivers what is for this node, even with ttl 0, and leaves it as it was", () => {
    const router = routerOf();
    const mine = packet(LOCAL, { ttl: 0, number: 42 });
    const before = mine.slice();
    expect(router.route(mine, 0)).toBe("local");
    expect(mine).toEqual(before);
    expect(router.stats()).toMatchObject({ local: 1, dropped: 0 });
    expect(router.table.streams.getStreamStats(1n, 0)).toMatchObject({ packetsIn: 1, packetsDropped: 0 });
  });

  it("counts a packet that no queue takes as dropped and not as in (W12)", () => {
    const router = routerOf({ maxDepth: 1 });
    expect(router.route(packet(7n), 0)).toBe("forward");
    expect(router.route(packet(7n), 0)).toBe("queue-full");
    expect(router.stats()).toMatchObject({ received: 2, forwarded: 1, dropped: 1, droppedQueueFull: 1 });
    expect(router.table.streams.getStreamStats(1n, 0)).toMatchObject({ packetsIn: 1, packetsDropped: 1 });
  });

  it("starts its counters over and keeps routes and queues", () => {
    const router = routerOf();
    router.route(packet(7n), 0);
    router.resetStats();
    expect(router.stats()).toMatchObject({ received: 0, forwarded: 0, routes: 2, streams: 1 });
    expect(drain(router)).toHaveLength(1);
  });
});

describe("draining", () => {
  it("groups by next hop, hops in the order of their first packet, packets in order", () => {
    const router = routerOf();
    for (let number = 0; number < 6; number++)
      router.route(packet(number % 2 === 0 ? 8n : 7n, { number }), 0);
    expect(drain(router)).toEqual(
      [0, 2, 4]
        .map((number) => ({ to: C.key, number }))
        .concat([1, 3, 5].map((number) => ({ to: B.key, number }))),
    );
    expect(drain(router)).toEqual([]);
  });

  it("never sends to another hop than the packet's, over 500 hops in random order", () => {
    const table = new RoutingTable(LOCAL);
    const hops = Array.from({ length: 500 }, (_, i) => SocketAddress.parse(`10.1.${i >> 8}.${i & 255}:9000`));
    for (const [i, hop] of hops.entries()) table.addRoute(BigInt(1000 + i), hop, 0);
    const router = new Router(table);
    let state = 7;
    for (let i = 0; i < 2000; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      router.route(packet(BigInt(1000 + (state % 500)), { stream: state >>> 24 }), 0);
    }
    const batch = new DatagramBatch();
    let count = 0;
    for (let taken = router.drain(batch, 0); taken > 0; taken = router.drain(batch, 0)) {
      expect(taken).toBeLessThanOrEqual(MAX_DRAIN);
      for (let i = 0; i < batch.count; i++) {
        const destination = Number(decodeRoutingHeader(batch.bytes[i] as Uint8Array)?.destination);
        expect(batch.addresses[i]).toBe(hops[destination - 1000]);
      }
      count += taken;
      batch.clear();
    }
    expect(count).toBe(2000);
  });

  it("runs once: a second start is refused, after a stop packets wait for the next start", () => {
    const router = routerOf();
    expect(router.start()).toBe(false);
    router.stop();
    expect(router.isRunning).toBe(false);
    expect(router.route(packet(7n), 0)).toBe("forward");
    expect(drain(router)).toEqual([]);
    expect(router.start()).toBe(true);
    expect(router.start()).toBe(false);
    expect(drain(router)).toHaveLength(1);
  });

  it("tells how long packets waited", () => {
    const router = routerOf();
    router.route(packet(7n), 0);
    router.route(packet(7n), 4);
    expect(router.stats().meanQueueMs).toBe(0);
    drain(router, 10);
    expect(router.stats().meanQueueMs).toBe(8);
  });

  it("tells it of a queue that has grown meanwhile, too", () => {
    const router = routerOf();
    for (let i = 0; i < 200; i++) router.route(packet(7n), 4);
    while (drain(router, 10).length > 0);
    expect(router.stats().meanQueueMs).toBe(6);
  });

  it("takes no more than it is told to", () => {
    const router = routerOf();
    for (let i = 0; i < 5; i++) router.route(packet(7n), 0);
    const batch = new DatagramBatch();
    expect(router.drain(batch, 0, 2)).toBe(2);
    expect(router.drain(batch, 0, 1000)).toBe(3);
    expect(batch.count).toBe(5);
  });
});

describe("priority", () => {
  const priority = (number: number): Uint8Array =>
    buildRoutedPacket(5n, 7n, 8, Uint8Array.of(number), "priority");

  it("goes by the flag that was received", () => {
    const router = routerOf();
    router.route(packet(7n, { number: 1 }), 0);
    router.route(priority(2), 0);
    expect(drain(router).map(({ number }) => number)).toEqual([2, 1]);
  });

  it("gives one source no more than its share of the lane (W14)", () => {
    const router = routerOf({ maxDepth: 8 });
    for (let number = 0; number < 4; number++) router.route(priority(number), 0);
    expect(router.stats()).toMatchObject({ forwarded: 4, priorityDemoted: 2 });
    expect(drain(router)).toHaveLength(4);
    router.route(priority(9), 0);
    expect(router.stats().priorityDemoted).toBe(2);
    expect(() => new Router(new RoutingTable(1n), { priorityPerSource: 0 })).toThrow(RoutingError);
  });

  it("is the only flag that matters", () => {
    const router = routerOf();
    router.route(packet(7n, { number: 1 }), 0);
    const other = packet(7n, { number: 2 });
    other[4] = RoutingFlags.MASK & ~RoutingFlags.PRIORITY;
    router.route(other, 0);
    expect(drain(router).map(({ number }) => number)).toEqual([1, 2]);
  });
});

describe("a chain of routers", () => {
  it("shows ttl 3 and hop 1 behind the first of ttl 4, and delivers at the second", () => {
    const first = routerOf();
    const table = new RoutingTable(7n);
    const second = new Router(table);
    const batch = new DatagramBatch();
    for (let number = 0; number < 10; number++) first.route(packet(7n, { ttl: 4, number }), 0);
    first.drain(batch, 0);
    expect(first.stats().forwarded).toBe(10);
    expect(batch.count).toBe(10);
    for (let i = 0; i < batch.count; i++) {
      const datagram = batch.bytes[i] as Uint8Array;
      expect(decodeRoutingHeader(datagram)).toMatchObject({
        ttl: 3,
        hopCount: 1,
        destination: 7n,
        sourceId: 5,
      });
      expect(second.route(datagram, 0)).toBe("local");
    }
    expect(second.stats()).toMatchObject({ local: 10, forwarded: 0 });
  });
});
