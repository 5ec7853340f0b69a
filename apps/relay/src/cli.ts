#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { NetError } from "@netmesh/sdk";
import { startRelay } from "./relay.ts";
import { JsonReporter, TerminalReporter } from "./reporter.ts";
import { KeyError, readSettings, USAGE, UsageError } from "./settings.ts";

const { stdout, stderr } = process;

// A reader of the output that goes away does not stop the relay.
stdout.on("error", () => {});

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env, stdout.isTTY === true);
  if (settings === "help") {
    stdout.write(USAGE);
    return;
  }
  if (settings === "version") {
    const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
    stdout.write(`${(JSON.parse(manifest) as { version: string }).version}\n`);
    return;
  }
  const reporter = settings.json ? new JsonReporter(stdout) : new TerminalReporter(stdout);
  // Before anything is announced: whoever reads that the relay listens may stop it. A second signal kills.
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, resolve);
  });
  const relay = await startRelay(settings, reporter);
  await relay.stop(await stopped);
}

try {
  await main();
} catch (error) {
  const isExpected = error instanceof UsageError || error instanceof KeyError || error instanceof NetError;
  stderr.write(`netmesh-relay: ${isExpected ? error.message : String((error as Error).stack)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
