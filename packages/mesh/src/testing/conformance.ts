import { copyBytes, DatagramBatch, SocketAddress } from "@netmesh/wire";
import type { Transport } from "../transport.ts";

/** Two transports that can reach each other. */
export interface TransportPair {
  readonly a: Transport;
  readonly b: Transport;
  /** Resolves when everything sent so far has arrived, or never will. */
  settle(): Promise<void>;
  /** Closes both and whatever they need. */
  close(): Promise<void>;
}

/** What is used of a matcher. */
export interface Expectation {
  toBe(expected: unknown): void;
  toEqual(expected: unknown): void;
}

/** The functions of a test runner: vitest, jest, node:test with an adapter. */
export interface TestFunctions {
  readonly describe: (name: string, define: () => void) => unknown;
  readonly it: (name: string, run: () => Promise<void>) => unknown;
  readonly expect: (actual: unknown) => Expectation;
}

interface Arrival {
  readonly bytes: Uint8Array;
  readonly from: string;
}

/** The discard port, at which nobody listens. */
const NOBODY = SocketAddress.parse("127.0.0.1:9");

/**
 * Tests that every transport passes, on a link that loses nothing. The test functions are arguments, so that any
 * runner will do.
 *
 * @param createPair - makes two transports for each test
 */
export function transportConformance(
  name: string,
  createPair: () => Promise<TransportPair>,
  { describe, it, expect }: TestFunctions,
): void {
  const withPair = async (use: (pair: TransportPair, arrived: Arrival[]) => Promise<void>): Promise<void> => {
    const pair = await createPair();
    const arrived: Arrival[] = [];
    pair.b.listen({
      receive: (batch) => {
        for (let i = 0; i < batch.count; i++) {
          const bytes = batch.bytes[i] as Uint8Array;
          arrived.push({ bytes: copyBytes(bytes), from: (batch.addresses[i] as SocketAddress).key });
          // The bytes are the listener's to overwrite.
          bytes.fill(0);
        }
      },
    });
    pair.a.listen({ receive: () => {} });
    try {
      await use(pair, arrived);
    } finally {
      await pair.close();
    }
  };
  const batchOf = (to: SocketAddress, datagrams: readonly Uint8Array[]): DatagramBatch => {
    const batch = new DatagramBatch();
    for (const bytes of datagrams) batch.push(bytes, to);
    return batch;
  };
  const pattern = (length: number, seed: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = (i * 7 + seed) & 255;
    return bytes;
  };

  describe(`${name} as a transport`, () => {
    it("delivers bytes unchanged, whatever their number", () =>
      withPair(async ({ a, b, settle }, arrived) => {
        const sizes = [0, 1, 1_200, 8_210];
        for (const size of sizes) {
          expect(a.send(batchOf(b.localAddress, [pattern(size, size)]))).toBe(1);
          await settle();
        }
        expect(arrived.map(({ bytes }) => bytes)).toEqual(sizes.map((size) => pattern(size, size)));
      }));

    it("names the sender's address", () =>
      withPair(async ({ a, b, settle }, arrived) => {
        a.send(batchOf(b.localAddress, [pattern(100, 1)]));
        await settle();
        expect(arrived.map(({ from }) => from)).toEqual([a.localAddress.key]);
      }));

    it("takes a batch of many and keeps its order", () =>
      withPair(async ({ a, b, settle }, arrived) => {
        const datagrams = Array.from({ length: 100 }, (_, i) => pattern(300 + i, i));
        for (let sent = 0; sent < datagrams.length; ) {
          sent += a.send(batchOf(b.localAddress, datagrams.slice(sent)));
          await settle();
        }
        expect(arrived.map(({ bytes }) => bytes)).toEqual(datagrams);
      }));

    it("has copied what it was lent when send returns", () =>
      withPair(async ({ a, b, settle }, arrived) => {
        const lent = pattern(1_000, 3);
        a.send(batchOf(b.localAddress, [lent, lent.subarray(0, 10)]));
        lent.fill(255);
        await settle();
        expect(arrived.map(({ bytes }) => bytes)).toEqual([pattern(1_000, 3), pattern(10, 3)]);
      }));

    it("sends one batch to several addresses, and does not mind one where nobody is", () =>
      withPair(async ({ a, b, settle }, arrived) => {
        const batch = new DatagramBatch();
        batch.push(pattern(10, 1), b.localAddress);
        batch.push(pattern(10, 2), NOBODY);
        batch.push(pattern(10, 3), b.localAddress);
        expect(a.send(batch)).toBe(3);
        await settle();
        a.send(batchOf(b.localAddress, [pattern(10, 4)]));
        await settle();
        expect(arrived.map(({ bytes }) => bytes)).toEqual([1, 3, 4].map((seed) => pattern(10, seed)));
      }));

    it("accepts an empty batch", () =>
      withPair(async ({ a, settle }, arrived) => {
        expect(a.send(new DatagramBatch())).toBe(0);
        await settle();
        expect(arrived.length).toBe(0);
      }));

    it("can be closed more than once", () =>
      withPair(async ({ a }) => {
        await a.close();
        await a.close();
      }));

    it("delivers nothing after it was closed", () =>
      withPair(async ({ a, b, settle }, arrived) => {
        const to = b.localAddress;
        await b.close();
        a.send(batchOf(to, [pattern(10, 1)]));
        await settle();
        expect(arrived.length).toBe(0);
      }));
  });
}
