import { low32, RoutingFlags, SocketAddress, writeRoutingHeader } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { Outbox } from "../src/core/outbox.ts";

const OWN = 1n;
const NEAR = SocketAddress.parse("10.0.0.1:1");
const FAR = SocketAddress.parse("10.0.0.2:2");

const outbox = (): Outbox => new Outbox(undefined, low32(OWN), 0, 7);

/** A routed packet of a source, with a number behind the header. */
function routed(source: number, number: number, flags = 0, length = 100): Uint8Array {
  const bytes = new Uint8Array(length);
  writeRoutingHeader(bytes, 0, 8, flags, source, 9, 0);
  new DataView(bytes.buffer).setUint32(18, number);
  return bytes;
}

const sourceOf = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(6, true);
const numberOf = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(18);

/** A packet of this node, which looks like a routed one of source 1. */
function pushOwn(on: Outbox, number: number): boolean {
  const slot = on.acquire();
  if (slot === undefined) return false;
  slot.start = 0;
  slot.length = 100;
  slot.bytes.set(routed(low32(OWN), number));
  return on.push(slot, NEAR);
}

/** Takes up to `limit` datagrams, as a transport does that has room for so many. */
function take(from: Outbox, limit: number): { source: number; number: number; to: string }[] {
  const out: { source: number; number: number; to: string }[] = [];
  while (out.length < limit) {
    from.refill();
    const { batch } = from;
    if (batch.count === 0) break;
    const count = Math.min(limit - out.length, batch.count);
    for (let i = 0; i < count; i++) {
      const bytes = batch.bytes[i] as Uint8Array;
      out.push({ source: sourceOf(bytes), number: numberOf(bytes), to: batch.addresses[i]?.key ?? "" });
    }
    from.taken(count);
  }
  return out;
}

/** One packet that the transport does not take: whatever comes now has to queue. */
function congest(on: Outbox): void {
  on.pushBorrowed(routed(99, 0), NEAR);
  on.taken(0);
}

describe("while the transport takes everything", () => {
  it("datagrams go in the order in which they came, without a copy", () => {
    const box = outbox();
    const bytes = routed(5, 1);
    box.pushBorrowed(bytes, NEAR);
    pushOwn(box, 2);
    box.pushKept(routed(1, 3), FAR);
    expect(box.batch.bytes[0]).toBe(bytes);
    expect(take(box, 10).map(({ number }) => number)).toEqual([1, 2, 3]);
    expect(box.isEmpty).toBe(true);
  });
});

describe("when the transport falls behind", () => {
  it("what it has left goes first, also what was only borrowed", () => {
    const box = outbox();
    const borrowed = routed(5, 2);
    pushOwn(box, 1);
    box.pushBorrowed(borrowed, FAR);
    pushOwn(box, 3);
    expect(box.taken(1)).toBe(0);
    borrowed.fill(0xff);
    pushOwn(box, 4);
    expect(take(box, 10).map(({ number }) => number)).toEqual([2, 3, 4]);
  });

  it("sources take turns, this node as one of them, however much one of them sends", () => {
    const box = outbox();
    congest(box);
    for (let i = 0; i < 1_000; i++) box.pushBorrowed(routed(5, i), NEAR);
    for (let i = 0; i < 100; i++) {
      box.pushBorrowed(routed(6, i), NEAR);
      pushOwn(box, i);
    }
    const first = take(box, 1 + 300);
    for (const source of [5, 6, 1]) {
      const share = first.filter((packet) => packet.source === source);
      expect(share.length).toBeGreaterThanOrEqual(80);
      expect(share.map(({ number }) => number)).toEqual(share.map((_, i) => i));
    }
  });

  it("packets with the priority flag go first", () => {
    const box = outbox();
    congest(box);
    for (let i = 0; i < 200; i++) box.pushBorrowed(routed(5, i), NEAR);
    box.pushBorrowed(routed(6, 77, RoutingFlags.PRIORITY), NEAR);
    expect(take(box, 2)[1]).toEqual({ source: 6, number: 77, to: NEAR.key });
  });

  it("a source that sets the priority flag on everything it sends leaves the others their turns", () => {
    const box = outbox();
    congest(box);
    for (let i = 0; i < 500; i++) {
      box.pushBorrowed(routed(6, i), NEAR);
      pushOwn(box, i);
    }
    const sent = take(box, 1);
    for (let turn = 0; turn < 10; turn++) {
      for (let i = 0; i < 64; i++) box.pushBorrowed(routed(5, i, RoutingFlags.PRIORITY), NEAR);
      sent.push(...take(box, 64));
    }
    for (const source of [6, 1]) {
      expect(sent.filter((packet) => packet.source === source).length).toBeGreaterThanOrEqual(180);
    }
  });

  it("what leaves the queues together is grouped by next hop, each group in order", () => {
    const box = outbox();
    congest(box);
    for (let i = 0; i < 40; i++) box.pushBorrowed(routed(5, i), i % 2 === 0 ? NEAR : FAR);
    const sent = take(box, 100).slice(1);
    const changes = sent.filter(({ to }, i) => i > 0 && to !== sent[i - 1]?.to).length;
    expect(changes).toBe(1);
    for (const hop of [NEAR, FAR]) {
      const numbers = sent.filter(({ to }) => to === hop.key).map(({ number }) => number);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      expect(numbers.length).toBe(20);
    }
  });

  it("each source has room for 1024 packets, and the rest is refused", () => {
    const box = outbox();
    congest(box);
    let accepted = 0;
    for (let i = 0; i < 2_000; i++) if (box.pushBorrowed(routed(5, i), NEAR)) accepted++;
    expect(accepted).toBe(1_024);
    expect(box.pushBorrowed(routed(6, 0), NEAR)).toBe(true);
    let own = 0;
    while (pushOwn(box, own)) own++;
    expect(own).toBe(1_024);
    expect(take(box, 10_000).length).toBe(1 + 1_024 + 1 + 1_024);
    expect(box.isEmpty).toBe(true);
    // All memory is free again.
    expect(pushOwn(box, 0)).toBe(true);
  });

  it("all sources together have room for 16 384 packets", () => {
    const box = outbox();
    congest(box);
    let accepted = 0;
    for (let i = 0; i < 40_000; i++) if (box.pushBorrowed(routed(5 + (i % 100), i), NEAR)) accepted++;
    expect(accepted).toBe(16_384);
    // This node's own packets have room of their own.
    expect(pushOwn(box, 7)).toBe(true);
    const sent = take(box, 20_000);
    expect(sent.filter(({ source }) => source === low32(OWN)).map(({ number }) => number)).toEqual([7]);
    // And what has left makes room again.
    congest(box);
    expect(box.pushBorrowed(routed(5, 1), NEAR)).toBe(true);
  });

  it("of a burst that nobody takes 1024 packets wait in front and the rest in their queues", () => {
    const box = outbox();
    for (let i = 0; i < 3_000; i++) box.pushBorrowed(routed(5, i), NEAR);
    expect(box.taken(0)).toBe(3_000 - 2 * 1_024);
    expect(take(box, 5_000).map(({ number }) => number)).toEqual(Array.from({ length: 2_048 }, (_, i) => i));
  });

  it("datagrams of any size are kept whole", () => {
    const box = outbox();
    congest(box);
    for (const length of [86, 2_048, 2_049, 8_210]) box.pushBorrowed(routed(5, length, 0, length), NEAR);
    box.taken(1);
    box.refill();
    const { batch } = box;
    expect(batch.bytes.slice(0, batch.count).map(({ length }) => length)).toEqual([86, 2_048, 2_049, 8_210]);
  });

  it("and the node is closed, nothing waits any more", () => {
    const box = outbox();
    congest(box);
    pushOwn(box, 1);
    box.dispose();
    expect(box.isEmpty).toBe(true);
    expect(box.acquire()).toBeUndefined();
  });
});
