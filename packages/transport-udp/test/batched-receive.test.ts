import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { BatchedSocket } from "../src/batched/batched-socket.ts";
import { MSG_CTRUNC, MSG_TRUNC, SOL_SOCKET, SOL_UDP, UDP_GRO } from "../src/batched/linux-abi.ts";
import { bucketOf } from "../src/receive-histogram.ts";
import type { TransportOptions } from "../src/transport-socket.ts";
import { FakeKernel, type Incoming, segmentControl } from "./fake-kernel.ts";
import { pattern } from "./packets.ts";
import { VirtualLoop } from "./virtual-loop.ts";

const EINTR = 4;
const EBADF = 9;
const EAGAIN = 11;
const ENOMEM = 12;
const ENOTSOCK = 88;
const ECONNREFUSED = 111;

/** A batched socket on a scripted kernel, and what it has delivered. */
function open(options: TransportOptions = {}, loop: VirtualLoop = new VirtualLoop()) {
  const kernel = new FakeKernel();
  const socket = BatchedSocket.bind(kernel, loop, SocketAddress.parse("10.0.0.1:0"), options);
  const received: { bytes: Uint8Array; from: string }[] = [];
  const ended: (Error | undefined)[] = [];
  socket.listener = {
    receive: (batch) => {
      for (let i = 0; i < batch.count; i++) {
        const from = (batch.addresses[i] as SocketAddress).key;
        received.push({ bytes: Uint8Array.from(batch.bytes[i] as Uint8Array), from });
      }
    },
    closed: (error) => ended.push(error),
  };
  return { kernel, loop, socket, received, ended };
}

const one = (seed: number): Incoming => ({ bytes: pattern(20, seed) });
const seeds = (received: readonly { bytes: Uint8Array }[]): (number | undefined)[] =>
  received.map(({ bytes }) => bytes[0]);

describe("datagrams that the kernel joined", () => {
  it.each([
    ["a last one as long as the others", 300, [100, 100, 100]],
    ["a shorter last one", 250, [100, 100, 50]],
    ["a last one of a single byte", 201, [100, 100, 1]],
    ["one datagram only", 100, [100]],
    ["one that is shorter than the size", 70, [70]],
  ])("are parted exactly: %s", (_, length, expected) => {
    const { kernel, loop, received } = open();
    const bytes = pattern(length, 3);
    kernel.receives.push([{ bytes, segment: 100 }]);
    loop.ring();
    expect(received.map((each) => each.bytes.length)).toEqual(expected);
    expect(Uint8Array.from(Buffer.concat(received.map((each) => each.bytes)))).toEqual(bytes);
    expect(new Set(received.map(({ from }) => from))).toEqual(new Set(["10.0.0.9:9"]));
  });

  it("are 64 in one message, again and again, in order with what comes singly", () => {
    const { kernel, loop, received, socket } = open();
    for (let round = 0; round < 3; round++) {
      received.length = 0;
      const joined = pattern(64 * 1_000, round);
      kernel.receives.push([one(1), { bytes: joined, segment: 1_000, from: "10.0.0.2:5" }, one(2)]);
      loop.ring();
      expect(received.length).toBe(66);
      expect(Uint8Array.from(Buffer.concat(received.slice(1, 65).map(({ bytes }) => bytes)))).toEqual(joined);
      expect([received[0], received[65]].map((each) => each?.bytes[0])).toEqual([1, 2]);
    }
    expect(socket.stats()).toMatchObject({ received: 198, receivedBytes: 3 * 64_040, truncated: 0 });
  });

  it("lose only the one that was cut", () => {
    const { kernel, loop, received, socket } = open();
    kernel.receives.push([{ bytes: pattern(250, 1), segment: 100, flags: MSG_TRUNC }, one(5)]);
    loop.ring();
    expect(received.map(({ bytes }) => bytes.length)).toEqual([100, 100, 20]);
    expect(socket.stats()).toMatchObject({ truncated: 1, received: 3, receivedBytes: 220 });
  });

  it("are dropped and counted when their size was cut off", () => {
    const { kernel, loop, received, socket } = open();
    kernel.receives.push([{ bytes: pattern(250, 1), flags: MSG_CTRUNC }, one(5)]);
    loop.ring();
    expect(seeds(received)).toEqual([5]);
    expect(socket.stats().truncated).toBe(1);
  });

  it.each([
    ["of another level", segmentControl(100, SOL_SOCKET, UDP_GRO)],
    ["of another type", segmentControl(100, SOL_UDP, 1)],
    ["of size zero", segmentControl(0)],
    ["of a size beyond the slot", segmentControl(0xffff_fff0)],
    ["that claims to be shorter than its header", Uint8Array.of(3, ...new Uint8Array(23))],
    ["that claims to be longer than there is", Uint8Array.of(255, ...new Uint8Array(23))],
    ["that is cut in its header", segmentControl(100).subarray(0, 12)],
    ["without data", Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0, SOL_UDP, 0, 0, 0, UDP_GRO, 0, 0, 0)],
  ])("are taken for one datagram with a control message %s", (_, control) => {
    const { kernel, loop, received } = open();
    kernel.receives.push([{ bytes: pattern(250, 1), control }]);
    loop.ring();
    expect(received.map(({ bytes }) => bytes)).toEqual([pattern(250, 1)]);
  });

  it("are parted by the message behind another", () => {
    const { kernel, loop, received } = open();
    const control = Uint8Array.from(Buffer.concat([segmentControl(9, SOL_SOCKET, 40), segmentControl(100)]));
    kernel.receives.push([{ bytes: pattern(250, 1), control }]);
    loop.ring();
    expect(received.map(({ bytes }) => bytes.length)).toEqual([100, 100, 50]);
  });
});

describe("a receiving socket", () => {
  it("delivers an empty datagram, and the largest", () => {
    const { kernel, loop, received } = open();
    kernel.receives.push([{ bytes: new Uint8Array() }, { bytes: pattern(65_507, 1) }]);
    loop.ring();
    expect(received.map(({ bytes }) => bytes.length)).toEqual([0, 65_507]);
  });

  it("drops and counts a datagram that was cut, and no other", () => {
    const { kernel, loop, received, socket } = open();
    kernel.receives.push([one(1), { bytes: pattern(30, 2), flags: MSG_TRUNC }, one(3)]);
    loop.ring();
    expect(seeds(received)).toEqual([1, 3]);
    expect(socket.stats().truncated).toBe(1);
  });

  it("passes over a datagram whose source it cannot read", () => {
    const { kernel, loop, received, socket } = open();
    kernel.receives.push([one(1), { ...one(2), family: 99 }, { ...one(3), family: 10 }, one(4)]);
    loop.ring();
    expect(seeds(received)).toEqual([1, 4]);
    expect(socket.stats().receiveErrors).toBe(2);
  });

  it("goes on after interruptions and reports of ICMP, which it counts by what they say", () => {
    const { kernel, loop, received, socket } = open();
    kernel.reports.push(ECONNREFUSED, ECONNREFUSED, 113);
    kernel.receives.push(EINTR, [one(1)], EINTR, ECONNREFUSED, [one(2)]);
    loop.ring();
    loop.ring();
    expect(seeds(received)).toEqual([1, 2]);
    expect(socket.stats()).toMatchObject({
      networkErrors: { ECONNREFUSED: 2, EHOSTUNREACH: 1 },
      receiveErrors: 1,
    });
  });

  it("reads the error queue and watches again when the event loop reports an error", () => {
    const { kernel, loop, received, socket } = open();
    kernel.reports.push(...new Array(40).fill(ECONNREFUSED));
    kernel.receives.push([one(1)]);
    loop.ring({ isBroken: true });
    expect(seeds(received)).toEqual([1]);
    expect([kernel.reports.length, loop.watching]).toEqual([0, "reads"]);
    expect(socket.stats().networkErrors).toEqual({ ECONNREFUSED: 40 });
  });

  it("asks once per ring while there is nothing, however often it rings", () => {
    const { kernel, loop, received } = open();
    for (let i = 0; i < 1_000; i++) {
      kernel.receives.push(EAGAIN);
      loop.ring();
    }
    expect([kernel.receiveCalls, received.length, loop.delays.length]).toEqual([1_000, 0, 0]);
  });

  it("pauses 1, 2, 4 … 100 ms after errors that may pass, and 1 ms again after a success", () => {
    const { kernel, loop, received, socket } = open();
    kernel.receives.push(...new Array(10).fill(ENOMEM), [one(1)], ENOMEM, [one(2)]);
    loop.ring();
    const pauses: number[] = [];
    while (received.length === 0) {
      const [delay] = loop.delays as [number];
      pauses.push(delay);
      expect(loop.watching).toBe("nothing");
      loop.advance(delay);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
    loop.ring();
    expect(loop.delays).toEqual([1]);
    loop.advance(1);
    expect(seeds(received)).toEqual([1, 2]);
    expect([socket.stats().receiveErrors, loop.watching]).toEqual([11, "reads"]);
  });

  it.each([
    ["EBADF", EBADF],
    ["ENOTSOCK", ENOTSOCK],
  ])(
    "ends with a distinct error when the descriptor is lost (%s), and closes nobody else's",
    async (systemCode, error) => {
      const { kernel, loop, socket, received, ended } = open();
      kernel.receives.push([one(1)], error);
      loop.ring();
      loop.ring();
      loop.turn();
      expect(seeds(received)).toEqual([1]);
      expect(ended).toEqual([
        expect.objectContaining({ name: "TransportError", code: "socket", systemCode }),
      ]);
      expect([kernel.closed, loop.isDoorbellClosed]).toEqual([[], true]);
      await socket.close();
      expect(ended.length).toBe(1);
    },
  );

  it("gives others their turn under a flood", () => {
    const { kernel, loop, received } = open();
    const full = Array.from({ length: 16 }, (_, i) => one(i));
    for (let i = 0; i < 100; i++) kernel.receives.push(full);
    loop.ring();
    expect(received.length).toBe(16 * 16);
    loop.turn();
    expect(received.length).toBe(2 * 16 * 16);
    const joined = Array.from({ length: 16 }, () => ({ bytes: pattern(6_400, 1), segment: 100 }));
    kernel.receives.splice(0, 100, joined, joined, joined);
    received.length = 0;
    loop.turn();
    expect(received.length).toBe(1_024);
  });

  it("goes on when its listener throws", () => {
    const { kernel, loop, socket, received } = open();
    const { listener } = socket;
    socket.listener = {
      receive: () => {
        throw new Error("listener");
      },
    };
    kernel.receives.push([one(1)], [one(2)]);
    expect(() => loop.ring({ isBroken: true })).toThrow("listener");
    socket.listener = listener;
    loop.ring();
    expect(seeds(received)).toEqual([2]);
  });

  it("delivers nothing more once its listener has closed it, and gives the memory back when nobody reads it", async () => {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const released: Uint8Array[] = [];
    const memory = {
      allocate(size: number) {
        const bytes = new Uint8Array(size);
        pieces.push(bytes);
        return bytes;
      },
      release: (bytes: Uint8Array<ArrayBuffer>) => void released.push(bytes),
    };
    const { kernel, loop, socket, ended } = open({ memory });
    let calls = 0;
    socket.listener = {
      receive: (batch) => {
        calls += 1;
        void socket.close();
        expect(batch.bytes[0]?.buffer).toBe(pieces[0]?.buffer);
        expect(released).toEqual([]);
      },
      closed: (error) => ended.push(error),
    };
    kernel.receives.push(
      Array.from({ length: 16 }, (_, i) => one(i)),
      [one(20)],
    );
    loop.ring();
    expect([calls, kernel.closed]).toEqual([1, [7]]);
    loop.turn();
    await socket.close();
    expect(released).toEqual(pieces);
    expect(ended).toEqual([undefined]);
    expect(kernel.closed).toEqual([7]);
  });

  it("takes plain memory when there is no more of the other", () => {
    const { kernel, loop, received, socket } = open({
      memory: { allocate: () => undefined, release: () => expect.fail("nothing was borrowed") },
    });
    kernel.receives.push([one(1)]);
    loop.ring();
    void socket.close();
    loop.turn();
    expect(seeds(received)).toEqual([1]);
  });

  it("is looked at every millisecond, and counts it, when the event loop cannot watch it", () => {
    const loop = new VirtualLoop();
    loop.isDeaf = true;
    const { kernel, received, socket } = open({}, loop);
    kernel.receives.push([one(1)], EAGAIN, [one(2)]);
    loop.advance(3);
    expect(seeds(received)).toEqual([1, 2]);
    expect(socket.stats().timerPolls).toBe(3);
    void socket.close();
    loop.advance(10);
    expect([kernel.receiveCalls, loop.delays]).toEqual([3, []]);
  });

  it("counts what the kernel dropped, also after the close", async () => {
    const { kernel, loop, socket } = open();
    kernel.drops = 12;
    expect(socket.stats().kernelDrops).toBe(12);
    kernel.drops = 15;
    const closing = socket.close();
    loop.turn();
    await closing;
    kernel.drops = 99;
    expect(socket.stats().kernelDrops).toBe(15);
  });

  it("counts datagrams per call when told to at the bind", () => {
    const { kernel, loop, socket } = open({ measureBatches: true });
    kernel.receives.push(
      [one(1)],
      EAGAIN,
      [one(1), one(2), one(3)],
      [{ bytes: pattern(6_400, 1), segment: 100 }],
    );
    for (let i = 0; i < 4; i++) loop.ring();
    expect(socket.stats().receiveBatches).toEqual({
      calls: 3,
      datagrams: 68,
      largest: 64,
      histogram: [1, 1, 0, 0, 0, 0, 1],
    });
    expect(open().socket.stats().receiveBatches).toBeUndefined();
  });

  it("has buckets for 1, 2, 4, 8, 16, 32 and 64 datagrams and more", () => {
    const counts = [1, 2, 3, 4, 7, 8, 31, 32, 63, 64, 1_024];
    expect(counts.map(bucketOf)).toEqual([0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6]);
  });

  it("keeps the process alive only when told to", () => {
    const { loop, socket } = open();
    socket.unref();
    expect(loop.isRef).toBe(false);
    socket.ref();
    expect(loop.isRef).toBe(true);
  });
});
