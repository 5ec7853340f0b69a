import type { Rival, RivalName } from "./rival.ts";

/** Loads a rival, and nothing of the others: a worker's memory is that of what it runs. */
export async function loadRival(name: RivalName): Promise<Rival> {
  switch (name) {
    case "netmesh-reliable":
      return new (await import("./netmesh.ts")).Netmesh("reliable");
    case "netmesh-fire-and-forget":
      return new (await import("./netmesh.ts")).Netmesh("fire-and-forget");
    case "dgram":
      return new (await import("./dgram.ts")).Dgram();
    case "tls":
      return new (await import("./tls.ts")).Tls();
  }
}
