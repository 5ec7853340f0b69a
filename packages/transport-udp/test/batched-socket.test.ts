import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { afterEach, describe, expect, it } from "vitest";
import { testing, UdpTransport } from "../src/index.ts";
import { batchedModes, loopbacks, modes } from "./modes.ts";
import { pattern } from "./packets.ts";

const open: UdpTransport[] = [];

async function bind(
  address: string,
  options: Parameters<typeof UdpTransport.bind>[1],
): Promise<UdpTransport> {
  const transport = await UdpTransport.bind(address, options);
  open.push(transport);
  return transport;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((transport) => transport.close()));
});

/** Deterministic numbers in `[0, 1)`. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sends all of the batch, waiting where the socket is full. */
async function sendAll(from: UdpTransport, batch: DatagramBatch): Promise<void> {
  for (let sent = 0; sent < batch.count; ) {
    const left = new DatagramBatch();
    for (let i = sent; i < batch.count; i++) {
      left.push(batch.bytes[i] as Uint8Array, batch.addresses[i] as SocketAddress);
    }
    sent += from.send(left);
    await nextTurn();
  }
}

describe("the choice of socket", () => {
  it("is reported", async () => {
    for (const { options } of modes) {
      const { mode, fallback } = (await bind("127.0.0.1:0", { ...testing, ...options })).stats();
      expect([mode, fallback]).toEqual([options.mode, undefined]);
    }
    const { mode } = (await bind("127.0.0.1:0", testing)).stats();
    expect(mode).toBe(batchedModes.length > 0 ? "batched" : "portable");
  });

  it("is one of three", async () => {
    await expect(UdpTransport.bind("127.0.0.1:0", { mode: "fast" as "batched" })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});

describe("the same datagrams", () => {
  it.each(loopbacks)(
    "arrive alike through every kind of socket on %s, in order for each peer",
    async (local) => {
      const outcomes: string[][][] = [];
      for (const { options } of modes) {
        const random = seeded(7);
        const sender = await bind(local, { ...options });
        const receivers = await Promise.all([0, 1, 2].map(() => bind(local, { ...options })));
        const arrived = receivers.map((receiver) => {
          const seen: string[] = [];
          receiver.listen({
            receive: (batch) => {
              for (let i = 0; i < batch.count; i++) {
                const bytes = batch.bytes[i] as Uint8Array;
                expect(batch.addresses[i]?.key).toBe(sender.localAddress.key);
                seen.push(`${bytes.length}:${Buffer.from(bytes).toString("base64")}`);
              }
            },
          });
          return seen;
        });
        sender.listen({ receive: () => undefined });
        const arena = pattern(100_000, 3);
        let total = 0;
        for (let round = 0; round < 40; round++) {
          const batch = new DatagramBatch();
          const count = 1 + Math.floor(random() * 100);
          while (batch.count < count) {
            const to = receivers[Math.floor(random() * 3)] as UdpTransport;
            const size = [0, 1, 13, 84, 1_200, 1_200, 1_452, 8_210][Math.floor(random() * 8)] as number;
            const run = Math.min(count - batch.count, 1 + Math.floor(random() * 20));
            for (let i = 0; i < run; i++) {
              const last = i === run - 1 ? Math.floor(size * random()) : size;
              const bytes =
                random() < 0.5 ? pattern(last, round + i) : arena.subarray(round * i, round * i + last);
              batch.push(bytes, to.localAddress);
            }
          }
          total += batch.count;
          await sendAll(sender, batch);
          await expect
            .poll(() => arrived.reduce((sum, { length }) => sum + length, 0), { interval: 1 })
            .toBe(total);
        }
        outcomes.push(arrived);
      }
      const [expected, ...others] = outcomes;
      expect(others.map((each) => JSON.stringify(each) === JSON.stringify(expected))).toEqual(
        others.map(() => true),
      );
    },
  );
});

describe.each(batchedModes)("a $name socket", ({ options }) => {
  it("talks to IPv4 peers over IPv6, under the same names as the portable one", async () => {
    if (loopbacks.length === 1) return;
    const dual = await bind("[::]:0", { ...testing, ...options });
    const plain = await bind("127.0.0.1:0", { ...testing, ...options });
    const sources: string[] = [];
    const note = (batch: DatagramBatch): void => {
      for (let i = 0; i < batch.count; i++) sources.push((batch.addresses[i] as SocketAddress).key);
    };
    dual.listen({
      receive: (batch) => {
        note(batch);
        dual.send(batch);
      },
    });
    plain.listen({ receive: note });
    const batch = new DatagramBatch();
    const to = SocketAddress.parse({ host: "127.0.0.1", port: dual.localAddress.port });
    batch.push(pattern(9, 1), to);
    plain.send(batch);
    await expect.poll(() => sources, { interval: 1 }).toEqual([plain.localAddress.key, to.key]);
  });

  it("keeps IPv4 peers out when told to", async () => {
    if (loopbacks.length === 1) return;
    const only = await bind("[::]:0", { ...testing, ...options, ipv6Only: true });
    const batch = new DatagramBatch();
    batch.push(pattern(9, 1), SocketAddress.parse("127.0.0.1:9"));
    expect(only.send(batch)).toBe(1);
    expect(only.stats()).toMatchObject({ sent: 0, sendErrors: { ENETUNREACH: 1 } });
  });

  it("refuses a taken port, and shares one when told to", async () => {
    const { localAddress } = await bind("127.0.0.1:0", { ...testing, ...options });
    await expect(UdpTransport.bind(localAddress, { ...testing, ...options })).rejects.toMatchObject({
      code: "address-in-use",
    });
    const shared = { ...testing, ...options, reuseAddress: true };
    const first = await bind("127.0.0.1:0", shared);
    expect((await bind(first.localAddress.key, shared)).localAddress.key).toBe(first.localAddress.key);
    await expect(UdpTransport.bind("192.0.2.1:0", options)).rejects.toMatchObject({
      code: "address-not-available",
    });
  });

  it("counts what ICMP reports of a port where nobody is, and goes on", async () => {
    const gone = await bind("127.0.0.1:0", { ...testing, ...options });
    await gone.close();
    const [a, b] = [
      await bind("127.0.0.1:0", { ...testing, ...options }),
      await bind("127.0.0.1:0", { ...testing, ...options }),
    ];
    const batch = new DatagramBatch();
    for (let i = 0; i < 4; i++)
      batch.push(pattern(10 + i, i), i % 2 === 0 ? gone.localAddress : b.localAddress);
    for (let round = 0; round < 20; round++) {
      expect(a.send(batch)).toBe(4);
      await nextTurn();
    }
    await expect.poll(() => b.stats().received, { interval: 1 }).toBe(40);
    await expect.poll(() => a.stats().networkErrors["ECONNREFUSED"], { interval: 1 }).toBeGreaterThan(0);
    b.listen({ receive: (received) => void b.send(received) });
    a.send(batch);
    await expect.poll(() => a.stats().received, { interval: 1 }).toBe(2);
  });

  it("costs drops, which it counts, and no memory when its listener is slow", async () => {
    const [a, b] = [
      await bind("127.0.0.1:0", options),
      await bind("127.0.0.1:0", { ...testing, ...options, measureBatches: true }),
    ];
    const numbers: number[] = [];
    b.listen({
      receive: (batch) => {
        for (let i = 0; i < batch.count; i++) {
          const bytes = batch.bytes[i] as Uint8Array;
          numbers.push(((bytes[0] as number) << 8) | (bytes[1] as number));
        }
      },
    });
    const batch = new DatagramBatch();
    for (let i = 0; i < 5_000; i++) {
      const bytes = new Uint8Array(1_200);
      bytes.set([i >> 8, i & 255]);
      batch.push(bytes, b.localAddress);
    }
    // All in one turn: nobody receives meanwhile.
    expect(a.send(batch)).toBe(5_000);
    await expect.poll(() => b.stats().received, { interval: 1 }).toBeGreaterThan(0);
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    const { received, kernelDrops, receiveBatches } = b.stats();
    expect(kernelDrops).toBeGreaterThan(0);
    expect(received + kernelDrops).toBeLessThanOrEqual(5_000);
    expect(numbers.length).toBe(received);
    expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
    expect(new Set(numbers).size).toBe(received);
    const { calls = 0, datagrams, histogram = [] } = receiveBatches ?? {};
    expect(datagrams).toBe(received);
    expect(histogram.reduce((sum, count) => sum + count, 0)).toBe(calls);
    expect(calls).toBeLessThan(received);
  });

  it("closes at once under a flood", async () => {
    const [a, b] = [await bind("127.0.0.1:0", options), await bind("127.0.0.1:0", options)];
    const batch = new DatagramBatch();
    for (let i = 0; i < 2_000; i++) batch.push(new Uint8Array(256), b.localAddress);
    const closed: unknown[] = [];
    let after = 0;
    b.listen({
      receive: () => {
        if (closed.length > 0) after += 1;
        void b.close();
      },
      closed: (error) => closed.push(error),
    });
    a.send(batch);
    await expect.poll(() => closed, { interval: 1 }).toEqual([undefined]);
    a.send(batch);
    await nextTurn();
    expect(after).toBe(0);
  });

  it("lets a worker thread end while it is open", async () => {
    const worker = new Worker(new URL("./open-worker.ts", import.meta.url), { workerData: options });
    const mode = await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    expect(mode).toBe("batched");
    expect(await worker.terminate()).toBe(1);
  });
});

describe.each(modes)("a closed $name socket", ({ options }) => {
  const isLinux = process.platform === "linux";

  it.skipIf(!isLinux)("leaves no descriptor and no thread behind, a thousand times over", async () => {
    const count = (what: string): number => readdirSync(`/proc/self/${what}`).length;
    const cycle = async (): Promise<void> => {
      const transport = await UdpTransport.bind("127.0.0.1:0", { ...testing, ...options });
      const batch = new DatagramBatch();
      batch.push(pattern(10, 1), transport.localAddress);
      transport.send(batch);
      await transport.close();
    };
    await cycle();
    const before = [count("fd"), count("task")];
    for (let i = 0; i < 1_000; i++) await cycle();
    expect([count("fd"), count("task")]).toEqual(before);
  });
});
