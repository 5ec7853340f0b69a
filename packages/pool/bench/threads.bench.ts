/**
 * What more threads bring: each case seals the same packets, so the ratios are those of the throughput. Compare the
 * workers with each other: the test runner rewrites the modules of its own thread, which slows that one down.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { PACKET_OVERHEAD } from "@netmesh/wire";
import { afterAll, bench, describe } from "vitest";
import { PacketBuilder, packetFields, SealingKey, SealingShare } from "../src/index.ts";
import { EVENT_SIZE } from "./sealing-thread.ts";

/** Packets a round: enough to make a message to a thread cheap. */
const PACKETS = 4_000;
const key = new Uint8Array(32).fill(7);

async function startThreads(count: number): Promise<Worker[]> {
  const share = new SealingShare(key, 1n, { workers: count });
  const workers = Array.from(
    { length: count },
    () => new Worker(new URL("./sealing-thread.ts", import.meta.url)),
  );
  for (const worker of workers) share.grantTo(worker);
  await Promise.all(workers.map((worker) => once(worker, "message")));
  return workers;
}

const one = await startThreads(1);
const two = await startThreads(2);
afterAll(async () => {
  await Promise.all([...one, ...two].map((worker) => worker.terminate()));
});

async function seal(workers: readonly Worker[]): Promise<void> {
  for (const worker of workers) worker.postMessage(PACKETS / workers.length);
  await Promise.all(workers.map((worker) => once(worker, "message")));
}

describe(`sealing ${PACKETS} packets of ${EVENT_SIZE} bytes`, () => {
  const builder = new PacketBuilder(new SealingKey(key, 1n));
  const fields = packetFields();
  const events = [new Uint8Array(EVENT_SIZE)];
  const target = new Uint8Array(PACKET_OVERHEAD + 4 + EVENT_SIZE);
  bench("in this thread", () => {
    for (let i = 0; i < PACKETS; i++) builder.buildInto(target, 0, fields, events, 0, 1);
  });
  bench("in one worker", () => seal(one));
  bench("in two workers", () => seal(two));
});
