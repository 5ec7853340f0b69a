import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { median, percentile } from "../statistics.ts";
import { type Job, type MeasurementName, NO_SIDE, type Observation } from "./measurement.ts";

const DEMO = new URL("./src/demo.ts", import.meta.resolve("@netmesh/example-migration/package.json"));
const MIB = 1 << 20;
const TIMEOUT_MS = 300_000;
/** Moves that are not counted, so that each of the three processes has been source and target once. */
const WARM_UP_MOVES = 3;

interface Move {
  readonly outcome: string;
  readonly pauseMs: number;
  readonly details: {
    readonly milliseconds: number;
    readonly bytes: number;
    readonly peakRssBytes: number;
  } | null;
}

/** Moves a daemon between three processes, with that load, and tells of each move. */
async function moves(
  stateBytes: number,
  count: number,
  perSecond: number,
  withDeltas: boolean,
): Promise<Move[]> {
  const options = [
    "--json",
    "--no-kill",
    ...(withDeltas ? ["--deltas"] : []),
    ...[
      "--moves",
      String(WARM_UP_MOVES + count),
      "--state-bytes",
      String(stateBytes),
      "--events-per-second",
      String(perSecond),
    ],
  ];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...process.execArgv, fileURLToPath(DEMO), ...options],
    { timeout: TIMEOUT_MS },
  );
  const summary = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as {
    readonly moves: readonly Move[];
  };
  return summary.moves.slice(WARM_UP_MOVES);
}

function migration(stateBytes: number, count: number, perSecond: number, withDeltas = false): Job {
  const key = { payloadBytes: stateBytes, rival: withDeltas ? "with-deltas" : "at-once" } as const;
  const names: readonly (readonly [MeasurementName, "ms" | "MB/s"])[] = [
    ["migration", "ms"],
    ["migration-bytes", "MB/s"],
    ["migration-pause-p50", "ms"],
    ["migration-pause-p99", "ms"],
  ];
  return {
    id: `migration:${stateBytes}${withDeltas ? ":with-deltas" : ""}`,
    keys: names.map(([name, unit]) => ({ name, unit, ...key })),
    async run() {
      const made = await moves(stateBytes, count, perSecond, withDeltas);
      const details = made.map((move) => {
        if (move.details === null) throw new Error("a daemon did not move");
        return move.details;
      });
      const peak = Math.max(...details.map(({ peakRssBytes }) => peakRssBytes));
      const observation = (value: number): Observation => ({
        value,
        loss: 0,
        cpuMicrosecondsPerEvent: NO_SIDE,
        peakRssBytes: { sender: peak, receiver: null, relay: null },
        eventsPerPacket: null,
      });
      const pauses = made.map(({ pauseMs }) => pauseMs);
      return [
        observation(median(details.map(({ milliseconds }) => milliseconds)) as number),
        observation(median(details.map(({ bytes, milliseconds }) => bytes / milliseconds / 1_000)) as number),
        observation(percentile(pauses, 50) as number),
        observation(percentile(pauses, 99) as number),
      ];
    },
  };
}

/** Live migration between processes; the daemon counts its events, and a run fails when one is missing or came twice. */
export const migrationJobs: readonly Job[] = [
  migration(MIB, 30, 10_000),
  migration(100 * MIB, 6, 1_000),
  migration(100 * MIB, 6, 1_000, true),
  migration(1_024 * MIB, 2, 1_000, true),
];
