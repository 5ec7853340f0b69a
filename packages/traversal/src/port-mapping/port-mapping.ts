import type { SocketAddress } from "@netmesh/wire";
import { PortMappingError } from "./port-mapping-error.ts";

/** What made a mapping; PCP reports `"nat-pmp"` (traversal §12.1). */
export type MappingProtocol = "nat-pmp" | "upnp";

/** A UDP port of the router that leads to one of ours. Immutable, compared by value. */
export interface PortMapping {
  /** Under which others reach us. */
  readonly external: SocketAddress;
  /** Our own UDP port, 1..65535. */
  readonly internalPort: number;
  /** The lease granted, in milliseconds. */
  readonly ttlMs: number;
  /** Who made it, and has to renew and remove it. */
  readonly protocol: MappingProtocol;
}

/** Whether two mappings say the same. */
export function sameMapping(a: PortMapping, b: PortMapping): boolean {
  return (
    a.external.equals(b.external) &&
    a.internalPort === b.internalPort &&
    a.ttlMs === b.ttlMs &&
    a.protocol === b.protocol
  );
}

/** What a router tells unasked: it lost its mappings, or has another external address. */
export type GatewayNotice = "restarted" | "address-changed";

/** What every call of a client takes. */
export interface CallOptions {
  /** Ends the call, and what it has on the network, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** One way to get a port of the router (traversal §12.2). Every call is bounded in time by itself. */
export interface PortMapperClient {
  /** Short reachability check, before the first install. @throws {PortMappingError} */
  probe(options?: CallOptions): Promise<void>;
  /**
   * Asks for a mapping of `internalPort` for `ttlMs`. An install that is aborted or times out takes back what it may have left on the router.
   * @throws {PortMappingError}
   */
  install(internalPort: number, ttlMs: number, options?: CallOptions): Promise<PortMapping>;
  /** Extends a mapping; address, port and lease may come back changed. @throws {PortMappingError} */
  renew(mapping: PortMapping, options?: CallOptions): Promise<PortMapping>;
  /** Best effort: never rejects. */
  remove(mapping: PortMapping, options?: CallOptions): Promise<void>;
  /** Listens to what the router tells unasked, until the returned function is called. */
  watch?(onNotice: (notice: GatewayNotice) => void): () => void;
}

/** The lease asked for: one hour (traversal §2.3). */
export const MAPPING_TTL_MS = 3_600_000;

/** Largest lifetime that the protocols can carry, in seconds. */
const MAX_LIFETIME_S = 0xffff_ffff;

/**
 * Whole seconds of a lease, at least 1: a lifetime of 0 would delete.
 * @throws {PortMappingError} `transport` for a port or a lease that makes no sense, before anything is sent.
 */
export function checkedLifetime(internalPort: number, ttlMs: number): number {
  if (!Number.isInteger(internalPort) || internalPort < 1 || internalPort > 0xffff) {
    throw new PortMappingError("transport", `internal port ${internalPort}`);
  }
  if (!(ttlMs > 0)) throw new PortMappingError("transport", `ttl=${ttlMs} would delete the mapping`);
  return Math.min(MAX_LIFETIME_S, Math.max(1, Math.floor(ttlMs / 1000)));
}
