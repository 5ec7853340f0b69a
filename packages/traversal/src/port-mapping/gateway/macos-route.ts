import { parseIpv4 } from "../ipv4.ts";

/** The default gateway in what `route -n get default` prints on macOS; undefined without one (traversal §16.2). */
export function gatewayInMacosRoute(text: string): string | undefined {
  const line = text.split("\n").find((candidate) => candidate.trim().startsWith("gateway:"));
  const host = line?.trim().slice("gateway:".length).trim();
  return host !== undefined && parseIpv4(host) !== undefined ? host : undefined;
}
