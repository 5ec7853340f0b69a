import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseKey, readKey } from "../key-file.ts";
import { UsageError } from "../settings.ts";
import { type Contact, type LocatedContact, parseContact, parseLocatedContact } from "./contact.ts";

/** What the doctor was told. */
export interface DoctorSettings {
  readonly bind: string;
  /** Undefined without relays and peers, who alone would know it. */
  readonly psk: Uint8Array | undefined;
  readonly relays: readonly LocatedContact[];
  readonly peers: readonly Contact[];
  /** Whether the router is asked for a port. */
  readonly asksRouter: boolean;
  readonly json: boolean;
}

export const DOCTOR_USAGE = `netmesh doctor: finds out how this host is reached, and why a peer is not

  --relay CONTACT          a relay to ask; twice or more to learn the kind of NAT
                                                       NETMESH_RELAYS, separated by spaces
  --peer CONTACT           a node to reach; its @HOST:PORT may be left out; more than once if you like
  --psk-file FILE          key of the mesh             NETMESH_PSK_FILE       ~/.netmesh/psk
  --bind ADDRESS           address to listen on        NETMESH_BIND           0.0.0.0:0
  --no-port-mapping        leaves the router alone
  --json                   one JSON object
  --help, --version

A contact is NODEID:PUBLICKEY@HOST:PORT: what a relay prints as its contact when it starts, and where you reach it.
NETMESH_PSK gives the key without a file. The router is asked for a port, which is given back at once.
Ends with 0 when nothing has failed, with 1 when something has, with 2 for a wrong option.
`;

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads options before variables before defaults. Throws {@link UsageError} and `KeyError`. */
export function readDoctorSettings(
  args: readonly string[],
  env: Environment,
): DoctorSettings | "help" | "version" {
  const values = parse(args);
  if (values.help === true) return "help";
  if (values.version === true) return "version";
  const fromEnv = (env["NETMESH_RELAYS"] ?? "").split(/\s+/).filter((text) => text !== "");
  const relays = (values.relay ?? fromEnv).map((text) => parseLocatedContact(text, "--relay"));
  const peers = (values.peer ?? []).map((text) => parseContact(text, "--peer"));
  return {
    bind: values.bind ?? env["NETMESH_BIND"] ?? "0.0.0.0:0",
    psk: relays.length + peers.length === 0 ? undefined : readPsk(values["psk-file"], env),
    relays,
    peers,
    asksRouter: values["no-port-mapping"] !== true,
    json: values.json === true,
  };
}

function readPsk(option: string | undefined, env: Environment): Uint8Array {
  const file = option ?? env["NETMESH_PSK_FILE"];
  const text = env["NETMESH_PSK"];
  if (file === undefined && text !== undefined) return parseKey(text, "NETMESH_PSK");
  return readKey(file ?? join(homedir(), ".netmesh", "psk"));
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        relay: { type: "string", multiple: true },
        peer: { type: "string", multiple: true },
        "psk-file": { type: "string" },
        bind: { type: "string" },
        "no-port-mapping": { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
