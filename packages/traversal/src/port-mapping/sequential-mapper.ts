import type {
  CallOptions,
  GatewayNotice,
  MappingProtocol,
  PortMapperClient,
  PortMapping,
} from "./port-mapping.ts";
import { PortMappingError } from "./port-mapping-error.ts";

/** Tries PCP and NAT-PMP, then UPnP, and the other one when an install fails (traversal §17). */
export class SequentialMapper implements PortMapperClient {
  /** Present when a gateway is known. */
  readonly #gateway: PortMapperClient | undefined;
  readonly #upnp: PortMapperClient;
  #active: MappingProtocol | undefined;

  constructor(gateway: PortMapperClient | undefined, upnp: PortMapperClient) {
    this.#gateway = gateway;
    this.#upnp = upnp;
  }

  /** What answered last; undefined before a successful probe and after failed installs. */
  get active(): MappingProtocol | undefined {
    return this.#active;
  }

  async probe(options: CallOptions = {}): Promise<void> {
    this.#active = undefined;
    if (this.#gateway !== undefined && (await succeeds(this.#gateway.probe(options), options))) {
      this.#active = "nat-pmp";
      return;
    }
    await this.#upnp.probe(options);
    this.#active = "upnp";
  }

  async install(internalPort: number, ttlMs: number, options: CallOptions = {}): Promise<PortMapping> {
    const first = this.#active;
    if (first === undefined) throw new PortMappingError("unavailable");
    try {
      return await this.#clientOf(first).install(internalPort, ttlMs, options);
    } catch (error) {
      this.#active = undefined;
      options.signal?.throwIfAborted();
      const mapping = await this.#installOther(first, internalPort, ttlMs, options);
      if (mapping === undefined) throw error;
      return mapping;
    }
  }

  async renew(mapping: PortMapping, options: CallOptions = {}): Promise<PortMapping> {
    return await this.#clientOf(mapping.protocol).renew(mapping, options);
  }

  async remove(mapping: PortMapping, options: CallOptions = {}): Promise<void> {
    if (mapping.protocol === "nat-pmp") await this.#gateway?.remove(mapping, options);
    else await this.#upnp.remove(mapping, options);
  }

  watch(onNotice: (notice: GatewayNotice) => void): () => void {
    return this.#gateway?.watch?.(onNotice) ?? (() => {});
  }

  /** One try with the protocol that is not `first`; NAT-PMP needs its probe, UPnP searches by itself. */
  async #installOther(
    first: MappingProtocol,
    internalPort: number,
    ttlMs: number,
    options: CallOptions,
  ): Promise<PortMapping | undefined> {
    const other = first === "upnp" ? "nat-pmp" : "upnp";
    try {
      const client = this.#clientOf(other);
      if (other === "nat-pmp") await client.probe(options);
      const mapping = await client.install(internalPort, ttlMs, options);
      this.#active = other;
      return mapping;
    } catch {
      options.signal?.throwIfAborted();
      return undefined;
    }
  }

  #clientOf(protocol: MappingProtocol): PortMapperClient {
    const client = protocol === "upnp" ? this.#upnp : this.#gateway;
    if (client === undefined) throw new PortMappingError("unavailable");
    return client;
  }
}

async function succeeds(call: Promise<void>, options: CallOptions): Promise<boolean> {
  try {
    await call;
    return true;
  } catch {
    options.signal?.throwIfAborted();
    return false;
  }
}
