import { startRelay } from "./relay.ts";
import { JsonReporter, TerminalReporter } from "./reporter.ts";
import { readSettings, USAGE } from "./settings.ts";

/** The command `netmesh relay`, also known as `netmesh-relay`: runs until a signal ends it. */
export async function relayCommand(
  args: readonly string[],
  stdout: NodeJS.WriteStream,
  version: string,
): Promise<void> {
  const settings = readSettings(args, process.env, stdout.isTTY === true);
  if (settings === "help" || settings === "version") {
    stdout.write(settings === "help" ? USAGE : `${version}\n`);
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
