import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { SecurityMode, TransportOptions } from "@netmesh/sdk";
import { KeyError, loadOrCreateKey, parseKey } from "./key-file.ts";

/** A wrong option or variable. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What the command was told, its keys loaded. */
export interface Settings {
  readonly bind: string;
  readonly psk: Uint8Array;
  readonly identitySeed: Uint8Array;
  /** JSON lines instead of a status line. */
  readonly json: boolean;
  readonly audit: boolean;
  /** Whether the router is asked for a port that leads here. */
  readonly portMapping: boolean;
  /** Which sessions the relay itself makes with its peers; those between them are their own business. */
  readonly security: SecurityMode;
  readonly socket: Required<Pick<TransportOptions, "mode" | "offload">>;
  readonly statusMs: number;
  /** Key files that were made just now. */
  readonly created: readonly string[];
}

export const USAGE = `netmesh relay, netmesh-relay: forwards packets between nodes that it cannot read

  --bind ADDRESS           address to listen on        NETMESH_BIND           0.0.0.0:7000
  --psk-file FILE          key of the mesh             NETMESH_PSK_FILE       ~/.netmesh/psk
  --identity-file FILE     identity of this node       NETMESH_IDENTITY_FILE  ~/.netmesh/relay-identity
  --security MODE          prefer, require or interop  NETMESH_SECURITY       prefer
  --socket MODE            auto, batched or portable   NETMESH_SOCKET         auto
  --no-offload             let the kernel neither join nor cut runs of datagrams
  --port-mapping           ask the router for a port that leads here, by PCP, NAT-PMP or UPnP; given back at the end
  --status-seconds N       pause between two statuses  NETMESH_STATUS_SECONDS 1
  --json                   JSON lines, also on a terminal
  --audit                  try every own key on every forwarded packet and count what opens
  --help, --version

Keys are 64 hex digits. NETMESH_PSK and NETMESH_IDENTITY give them without a file. Missing files are created with
random keys, readable by their owner only. Keys are never printed. With --security require, peers without forward
secrecy are refused; interop keeps to the keys of Net 0.27.
`;

type Environment = Readonly<Record<string, string | undefined>>;

/** Reads options before variables before defaults. Throws {@link UsageError} and `KeyError`. */
export function readSettings(
  args: readonly string[],
  env: Environment,
  isTerminal: boolean,
): Settings | "help" | "version" {
  const values = parse(args);
  if (values.help === true) return "help";
  if (values.version === true) return "version";
  const security = securityMode(values.security ?? env["NETMESH_SECURITY"] ?? "prefer");
  const mode = socketMode(values.socket ?? env["NETMESH_SOCKET"] ?? "auto");
  const folder = join(homedir(), ".netmesh");
  const created: string[] = [];
  const key = (name: string, file: string | undefined, text: string | undefined, fallback: string) => {
    if (file === undefined && text !== undefined) return parseKey(text, name);
    const path = file ?? fallback;
    const loaded = loadOrCreateKey(path);
    if (loaded.created) created.push(path);
    return loaded.key;
  };
  const seconds = Number(values["status-seconds"] ?? env["NETMESH_STATUS_SECONDS"] ?? 1);
  if (!(seconds > 0 && seconds <= 86_400)) throw new UsageError("--status-seconds must be from 0 to 86400");
  return {
    bind: values.bind ?? env["NETMESH_BIND"] ?? "0.0.0.0:7000",
    psk: key(
      "NETMESH_PSK",
      values["psk-file"] ?? env["NETMESH_PSK_FILE"],
      env["NETMESH_PSK"],
      join(folder, "psk"),
    ),
    identitySeed: key(
      "NETMESH_IDENTITY",
      values["identity-file"] ?? env["NETMESH_IDENTITY_FILE"],
      env["NETMESH_IDENTITY"],
      join(folder, "relay-identity"),
    ),
    json: values.json === true || !isTerminal,
    audit: values.audit === true,
    portMapping: values["port-mapping"] === true,
    security,
    socket: { mode, offload: values["no-offload"] !== true },
    statusMs: seconds * 1_000,
    created,
  };
}

function securityMode(value: string): SecurityMode {
  if (value !== "prefer" && value !== "require" && value !== "interop") {
    throw new UsageError("--security must be prefer, require or interop");
  }
  return value;
}

function socketMode(value: string): Settings["socket"]["mode"] {
  if (value !== "auto" && value !== "batched" && value !== "portable") {
    throw new UsageError("--socket must be auto, batched or portable");
  }
  return value;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        bind: { type: "string" },
        "psk-file": { type: "string" },
        "identity-file": { type: "string" },
        "status-seconds": { type: "string" },
        security: { type: "string" },
        socket: { type: "string" },
        "no-offload": { type: "boolean" },
        json: { type: "boolean" },
        audit: { type: "boolean" },
        "port-mapping": { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export { KeyError };
