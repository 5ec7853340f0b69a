import { MAX_PACKET_SIZE, ROUTING_HEADER_SIZE } from "@netmesh/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_SLOT_SIZE, PACKET_OFFSET, PacketSlot, SlotRing } from "../src/index.ts";

function acquire(ring: SlotRing): PacketSlot {
  const slot = ring.acquire();
  if (slot === undefined) throw new Error("no slot left");
  return slot;
}

test("a slot has room for the largest packet, aligned, and a routing header in front of it", () => {
  const slot = acquire(new SlotRing());
  expect(slot.bytes).toHaveLength(DEFAULT_SLOT_SIZE);
  expect(slot.start).toBe(PACKET_OFFSET);
  expect(PACKET_OFFSET).toBeGreaterThanOrEqual(ROUTING_HEADER_SIZE);
  expect(PACKET_OFFSET + MAX_PACKET_SIZE).toBeLessThanOrEqual(DEFAULT_SLOT_SIZE);
  expect((slot.bytes.byteOffset + PACKET_OFFSET) % 8).toBe(0);
});

test("no memory is taken before the first slot, then 32 slots at a time, up to the capacity", () => {
  const ring = new SlotRing(64, 40);
  expect(ring.allocated).toBe(0);
  acquire(ring);
  expect(ring.allocated).toBe(32);
  for (let i = 1; i < 40; i++) acquire(ring);
  expect(ring.allocated).toBe(40);
  expect(ring.inUse).toBe(40);
  expect(ring.acquire()).toBeUndefined();
  expect(ring.allocated).toBe(40);
});

test("a released slot comes back fresh, the last one first", () => {
  const ring = new SlotRing(64, 4);
  const [a, b] = [acquire(ring), acquire(ring)];
  a.start = 14;
  a.length = 20;
  expect(a.datagram).toHaveLength(20);
  expect(a.datagram.byteOffset).toBe(a.bytes.byteOffset + 14);
  ring.release(b);
  ring.release(a);
  expect(ring.inUse).toBe(0);
  const again = acquire(ring);
  expect(again).toBe(a);
  expect(again).toMatchObject({ start: PACKET_OFFSET, length: 0 });
});

test("releasing twice, or to another ring, is an error and changes nothing", () => {
  const [ring, other] = [new SlotRing(64, 4), new SlotRing(64, 4)];
  const slot = acquire(ring);
  acquire(other);
  expect(() => other.release(slot)).toThrow(expect.objectContaining({ code: "foreign-slot" }));
  expect(() => other.release(new PacketSlot(new Uint8Array(64), 99))).toThrow("not a slot of this ring");
  ring.release(slot);
  expect(() => ring.release(slot)).toThrow(
    expect.objectContaining({ code: "double-release", value: slot.index }),
  );
  expect([ring.inUse, other.inUse]).toEqual([0, 1]);
});

test("slots in use never overlap and are counted, in whatever order they come and go", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(99), { maxLength: 300 }), (steps) => {
      const ring = new SlotRing(64, 50);
      const held: PacketSlot[] = [];
      for (const step of steps) {
        if (step < 60) {
          const slot = ring.acquire();
          expect(slot === undefined).toBe(held.length === 50);
          if (slot !== undefined) held.push(slot);
        } else if (held.length > 0) {
          const [slot] = held.splice(step % held.length, 1);
          ring.release(slot as PacketSlot);
        }
        expect(ring.inUse).toBe(held.length);
      }
      held.forEach((slot, i) => void slot.bytes.fill(i));
      held.forEach((slot, i) => void expect(slot.bytes.every((byte) => byte === i)).toBe(true));
    }),
  );
});

test("odd slot sizes and empty rings are refused", () => {
  for (const size of [0, 32, 63, 100, 64.5]) {
    expect(() => new SlotRing(size)).toThrow(expect.objectContaining({ code: "invalid-size", value: size }));
  }
  for (const capacity of [0, -1, 1.5]) {
    expect(() => new SlotRing(64, capacity)).toThrow(expect.objectContaining({ code: "invalid-size" }));
  }
});
