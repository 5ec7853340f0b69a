import { SocketAddress } from "@netmesh/wire";
import type { PortMapping } from "../src/index.ts";

/** A mapping as a router would give it. */
export function mappingOf(external = "44.128.1.2:9001", rest: Partial<PortMapping> = {}): PortMapping {
  const address = SocketAddress.parse(external);
  return { external: address, internalPort: 9001, ttlMs: 3_600_000, protocol: "nat-pmp", ...rest };
}
