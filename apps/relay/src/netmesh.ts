#!/usr/bin/env node
import { run, version } from "./command.ts";
import { doctorCommand } from "./doctor/doctor.ts";
import { relayCommand } from "./relay-command.ts";
import { UsageError } from "./settings.ts";

const USAGE = `netmesh COMMAND: runs and examines nodes of a mesh

  relay    forwards packets between nodes that it cannot read; also installed as netmesh-relay
  doctor   finds out how this host is reached, and why a peer is not

  --help, --version        COMMAND --help tells more
`;

await run("netmesh", async () => {
  const [command, ...args] = process.argv.slice(2);
  switch (command) {
    case "relay":
      await relayCommand(args, process.stdout, version());
      return 0;
    case "doctor":
      return await doctorCommand(args, process.stdout, version());
    case "--help":
    case "-h":
      process.stdout.write(USAGE);
      return 0;
    case "--version":
      process.stdout.write(`${version()}\n`);
      return 0;
    default:
      throw new UsageError(
        `${command === undefined ? "a command is needed" : `no command '${command}'`}\n\n${USAGE}`,
      );
  }
});
