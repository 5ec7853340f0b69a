/** The search of UPnP: UDP to 239.255.255.250:1900 and back (UPnP Device Architecture 1.1 §1.3). */

/** Where searches are sent. */
export const SSDP_GROUP = "239.255.255.250";

/** Port of searches. */
export const SSDP_PORT = 1900;

/** Who is searched for; the services are for devices whose root answers wrongly (traversal §15.1). */
export const SEARCH_TARGETS: readonly string[] = [
  "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
  "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
  "urn:schemas-upnp-org:service:WANIPConnection:2",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
  "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/** Longest answer that is read, and most of its header lines. */
const MAX_ANSWER_BYTES = 4096;
const MAX_HEADERS = 64;

/** What an answer has to say. */
export interface SearchAnswer {
  readonly location: string;
  readonly target: string;
}

/** The datagram that searches for one target; answers come within a second. */
export function encodeSearch(target: string): Uint8Array {
  const lines = [
    "M-SEARCH * HTTP/1.1",
    `HOST: ${SSDP_GROUP}:${SSDP_PORT}`,
    'MAN: "ssdp:discover"',
    "MX: 1",
    `ST: ${target}`,
    "",
    "",
  ];
  return new TextEncoder().encode(lines.join("\r\n"));
}

/** Reads an answer; undefined for anything else, and for answers about something that was not searched for. */
export function decodeSearchAnswer(bytes: Uint8Array): SearchAnswer | undefined {
  if (bytes.length > MAX_ANSWER_BYTES) return undefined;
  const [status = "", ...lines] = new TextDecoder().decode(bytes).split("\r\n");
  if (!/^HTTP\/1\.[01] 200( |$)/.test(status) || lines.length > MAX_HEADERS) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim().toLowerCase();
    if (colon > 0 && !headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  const [location, target, usn] = [headers.get("location"), headers.get("st"), headers.get("usn")];
  if (!location || !usn || target === undefined || !SEARCH_TARGETS.includes(target)) return undefined;
  return { location, target };
}
