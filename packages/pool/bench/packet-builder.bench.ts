import { bench, describe } from "vitest";
import {
  PACKET_OFFSET,
  PacketBuilder,
  packetFields,
  SealingKey,
  SharedCounter,
  SlotRing,
  ThreadLocalPool,
} from "../src/index.ts";

const key = new Uint8Array(32).fill(7);
const builder = new PacketBuilder(new SealingKey(key, 1n));
const fields = packetFields();
const ring = new SlotRing();

const shapes: [string, Uint8Array[]][] = [
  ["1 event of 64 bytes", [new Uint8Array(64)]],
  ["10 events of 100 bytes", Array.from({ length: 10 }, () => new Uint8Array(100))],
  ["1 event of 8104 bytes", [new Uint8Array(8104)]],
];

describe.each(shapes)("a packet of %s", (_, events) => {
  bench("straight into a slot", () => {
    const slot = ring.acquire();
    if (slot === undefined) throw new Error("no slot");
    slot.length = builder.buildInto(slot.bytes, PACKET_OFFSET, fields, events, 0, events.length);
    ring.release(slot);
  });
  bench("in a new array", () => {
    builder.build(1n, 0n, events);
  });
});

describe("what surrounds the sealing", () => {
  const pool = new ThreadLocalPool(key, 1n);
  bench("acquire and release a builder", () => {
    pool.acquire().release();
  });
  bench("acquire and release a slot", () => {
    const slot = ring.acquire();
    if (slot !== undefined) ring.release(slot);
  });
  const single = new SharedCounter(SharedCounter.allocate());
  bench("draw from a shared counter", () => single.next());
  const blocks = new SharedCounter(SharedCounter.allocate(), { block: 32 });
  bench("draw from a shared counter, 32 at a time", () => blocks.next());
});
