import { SocketAddress } from "@netmesh/wire";
import type { PortMappingCounters } from "./counters.ts";
import { parseIpv4 } from "./ipv4.ts";
import { PortMappingError } from "./port-mapping-error.ts";

/** First address and prefix length of the networks that nobody outside can reach (traversal §15.6, RFC 6890). */
const UNREACHABLE: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

/** Whether an IPv4 address can be reached from anywhere. */
export function isPublicIpv4(host: string): boolean {
  const value = parseIpv4(host);
  if (value === undefined) return false;
  return !UNREACHABLE.some(([network, length]) => {
    const shift = 32 - length;
    return value >>> shift === (parseIpv4(network) as number) >>> shift;
  });
}

/** Which external addresses a client takes. */
export interface ExternalAddressPolicy {
  /** Also takes addresses that nobody outside can reach; for laboratories. */
  readonly allowPrivate: boolean;
  readonly counters: PortMappingCounters;
}

/**
 * The external address that a router gave, if it is of use. A private one says that there is another NAT behind the router.
 * @throws {PortMappingError} `unavailable`
 */
export function checkedExternal(host: string, port: number, policy: ExternalAddressPolicy): SocketAddress {
  checkExternalHost(host, policy);
  if (port < 1 || port > 0xffff || !Number.isInteger(port)) {
    policy.counters.refusedExternals += 1;
    throw new PortMappingError("unavailable", `external port ${port}`);
  }
  return SocketAddress.parse({ host, port });
}

/** The check of {@link checkedExternal} for the address alone. @throws {PortMappingError} `unavailable` */
export function checkExternalHost(host: string, policy: ExternalAddressPolicy): void {
  const usable = policy.allowPrivate ? (parseIpv4(host) ?? 0) !== 0 : isPublicIpv4(host);
  if (usable) return;
  policy.counters.refusedExternals += 1;
  throw new PortMappingError("unavailable", `external address ${host.slice(0, 64)}`);
}
