import { DOCTOR_USAGE, type DoctorSettings, readDoctorSettings } from "./doctor-settings.ts";
import { examine } from "./examination.ts";
import type { Finding, Status } from "./finding.ts";

interface Output {
  write(text: string): unknown;
}

const RANKS: readonly Status[] = ["failed", "warning"];
const STATUS_WIDTH = "skipped".length;
const CHECK_WIDTH = "port-mapping".length;

/** Everything that was found, as `--json` prints it. */
export interface Diagnosis {
  /** Nothing has failed. */
  readonly ok: boolean;
  /** The worst that was found, in one line; null when all is well. */
  readonly cause: string | null;
  readonly findings: readonly Finding[];
}

/** What findings come to: the first failure, else the first warning, is the cause. */
export function diagnose(findings: readonly Finding[]): Diagnosis {
  const worst = RANKS.map((rank) => findings.find(({ status }) => status === rank)).find(
    (found) => found !== undefined,
  );
  return {
    ok: findings.every(({ status }) => status !== "failed"),
    cause: worst === undefined ? null : (worst.cause ?? worst.summary),
    findings,
  };
}

/** Examines and prints; gives the exit code. */
export async function runDoctor(settings: DoctorSettings, out: Output): Promise<number> {
  const findings: Finding[] = [];
  await examine(settings, (finding) => {
    findings.push(finding);
    if (!settings.json) out.write(linesOf(finding));
  });
  const diagnosis = diagnose(findings);
  if (settings.json) out.write(`${JSON.stringify(diagnosis)}\n`);
  else out.write(verdictOf(diagnosis));
  return diagnosis.ok ? 0 : 1;
}

/** The command `netmesh doctor` with these arguments; gives the exit code. */
export async function doctorCommand(args: readonly string[], out: Output, version: string): Promise<number> {
  const settings = readDoctorSettings(args, process.env);
  if (settings === "help" || settings === "version") {
    out.write(settings === "help" ? DOCTOR_USAGE : `${version}\n`);
    return 0;
  }
  return await runDoctor(settings, out);
}

function verdictOf({ ok, cause }: Diagnosis): string {
  if (cause === null) return "all is well\n";
  return ok ? `works, but could be better: ${cause}\n` : `failed: ${cause}\n`;
}

/** A finding on a line of its own, its cause below it. */
function linesOf({ status, check, summary, cause }: Finding): string {
  const line = `${status.padEnd(STATUS_WIDTH)}  ${check.padEnd(CHECK_WIDTH)}  `;
  const reason = cause === undefined ? "" : `${" ".repeat(line.length)}because ${cause}\n`;
  return `${line}${summary}\n${reason}`;
}
