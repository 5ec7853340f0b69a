import type { PortMappingCounters } from "../counters.ts";
import { PortMappingError } from "../port-mapping-error.ts";
import { type ConnectionService, hasAction, readDeviceDescription } from "./device-description.ts";
import { type DeviceUrl, sameHostUrl } from "./device-url.ts";
import type { HttpAnswer, HttpClient } from "./http-client.ts";
import { encodeSoapCall, type SoapArgument, soapFault, soapResult } from "./soap.ts";
import { upnpError } from "./upnp-error.ts";
import { parseXml, type XmlElement } from "./xml-document.ts";

/** Most bytes of a document that are read (traversal §15.1). */
export const MAX_DOCUMENT_BYTES = 262_144;

/** How to talk to devices. */
export interface DeviceLink {
  readonly http: HttpClient;
  readonly counters: PortMappingCounters;
}

/** One service of one router, ready to be called. */
export class ControlPoint {
  /** The type that was found, which actions have to name. */
  readonly serviceType: string;
  readonly #link: DeviceLink;
  readonly #control: DeviceUrl;
  readonly #scpd: DeviceUrl | undefined;
  /** Our own address towards this router. */
  readonly localHost: string;
  #canAddAny: boolean | undefined;

  constructor(
    link: DeviceLink,
    service: {
      readonly serviceType: string;
      readonly control: DeviceUrl;
      readonly scpd: DeviceUrl | undefined;
    },
    localHost: string,
  ) {
    this.#link = link;
    this.serviceType = service.serviceType;
    this.#control = service.control;
    this.#scpd = service.scpd;
    this.localHost = localHost;
  }

  /**
   * Calls an action.
   * @throws {PortMappingError} as the router's error code says, or `transport`.
   */
  async call(action: string, args: readonly SoapArgument[], signal: AbortSignal): Promise<XmlElement> {
    const headers = {
      "Content-Type": 'text/xml; charset="utf-8"',
      SOAPAction: `"${this.serviceType}#${action}"`,
    };
    const body = encodeSoapCall(this.serviceType, action, args);
    const answer = await request(this.#link, "POST", this.#control, headers, body, signal);
    if (answer.status !== 200 && answer.body.length === 0) throw badStatus(answer);
    const root = document(this.#link, answer);
    const fault = soapFault(root);
    if (fault !== undefined) throw upnpError(fault.code);
    if (answer.status !== 200) throw badStatus(answer);
    const result = soapResult(root, action);
    if (result === undefined) throw malformed(this.#link, `no answer to ${action}`);
    return result;
  }

  /** Whether the router can choose a port itself; false where its description of that cannot be read. */
  async canAddAny(signal: AbortSignal): Promise<boolean> {
    if (this.#canAddAny === undefined) {
      this.#canAddAny = false;
      if (this.#scpd !== undefined) {
        try {
          const scpd = document(this.#link, await request(this.#link, "GET", this.#scpd, {}, "", signal));
          this.#canAddAny = hasAction(scpd, "AddAnyPortMapping");
        } catch {
          signal.throwIfAborted();
        }
      }
    }
    return this.#canAddAny;
  }
}

/**
 * Reads the description of a device; gives its services that can map ports.
 * @throws {PortMappingError} `transport`; `unavailable` when there is no such service.
 */
export async function openDevice(
  link: DeviceLink,
  location: DeviceUrl,
  signal: AbortSignal,
): Promise<readonly ControlPoint[]> {
  const answer = await request(link, "GET", location, {}, "", signal);
  if (answer.status !== 200) throw badStatus(answer);
  const { baseUrl, services } = readDeviceDescription(document(link, answer));
  const base = baseUrl === "" ? location : resolved(link, baseUrl, location);
  const points: ControlPoint[] = [];
  for (const service of base === undefined ? [] : services) {
    const place = resolvedService(link, service, base as DeviceUrl);
    if (place !== undefined) points.push(new ControlPoint(link, place, answer.localHost));
  }
  if (points.length === 0) throw new PortMappingError("unavailable", "no service that maps ports");
  return points;
}

function resolvedService(
  link: DeviceLink,
  service: ConnectionService,
  base: DeviceUrl,
):
  | { readonly serviceType: string; readonly control: DeviceUrl; readonly scpd: DeviceUrl | undefined }
  | undefined {
  const control = resolved(link, service.controlUrl, base);
  if (control === undefined) return undefined;
  const scpd = service.scpdUrl === "" ? undefined : resolved(link, service.scpdUrl, base);
  return { serviceType: service.serviceType, control, scpd };
}

function resolved(link: DeviceLink, reference: string, base: DeviceUrl): DeviceUrl | undefined {
  const url = sameHostUrl(reference, base);
  if (url === undefined) link.counters.refusedUrls += 1;
  return url;
}

async function request(
  link: DeviceLink,
  method: "GET" | "POST",
  url: DeviceUrl,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { host, port, path } = url;
  const maxBytes = MAX_DOCUMENT_BYTES;
  const answer = await link.http.request({ method, host, port, path, headers, body, maxBytes, signal });
  if (answer.status >= 300 && answer.status < 400) {
    link.counters.refusedRedirects += 1;
    throw badStatus(answer);
  }
  if (answer.isCut) {
    link.counters.oversizedDocuments += 1;
    throw new PortMappingError("transport", "a document that is too large");
  }
  return answer;
}

function document(link: DeviceLink, answer: HttpAnswer): XmlElement {
  try {
    return parseXml(answer.body);
  } catch (error) {
    throw malformed(link, error instanceof Error ? error.message : String(error));
  }
}

function malformed(link: DeviceLink, what: string): PortMappingError {
  link.counters.malformedDocuments += 1;
  return new PortMappingError("transport", `malformed document: ${what.slice(0, 200)}`);
}

function badStatus(answer: HttpAnswer): PortMappingError {
  return new PortMappingError("transport", `http status ${answer.status}`);
}
