import type { Report } from "../report.ts";

/** x */
export function drawPlots(_report: Report): Map<string, string> {
  return new Map();
}
