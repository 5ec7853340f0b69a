import type { Transport } from "@netmesh/mesh";
import { UdpTransport } from "@netmesh/transport-udp";
import { copyBytes, DatagramBatch, type SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { Mesh } from "../src/index.ts";
import { bytes, openMesh, PSK, text } from "./open-mesh.ts";

const RELIABLE = { streamId: 7n, reliability: "reliable" } as const;

async function connected(options: Parameters<typeof openMesh>[0] = {}): Promise<[Mesh, Mesh]> {
  const a = await openMesh();
  const b = await openMesh(options);
  await a.connect(b.contact);
  return [a, b];
}

/** A transport that hands on what has arrived in one turn as one batch, as `recvmmsg` would. */
async function batching(): Promise<Transport> {
  const udp = await UdpTransport.bind("127.0.0.1:0");
  return {
    localAddress: udp.localAddress,
    send: (batch) => udp.send(batch),
    close: () => udp.close(),
    listen(listener) {
      let waiting: DatagramBatch | undefined;
      udp.listen({
        receive(batch) {
          if (waiting === undefined) {
            waiting = new DatagramBatch();
            setTimeout(() => {
              const all = waiting as DatagramBatch;
              waiting = undefined;
              listener.receive(all);
            }, 5);
          }
          for (let i = 0; i < batch.count; i++) {
            waiting.push(copyBytes(batch.bytes[i] as Uint8Array), batch.addresses[i] as SocketAddress);
          }
        },
      });
    },
  };
}

describe("what a caller may do", () => {
  it("gives up a write that waits behind another, and later writes still wait for that one", async () => {
    const [a, b] = await connected();
    const options = { ...RELIABLE, windowBytes: 4_096 };
    const incoming = b.openStream(a.nodeId, options);
    const out = a.openStream(b.nodeId, options);
    const first = out.write(Array.from({ length: 20 }, (_, i) => new Uint8Array(1_000).fill(i)));
    await expect(out.write(bytes("second"), { timeoutMs: 20 })).rejects.toThrow();
    const third = out.write(bytes("third"));
    const order: number[] = [];
    const reading = (async () => {
      for await (const { data } of incoming) order.push(data.length === 1_000 ? (data[0] as number) : 99);
    })();
    await Promise.all([first, third]);
    await out.end();
    await reading;
    expect(order).toEqual([...Array(20).keys(), 99]);
  });

  it("leaves a loop while an event is awaited, and the event goes to the next loop", async () => {
    const [a, b] = await connected();
    const incoming = b.openStream(a.nodeId, RELIABLE);
    const left = incoming.events();
    const pending = left.next();
    await left.return?.();
    expect((await pending).done).toBe(true);
    const out = a.openStream(b.nodeId, RELIABLE);
    await out.write(bytes("x"));
    await out.end();
    const all: string[] = [];
    for await (const { data } of incoming) all.push(text(data));
    expect(all).toEqual(["x"]);
  });

  it("iterates events() until it overflows, and what arrives then waits for a stream", async () => {
    const [a, b] = await connected();
    const events = b.events({ highWaterMark: 1, overflow: "error" });
    const out = a.openStream(b.nodeId, RELIABLE);
    await out.write([bytes("1"), bytes("2")]);
    await expect.poll(() => events.next().then(({ value }) => value && text(value.data))).toBe("1");
    await out.write([bytes("3"), bytes("4")]);
    await expect.poll(() => b.stats().unclaimedEvents + events.dropped).toBe(1);
    await out.write(bytes("5"));
    await out.end();
    const incoming = b.openStream(a.nodeId, RELIABLE);
    const all: string[] = [];
    for await (const { data } of incoming) all.push(text(data));
    expect(all).toContain("5");
  });

  it("wipes its key as soon as open was called", async () => {
    const a = await openMesh();
    const psk = PSK.slice();
    const opening = openMesh({ psk });
    psk.fill(0);
    const b = await opening;
    expect((await a.connect(b.contact, { timeoutMs: 2_000 })).nodeId).toBe(b.nodeId);
  });

  it("opens a stream in a listener when its data and its end arrive in one batch", async () => {
    const [a, b] = await connected({ transport: await batching() });
    const received = new Promise<string[]>((resolve) => {
      b.addEventListener("stream", async ({ peer }) => {
        const all: string[] = [];
        for await (const { data } of b.openStream(peer.nodeId, RELIABLE)) all.push(text(data));
        resolve(all);
      });
    });
    const out = a.openStream(b.nodeId, RELIABLE);
    await out.write(bytes("hello"));
    await out.end();
    expect(await received).toEqual(["hello"]);
  });

  it("answers what came by send, as much as it likes", async () => {
    const [a, b] = await connected();
    const question = b.events().next();
    await a.send(b.nodeId, bytes("?"));
    await question;
    for (let i = 0; i < 200; i++) {
      await b.send(a.nodeId, new Uint8Array(1_000));
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });

  it("opens every announced stream, also while the mesh is shut down", async () => {
    const [a, b] = await connected();
    const late: unknown[] = [];
    b.addEventListener("stream", ({ peer, streamId }) => {
      try {
        b.openStream(peer.nodeId, { streamId, reliability: "reliable" });
      } catch (error) {
        late.push(error);
      }
    });
    const blocked = b.openStream(a.nodeId, { ...RELIABLE, streamId: 9n });
    await blocked.write(bytes("x"));
    a.block(b.localAddress);
    const closing = b.shutdown({ graceMs: 200 });
    await a.openStream(b.nodeId, RELIABLE).write(bytes("x"));
    a.unblock(b.localAddress);
    await a.openStream(b.nodeId, { ...RELIABLE, streamId: 8n }).write(bytes("x"));
    await closing;
    expect(late).toEqual([]);
  });
});
