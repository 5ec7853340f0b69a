import type { PortMapperClient, PortMapping } from "./port-mapping.ts";
import { PortMappingError } from "./port-mapping-error.ts";

/** A client where there is no router to ask: everything is `unavailable`. */
export class NullPortMapper implements PortMapperClient {
  probe(): Promise<void> {
    return Promise.reject(new PortMappingError("unavailable"));
  }

  install(): Promise<PortMapping> {
    return Promise.reject(new PortMappingError("unavailable"));
  }

  renew(): Promise<PortMapping> {
    return Promise.reject(new PortMappingError("unavailable"));
  }

  remove(): Promise<void> {
    return Promise.resolve();
  }
}
