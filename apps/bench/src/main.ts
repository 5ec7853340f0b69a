import { mkdir, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { JOBS, selectJobs } from "./measurements/catalogue.ts";
import { pipelineNote } from "./measurements/pipeline.ts";
import { transportNotes } from "./measurements/transport.ts";
import { type Report, summarise, thisMachine } from "./report.ts";
import { readSettings, type Settings, USAGE, UsageError } from "./settings.ts";
import { runSuite } from "./suite.ts";
import { formatTable } from "./table.ts";

const { stdout, stderr } = process;
const DEFAULT_JSON_PATH = fileURLToPath(new URL("../results/bench-results.json", import.meta.url));

async function measure({ limits, only, jsonPath }: Settings): Promise<void> {
  const startedAt = new Date().toISOString();
  const machine = thisMachine();
  stdout.write(
    `${machine.node}, ${machine.cpuModel}, ${machine.cores} cores, ${machine.platform}\n` +
      `${limits.runs} runs, ${limits.seconds} s each; sender / receiver / relay\n\n`,
  );
  const records = await runSuite(selectJobs(only), limits, (text) => {
    stderr.write(stderr.isTTY === true ? `\r\u001b[K${text}` : `${text}\n`);
  });
  if (stderr.isTTY === true) stderr.write("\r\u001b[K");
  const report: Report = { schema: 1, startedAt, machine, limits, measurements: summarise(records) };
  stdout.write(`${formatTable(report.measurements)}\n`);
  const isCompared = report.measurements.some(({ name }) => name.startsWith("transport-"));
  if (isCompared) for (const note of transportNotes) stdout.write(`${note}\n`);
  const isPipeline = report.measurements.some(({ name }) => name.startsWith("pipeline"));
  if (isPipeline && pipelineNote !== undefined) stdout.write(`${pipelineNote}\n`);

  const path = jsonPath === undefined ? DEFAULT_JSON_PATH : resolve(jsonPath);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(report, undefined, 2)}\n`);
  stdout.write(`\n${path}\n`);
  if (report.measurements.some(({ errors }) => errors.length > 0)) process.exitCode = 1;
}

try {
  const settings = readSettings(process.argv.slice(2));
  if (settings === "help") stdout.write(USAGE);
  else if (settings === "list") stdout.write(`${JOBS.map(({ id }) => id).join("\n")}\n`);
  else await measure(settings);
} catch (error) {
  stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
