import type { SocketAddress } from "@netmesh/wire";
import type { NatClass } from "../nat-class.ts";
import type { PortMapping } from "./port-mapping.ts";

/** The only way for a mapping task to say what it did (traversal §12.3). No call throws. */
export interface MappingSink {
  /** A mapping is there. */
  applyInstall(mapping: PortMapping): void;
  /** It was extended, maybe under another address. */
  applyRenewal(mapping: PortMapping): void;
  /** It is gone. Harmless without one, and twice. */
  applyRevoke(): void;
}

/** What a node says about its reachability: one unit, read and written without a suspension between (traversal §8.1). */
export interface PublishedReflex {
  natClass: NatClass;
  /** Under which others see this node, where known. */
  reflex: SocketAddress | undefined;
  /** Who pinned the two; each clears only its own pin, and a mapping never displaces the operator's. */
  pinnedBy: "operator" | "mapping" | undefined;
}

/** What statistics show of the mapping (traversal §3). */
export interface PortMappingStats {
  portMappingActive: boolean;
  portMappingExternal: SocketAddress | undefined;
  /** Successful renewals of the present or last mapping. */
  portMappingRenewals: number;
}

/** Writes the state of a mapping into the state of a node. */
export class ReflexMappingSink implements MappingSink {
  readonly #published: PublishedReflex;
  readonly #stats: PortMappingStats;
  readonly #changed: () => void;

  /** @param changed called after what is published has changed, so that it gets announced. */
  constructor(published: PublishedReflex, stats: PortMappingStats, changed: () => void = () => {}) {
    this.#published = published;
    this.#stats = stats;
    this.#changed = changed;
  }

  applyInstall(mapping: PortMapping): void {
    this.#stats.portMappingExternal = mapping.external;
    this.#stats.portMappingRenewals = 0;
    this.#stats.portMappingActive = true;
    this.#publish(mapping.external);
  }

  applyRenewal(mapping: PortMapping): void {
    this.#stats.portMappingExternal = mapping.external;
    this.#stats.portMappingRenewals += 1;
    this.#publish(mapping.external);
  }

  applyRevoke(): void {
    this.#stats.portMappingActive = false;
    this.#stats.portMappingExternal = undefined;
    if (this.#published.pinnedBy !== "mapping") return;
    this.#published.pinnedBy = undefined;
    this.#published.reflex = undefined;
    this.#published.natClass = "unknown";
    this.#changed();
  }

  #publish(external: SocketAddress): void {
    const { pinnedBy, reflex } = this.#published;
    if (pinnedBy === "operator" || (pinnedBy === "mapping" && reflex?.equals(external))) return;
    this.#published.reflex = external;
    this.#published.natClass = "open";
    this.#published.pinnedBy = "mapping";
    this.#changed();
  }
}
