import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { drawPlots } from "./chart/plots.ts";
import { runExperiment } from "./experiment.ts";
import { parseReport, REPORT_SCHEMA, type Report, withResult } from "./report.ts";
import { parseSettings } from "./settings.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const settings = parseSettings(process.argv.slice(2), root);
const collect = (globalThis as { gc?: () => void }).gc;

function memoryInUse(): number | undefined {
  if (collect === undefined) return undefined;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

let report: Report = existsSync(settings.json)
  ? parseReport(readFileSync(settings.json, "utf8"))
  : { schema: REPORT_SCHEMA, results: [] };

mkdirSync(dirname(settings.json), { recursive: true });
mkdirSync(settings.plots, { recursive: true });
for (const nodes of settings.drawOnly ? [] : [...settings.sizes].sort((a, b) => a - b)) {
  for (const topology of settings.topologies) {
    for (const mode of settings.modes) {
      if (mode === "flood" && nodes > settings.floodUpTo) continue;
      if (topology === "stars" && nodes > settings.starsUpTo) continue;
      const { seed } = settings;
      const withFailures = mode === "scoped" && nodes <= settings.failuresUpTo;
      const result = runExperiment({ topology, nodes, mode, seed, withFailures }, memoryInUse);
      report = withResult(report, result);
      writeFileSync(settings.json, `${JSON.stringify(report, undefined, 2)}\n`);
      console.log(JSON.stringify(result));
    }
  }
}
for (const [name, svg] of drawPlots(report)) writeFileSync(`${settings.plots}/${name}.svg`, svg);
