import { parseArgs } from "node:util";
import { JOBS, unknownName } from "./measurements/catalogue.ts";
import type { Limits } from "./measurements/measurement.ts";

const DEFAULT_LIMITS: Limits = { runs: 3, seconds: 1, warmUpSeconds: 0.5, handshakes: 40 };
/** Enough to see that everything works, too little to compare. */
const QUICK_LIMITS: Limits = { runs: 1, seconds: 0.1, warmUpSeconds: 0, handshakes: 4 };
/** What a quick run measures unless told otherwise: something of each kind. */
const QUICK_NAMES: readonly string[] = ["throughput", "round-trip:64", "handshake", "relay:1024"];

export const USAGE: string = `pnpm bench [options]

  --quick          one short run of something of each kind, under 20 seconds
  --runs N         runs of each measurement, of which the median is taken, 1 to 99 (default ${DEFAULT_LIMITS.runs})
  --seconds S      duration of one measurement, 0.05 to 60 (default ${DEFAULT_LIMITS.seconds})
  --only A,B       only these measurements, by their names or what the names begin with up to a colon
  --json FILE      where to write the results (default apps/bench/results/bench-results.json)
  --list           prints the names
  --help

Names: ${[...new Set(JOBS.map(({ id }) => id.split(":")[0]))].join(", ")}; more exactly: throughput:64, throughput:64:tls
`;

/** What the command line asks for. */
export interface Settings {
  readonly limits: Limits;
  /** Names for `selectJobs`; empty for all. */
  readonly only: readonly string[];
  /** Undefined for the default. */
  readonly jsonPath: string | undefined;
}

/** A mistake on the command line. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** Reads the command line. Throws {@link UsageError}. */
export function readSettings(args: readonly string[]): Settings | "help" | "list" {
  const { quick, runs, seconds, only, json, list, help } = parse(args);
  if (help === true) return "help";
  if (list === true) return "list";
  const limits = quick === true ? QUICK_LIMITS : DEFAULT_LIMITS;
  const byDefault = quick === true ? QUICK_NAMES : [];
  const names = only === undefined ? byDefault : only.split(",").map((name) => name.trim());
  const unknown = unknownName(names);
  if (unknown !== undefined)
    throw new UsageError(`--only: there is no ${JSON.stringify(unknown)}; see --list`);
  return {
    limits: {
      ...limits,
      runs: within("--runs", runs, limits.runs, 1, 99, Number.isInteger),
      seconds: within("--seconds", seconds, limits.seconds, 0.05, 60, Number.isFinite),
    },
    only: names,
    jsonPath: json,
  };
}

function within(
  option: string,
  text: string | undefined,
  byDefault: number,
  min: number,
  max: number,
  isValid: (value: number) => boolean,
): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (isValid(value) && value >= min && value <= max) return value;
  throw new UsageError(`${option} must be from ${min} to ${max}`);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean" },
        runs: { type: "string" },
        seconds: { type: "string" },
        only: { type: "string" },
        json: { type: "string" },
        list: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
