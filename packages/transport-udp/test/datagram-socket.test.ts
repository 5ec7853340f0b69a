import { networkInterfaces } from "node:os";
import { SocketAddress } from "@netmesh/wire";
import { afterEach, describe, expect, it } from "vitest";
import {
  DatagramSocket,
  MAX_QUEUED_DATAGRAMS,
  PacketReceiver,
  PacketSender,
  type SocketOptions,
  testing,
} from "../src/index.ts";
import { packet, pattern } from "./packets.ts";

const open: DatagramSocket[] = [];

async function bind(address = "127.0.0.1:0", options: SocketOptions = testing): Promise<DatagramSocket> {
  const socket = await DatagramSocket.bind(address, options);
  open.push(socket);
  return socket;
}

function coded(code: string): unknown {
  return expect.objectContaining({ name: "TransportError", code });
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close()));
});

const hasIpv6 = Object.values(networkInterfaces()).some((each) =>
  each?.some(({ address }) => address === "::1"),
);

describe("a bound socket", () => {
  it("knows its real port, and another one receives its bytes and its address", async () => {
    const [a, b] = [await bind(), await bind()];
    expect(a.localAddress.port).not.toBe(0);
    expect(await a.sendTo(new TextEncoder().encode("hello"), b.localAddress)).toBe(5);
    const { bytes, source } = await b.recvFrom();
    expect(new TextDecoder().decode(bytes)).toBe("hello");
    expect(source.equals(a.localAddress)).toBe(true);
    expect(a.stats()).toMatchObject({ sent: 1, sentBytes: 5 });
    expect(b.stats()).toMatchObject({ received: 1, receivedBytes: 5 });
  });

  it("binds and round-trips with a request for 64 MiB and reports what it got", async () => {
    const bytes = 64 * 1024 * 1024;
    const socket = await bind("127.0.0.1:0", { receiveBufferBytes: bytes, sendBufferBytes: bytes });
    expect(socket.buffers.receiveBufferBytes).toBeGreaterThan(0);
    await socket.sendTo(pattern(4, 1), socket.localAddress);
    expect((await socket.recvFrom()).bytes).toHaveLength(4);
  });

  it("gets the 256 KiB that tests ask for", async () => {
    const { receiveBufferBytes, sendBufferBytes } = (await bind()).buffers;
    expect(receiveBufferBytes).toBeGreaterThanOrEqual(262_144);
    expect(sendBufferBytes).toBeGreaterThanOrEqual(262_144);
    expect(receiveBufferBytes).toBeLessThanOrEqual(2 * 262_144);
  });

  it("asks for 4 MiB by default", async () => {
    const small = await bind();
    const usual = await bind("127.0.0.1:0", {});
    expect(usual.buffers.receiveBufferBytes).toBeGreaterThanOrEqual(small.buffers.receiveBufferBytes);
  });

  it("refuses addresses and options that make no sense", async () => {
    await expect(DatagramSocket.bind("localhost:1")).rejects.toThrow(coded("invalid-argument"));
    for (const value of [0, -1, 1.5]) {
      await expect(DatagramSocket.bind("127.0.0.1:0", { maxQueuedBytes: value })).rejects.toThrow(
        coded("invalid-argument"),
      );
    }
  });

  it("refuses an address that is not this machine's", async () => {
    await expect(DatagramSocket.bind("192.0.2.1:0")).rejects.toThrow(coded("address-not-available"));
  });

  it("closes more than once and as a disposable", async () => {
    const socket = await bind();
    socket.unref();
    socket.ref();
    await Promise.all([socket.close(), socket.close(), socket[Symbol.asyncDispose]()]);
    await expect(socket.sendTo(new Uint8Array(1), socket.localAddress)).rejects.toThrow(coded("closed"));
    expect(() => socket.trySendTo(new Uint8Array(1), socket.localAddress)).toThrow(coded("closed"));
    await expect(socket.connect("127.0.0.1:9")).rejects.toThrow(coded("closed"));
  });
});

describe("a taken port", () => {
  it("is refused to an exclusive second binder", async () => {
    const { localAddress } = await bind();
    await expect(DatagramSocket.bind(localAddress, testing)).rejects.toThrow(coded("address-in-use"));
  });

  it("goes to the second binder when both reuse the address", async () => {
    const reuse = { ...testing, reuseAddress: true };
    const first = await bind("127.0.0.1:0", reuse);
    const second = await bind(first.localAddress.key, reuse);
    const sender = await bind();
    await sender.sendTo(pattern(3, 0), second.localAddress);
    // Which one gets it is the system's choice (transport §2.3); one of them does.
    const receivers = process.platform === "linux" ? [second] : [first, second];
    const { bytes } = await Promise.any(receivers.map((socket) => socket.recvFrom()));
    expect(bytes).toHaveLength(3);
  });
});

describe("receiving", () => {
  it("gives nothing before, then the datagram, then nothing", async () => {
    const socket = await bind();
    expect(socket.tryRecvFrom()).toBeUndefined();
    await socket.sendTo(pattern(5, 1), socket.localAddress);
    const waiting = socket.recvFrom();
    expect((await waiting).bytes).toHaveLength(5);
    await socket.sendTo(pattern(6, 1), socket.localAddress);
    await expect.poll(() => socket.tryRecvFrom()?.bytes.length, { interval: 1 }).toBe(6);
    expect(socket.tryRecvFrom()).toBeUndefined();
  });

  it("leaves datagrams the caller kept alone when a thousand more arrive", async () => {
    const socket = await bind("127.0.0.1:0", { receiveBufferBytes: 4 << 20 });
    const lengths = [0, 1, 13, 8192, 8210, 65_507];
    const kept: Uint8Array[] = [];
    for (const [seed, length] of lengths.entries()) {
      await socket.sendTo(pattern(length, seed), socket.localAddress);
      kept.push((await socket.recvFrom()).bytes);
    }
    for (let i = 0; i < 1000; i++) {
      await socket.sendTo(pattern(50, i), socket.localAddress);
      await socket.recvFrom();
    }
    for (const [seed, length] of lengths.entries()) {
      expect(Buffer.compare(kept[seed] as Uint8Array, pattern(length, seed))).toBe(0);
    }
  });

  it("gives 32 sockets bound in parallel distinct ports, and all receive", async () => {
    const sockets = await Promise.all(Array.from({ length: 32 }, () => bind()));
    const ports = new Set(sockets.map((socket) => socket.localAddress.port));
    expect([ports.size, ports.has(0)]).toEqual([32, false]);
    const [sender] = sockets as [DatagramSocket];
    for (const [i, socket] of sockets.entries()) sender.trySendTo(Uint8Array.of(i), socket.localAddress);
    const received = await Promise.all(sockets.map(async (socket) => (await socket.recvFrom()).bytes[0]));
    expect(received).toEqual(sockets.map((_, i) => i));
  });

  it("keeps at most 4096 waiting datagrams, drops the newest and counts them", async () => {
    const socket = await bind("127.0.0.1:0", {});
    const total = MAX_QUEUED_DATAGRAMS + 100;
    for (let i = 0; i < total; i++) await socket.sendTo(Uint8Array.of(i & 255, i >> 8), socket.localAddress);
    await expect.poll(() => socket.stats().received, { interval: 1 }).toBe(total);
    expect(socket.stats().queueOverflow).toBe(100);
    for (let i = 0; i < MAX_QUEUED_DATAGRAMS; i++) {
      const [low, high] = (socket.tryRecvFrom()?.bytes ?? []) as unknown as [number, number];
      if (low + high * 256 !== i) expect.fail(`datagram ${i} is ${low + high * 256}`);
    }
    expect(socket.tryRecvFrom()).toBeUndefined();
  });

  it("loses nothing to cancelled waits", async () => {
    const socket = await bind();
    const received: number[] = [];
    for (let i = 0; i < 200; i++) {
      const cancel = new AbortController();
      const waiting = socket.recvFrom({ signal: cancel.signal }).then(
        ({ bytes }) => received.push(bytes[0] as number),
        (reason) => expect(reason).toBe("enough"),
      );
      socket.trySendTo(Uint8Array.of(i), socket.localAddress);
      if (i % 2 === 0) await new Promise(setImmediate);
      cancel.abort("enough");
      await waiting;
    }
    while (received.length < 200) received.push((await socket.recvFrom()).bytes[0] as number);
    expect(received).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  it("does not start waiting on a signal that is aborted already", async () => {
    const socket = await bind();
    await expect(socket.recvFrom({ signal: AbortSignal.abort("no") })).rejects.toBe("no");
  });

  it("hands out what arrived before the close, then fails every time", async () => {
    const socket = await bind();
    await socket.sendTo(pattern(2, 0), socket.localAddress);
    await expect.poll(() => socket.stats().received, { interval: 1 }).toBe(1);
    await socket.close();
    expect((await socket.recvFrom()).bytes).toHaveLength(2);
    for (let i = 0; i < 2; i++) await expect(socket.recvFrom()).rejects.toThrow(coded("connection-reset"));
    expect(() => socket.tryRecvFrom()).toThrow(coded("connection-reset"));
  });

  it("fails receives that wait when the socket is closed", async () => {
    const socket = await bind();
    const { signal } = new AbortController();
    const waiting = [socket.recvFrom(), socket.recvFrom({ signal })];
    const verdicts = Promise.allSettled(waiting);
    await socket.close();
    for (const verdict of await verdicts) {
      expect(verdict).toMatchObject({ status: "rejected", reason: { code: "connection-reset" } });
    }
  });
});

describe("a connected socket", () => {
  it("sends to its peer and receives from it only", async () => {
    const [a, b, stranger] = [await bind(), await bind(), await bind()];
    await a.connect(b.localAddress.key);
    expect(await a.send(pattern(4, 0))).toBe(4);
    const { source } = await b.recvFrom();
    await stranger.sendTo(pattern(9, 0), source);
    await b.sendTo(pattern(5, 0), source);
    expect(await a.recv()).toHaveLength(5);
    expect(await a.sendTo(pattern(6, 0), b.localAddress)).toBe(6);
    await expect(a.sendTo(pattern(1, 0), stranger.localAddress)).rejects.toThrow(coded("invalid-argument"));
    await expect(a.connect(stranger.localAddress)).rejects.toThrow(coded("invalid-argument"));
  });

  it("is needed for send and recv", async () => {
    const socket = await bind();
    await expect(socket.send(pattern(1, 0))).rejects.toThrow(coded("invalid-argument"));
    await expect(socket.recv()).rejects.toThrow(coded("invalid-argument"));
    await expect(socket.connect("127.0.0.1:0")).rejects.toThrow(coded("invalid-argument"));
  });

  it("reports a peer that cannot be connected to", async () => {
    const socket = await bind();
    await expect(socket.connect("[2001:db8::1]:9")).rejects.toThrow(coded("socket"));
  });

  it("goes on receiving after the peer's port was refused", async () => {
    const gone = await bind();
    const peer = gone.localAddress;
    const socket = await bind();
    await socket.connect(peer);
    await gone.close();
    const waiting = socket.recv();
    await socket.send(pattern(1, 0));
    // Either side of the socket may be the one that is told.
    const refusals = (): number =>
      socket.stats().receiveErrors + (socket.stats().sendErrors["ECONNREFUSED"] ?? 0);
    await expect.poll(refusals, { interval: 1 }).toBeGreaterThan(0);
    const back = await bind(peer.key);
    await back.sendTo(pattern(7, 0), socket.localAddress);
    expect(await waiting).toHaveLength(7);
  });
});

describe("sending", () => {
  it("reports what the kernel refuses", async () => {
    const socket = await bind();
    await expect(socket.sendTo(pattern(1, 0), SocketAddress.parse("192.0.2.1:9"))).rejects.toMatchObject({
      code: "socket",
      systemCode: "EINVAL",
    });
    await expect(socket.sendTo(pattern(1, 0), SocketAddress.parse("127.0.0.1:0"))).rejects.toThrow(
      coded("socket"),
    );
    expect(socket.stats().sendErrors).toEqual({ EINVAL: 2 });
  });

  it("refuses what no UDP datagram can hold", async () => {
    const socket = await bind();
    const huge = new Uint8Array(65_508);
    await expect(socket.sendTo(huge, socket.localAddress)).rejects.toThrow(coded("invalid-argument"));
    expect(() => socket.trySendTo(huge, socket.localAddress)).toThrow(coded("invalid-argument"));
    expect(socket.stats().oversize).toBe(2);
  });

  it("sends at once on an idle socket", async () => {
    const socket = await bind();
    expect(socket.trySendTo(pattern(3, 0), socket.localAddress)).toBe(3);
    expect((await socket.recvFrom()).bytes).toHaveLength(3);
  });
});

describe("packet sender and receiver", () => {
  it("carry packets; garbage is nothing, and the next call gets the packet behind it", async () => {
    const [a, b] = [await bind(), await bind()];
    const sender = new PacketSender(a);
    const receiver = new PacketReceiver(b);
    expect(await sender.sendTo(packet(10, 26), b.localAddress)).toBe(94);
    const parsed = await receiver.recvParsed();
    expect([parsed?.isValidLength, parsed?.source.key]).toEqual([true, a.localAddress.key]);
    sender.trySendTo(pattern(80, 3), b.localAddress);
    sender.trySendTo(packet(0, 16), b.localAddress);
    expect(await receiver.recvParsed()).toBeUndefined();
    expect((await receiver.recvParsed())?.payload).toHaveLength(16);
    expect(receiver.invalidPackets).toBe(1);
    sender.trySendTo(pattern(3, 0), b.localAddress);
    expect((await receiver.recv()).bytes).toHaveLength(3);
    await a.connect(b.localAddress);
    expect(await sender.send(packet(1, 17))).toBe(85);
  });

  it("send batches of any length in order, and none for none", async () => {
    const [a, b] = [await bind(), await bind("127.0.0.1:0", {})];
    const sender = new PacketSender(a);
    expect(sender.sendBatch([], b.localAddress)).toBe(0);
    for (const count of [65, 128, 129]) {
      const packets = Array.from({ length: count }, (_, i) => Uint8Array.of(i));
      expect(sender.sendBatch(packets, b.localAddress)).toBe(count);
      for (let i = 0; i < count; i++) expect((await b.recvFrom()).bytes[0]).toBe(i);
    }
  });

  it("count what a batch got through before an error, and throw an error that comes first", async () => {
    const [a, b] = [await bind(), await bind()];
    const sender = new PacketSender(a);
    const huge = new Uint8Array(65_508);
    expect(sender.sendBatch([pattern(1, 0), huge, pattern(2, 0)], b.localAddress)).toBe(1);
    expect(() => sender.sendBatch([huge], b.localAddress)).toThrow(coded("invalid-argument"));
  });
});

describe.skipIf(!hasIpv6)(`IPv6${hasIpv6 ? "" : " (skipped: this machine has no ::1)"}`, () => {
  it("round-trips on ::1", async () => {
    const [a, b] = [await bind("[::1]:0"), await bind("[::1]:0")];
    await a.sendTo(pattern(8210, 1), b.localAddress);
    const { bytes, source } = await b.recvFrom();
    expect([bytes.length, source.key]).toEqual([8210, a.localAddress.key]);
  });

  it("shows IPv4 peers as IPv4 and answers them", async () => {
    const [dual, plain] = [await bind("[::]:0"), await bind()];
    const target = SocketAddress.parse({ host: "127.0.0.1", port: dual.localAddress.port });
    await plain.sendTo(pattern(4, 0), target);
    const { source } = await dual.recvFrom();
    expect(source.key).toBe(plain.localAddress.key);
    await dual.sendTo(pattern(5, 0), source);
    await dual.sendTo(pattern(6, 0), source);
    expect((await plain.recvFrom()).source.key).toBe(target.key);
    expect((await plain.recvFrom()).bytes).toHaveLength(6);
  });

  it("keeps IPv4 peers out when told to", async () => {
    const [only, plain] = [await bind("[::]:0", { ...testing, ipv6Only: true }), await bind("[::1]:0")];
    await expect(only.sendTo(pattern(1, 0), SocketAddress.parse("127.0.0.1:9"))).rejects.toThrow(
      coded("socket"),
    );
    await plain.sendTo(pattern(2, 0), SocketAddress.parse(`[::1]:${only.localAddress.port}`));
    expect((await only.recvFrom()).bytes).toHaveLength(2);
  });
});
