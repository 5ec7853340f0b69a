import { formatIpv4 } from "../ipv4.ts";

const UP_AND_GATEWAY = 3;

/**
 * The default gateway in the text of `/proc/net/route` (traversal §16.1): the route to everywhere with the lowest metric.
 * Undefined when there is none. Rows that cannot be read are skipped.
 */
export function gatewayInLinuxRoutes(text: string): string | undefined {
  let best: { readonly gateway: string; readonly metric: number } | undefined;
  for (const line of text.split("\n").slice(1)) {
    const [, destination, gatewayHex = "", flags, , , metric, mask] = line.trim().split(/\s+/);
    if (destination !== "00000000" || !/^[0-9a-fA-F]{8}$/.test(gatewayHex)) continue;
    const isFull = mask !== undefined;
    // Destination 0 with another mask is half of the address space, as VPNs install it.
    if (isFull && mask !== "00000000") continue;
    if (isFull && (Number.parseInt(flags ?? "", 16) & UP_AND_GATEWAY) !== UP_AND_GATEWAY) continue;
    const value = Number.parseInt(gatewayHex, 16);
    if (value === 0) continue;
    const cost = isFull ? Number(metric) : 0;
    if (best === undefined || cost < best.metric)
      best = { gateway: formatIpv4(swapped(value)), metric: cost };
  }
  return best?.gateway;
}

/** The table has addresses in the memory order of a little-endian machine. */
function swapped(value: number): number {
  return ((value & 255) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}
