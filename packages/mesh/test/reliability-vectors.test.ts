import { describe, expect, it } from "vitest";
import { FramedPacket } from "../src/stream/framed-packet.ts";
import { REFERENCE_SPAN, ReceiveVerdict, ReceiveWindow } from "../src/stream/receive-window.ts";
import { SendCredit } from "../src/stream/send-credit.ts";
import { maxPendingForWindow, SendWindow } from "../src/stream/send-window.ts";
import vectors from "./vectors/reliability.json" with { type: "json" };

interface Step {
  readonly op: readonly (string | number)[];
  readonly result: unknown;
  readonly after: {
    readonly next_expected: string;
    readonly sack_bitmap: string;
    readonly pending: readonly (readonly number[])[];
    readonly rto_us: string;
    readonly srtt_ns: string | null;
    readonly nack: readonly [string, string] | null;
  };
}

const cases = vectors.reliable_stream as unknown as readonly { name: string; steps: readonly Step[] }[];

/** The reference's bitmap: bit i tells that next + 1 + i has arrived. */
function sackBitmap(window: ReceiveWindow): bigint {
  let bitmap = 0n;
  for (let i = 0; i < 64; i++) if (window.has(window.next + 1 + i)) bitmap |= 1n << BigInt(i);
  return bitmap;
}

describe("the receive window acts as the reference's", () => {
  const receiving = cases.filter(({ steps }) => steps.every((step) => step.op[0] === "on_receive"));

  it("has vectors", () => expect(receiving.length).toBe(6));

  it.each(receiving)("in the case $name", ({ steps }) => {
    const window = new ReceiveWindow(REFERENCE_SPAN);
    for (const { op, result, after } of steps) {
      expect(window.receive(Number(op[1])) === ReceiveVerdict.ACCEPTED).toBe(result);
      expect(BigInt(window.next)).toBe(BigInt(after.next_expected));
      expect(sackBitmap(window)).toBe(BigInt(after.sack_bitmap));
      if (after.nack === null) expect(window.hasGap).toBe(false);
      else {
        expect(BigInt(window.next)).toBe(BigInt(after.nack[0]));
        expect(window.missingAfter(window.next)).toBe(BigInt(after.nack[1]));
      }
    }
  });
});

describe("the limit of tracked packets", () => {
  it.each(vectors.max_pending_for_window)("is $max_pending for a window of $tx_window bytes", (vector) => {
    expect(maxPendingForWindow(vector.tx_window)).toBe(vector.max_pending);
  });
});

describe("send credit acts as the reference's", () => {
  it.each(vectors.stream_credit)("in the case $name", ({ tx_window, steps }) => {
    const credit = new SendCredit(tx_window);
    for (const step of steps) {
      const [name, argument] = step.op as [string, string];
      if (name === "try_acquire") expect(credit.acquire(Number(argument), 0)).toBe(step.result);
      else if (name === "refund") credit.refund(Number(argument));
      else if (name === "grant_total_consumed") credit.grant(Number(argument), 0);
      // The receiver's half is the stream's own.
      else continue;
      expect(credit.remaining).toBe(step.tx_credit_remaining);
      expect(BigInt(credit.sent)).toBe(BigInt(step.tx_bytes_sent));
      expect(BigInt(credit.maxConsumedSeen)).toBe(BigInt(step.max_consumed_seen));
      expect(credit.backpressureEvents).toBe(step.backpressure_events);
      expect(credit.grantsReceived).toBe(step.grants_received);
    }
  });
});

/** Applies sends, acknowledgements and time to a send window as the vector says; calls `check` after each step. */
function replay(
  name: string,
  maxPending: number,
  check: (window: SendWindow, step: Step, nowMs: number) => void,
): void {
  const window = new SendWindow(maxPending, 10_000);
  let nowMs = 0;
  for (const step of (cases.find((one) => one.name === name) as (typeof cases)[number]).steps) {
    const [op, argument] = step.op;
    if (op === "on_send") window.register(new FramedPacket(), 0, nowMs);
    else if (op === "advance_ms") nowMs += Number(argument);
    else if (op === "on_ack") window.acknowledge(Number(argument), nowMs);
    else if (op === "get_timed_out") window.timeOut(nowMs);
    check(window, step, nowMs);
  }
}

describe("the send window acts as the reference's", () => {
  it.each([
    "rtt estimation",
    "ack of several samples only the last un-retransmitted",
    "cwnd slow start and caps at max_pending",
  ])("in what it tracks and how it estimates the round trip: %s", (name) => {
    replay(name, 1_000, (window, { after }) => {
      expect(window.inFlight).toBe(after.pending.length);
      for (const [sequence] of after.pending) expect(window.get(sequence as number)).toBeDefined();
      if (after.srtt_ns === null) expect(window.roundTrip.smoothedMs).toBeUndefined();
      else expect(window.roundTrip.smoothedMs).toBeCloseTo(Number(after.srtt_ns) / 1e6, 3);
    });
  });

  it("in its time-out, 60 ms after a first round trip of 20 ms", () => {
    const window = new SendWindow(32, 10_000);
    expect(window.roundTrip.timeoutMs).toBe(50);
    window.register(new FramedPacket(), 0, 0);
    window.acknowledge(1, 20);
    expect(window.roundTrip.timeoutMs).toBe(60);
  });

  it("in taking no sample from a packet that was sent twice", () => {
    replay("karn: no sample from retransmitted", 32, (window, { after }) => {
      expect(window.inFlight).toBe(after.pending.length);
      expect(window.roundTrip.smoothedMs).toBeUndefined();
    });
  });

  it("in knowing nothing of packets that were never sent", () => {
    const window = new SendWindow(32, 10_000);
    window.register(new FramedPacket(), 0, 0);
    for (let sequence = 5; sequence < 70; sequence++) {
      expect(window.reportMissing(sequence, 1_000)).toBeUndefined();
    }
    expect(window.acknowledge(1, 1_000)).toBe(1);
    expect(window.acknowledge(1, 1_000)).toBe(0);
  });
});

describe("the send window is better than the reference's", () => {
  it("never discards a packet to make room for another (S4)", () => {
    const window = new SendWindow(3, 10_000);
    for (let i = 0; i < 3; i++) window.register(new FramedPacket(), 0, 0);
    expect(window.canSend).toBe(false);
    expect([0, 1, 2].map((sequence) => window.get(sequence)?.sequence)).toEqual([0, 1, 2]);
  });

  it("waits longer after each time-out, up to four seconds (S6)", () => {
    const window = new SendWindow(32, 60_000);
    window.register(new FramedPacket(), 0, 0);
    const pauses: number[] = [];
    for (let last = 0; pauses.length < 9; ) {
      const due = window.deadline;
      expect(window.timeOut(due - 0.5)).toBeUndefined();
      expect(window.timeOut(due)).toMatchObject({ sequence: 0 });
      pauses.push(due - last);
      last = due;
    }
    expect(pauses).toEqual([50, 100, 200, 400, 800, 1_600, 3_200, 4_000, 4_000]);
  });

  it("gives up by time, not after three repairs, and not without a last try (S6)", () => {
    const window = new SendWindow(32, 10_000);
    window.register(new FramedPacket(), 0, 0);
    let tries = 0;
    while (window.timeOut(window.deadline) !== "gave-up") tries++;
    expect(tries).toBeGreaterThan(7);
    expect(window.deadline).toBe(11_000);
    expect(window.get(0)?.sentAtMs).toBe(10_000);
  });

  it("starts its time-out from the handshake's round trip (S6)", () => {
    expect(new SendWindow(32, 10_000, 300).roundTrip.timeoutMs).toBe(900);
  });

  it("probes with the oldest packet only, and sends the lost rest as acknowledgements come (S6)", () => {
    const window = new SendWindow(128, 10_000);
    for (let i = 0; i < 20; i++) window.register(new FramedPacket(), 0, 0);
    expect(window.timeOut(50)).toMatchObject({ sequence: 0 });
    expect(window.timeOut(50)).toBeUndefined();
    expect(window.nextLost(55)).toMatchObject({ sequence: 1 });
    expect(window.nextLost(55)).toBeUndefined();
    window.acknowledge(1, 60);
    expect(window.nextLost(60)).toMatchObject({ sequence: 2 });
  });

  it("does not send a late flight again (S6)", () => {
    const window = new SendWindow(128, 10_000);
    for (let i = 0; i < 20; i++) window.register(new FramedPacket(), 0, 0);
    window.timeOut(50);
    window.acknowledge(2, 60);
    expect(window.nextLost(60)).toBeUndefined();
  });

  it("keeps 0.7 of its congestion window after a loss, once per flight (S6)", () => {
    const window = new SendWindow(128, 10_000);
    for (let i = 0; i < 32; i++) window.register(new FramedPacket(), 0, 0);
    for (const sequence of [0, 3, 7]) expect(window.reportMissing(sequence, 100)).toBeDefined();
    expect(window.congestion.windowPackets).toBeCloseTo(22.4);
    expect(window.reportMissing(3, 101)).toBeUndefined();
  });

  it("knows a packet before it is on the wire, so that no acknowledgement is missed (S19)", () => {
    const window = new SendWindow(128, 10_000);
    const packet = new FramedPacket();
    window.register(packet, 0, 0);
    expect(packet.sequence).toBe(0);
    expect(window.acknowledge(1, 0)).toBe(1);
    expect(window.deadline).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("the receive window is better than the reference's", () => {
  it("tells a duplicate from what is only too far ahead (S2)", () => {
    const window = new ReceiveWindow(REFERENCE_SPAN);
    window.receive(0);
    expect(window.receive(0)).toBe(ReceiveVerdict.DUPLICATE);
    expect(window.receive(66)).toBe(ReceiveVerdict.TOO_FAR);
    expect(window.receive(65)).toBe(ReceiveVerdict.ACCEPTED);
    expect(window.receive(65)).toBe(ReceiveVerdict.DUPLICATE);
  });

  it("remembers 16 384 sequences ahead of a gap (S2)", () => {
    const window = new ReceiveWindow();
    for (let sequence = 1; sequence <= 16_384; sequence++) {
      expect(window.receive(sequence)).toBe(ReceiveVerdict.ACCEPTED);
    }
    expect(window.receive(16_385)).toBe(ReceiveVerdict.TOO_FAR);
    window.receive(0);
    expect(window.next).toBe(16_385);
  });

  it("can leave a gap behind that nobody fills (S9)", () => {
    const window = new ReceiveWindow();
    for (const sequence of [0, 3, 4, 6]) window.receive(sequence);
    window.skipGap();
    expect(window.next).toBe(5);
    expect(window.hasGap).toBe(true);
    window.skipGap();
    expect(window.next).toBe(7);
    expect(window.hasGap).toBe(false);
  });
});
