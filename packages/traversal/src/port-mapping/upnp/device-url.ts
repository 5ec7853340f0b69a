import { inSameNetwork, parseIpv4 } from "../ipv4.ts";

/** A place on a device, checked: `http` to a literal IPv4 address. */
export interface DeviceUrl {
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  /** The whole of it, canonical. */
  readonly text: string;
}

/** Longest URL that is taken. */
const MAX_URL_LENGTH = 1024;

/**
 * Reads the LOCATION of a search answer; undefined unless it leads to the very host that answered, or to the default gateway,
 * and that host is in the network of the interface that was searched. Else anybody in the LAN could direct our requests.
 */
export function checkedLocation(
  location: string,
  source: string,
  near: { readonly localHost: string; readonly netmask: string; readonly gateway: string | undefined },
): DeviceUrl | undefined {
  const url = parse(location, undefined);
  if (url === undefined || (url.host !== source && url.host !== near.gateway)) return undefined;
  return inSameNetwork(url.host, near.localHost, near.netmask) ? url : undefined;
}

/** Resolves a URL of a description; undefined when it leads to another host. */
export function sameHostUrl(reference: string, base: DeviceUrl): DeviceUrl | undefined {
  const url = parse(reference, base.text);
  return url !== undefined && url.host === base.host ? url : undefined;
}

function parse(text: string, base: string | undefined): DeviceUrl | undefined {
  if (text.length > MAX_URL_LENGTH || !URL.canParse(text, base)) return undefined;
  const url = new URL(text, base);
  if (url.protocol !== "http:" || url.username !== "" || url.password !== "") return undefined;
  if (parseIpv4(url.hostname) === undefined || url.port === "0") return undefined;
  url.hash = "";
  return {
    host: url.hostname,
    port: url.port === "" ? 80 : Number(url.port),
    path: `${url.pathname}${url.search}`,
    text: url.href,
  };
}
