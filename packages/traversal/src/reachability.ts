import type { SocketAddress } from "@netmesh/wire";
import type { NatClass } from "./nat-class.ts";
import {
  type MappingSink,
  type PortMappingStats,
  type PublishedReflex,
  ReflexMappingSink,
} from "./port-mapping/mapping-sink.ts";

/** Told of a change of class or address; `atOnce` when somebody has decided it rather than found out. */
export type ReachabilityListener = (atOnce: boolean) => void;

/**
 * How this node is reached from outside: class and address, always changed as one. What the operator has set goes before a
 * port mapping, and that before what sweeps find out; each takes back only its own (traversal §8, T20).
 */
export class Reachability {
  /** Where a port mapping tells what it did. */
  readonly mapping: MappingSink;
  readonly portMapping: PortMappingStats = {
    portMappingActive: false,
    portMappingExternal: undefined,
    portMappingRenewals: 0,
  };
  readonly #published: PublishedReflex = { natClass: "unknown", reflex: undefined, pinnedBy: undefined };
  readonly #changed: ReachabilityListener;
  /** Another class than the present one, which one more sweep has to find, too. */
  #suspected: NatClass | undefined;

  constructor(changed: ReachabilityListener) {
    this.#changed = changed;
    this.mapping = new ReflexMappingSink(this.#published, this.portMapping, () => changed(true));
  }

  get natClass(): NatClass {
    return this.#published.natClass;
  }

  /** Where others see this node, as far as it is known. */
  get reflex(): SocketAddress | undefined {
    return this.#published.reflex;
  }

  /** Whether operator or mapping decide, and sweeps do not count. */
  get isPinned(): boolean {
    return this.#published.pinnedBy !== undefined;
  }

  /** The operator's word: open, under that address. */
  setOverride(address: SocketAddress): void {
    this.#set("open", address, "operator");
    this.#changed(true);
  }

  /** Takes {@link setOverride} back: to the mapping when there is one, else to nothing known. False without an override. */
  clearOverride(): boolean {
    if (this.#published.pinnedBy !== "operator") return false;
    const { portMappingExternal } = this.portMapping;
    if (portMappingExternal === undefined) this.#set("unknown", undefined, undefined);
    else this.#set("open", portMappingExternal, "mapping");
    this.#changed(true);
    return true;
  }

  /**
   * What a sweep has found; nothing while pinned. A class that is known gives way to another one when two sweeps in a row find that,
   * to `symmetric` at once, and never to `unknown`: too few answers only tell the address.
   */
  commit(natClass: NatClass, reflex: SocketAddress | undefined): void {
    if (this.isPinned || reflex === undefined) return;
    const { natClass: before, reflex: known } = this.#published;
    const next = this.#settle(before, natClass);
    if (next === before && known?.equals(reflex) === true) return;
    this.#set(next, reflex, undefined);
    this.#changed(false);
  }

  /** For tests: a class as if a sweep had found it. */
  force(natClass: NatClass): void {
    this.#published.natClass = natClass;
    this.#changed(true);
  }

  #settle(before: NatClass, found: NatClass): NatClass {
    if (found === "unknown") return before;
    const isSure =
      before === "unknown" || found === before || found === "symmetric" || found === this.#suspected;
    this.#suspected = isSure ? undefined : found;
    return isSure ? found : before;
  }

  #set(natClass: NatClass, reflex: SocketAddress | undefined, pinnedBy: PublishedReflex["pinnedBy"]): void {
    this.#published.natClass = natClass;
    this.#published.reflex = reflex;
    this.#published.pinnedBy = pinnedBy;
    if (pinnedBy !== undefined) this.#suspected = undefined;
  }
}
