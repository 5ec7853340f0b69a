import { floodJobs } from "./flood.ts";
import { handshakeJobs } from "./handshake.ts";
import { healingJobs } from "./healing.ts";
import type { Job } from "./measurement.ts";
import { migrationJobs } from "./migration.ts";
import { packetJobs } from "./packet.ts";
import { pipelineJobs } from "./pipeline.ts";
import { relayJobs } from "./relay.ts";
import { roundTripJobs } from "./round-trip.ts";
import { throughputJobs } from "./throughput.ts";
import { transportJobs } from "./transport.ts";

/** Everything that can be measured, in the order of the report. */
export const JOBS: readonly Job[] = [
  ...throughputJobs,
  ...roundTripJobs,
  ...handshakeJobs,
  ...relayJobs,
  ...healingJobs,
  ...migrationJobs,
  ...floodJobs,
  ...packetJobs,
  ...transportJobs,
  ...pipelineJobs,
];

/** The jobs whose id is one of the names, or begins with one and a colon; none given takes all. */
export function selectJobs(names: readonly string[]): readonly Job[] {
  if (names.length === 0) return JOBS;
  return JOBS.filter(({ id }) => names.some((name) => id === name || id.startsWith(`${name}:`)));
}

/** A name that selects nothing, if there is one. */
export function unknownName(names: readonly string[]): string | undefined {
  return names.find((name) => selectJobs([name]).length === 0);
}
