import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { afterEach, describe, expect, it } from "vitest";
import { testing, UdpTransport } from "../src/index.ts";
import { modes } from "./modes.ts";
import { pattern } from "./packets.ts";

const open: UdpTransport[] = [];

function batchOf(peer: SocketAddress, ...datagrams: Uint8Array[]): DatagramBatch {
  const batch = new DatagramBatch();
  for (const bytes of datagrams) batch.push(bytes, peer);
  return batch;
}

/** Collects copies of what arrives; resolves at the `count`-th. */
function collect(transport: UdpTransport, count: number): Promise<{ bytes: Uint8Array; source: string }[]> {
  return new Promise((resolve) => {
    const received: { bytes: Uint8Array; source: string }[] = [];
    transport.listen({
      receive: (batch) => {
        for (let i = 0; i < batch.count; i++) {
          const source = (batch.addresses[i] as SocketAddress).key;
          received.push({ bytes: Uint8Array.from(batch.bytes[i] as Uint8Array), source });
        }
        if (received.length >= count) resolve(received);
      },
    });
  });
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((transport) => transport.close()));
});

describe.each(modes)("a $name UdpTransport", ({ options }) => {
  async function bind(): Promise<UdpTransport> {
    const transport = await UdpTransport.bind("127.0.0.1:0", { ...testing, ...options });
    open.push(transport);
    return transport;
  }

  it("opens another socket beside it, at the same host with a port of its own", async () => {
    const [a, b] = [await bind(), await bind()];
    const side = await a.openBeside();
    open.push(side);
    expect(side.localAddress.host).toBe(a.localAddress.host);
    expect(side.localAddress.port).not.toBe(a.localAddress.port);
    const received = collect(b, 1);
    side.send(batchOf(b.localAddress, pattern(14, 1)));
    expect((await received)[0]?.source).toBe(side.localAddress.key);
  });

  it("delivers a batch in order, with the sender's address", async () => {
    const [a, b] = [await bind(), await bind()];
    const arrived = collect(b, 64);
    const datagrams = Array.from({ length: 64 }, (_, i) => pattern(i * 20, i));
    expect(a.send(batchOf(b.localAddress, ...datagrams))).toBe(64);
    const received = await arrived;
    expect(received.map(({ bytes }) => bytes)).toEqual(datagrams);
    expect(new Set(received.map(({ source }) => source))).toEqual(new Set([a.localAddress.key]));
    await expect.poll(() => a.stats().sent, { interval: 1 }).toBe(64);
    expect(a.stats().sentBytes).toBe(b.stats().receivedBytes);
  });

  it("gives the caller its bytes back when send returns", async () => {
    const [a, b] = [await bind(), await bind()];
    const arrived = collect(b, 3);
    const scratch = new Uint8Array(100);
    for (let i = 1; i <= 3; i++) {
      a.send(batchOf(b.localAddress, scratch.fill(i)));
      scratch.fill(0xff);
    }
    expect((await arrived).map(({ bytes }) => bytes[50])).toEqual([1, 2, 3]);
  });

  it("answers a source it received from", async () => {
    const [a, b] = [await bind(), await bind()];
    const answered = collect(a, 1);
    b.listen({ receive: (batch) => void b.send(batch) });
    a.send(batchOf(b.localAddress, pattern(8210, 5)));
    expect((await answered)[0]).toEqual({ bytes: pattern(8210, 5), source: b.localAddress.key });
  });

  it("counts errors by code and lets the rest of the batch through", async () => {
    const [a, b] = [await bind(), await bind()];
    const arrived = collect(b, 1);
    const batch = new DatagramBatch();
    batch.push(pattern(1, 0), SocketAddress.parse("[::1]:9"));
    batch.push(pattern(1, 0), SocketAddress.parse("127.0.0.1:0"));
    batch.push(new Uint8Array(65_508), b.localAddress);
    batch.push(pattern(2, 0), b.localAddress);
    expect(a.send(batch)).toBe(4);
    expect((await arrived)[0]?.bytes).toHaveLength(2);
    await expect.poll(() => a.stats().sent, { interval: 1 }).toBe(1);
    expect(a.stats()).toMatchObject({ sendErrors: { EINVAL: 2 }, oversize: 1, refused: 0 });
  });

  it("takes one listener", async () => {
    const transport = await bind();
    transport.listen({ receive: () => undefined });
    expect(() => transport.listen({ receive: () => undefined })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });

  it("counts what arrives before anybody listens", async () => {
    const [a, b] = [await bind(), await bind()];
    a.send(batchOf(b.localAddress, pattern(5, 0)));
    await expect.poll(() => b.stats().received, { interval: 1 }).toBe(1);
  });

  it("says that it closed, once, and sends nothing afterwards", async () => {
    const transport = await bind();
    let closed = 0;
    transport.listen({
      receive: () => undefined,
      closed: () => {
        closed += 1;
      },
    });
    transport.unref();
    transport.ref();
    await Promise.all([transport.close(), transport.close(), transport[Symbol.asyncDispose]()]);
    expect(closed).toBe(1);
    expect(transport.send(batchOf(SocketAddress.parse("127.0.0.1:9"), pattern(1, 0)))).toBe(0);
    expect(transport.stats()).toMatchObject({ sent: 0 });
    expect(transport.buffers.receiveBufferBytes).toBeGreaterThan(0);
  });

  it("closes a listener that does not care", async () => {
    const transport = await bind();
    transport.listen({ receive: () => undefined });
    await transport.close();
    expect(open.length).toBeGreaterThan(0);
  });

  it("survives a flood of garbage", async () => {
    const [a, b] = [await bind(), await bind()];
    let bytes = 0;
    b.listen({
      receive: (batch) => {
        for (let i = 0; i < batch.count; i++) bytes += batch.bytes[i]?.length ?? 0;
      },
    });
    const batch = batchOf(b.localAddress, ...Array.from({ length: 64 }, (_, i) => pattern(256, i)));
    for (let i = 0; i < 100; i++) {
      expect(a.send(batch)).toBe(64);
      await new Promise(setImmediate);
    }
    await expect.poll(() => a.stats().sent, { interval: 1 }).toBe(6400);
    expect(bytes).toBe(b.stats().receivedBytes);
    expect(b.stats().received).toBeGreaterThan(0);
  });
});
