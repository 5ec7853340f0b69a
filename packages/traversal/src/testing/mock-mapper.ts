import type { GatewayNotice, PortMapperClient, PortMapping } from "../port-mapping/port-mapping.ts";
import { PortMappingError } from "../port-mapping/port-mapping-error.ts";

/** What a queued call does: gives a value, or fails. */
export type Queued<T> = T | PortMappingError;

/** A client whose answers a test queues up, first in first out; an empty queue answers `unavailable`. */
export class MockPortMapper implements PortMapperClient {
  /** Results of the next probes. */
  readonly probes: Queued<"ok">[] = [];
  /** Results of the next installs. */
  readonly installs: Queued<PortMapping>[] = [];
  /** Results of the next renewals. */
  readonly renewals: Queued<PortMapping>[] = [];
  /** Ports and leases that installs asked for. */
  readonly installed: { readonly internalPort: number; readonly ttlMs: number }[] = [];
  /** Mappings that were to be renewed. */
  readonly renewed: PortMapping[] = [];
  /** Mappings that were removed. */
  readonly removed: PortMapping[] = [];
  #listener: ((notice: GatewayNotice) => void) | undefined;

  async probe(): Promise<void> {
    take(this.probes);
  }

  async install(internalPort: number, ttlMs: number): Promise<PortMapping> {
    this.installed.push({ internalPort, ttlMs });
    return take(this.installs);
  }

  async renew(mapping: PortMapping): Promise<PortMapping> {
    this.renewed.push(mapping);
    return take(this.renewals);
  }

  async remove(mapping: PortMapping): Promise<void> {
    this.removed.push(mapping);
  }

  watch(onNotice: (notice: GatewayNotice) => void): () => void {
    this.#listener = onNotice;
    return () => {
      this.#listener = undefined;
    };
  }

  /** Tells whoever watches; false when nobody does. */
  notify(notice: GatewayNotice): boolean {
    this.#listener?.(notice);
    return this.#listener !== undefined;
  }
}

function take<T>(queue: Queued<T>[]): T {
  const next = queue.shift() ?? new PortMappingError("unavailable");
  if (next instanceof PortMappingError) throw next;
  return next;
}
