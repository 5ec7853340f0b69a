import { childOf, textOf, type XmlElement } from "./xml-document.ts";

/** Service types that can map ports, best first. */
export const CONNECTION_SERVICES: readonly string[] = [
  "urn:schemas-upnp-org:service:WANIPConnection:2",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
  "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/** Most services of one device that are tried. */
const MAX_SERVICES = 8;

/** A service that can map ports, with its URLs as the description has them. */
export interface ConnectionService {
  readonly serviceType: string;
  readonly controlUrl: string;
  /** Where its actions are described; may be empty. */
  readonly scpdUrl: string;
}

/** What a description says, as far as it is of interest. */
export interface DeviceDescription {
  /** Replaces LOCATION as the base of relative URLs (version 1 only); empty without one. */
  readonly baseUrl: string;
  /** In the order of the description. */
  readonly services: readonly ConnectionService[];
}

/** Finds the services that can map ports, depth first. */
export function readDeviceDescription(root: XmlElement): DeviceDescription {
  const services: ConnectionService[] = [];
  const visit = (device: XmlElement): void => {
    for (const service of childOf(device, "serviceList")?.children ?? []) {
      const serviceType = textOf(service, "serviceType");
      const controlUrl = textOf(service, "controlURL");
      if (!CONNECTION_SERVICES.includes(serviceType) || controlUrl === "" || services.length >= MAX_SERVICES)
        continue;
      services.push({ serviceType, controlUrl, scpdUrl: textOf(service, "SCPDURL") });
    }
    for (const inner of childOf(device, "deviceList")?.children ?? []) visit(inner);
  };
  for (const device of root.children) if (device.name === "device") visit(device);
  return { baseUrl: textOf(root, "URLBase"), services };
}

/** Whether the description of a service has an action of that name. */
export function hasAction(scpd: XmlElement, action: string): boolean {
  return (childOf(scpd, "actionList")?.children ?? []).some((entry) => textOf(entry, "name") === action);
}
