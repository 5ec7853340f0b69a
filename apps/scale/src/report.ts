import type { ExperimentOptions, ExperimentResult } from "./experiment.ts";

/** Version of {@link Report}; raised when a field changes its meaning. */
export const REPORT_SCHEMA = 1;

/** What a run leaves behind. */
export interface Report {
  readonly schema: typeof REPORT_SCHEMA;
  readonly results: readonly ExperimentResult[];
}

/** Reads a report; throws an `Error` for one of another version. */
export function parseReport(text: string): Report {
  const report = JSON.parse(text) as Report;
  if (report.schema !== REPORT_SCHEMA) throw new Error(`a report of schema ${report.schema}`);
  return report;
}

/** The report with a result added, in place of an older one of the same mesh. */
export function withResult(report: Report, result: ExperimentResult): Report {
  const others = report.results.filter((known) => keyOf(known) !== keyOf(result));
  const results = [...others, result].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  return { schema: REPORT_SCHEMA, results };
}

function keyOf({ topology, mode, nodes }: ExperimentOptions): string {
  return `${topology} ${mode} ${String(nodes).padStart(9, "0")}`;
}
