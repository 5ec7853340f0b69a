import { decodeEventFrames, MAX_EVENTS_PER_PACKET, TAG_SIZE } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { FramedPacket } from "../src/stream/framed-packet.ts";
import { type MemoryPiece, MemoryPieces, PIECE_BYTES } from "../src/stream/memory-pieces.ts";
import { PacketQueue } from "../src/stream/packet-queue.ts";
import { SeededRandom } from "../src/testing/index.ts";
import {
  numbered,
  numberOf,
  pair,
  RELIABLE,
  Receiving,
  range,
  Sending,
  until,
  withSeeds,
} from "./traffic.ts";

const LIMIT = 1_000;

/** The numbers of a packet's events, each of which has to be as {@link numbered} made it. */
function numbersIn({ piece, start, length, eventCount }: FramedPacket): number[] {
  const frames = (piece as MemoryPiece).bytes.subarray(start, start + length);
  const events = decodeEventFrames(frames, eventCount);
  expect(events).toHaveLength(eventCount);
  const isAsMade = (event: Uint8Array): boolean => {
    const fill = numberOf(event) & 0xff;
    return event.every((byte, at) => at < 4 || byte === fill);
  };
  expect(events.every(isAsMade)).toBe(true);
  return events.map(numberOf);
}

describe("the packets of a stream that wait", () => {
  it("hold as many events as fit, in order", () => {
    const queue = new PacketQueue(new MemoryPieces());
    for (const event of numbered(25, 96)) queue.add(event, LIMIT);
    expect(queue.count).toBe(3);
    expect(queue.bytes).toBe(2_500);
    expect([0, 1, 2].map(() => numbersIn(queue.shift()))).toEqual([range(10), range(10, 10), range(5, 20)]);
    expect(queue.bytes).toBe(0);
  });

  it("hold no more events than a packet may have", () => {
    const queue = new PacketQueue(new MemoryPieces());
    for (let i = 0; i <= MAX_EVENTS_PER_PACKET; i++)
      queue.add(new Uint8Array(0), 2 * 4 * MAX_EVENTS_PER_PACKET);
    expect(queue.shift().eventCount).toBe(MAX_EVENTS_PER_PACKET);
    expect(queue.shift().eventCount).toBe(1);
  });

  it("take an event that is larger than the limit alone", () => {
    const queue = new PacketQueue(new MemoryPieces());
    for (const bytes of [100, 3_000, 100]) queue.add(new Uint8Array(bytes), LIMIT);
    expect([0, 1, 2].map(() => queue.shift().length)).toEqual([104, 3_004, 104]);
  });

  it("are cut between events when the limit has become smaller, and filled up to the new one", () => {
    const queue = new PacketQueue(new MemoryPieces());
    for (const event of numbered(10, 96)) queue.add(event, LIMIT);
    queue.cut(450);
    expect(numbersIn(queue.shift())).toEqual(range(4));
    queue.cut(10);
    expect(numbersIn(queue.shift())).toEqual([4]);
    for (const event of numbered(1, 96, 10)) queue.add(event, LIMIT);
    queue.cut(LIMIT);
    expect(numbersIn(queue.shift())).toEqual(range(6, 5));
    expect([queue.count, queue.bytes]).toEqual([0, 0]);
  });

  it("lie in memory that nobody else uses until they are given back, in whatever order that happens", () => {
    withSeeds(range(8, 1), (seed) => {
      const random = new SeededRandom(seed);
      const pieces = new MemoryPieces();
      const queues = [new PacketQueue(pieces), new PacketQueue(pieces)];
      const kept: { queue: PacketQueue; packet: FramedPacket; numbers: number[] }[] = [];
      let written = 0;
      let mostFree = 0;
      for (let step = 0; step < 1_000; step++) {
        const queue = queues[random.below(2)] as PacketQueue;
        const choice = random.below(10);
        if (choice < 6) {
          for (const event of numbered(1 + random.below(8), random.below(2_000), written)) {
            queue.add(event, 8_108);
            written++;
          }
        } else if (choice === 6 && queue.first !== undefined) queue.cut(1 + random.below(8_108));
        else if (choice === 7 && kept.length > 0) {
          const [one] = kept.splice(random.below(kept.length), 1);
          one?.queue.recycle(one.packet);
        } else if (queue.first !== undefined) {
          const packet = queue.shift();
          kept.push({ queue, packet, numbers: numbersIn(packet) });
          // What is acknowledged is, for the most part, what was sent first.
          if (kept.length > 40) {
            for (const { queue: from, packet: first } of kept.splice(0, 30)) from.recycle(first);
          }
        }
        mostFree = Math.max(mostFree, pieces.free);
        if (step % 20 === 0)
          for (const { packet, numbers } of kept) expect(numbersIn(packet)).toEqual(numbers);
      }
      expect(mostFree).toBeGreaterThan(0);
    });
  });
});

describe("the memory of what was written", () => {
  it("grows with what is on its way, from one kilobyte on", () => {
    const queue = new PacketQueue(new MemoryPieces());
    queue.add(new Uint8Array(100), LIMIT);
    expect(queue.first?.piece?.bytes.length).toBe(1_024);
    for (let i = 0; i < 2_000; i++) queue.add(new Uint8Array(100), LIMIT);
    let last: FramedPacket | undefined;
    while (queue.count > 0) last = queue.shift();
    expect(last?.piece?.bytes.length).toBe(PIECE_BYTES);
  });

  it("is the same piece again for a stream whose packets are acknowledged one by one", () => {
    const queue = new PacketQueue(new MemoryPieces());
    const pieces = new Set<MemoryPiece | undefined>();
    for (let i = 0; i < 1_000; i++) {
      queue.add(new Uint8Array(100), LIMIT);
      const packet = queue.shift();
      pieces.add(packet.piece);
      queue.recycle(packet);
    }
    expect(pieces.size).toBe(1);
  });

  it("keeps two megabytes at most of what streams have given back", () => {
    const pieces = new MemoryPieces();
    for (let i = 0; i < 100; i++) pieces.give(pieces.take(PIECE_BYTES, PIECE_BYTES));
    expect(pieces.free).toBe(1);
    const taken = Array.from({ length: 100 }, () => pieces.take(PIECE_BYTES, PIECE_BYTES));
    for (const piece of taken) pieces.give(piece);
    expect(pieces.free).toBe(32);
  });

  it("is recycled among streams whose packets are lost, repaired and overtaken, without mixing them up", () => {
    withSeeds(range(6, 1), (seed) => {
      const { network, a, b } = pair({
        seed,
        conditions: { delayMs: 10, jitterMs: 5, loss: 0.05, duplication: 0.05, reordering: 0.1 },
      });
      const ids = [7n, 8n, 9n];
      const readers = ids.map((id) => new Receiving(b, a, id, RELIABLE));
      const writers = ids.map((id) => new Sending(a, b, id, RELIABLE));
      for (let round = 0; round < 20; round++) {
        for (const [i, writer] of writers.entries()) {
          writer.write(...numbered(40, 50 + 300 * i + TAG_SIZE * round, 40 * round));
        }
        network.advance(15);
      }
      for (const writer of writers) writer.finish();
      until(network, () => readers.every(({ ends }) => ends > 0));
      for (const { events, numbers } of readers) {
        expect(numbers).toEqual(range(800));
        expect(events.every((event, i) => event.every((byte, at) => at < 4 || byte === (i & 0xff)))).toBe(
          true,
        );
      }
      expect(a.core.counters.retransmitNack + a.core.counters.retransmitTimeout).toBeGreaterThan(5);
    });
  });
});
