import { arch, cpus, platform, release } from "node:os";
import type { Limits, MeasurementKey, Observation, PerSide, Run } from "./measurements/measurement.ts";
import { inC } from "./measurements/transport.ts";
import { median } from "./statistics.ts";

/** The result file; the README describes it field by field. */
export interface Report {
  readonly schema: 1;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  readonly limits: Limits;
  readonly measurements: readonly Measurement[];
}

export interface Machine {
  readonly node: string;
  readonly cpuModel: string;
  readonly cores: number;
  readonly platform: string;
}

/** All runs of one measurement. */
export interface Measurement extends MeasurementKey {
  /** The value of each run, in order; null for a run that failed. */
  readonly runs: readonly (number | null)[];
  /** Null when every run failed. */
  readonly median: number | null;
  readonly loss: number | null;
  readonly cpuMicrosecondsPerEvent: PerSide;
  readonly peakRssBytes: PerSide;
  readonly eventsPerPacket: number | null;
  /** Value divided by that rival's value in the same run, median of the runs; null without such a rival. */
  readonly ratios: {
    readonly dgram: number | null;
    readonly tls: number | null;
    readonly noble: number | null;
    /** The C program with the same system calls. */
    readonly c: number | null;
  };
  /** Why runs failed. */
  readonly errors: readonly string[];
}

/** The runs of one measurement. */
export interface MeasurementRuns {
  readonly key: MeasurementKey;
  readonly runs: readonly Run[];
}

/** The machine and the runtime at hand. */
export function thisMachine(): Machine {
  const processors = cpus();
  return {
    node: process.version,
    cpuModel: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    platform: `${platform()} ${release()} ${arch()}`,
  };
}

/** Sums the runs up. */
export function summarise(records: readonly MeasurementRuns[]): Measurement[] {
  return records.map(({ key, runs }) => {
    const found = runs.filter((run) => "value" in run);
    const ratioTo = (rival: string | undefined) => {
      const other = records.find(
        (record) =>
          record.key.rival === rival &&
          record.key.name === key.name &&
          record.key.payloadBytes === key.payloadBytes,
      );
      return middle(runs.map((run, index) => ratio(run, other?.runs[index])));
    };
    const side = (pick: (observation: Observation) => PerSide, sum: typeof middle): PerSide => ({
      sender: sum(found.map((observation) => pick(observation).sender)),
      receiver: sum(found.map((observation) => pick(observation).receiver)),
      relay: sum(found.map((observation) => pick(observation).relay)),
    });
    return {
      ...key,
      runs: runs.map((run) => ("value" in run ? run.value : null)),
      median: middle(found.map(({ value }) => value)),
      loss: middle(found.map(({ loss }) => loss)),
      cpuMicrosecondsPerEvent: side((observation) => observation.cpuMicrosecondsPerEvent, middle),
      peakRssBytes: side((observation) => observation.peakRssBytes, largest),
      eventsPerPacket: middle(found.map(({ eventsPerPacket }) => eventsPerPacket)),
      ratios: {
        dgram: ratioTo("dgram"),
        tls: ratioTo("tls"),
        noble: ratioTo("noble"),
        c: ratioTo(inC(key)),
      },
      errors: runs.flatMap((run) => ("error" in run ? [run.error] : [])),
    };
  });
}

function ratio(run: Run, other: Run | undefined): number | null {
  if (other === undefined || !("value" in run && "value" in other) || other.value === 0) return null;
  return run.value / other.value;
}

function present(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function middle(values: readonly (number | null)[]): number | null {
  return median(present(values)) ?? null;
}

function largest(values: readonly (number | null)[]): number | null {
  const numbers = present(values);
  return numbers.length === 0 ? null : Math.max(...numbers);
}
