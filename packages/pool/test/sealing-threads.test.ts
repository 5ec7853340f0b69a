/** One key in eight threads: worker threads in Node, Web Workers in a browser. */
import { REPLAY_WINDOW_SIZE } from "@netmesh/crypto";
import { PACKET_OVERHEAD } from "@netmesh/wire";
import { expect, test } from "vitest";
import { grantOpening, type SealingGrant, SealingShare, SharedCounter } from "../src/index.ts";
import { PacketRing, type RingMemory } from "./support/packet-ring.ts";
import type { ReceivingReport } from "./support/receiving-worker.ts";
import type { SealingOrder, SealingReport } from "./support/sealing-worker.ts";
import { Thread } from "./support/thread.ts";
import { pattern } from "./support/vectors.ts";

const THREADS = 8;
/** A browser shares its cores with the test runner and its pages. */
const PACKETS_PER_THREAD = "process" in globalThis ? 125_000 : 12_500;
/** Packets under way between the threads. */
const RING_SLOTS = 64;

const [oldKey, newKey] = [pattern(32, 1), pattern(32, 2)];
const [OLD, NEW] = [7n, 8n];

/** Eight threads that seal into one ring, and one that receives from it. */
class Bench implements AsyncDisposable {
  readonly ring: RingMemory = PacketRing.allocate(RING_SLOTS, PACKET_OVERHEAD);
  readonly deadline: SharedArrayBuffer = new SharedArrayBuffer(4);
  readonly receiver: Thread = new Thread(new URL("./support/receiving-worker.ts", import.meta.url));
  readonly sealers: Thread[] = Array.from(
    { length: THREADS },
    () => new Thread(new URL("./support/sealing-worker.ts", import.meta.url)),
  );

  /** Starts the receiver for these keys. */
  receive(keys: [Uint8Array, bigint][], flowingAfter = 0): void {
    const grants: unknown[] = [];
    for (const [key, sessionId] of keys) {
      const collect = {
        postMessage: (grant: unknown, transfer: ArrayBuffer[]) =>
          grants.push(structuredClone(grant, { transfer })),
      };
      grantOpening(collect, key, sessionId);
    }
    this.receiver.postMessage({ ring: this.ring, threads: THREADS, grants, flowingAfter });
  }

  /** Orders every thread to seal with the key of `share`. */
  seal(share: SealingShare, packets: number, isLast: boolean): void {
    const order = this.#order(packets, isLast);
    this.sealers.forEach((sealer, thread) => {
      share.grantTo(sealer, (grant): SealingOrder => ({ ...order, grant, thread }));
    });
  }

  /** Orders every thread to seal with a grant of these properties until it is refused. */
  exhaust(grant: SealingGrant): void {
    const order = this.#order(Number.POSITIVE_INFINITY, true);
    this.sealers.forEach((sealer, thread) => {
      sealer.postMessage({ ...order, grant, thread } satisfies SealingOrder);
    });
  }

  #order(packets: number, isLast: boolean): Omit<SealingOrder, "grant" | "thread"> {
    const { ring, deadline } = this;
    return { ring, deadline, gate: new SharedArrayBuffer(4), threads: THREADS, packets, isLast };
  }

  reports(): Promise<SealingReport[]> {
    return Promise.all(this.sealers.map((sealer) => sealer.next<SealingReport>()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.receiver, ...this.sealers].map((thread) => thread[Symbol.asyncDispose]()));
  }
}

function sum(reports: readonly SealingReport[]): number {
  return reports.reduce((total, { sealed }) => total + sealed, 0);
}

test(`${THREADS} threads seal ${THREADS * PACKETS_PER_THREAD} packets with one key, and the receiver takes every one`, async () => {
  await using bench = new Bench();
  const share = new SealingShare(oldKey, OLD, { workers: THREADS });
  bench.receive([[oldKey, OLD]]);
  bench.seal(share, PACKETS_PER_THREAD, true);
  const reports = await bench.reports();
  expect(new Set(reports.map(({ outcome, isGrantWiped }) => `${outcome} ${isGrantWiped}`))).toEqual(
    new Set(["done true"]),
  );
  const { worstReordering, ...report } = await bench.receiver.next<ReceivingReport>();
  expect(report).toEqual({
    received: [THREADS * PACKETS_PER_THREAD],
    forged: 0,
    refused: 0,
    repeated: 0,
    misplaced: 0,
  });
  expect(worstReordering).toBeLessThan(REPLAY_WINDOW_SIZE);
  expect(share.holders).toBe(0);
  console.info(
    `${THREADS} threads x ${share.block} counters: at worst ${worstReordering} late of ${REPLAY_WINDOW_SIZE}`,
  );
}, 120_000);

test("a key that is replaced under fire seals nothing more once all threads have let go of it", async () => {
  await using bench = new Bench();
  const old = new SealingShare(oldKey, OLD, { workers: THREADS });
  bench.receive(
    [
      [oldKey, OLD],
      [newKey, NEW],
    ],
    500,
  );
  bench.seal(old, Number.POSITIVE_INFINITY, false);
  expect(await bench.receiver.next()).toBe("flowing");
  expect(old.holders).toBe(THREADS);

  old.retire();
  const before = await bench.reports();
  expect(old.holders).toBe(0);
  new Int32Array(bench.deadline)[0] = 1;
  expect(new Set(before.map(({ outcome }) => outcome))).toEqual(new Set(["stale-generation"]));
  expect(before.map(({ late }) => late)).toEqual(new Array(THREADS).fill(0));
  expect(sum(before)).toBeGreaterThanOrEqual(THREADS * 500);

  bench.seal(new SealingShare(newKey, NEW, { workers: THREADS }), 500, true);
  const after = await bench.reports();
  const report = await bench.receiver.next<ReceivingReport>();
  expect(report.received).toEqual([sum(before), sum(after)]);
  expect(sum(after)).toBe(THREADS * 500);
  expect([report.forged, report.refused, report.repeated, report.misplaced]).toEqual([0, 0, 0, 0]);
}, 120_000);

test("when the counter is used up every thread is refused, and no value was handed out twice before", async () => {
  await using bench = new Bench();
  const left = 10_000n;
  // A shared counter stops 2^32 before the end.
  const counter = SharedCounter.allocate(2n ** 64n - 1n - 2n ** 32n - left);
  bench.receive([[oldKey, OLD]]);
  bench.exhaust({ key: oldKey, sessionId: OLD, counter, generation: 0, block: 1 });
  const reports = await bench.reports();
  expect(new Set(reports.map(({ outcome }) => outcome))).toEqual(new Set(["counter-exhausted"]));
  const report = await bench.receiver.next<ReceivingReport>();
  expect(report.received).toEqual([sum(reports)]);
  expect([report.forged, report.refused, report.repeated]).toEqual([0, 0, 0]);
  // Threads that have looked at the limit at the same time may each take one value beyond.
  expect(sum(reports)).toBeGreaterThanOrEqual(Number(left));
  expect(sum(reports)).toBeLessThan(Number(left) + THREADS);
}, 120_000);
