import type { SocketAddress } from "@netmesh/wire";

/**
 * Whether datagrams may be sent to an address just because somebody else has named it: never to port 0, nowhere, groups,
 * broadcasts, and to this host only when the socket is there, too (traversal §9.4, T9).
 */
export function isPunchTarget(target: SocketAddress, bound: SocketAddress): boolean {
  const { host, port, family } = target;
  if (port === 0) return false;
  if (target.isLoopback) return bound.isLoopback;
  if (family === 6) return host !== "::" && !/^(ff[0-9a-f]{2}|fe[89ab][0-9a-f]):/.test(host);
  const first = Number(host.slice(0, host.indexOf(".")));
  // 0.0.0.0/8 is nowhere, 169.254.0.0/16 is this link, 224.0.0.0/3 are groups, reserved, and the broadcast.
  return first !== 0 && first < 224 && !host.startsWith("169.254.");
}
