import { DOCTOR_USAGE, type DoctorSettings, readDoctorSettings } from "./doctor-settings.ts";
import { examine } from "./examination.ts";
import type { Finding, Status } from "./finding.ts";

interface Output {
  write(text: string): unknown;
}

const RANKS: readonly Status[] = ["failed", "warning"];

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
    if (!settings.json) out.write(lineOf(finding));
  });
  const diagnosis = diagnose(findings);
  if (settings.json) out.write(`${JSON.stringify(diagnosis)}\n`);
  else out.write(diagnosis.cause === null ? "all is well\n" : `cause: ${diagnosis.cause}\n`);
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

function lineOf({ status, check, summary }: Finding): string {
  return `${status.padEnd(7)}  ${check.padEnd(12)}  ${summary}\n`;
}
