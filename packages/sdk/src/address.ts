import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { SocketAddress } from "@netmesh/wire";
import { InvalidArgumentError, TransportError, toNetError } from "./errors.ts";

/** An address: `"host:port"`, `"[v6]:port"`, or its parts. Host names are looked up. */
export type Address = string | { readonly host: string; readonly port: number };

/** The socket address of an address, its host name looked up. Throws `invalid-address`, `unknown-host`. */
export async function resolveAddress(address: Address): Promise<SocketAddress> {
  try {
    const { host, port } = typeof address === "string" ? splitAddress(address) : address;
    if (isIP(host) !== 0 || host.includes(":")) return SocketAddress.parse({ host, port });
    let found: { address: string };
    try {
      found = await lookup(host);
    } catch (cause) {
      throw new TransportError("unknown-host", `${host} has no address`, { cause });
    }
    return SocketAddress.parse({ host: found.address, port });
  } catch (error) {
    throw toNetError(error);
  }
}

function splitAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  if (match === null) {
    throw new InvalidArgumentError("invalid-address", `${JSON.stringify(address)} is not "host:port"`);
  }
  return { host: (match[1] ?? match[2]) as string, port: Number(match[3]) };
}
