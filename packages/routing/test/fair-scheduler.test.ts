import { SocketAddress } from "@netmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairScheduler, RoutingError } from "../src/index.ts";

const HOP = SocketAddress.parse("10.0.0.7:9007");

/** Queues `count` packets whose first byte is the stream id. */
function fill(scheduler: FairScheduler, stream: number, count: number, isPriority = false): void {
  for (let i = 0; i < count; i++) {
    expect(scheduler.enqueue(Uint8Array.of(stream, i), HOP, stream, 0, isPriority, 0)).toBe(true);
  }
}

/** Streams of the next `count` packets, `undefined` where there is none. */
function serve(scheduler: FairScheduler, count: number): (number | undefined)[] {
  return Array.from({ length: count }, () => scheduler.dequeue()?.bytes[0]);
}

function countOf(served: readonly unknown[], stream: number): number {
  return served.filter((each) => each === stream).length;
}

describe("fair scheduler", () => {
  it("lets every packet of three streams out exactly once", () => {
    const scheduler = new FairScheduler({ quantum: 2 });
    for (const stream of [1, 2, 3]) fill(scheduler, stream, 4);
    const served = serve(scheduler, 12);
    for (const stream of [1, 2, 3]) expect(countOf(served, stream)).toBe(4);
    expect(scheduler.dequeue()).toBeUndefined();
    expect(scheduler.stats()).toMatchObject({ depth: 0, bytes: 0, totalQueued: 12, totalDropped: 0 });
  });

  it("serves a priority packet first, and refuses what a full priority lane cannot hold", () => {
    const scheduler = new FairScheduler({ maxDepth: 2 });
    fill(scheduler, 1, 1);
    fill(scheduler, 2, 2, true);
    expect(scheduler.enqueue(Uint8Array.of(3), HOP, 3, 0, true, 0)).toBe(false);
    expect(scheduler.depth).toBe(3);
    expect(serve(scheduler, 3)).toEqual([2, 2, 1]);
  });

  it("counts what it holds: 3 and 2 make 5, 2 more 7, a refused one nothing, and in the end 0", () => {
    const scheduler = new FairScheduler({ maxDepth: 3 });
    fill(scheduler, 1, 3);
    fill(scheduler, 2, 2);
    expect(scheduler.depth).toBe(5);
    fill(scheduler, 3, 2, true);
    expect(scheduler.depth).toBe(7);
    expect(scheduler.enqueue(Uint8Array.of(1), HOP, 1, 0, false, 0)).toBe(false);
    expect(scheduler.stats()).toMatchObject({ depth: 7, droppedQueueFull: 1 });
    serve(scheduler, 7);
    expect(scheduler.depth).toBe(0);
  });

  it("serves each of eight streams within the first half of their packets", () => {
    const scheduler = new FairScheduler({ quantum: 1 });
    for (let stream = 0; stream < 8; stream++) fill(scheduler, stream, 20);
    expect(new Set(serve(scheduler, 80)).size).toBe(8);
  });

  it("gives a stream of weight 4 four packets for one of a stream of weight 1", () => {
    const scheduler = new FairScheduler({ quantum: 1 });
    scheduler.setStreamWeight(2n, 4);
    fill(scheduler, 1, 20);
    fill(scheduler, 2, 80);
    const served = serve(scheduler, 5);
    expect([countOf(served, 1), countOf(served, 2)]).toEqual([1, 4]);
    expect(countOf(serve(scheduler, 95), 2)).toBe(76);
  });

  it("lets four packets pass a backlog of 260 within eight", () => {
    const scheduler = new FairScheduler();
    fill(scheduler, 1, 260);
    serve(scheduler, 20);
    fill(scheduler, 2, 4);
    expect(serve(scheduler, 9).lastIndexOf(2)).toBeLessThanOrEqual(8);
    expect(scheduler.depth).toBe(260 - 20 - 5);
  });

  it("is not biased by empty polls: the turn goes on where it was", () => {
    const orders = [0, 1, 7].map((polls) => {
      const scheduler = new FairScheduler({ quantum: 1 });
      serve(scheduler, polls);
      for (const stream of [1, 2, 3]) fill(scheduler, stream, 2);
      return serve(scheduler, 6);
    });
    expect(orders).toEqual([orders[0], orders[0], orders[0]]);
    expect(orders[0]).toEqual([1, 2, 3, 1, 2, 3]);
  });

  it("forgets 200 streams that sent one packet each after 1024 dequeues", () => {
    const scheduler = new FairScheduler();
    for (let stream = 0; stream < 200; stream++) fill(scheduler, stream, 1);
    serve(scheduler, 200);
    expect(scheduler.streamCount).toBe(200);
    serve(scheduler, 824);
    expect(scheduler.streamCount).toBe(0);
  });

  it("serves a new stream next when the others have used their quantum up", () => {
    const scheduler = new FairScheduler({ quantum: 2 });
    fill(scheduler, 1, 10);
    serve(scheduler, 2);
    fill(scheduler, 2, 1);
    expect(serve(scheduler, 2)).toEqual([2, 1]);
  });

  it("gives nothing for draining and coming back within a round", () => {
    const scheduler = new FairScheduler({ quantum: 1 });
    fill(scheduler, 1, 1);
    fill(scheduler, 2, 3);
    fill(scheduler, 3, 3);
    expect(serve(scheduler, 1)).toEqual([1]);
    fill(scheduler, 1, 1);
    expect(serve(scheduler, 3)).toEqual([2, 3, 1]);
  });

  it("keeps a weight while the stream has no queue (W13)", () => {
    const scheduler = new FairScheduler({ quantum: 1 });
    scheduler.setStreamWeight(2n, 3);
    expect(scheduler.cleanupEmpty()).toBe(1);
    fill(scheduler, 1, 4);
    fill(scheduler, 2, 9);
    expect(countOf(serve(scheduler, 8), 2)).toBe(6);
    scheduler.setStreamWeight(2n, 1);
    serve(scheduler, 5);
    fill(scheduler, 1, 2);
    fill(scheduler, 2, 2);
    expect(countOf(serve(scheduler, 2), 2)).toBe(1);
  });

  it("lets a flood of priority packets starve nobody (W14), unless it is told to", () => {
    const scheduler = new FairScheduler({ priorityBurst: 4 });
    fill(scheduler, 1, 2);
    fill(scheduler, 2, 20, true);
    expect(serve(scheduler, 10)).toEqual([2, 2, 2, 2, 1, 2, 2, 2, 2, 1]);
    expect(serve(scheduler, 12)).toEqual(new Array(12).fill(2));
    const strict = new FairScheduler({ priorityBurst: Number.POSITIVE_INFINITY });
    fill(strict, 1, 1);
    fill(strict, 2, 100, true);
    expect(serve(strict, 101).indexOf(1)).toBe(100);
  });

  it("bounds packets, bytes and streams, counting what it refuses", () => {
    const byCount = new FairScheduler({ maxPackets: 3 });
    fill(byCount, 1, 3);
    expect(byCount.enqueue(Uint8Array.of(2), HOP, 2, 0, false, 0)).toBe(false);
    const byBytes = new FairScheduler({ maxBytes: 10 });
    fill(byBytes, 1, 5);
    expect(byBytes.enqueue(Uint8Array.of(2), HOP, 2, 0, true, 0)).toBe(false);
    for (const scheduler of [byCount, byBytes]) {
      expect(scheduler.stats()).toMatchObject({ totalDropped: 1, droppedTotalFull: 1 });
    }
    const byStreams = new FairScheduler({ maxStreams: 2 });
    fill(byStreams, 1, 1);
    fill(byStreams, 2, 1);
    expect(byStreams.enqueue(Uint8Array.of(3), HOP, 3, 0, false, 0)).toBe(false);
    expect(byStreams.stats()).toMatchObject({ droppedStreams: 1, streams: 2 });
  });

  it("makes room for a new stream by forgetting the one that has been empty longest", () => {
    const scheduler = new FairScheduler({ maxStreams: 2 });
    fill(scheduler, 1, 1);
    fill(scheduler, 2, 1);
    serve(scheduler, 1);
    fill(scheduler, 3, 1);
    expect(scheduler.streamCount).toBe(2);
    expect(serve(scheduler, 2)).toEqual([2, 3]);
    scheduler.setStreamWeight(9n, 2);
    expect(scheduler.streamCount).toBe(2);
  });

  it("sets a weight also when there is no room for the queue", () => {
    const scheduler = new FairScheduler({ quantum: 1, maxStreams: 1 });
    fill(scheduler, 1, 1);
    scheduler.setStreamWeight(2n, 2);
    expect(scheduler.streamCount).toBe(1);
  });

  it("refuses limits and weights that make no sense", () => {
    for (const limit of ["quantum", "maxDepth", "maxPackets", "maxBytes", "maxStreams", "priorityBurst"]) {
      for (const value of [0, -1, 1.5, Number.NaN]) {
        expect(() => new FairScheduler({ [limit]: value })).toThrow(RoutingError);
      }
    }
    expect(() => new FairScheduler().setStreamWeight(1n, 1.5)).toThrow(RoutingError);
  });

  it("keeps the order of each stream and loses nothing, whatever comes in which order", () => {
    const step = fc.oneof(
      fc.record({ stream: fc.nat(5), isPriority: fc.boolean() }),
      fc.record({ weigh: fc.nat(5), weight: fc.integer({ min: -1, max: 4 }) }),
      fc.constant("dequeue" as const),
      fc.constant("cleanup" as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 3 }), (steps, quantum) => {
        const scheduler = new FairScheduler({ quantum, maxDepth: 5, maxStreams: 4, priorityBurst: 2 });
        const waiting = new Map<string, Uint8Array[]>();
        let depth = 0;
        const take = (): void => {
          const packet = scheduler.dequeue();
          expect(packet === undefined).toBe(depth === 0);
          if (packet === undefined) return;
          depth -= 1;
          const lane = packet.isPriority ? "priority" : `${packet.bytes[0]}`;
          expect(waiting.get(lane)?.shift()).toBe(packet.bytes);
          expect(packet.nextHop).toBe(HOP);
        };
        for (const each of steps) {
          if (each === "dequeue") take();
          else if (each === "cleanup") scheduler.cleanupEmpty();
          else if ("weigh" in each) scheduler.setStreamWeight(BigInt(each.weigh), each.weight);
          else {
            const bytes = Uint8Array.of(each.stream);
            if (!scheduler.enqueue(bytes, HOP, each.stream, 0, each.isPriority, 0)) continue;
            depth += 1;
            const lane = each.isPriority ? "priority" : `${each.stream}`;
            waiting.set(lane, [...(waiting.get(lane) ?? []), bytes]);
          }
          expect(scheduler.depth).toBe(depth);
        }
        while (depth > 0) take();
        take();
      }),
    );
  });
});
