import { type Contestant, DGRAM, FIRE_AND_FORGET, RELIABLE, RELIABLE_1200, TLS } from "./contestants.ts";
import { observe, runFlow } from "./flow.ts";
import type { Job } from "./measurement.ts";

/** The largest stands for 8 KiB: a netmesh event has at most 8104 bytes, 8086 through a relay. */
const PAYLOADS: readonly number[] = [64, 1_024, 8_000];

function throughput(payloadBytes: number, contestant: Contestant): Job {
  const { label } = contestant;
  return {
    id: `throughput:${payloadBytes}:${label}`,
    keys: [{ name: "throughput", unit: "events/s", payloadBytes, rival: label }],
    run: async (limits) => [observe(contestant, await runFlow(contestant, payloadBytes, "direct", limits))],
  };
}

/** One-way traffic between two processes, each contestant after the other. */
export const throughputJobs: readonly Job[] = PAYLOADS.flatMap((payloadBytes) =>
  [RELIABLE, RELIABLE_1200, FIRE_AND_FORGET, DGRAM, TLS]
    .filter(({ datagramBytes }) => datagramBytes === undefined || payloadBytes < datagramBytes)
    .map((contestant) => throughput(payloadBytes, contestant)),
);
