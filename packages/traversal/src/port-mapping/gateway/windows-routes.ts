import { parseIpv4 } from "../ipv4.ts";

/**
 * The default gateway in what `route.exe print -4 0.0.0.0` prints: the lowest metric among the active routes to everywhere.
 * Only numbers are looked at, since the words are translated (traversal §16.2).
 */
export function gatewayInWindowsRoutes(text: string): string | undefined {
  let best: { readonly gateway: string; readonly metric: number } | undefined;
  for (const line of text.split("\n")) {
    const columns = line.trim().split(/\s+/);
    const [destination, mask, gateway = "", local = "", metric = ""] = columns;
    if (destination !== "0.0.0.0" || mask !== "0.0.0.0" || columns.length !== 5) continue;
    // Persistent routes have no column for the interface, and are in the list of active ones if they are in use.
    if (!parseIpv4(gateway) || parseIpv4(local) === undefined || !/^\d+$/.test(metric)) continue;
    if (best === undefined || Number(metric) < best.metric) best = { gateway, metric: Number(metric) };
  }
  return best?.gateway;
}
