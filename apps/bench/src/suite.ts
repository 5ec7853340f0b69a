import type { Job, Limits, Run } from "./measurements/measurement.ts";
import type { MeasurementRuns } from "./report.ts";

/**
 * Runs every job, then all of them again until there are enough runs: what is compared is measured close together. A
 * job that fails leaves its error with each of its measurements.
 */
export async function runSuite(
  jobs: readonly Job[],
  limits: Limits,
  progress: (text: string) => void,
): Promise<MeasurementRuns[]> {
  const records = jobs.map(({ keys }) => keys.map((key) => ({ key, runs: [] as Run[] })));
  for (let run = 1; run <= limits.runs; run++) {
    for (const [index, job] of jobs.entries()) {
      progress(`run ${run} of ${limits.runs}: ${job.id}`);
      const found = await attempt(job, limits);
      for (const [place, { runs }] of (records[index] ?? []).entries()) runs.push(found[place] as Run);
    }
  }
  return records.flat();
}

async function attempt(job: Job, limits: Limits): Promise<readonly Run[]> {
  try {
    return await job.run(limits);
  } catch (error) {
    const { message } = error as Error;
    return job.keys.map(() => ({ error: message }));
  }
}
