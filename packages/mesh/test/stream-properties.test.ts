import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeadlineHeap, type Timed } from "../src/core/deadline-heap.ts";
import { FramedPacket } from "../src/stream/framed-packet.ts";
import { ReceiveVerdict, ReceiveWindow } from "../src/stream/receive-window.ts";
import { SendCredit } from "../src/stream/send-credit.ts";
import { SendWindow } from "../src/stream/send-window.ts";

const RUNS = { numRuns: 300 };

describe("the receive window", () => {
  it("agrees with a set of sequences, whatever the order of arrival", () => {
    const arrivals = fc.array(fc.oneof(fc.nat(80), fc.nat(400), fc.constant("skip" as const)), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(arrivals, fc.constantFrom(64, 128), (sequences, span) => {
        const window = new ReceiveWindow(span);
        const seen = new Set<number>();
        let next = 0;
        for (const sequence of sequences) {
          if (sequence === "skip") {
            const after = [...seen].filter((one) => one > next);
            if (after.length > 0) next = Math.min(...after);
            window.skipGap();
          } else {
            const expected =
              sequence < next || seen.has(sequence)
                ? ReceiveVerdict.DUPLICATE
                : sequence - next > span
                  ? ReceiveVerdict.TOO_FAR
                  : ReceiveVerdict.ACCEPTED;
            expect(window.receive(sequence)).toBe(expected);
            if (expected === ReceiveVerdict.ACCEPTED) seen.add(sequence);
          }
          while (seen.has(next)) next++;
          const end = Math.max(next, ...[...seen].map((one) => one + 1));
          expect([window.next, window.end]).toEqual([next, end]);
          for (let i = next; i < next + 70; i++) expect(window.has(i)).toBe(seen.has(i));
          let missing = 0n;
          for (let i = 0; i < 64; i++) {
            const at = next + 1 + i;
            if (at < end && !seen.has(at)) missing |= 1n << BigInt(i);
          }
          expect(window.missingAfter(next)).toBe(missing);
          let first = Math.min(next + 3, end);
          while (first < end && seen.has(first)) first++;
          expect(window.firstMissing(next + 3)).toBe(first);
        }
      }),
      RUNS,
    );
  });
});

describe("send credit", () => {
  it("keeps credit plus what is under way equal to the window, whatever the receiver grants", () => {
    const operation = fc.oneof(
      fc.record({ op: fc.constant("acquire" as const), bytes: fc.integer({ min: 84, max: 9_000 }) }),
      fc.record({ op: fc.constant("refund" as const), bytes: fc.constant(0) }),
      fc.record({
        op: fc.constant("grant" as const),
        bytes: fc.oneof(fc.nat(200_000), fc.constant(2 ** 64 - 1), fc.constant(0)),
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70_000 }), fc.array(operation), (windowBytes, operations) => {
        const credit = new SendCredit(windowBytes);
        let lastTaken = 0;
        for (const { op, bytes } of operations) {
          if (op === "acquire") lastTaken = credit.acquire(bytes, 0) ? bytes : 0;
          else if (op === "grant") {
            credit.grant(bytes, 0);
            lastTaken = 0;
          } else {
            credit.refund(lastTaken);
            lastTaken = 0;
          }
          expect(credit.remaining + credit.sent - credit.maxConsumedSeen).toBe(windowBytes);
          expect(credit.remaining).toBeGreaterThanOrEqual(0);
          expect(credit.maxConsumedSeen).toBeLessThanOrEqual(credit.sent);
        }
      }),
      RUNS,
    );
  });

  it("of a stream that never resends comes back in full within seconds, whatever was lost", () => {
    const packet = fc.record({
      bytes: fc.integer({ min: 84, max: 1_200 }),
      pauseMs: fc.nat(400),
      isLost: fc.boolean(),
      isGrantLate: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 150 }), (packets) => {
        const credit = new SendCredit(10_000, true);
        let nowMs = 0;
        let received = 0;
        for (const { bytes, pauseMs, isLost, isGrantLate } of packets) {
          nowMs += pauseMs;
          if (credit.acquire(bytes, nowMs) && !isLost) received += bytes;
          if (!isGrantLate) credit.grant(received, nowMs);
          expect(credit.remaining).toBeGreaterThanOrEqual(0);
          expect(credit.remaining).toBeLessThanOrEqual(10_000);
        }
        while (credit.writeOffDueMs < Number.POSITIVE_INFINITY) {
          nowMs = credit.writeOffDueMs;
          credit.writeOff(nowMs);
        }
        expect(credit.remaining).toBe(10_000);
      }),
      RUNS,
    );
  });
});

describe("the deadline heap", () => {
  it("agrees with a sorted list under scheduling, hastening and removing", () => {
    const operation = fc.tuple(
      fc.constantFrom("schedule" as const, "hasten" as const, "remove" as const, "pop" as const),
      fc.nat(30),
      fc.oneof(fc.nat(50), fc.constant(Number.POSITIVE_INFINITY)),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const heap = new DeadlineHeap<Timed>();
        const items: Timed[] = Array.from({ length: 31 }, () => ({
          deadline: Number.POSITIVE_INFINITY,
          heapIndex: -1,
        }));
        const model = new Map<Timed, number>();
        for (const [op, index, deadline] of operations) {
          const item = items[index] as Timed;
          if (op === "schedule") {
            heap.schedule(item, deadline);
            model.set(item, deadline);
          } else if (op === "hasten") {
            heap.hasten(item, deadline);
            const before = model.get(item);
            if (before === undefined || deadline < before) model.set(item, deadline);
          } else {
            const target = op === "pop" ? heap.peek() : item;
            if (target !== undefined) {
              heap.remove(target);
              model.delete(target);
            }
          }
          const earliest = Math.min(Number.POSITIVE_INFINITY, ...model.values());
          expect(heap.next).toBe(earliest);
          const first = heap.peek();
          expect(first === undefined).toBe(model.size === 0);
          if (first !== undefined) expect(model.get(first)).toBe(earliest);
          for (const one of items) expect(one.heapIndex >= 0).toBe(model.has(one));
        }
      }),
      RUNS,
    );
  });
});

describe("the send window", () => {
  it("never loses and never doubles a packet, whatever is acknowledged, reported and timed out", () => {
    const operation = fc.tuple(
      fc.constantFrom("send" as const, "ack" as const, "nack" as const, "time" as const, "lost" as const),
      fc.nat(100),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const window = new SendWindow(64, 1_000_000);
        let nowMs = 0;
        let sent = 0;
        let acknowledged = 0;
        for (const [op, argument] of operations) {
          nowMs += argument;
          if (op === "send") {
            if (window.canSend) {
              const packet = new FramedPacket();
              window.register(packet, 0, nowMs);
              expect(packet.sequence).toBe(sent++);
            }
          } else if (op === "ack") {
            const total = Math.min(sent, acknowledged + argument - 20);
            const released = window.acknowledge(acknowledged + argument - 20, nowMs);
            expect(released).toBe(Math.max(0, total - acknowledged));
            acknowledged = Math.max(acknowledged, total);
          } else {
            const packet =
              op === "nack"
                ? window.reportMissing(acknowledged + argument - 20, nowMs)
                : op === "time"
                  ? window.timeOut(nowMs)
                  : window.nextLost(nowMs);
            if (typeof packet === "object") {
              expect(packet.sequence).toBeGreaterThanOrEqual(acknowledged);
              expect(packet.sequence).toBeLessThan(sent);
              expect(packet.sentAtMs).toBe(nowMs);
            }
          }
          expect([window.base, window.next, window.inFlight]).toEqual([
            acknowledged,
            sent,
            sent - acknowledged,
          ]);
          for (let i = acknowledged; i < sent; i++) expect(window.get(i)?.sequence).toBe(i);
          expect(window.get(acknowledged - 1)).toBeUndefined();
          expect(window.get(sent)).toBeUndefined();
          expect(window.deadline < Number.POSITIVE_INFINITY).toBe(sent > acknowledged);
        }
      }),
      RUNS,
    );
  });

  it("releases what it holds when it has carried many packets", () => {
    const window = new SendWindow(16_384, 10_000);
    for (let i = 0; i < 50_000; i++) {
      window.register(new FramedPacket(), 0, i);
      if (i % 7 === 0) window.acknowledge(i - 3, i);
    }
    expect(window.get(49_999)?.sequence).toBe(49_999);
    expect(window.acknowledge(50_000, 60_000)).toBe(50_000 - 49_991);
  });
});
