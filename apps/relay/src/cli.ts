#!/usr/bin/env node
import { run, version } from "./command.ts";
import { relayCommand } from "./relay-command.ts";

await run("netmesh-relay", async () => {
  await relayCommand(process.argv.slice(2), process.stdout, version());
  return 0;
});
