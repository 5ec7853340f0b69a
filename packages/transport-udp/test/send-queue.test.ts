import { Socket } from "node:dgram";
import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DatagramSocket, PacketSender, type SocketOptions, UdpTransport } from "../src/index.ts";
import { pattern } from "./packets.ts";

type Sent = (error: Error | null, bytes: number) => void;

/** What Node holds back when the kernel pushes back; the loopback never does, so it is played here. */
let queue: { staged: Uint8Array; sent: Sent }[];
let isPushingBack: boolean;

const PEER = SocketAddress.parse("127.0.0.1:9");

beforeEach(() => {
  queue = [];
  isPushingBack = true;
  vi.spyOn(Socket.prototype, "getSendQueueCount").mockImplementation(() => queue.length);
  vi.spyOn(Socket.prototype, "getSendQueueSize").mockImplementation(() =>
    queue.reduce((sum, { staged }) => sum + staged.length, 0),
  );
  vi.spyOn(Socket.prototype, "send").mockImplementation(((
    buffer: Uint8Array,
    offset: number,
    length: number,
    ...rest: unknown[]
  ) => {
    const sent = rest.at(-1) as Sent;
    if (isPushingBack) queue.push({ staged: buffer.subarray(offset, offset + length), sent });
    else process.nextTick(sent, null, length);
  }) as Socket["send"]);
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** The kernel takes the first `count` queued datagrams; returns what it saw. */
function drain(count = queue.length): Uint8Array[] {
  return queue.splice(0, count).map(({ staged, sent }) => {
    const seen = staged.slice();
    sent(null, staged.length);
    return seen;
  });
}

function batchOf(count: number, length = 10): DatagramBatch {
  const batch = new DatagramBatch();
  for (let i = 0; i < count; i++) batch.push(pattern(length, i), PEER);
  return batch;
}

async function transportWith(
  options: SocketOptions,
): Promise<{ transport: UdpTransport; writable: () => number }> {
  const transport = await UdpTransport.bind("127.0.0.1:0", { ...options, mode: "portable" });
  let writable = 0;
  transport.listen({
    receive: () => undefined,
    writable: () => {
      writable += 1;
    },
  });
  return { transport, writable: () => writable };
}

describe("a full send queue", () => {
  it("makes send accept the front of a batch, and says when there is room", async () => {
    const { transport, writable } = await transportWith({ maxQueuedDatagrams: 8 });
    expect(transport.send(batchOf(12))).toBe(8);
    expect(transport.stats().refused).toBe(1);
    expect(transport.send(batchOf(1))).toBe(0);
    drain(3);
    expect(writable()).toBe(0);
    drain(1);
    expect(writable()).toBe(1);
    drain();
    expect(writable()).toBe(1);
    expect(transport.stats().sent).toBe(8);
    await transport.close();
  });

  it("is bounded by bytes as well, but takes one datagram of any size", async () => {
    const { transport, writable } = await transportWith({ maxQueuedBytes: 100 });
    expect(transport.send(batchOf(2, 5000))).toBe(1);
    drain();
    expect(writable()).toBe(1);
    expect(transport.send(batchOf(12, 10))).toBe(10);
    drain(4);
    expect(writable()).toBe(1);
    drain(1);
    expect(writable()).toBe(2);
    await transport.close();
  });

  it("holds copies that later sends do not overwrite, round after round", async () => {
    const { transport } = await transportWith({ maxQueuedDatagrams: 5 });
    for (let round = 0; round < 20; round++) {
      const batch = batchOf(4, 10 + round);
      expect(transport.send(batch)).toBe(4);
      for (let i = 0; i < 4; i++) (batch.bytes[i] as Uint8Array).fill(0xff);
      // One is always left queued, so the ring goes round under pending sends.
      const seen = drain(round % 2 === 0 ? 3 : 5);
      const expected = round % 2 === 0 ? [0, 1, 2] : [3, 0, 1, 2, 3];
      expect(seen.map((bytes) => bytes[0])).toEqual(expected);
    }
    await transport.close();
  });

  it("copies as well when the whole burst is larger than what is kept when idle", async () => {
    const { transport } = await transportWith({ maxQueuedDatagrams: 200 });
    for (let round = 0; round < 3; round++) {
      expect(transport.send(batchOf(150))).toBe(150);
      expect(drain().map((bytes) => bytes[0])).toEqual(Array.from({ length: 150 }, (_, i) => i & 255));
    }
    await transport.close();
  });

  it("says nothing after the close", async () => {
    const { transport, writable } = await transportWith({ maxQueuedDatagrams: 1 });
    expect(transport.send(batchOf(2))).toBe(1);
    await transport.close();
    drain();
    expect(writable()).toBe(0);
  });

  it("does not mind a listener without writable", async () => {
    const transport = await UdpTransport.bind("127.0.0.1:0", { mode: "portable", maxQueuedDatagrams: 1 });
    transport.listen({ receive: () => undefined });
    expect(transport.send(batchOf(2))).toBe(1);
    drain();
    expect(transport.send(batchOf(1))).toBe(1);
    await transport.close();
  });

  it("makes trySendTo report would-block and sendTo wait", async () => {
    const socket = await DatagramSocket.bind("127.0.0.1:0", { maxQueuedDatagrams: 2 });
    socket.trySendTo(pattern(1, 0), PEER);
    socket.trySendTo(pattern(2, 0), PEER);
    expect(() => socket.trySendTo(pattern(3, 0), PEER)).toThrow(
      expect.objectContaining({ code: "would-block" }),
    );
    const waiting = [socket.sendTo(pattern(3, 0), PEER), socket.sendTo(pattern(4, 0), PEER)];
    expect(queue.length).toBe(2);
    drain();
    await expect.poll(() => queue.length, { interval: 1 }).toBe(2);
    drain();
    expect(await Promise.all(waiting)).toEqual([3, 4]);
    await socket.close();
  });

  it("lets a waiting sendTo be cancelled, and fails it when the socket is closed", async () => {
    const socket = await DatagramSocket.bind("127.0.0.1:0", { maxQueuedDatagrams: 1 });
    socket.trySendTo(pattern(1, 0), PEER);
    const cancel = new AbortController();
    const cancelled = socket.sendTo(pattern(1, 0), PEER, { signal: cancel.signal });
    cancel.abort("enough");
    await expect(cancelled).rejects.toBe("enough");
    await expect(socket.sendTo(pattern(1, 0), PEER, { signal: AbortSignal.abort("no") })).rejects.toBe("no");
    const failing = expect(socket.sendTo(pattern(1, 0), PEER)).rejects.toMatchObject({ code: "closed" });
    await socket.close();
    await failing;
  });

  it("makes a batch of packets stop, its count telling where", async () => {
    const socket = await DatagramSocket.bind("127.0.0.1:0", { maxQueuedDatagrams: 3 });
    const packets = Array.from({ length: 5 }, (_, i) => pattern(4, i));
    const sender = new PacketSender(socket);
    expect(sender.sendBatch(packets, PEER)).toBe(3);
    expect(sender.sendBatch(packets, PEER)).toBe(0);
    isPushingBack = false;
    drain();
    expect(sender.sendBatch(packets.slice(3), PEER)).toBe(2);
    await expect.poll(() => socket.stats().sent, { interval: 1 }).toBe(5);
    await socket.close();
  });
});
