import { readFileSync } from "node:fs";
import { NetError } from "@netmesh/sdk";
import { KeyError, UsageError } from "./settings.ts";

/** Version of this package. */
export function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

/** Runs a command; a wrong option ends the process with 2, another error with 1 and one line. */
export async function run(name: string, command: () => Promise<number>): Promise<void> {
  // A reader of the output that goes away stops nothing.
  process.stdout.on("error", () => {});
  try {
    process.exitCode = await command();
  } catch (error) {
    const isExpected = error instanceof UsageError || error instanceof KeyError || error instanceof NetError;
    process.stderr.write(`${name}: ${isExpected ? error.message : String((error as Error).stack)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
