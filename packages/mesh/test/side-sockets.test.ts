import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { SideSockets, type Transport, type TransportListener } from "../src/index.ts";

const at = (text: string) => SocketAddress.parse(text);
const PEER = at("198.51.100.1:9000");
const OTHER = at("198.51.100.2:9000");

/** A socket that records what it sends. */
class RecordingSocket implements Transport {
  readonly localAddress: SocketAddress = at("10.0.0.1:7000");
  readonly sent: string[] = [];
  readonly beside: RecordingSocket[] = [];
  room: number = Number.POSITIVE_INFINITY;
  refuses = false;
  isOpen = true;
  listener: TransportListener | undefined;

  send(batch: DatagramBatch): number {
    const count = Math.min(batch.count, this.room);
    for (let i = 0; i < count; i++) this.sent.push(`${batch.bytes[i]?.join()}>${batch.addresses[i]?.key}`);
    return count;
  }

  listen(listener: TransportListener): void {
    this.listener = listener;
  }

  close(): Promise<void> {
    this.isOpen = false;
    this.listener?.closed?.();
    return Promise.resolve();
  }

  openBeside(): Promise<Transport> {
    if (this.refuses) return Promise.reject(new Error("no more sockets"));
    const socket = new RecordingSocket();
    this.beside.push(socket);
    return Promise.resolve(socket);
  }

  deliver(byte: number, from: SocketAddress): void {
    this.listener?.receive(batchOf([byte, from]));
  }
}

function batchOf(...datagrams: [number, SocketAddress][]): DatagramBatch {
  const batch = new DatagramBatch();
  for (const [byte, address] of datagrams) batch.push(Uint8Array.of(byte), address);
  return batch;
}

async function probing(count = 3) {
  const main = new RecordingSocket();
  const received: string[] = [];
  const sides = new SideSockets(
    main,
    (batch) => received.push(`${batch.bytes[0]?.join()}<${batch.addresses[0]?.key}`),
    () => undefined,
  );
  sides.probe(1n, PEER, count, Uint8Array.of(5), (bytes) => bytes[0] === 6);
  await Promise.resolve();
  await Promise.resolve();
  return { main, sides, received, sockets: main.beside };
}

describe("further sockets of a node", () => {
  it("send what they are given to the one address", async () => {
    const { sockets, main } = await probing();
    expect(sockets.map(({ sent }) => sent)).toEqual([
      [`5>${PEER.key}`],
      [`5>${PEER.key}`],
      [`5>${PEER.key}`],
    ]);
    expect(main.sent).toEqual([]);
  });

  it("are closed but for the one that is answered, which carries everything to that address", async () => {
    const { sides, sockets, main, received } = await probing();
    sockets[1]?.deliver(6, PEER);
    sides.endProbe(1n);
    expect(sockets.map(({ isOpen }) => isOpen)).toEqual([false, true, false]);
    sockets[1]?.deliver(7, PEER);
    expect(received).toEqual([`6<${PEER.key}`, `7<${PEER.key}`]);
    expect(sides.send(batchOf([1, OTHER], [2, PEER], [3, PEER], [4, OTHER]))).toBe(4);
    expect(main.sent).toEqual([`1>${OTHER.key}`, `4>${OTHER.key}`]);
    expect(sockets[1]?.sent.slice(1)).toEqual([`2>${PEER.key}`, `3>${PEER.key}`]);
  });

  it("take no answer from elsewhere, none that is not awaited, and no second one", async () => {
    const { sides, sockets, received } = await probing();
    sockets[0]?.deliver(6, OTHER);
    sockets[0]?.deliver(9, PEER);
    expect([received.length, sides.isIdle, sides.counters.ignored]).toEqual([0, true, 2]);
    sockets[0]?.deliver(6, PEER);
    sockets[1]?.deliver(6, PEER);
    expect([received.length, sides.counters.kept, sides.counters.ignored]).toEqual([1, 1, 3]);
  });

  it("leave to the caller what a full socket does not take", async () => {
    const { sides, sockets, main } = await probing();
    sockets[0]?.deliver(6, PEER);
    main.room = 1;
    expect(sides.send(batchOf([1, PEER], [2, OTHER], [3, OTHER], [4, PEER]))).toBe(2);
  });

  it("are given back when the peer is gone, when it is looked for anew, and at the end", async () => {
    const { sides, sockets, main } = await probing();
    sockets[0]?.deliver(6, PEER);
    sides.release(1n);
    expect([sides.isIdle, sockets.some(({ isOpen }) => isOpen)]).toEqual([true, false]);
    sides.probe(1n, OTHER, 2, Uint8Array.of(5), () => true);
    sides.probe(1n, PEER, 2, Uint8Array.of(5), () => true);
    await Promise.resolve();
    await Promise.resolve();
    expect(main.beside.filter(({ isOpen }) => isOpen)).toHaveLength(2);
    sides.close();
    expect(main.beside.some(({ isOpen }) => isOpen)).toBe(false);
    expect(sides.probe(1n, PEER, 2, Uint8Array.of(5), () => true)).toBe(false);
  });

  it("are no more than 1024 at once, and fewer where the system refuses", async () => {
    const { sides, main } = await probing(2_000);
    expect(main.beside).toHaveLength(1_024);
    expect(sides.counters).toMatchObject({ opened: 1_024, refused: 976 });
    sides.endProbe(1n);
    main.refuses = true;
    sides.probe(2n, PEER, 1, Uint8Array.of(5), () => true);
    for (let i = 0; i < 4; i++) await Promise.resolve();
    expect(sides.counters.refused).toBe(977);
  });
});
