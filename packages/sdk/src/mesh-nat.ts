import { networkInterfaces } from "node:os";
import { platformRandom } from "@netmesh/crypto";
import { type CoreEvent, type Peer as EnginePeer, type MeshNode, systemClock } from "@netmesh/mesh";
import type {
  ConnectionAttempt,
  ConnectionReason,
  NatClass,
  Traversal,
  TraversalHost,
  TraversalSettings,
  TraversalStats,
} from "@netmesh/traversal";
import { systemTimers } from "@netmesh/traversal/node";
import { SocketAddress } from "@netmesh/wire";
import { requireId } from "./arguments.ts";
import { InvalidArgumentError, ShutdownError, toNetError } from "./errors.ts";
import type { PeerContact } from "./mesh-options.ts";
import { NodeTraversal } from "./node-traversal.ts";
import type { Path } from "./peer.ts";
import { MeshPortMapping, type PortMappingOptions, type PortMappingStatus } from "./port-mapping.ts";

/** Settings of NAT traversal. */
export interface NatOptions extends Partial<TraversalSettings> {
  /** Whether sessions over relays look for a direct path by themselves; default true. */
  readonly upgrade?: boolean;
  /** An address under which this node is known to be reached, such as `"198.51.100.7:9000"`; see {@link MeshNat.setReflexOverride}. */
  readonly reflexOverride?: string;
}

/** How a peer is reached, and why. */
export interface DirectConnection {
  readonly path: Path;
  /** Stable; see `ConnectionReason`. */
  readonly reason: ConnectionReason;
}

/** How this node is reached from outside, and how it reaches others without relays. */
export class MeshNat {
  readonly #traversal: Traversal;
  readonly #announced: Pick<TraversalHost, "natClassOf" | "reflexOf"> & { readonly isClosed: boolean };
  readonly #mapping: { readonly status: PortMappingStatus; recheck(): void } | undefined;

  /** Use `Mesh.nat`. */
  constructor(
    traversal: Traversal,
    announced: Pick<TraversalHost, "natClassOf" | "reflexOf"> & { readonly isClosed: boolean },
    mapping: { readonly status: PortMappingStatus; recheck(): void } | undefined,
  ) {
    this.#traversal = traversal;
    this.#announced = announced;
    this.#mapping = mapping;
  }

  /**
   * The class of this node's NAT: `"open"`, `"cone"`, `"symmetric"`, and `"unknown"` until two direct peers have been asked, which
   * happens by itself and again every minute.
   */
  get type(): NatClass {
    return this.#traversal.natClass;
  }

  /** Where others see this node, `ip:port`; undefined until one was asked. */
  get reflexAddress(): string | undefined {
    return this.#traversal.reflex?.key;
  }

  /** Outcomes of punches, fallbacks to relays, the port mapping, and what this node does for others. */
  stats(): TraversalStats {
    return this.#traversal.stats;
  }

  /** How the mapping of this node's port on the router stands; undefined unless the mesh was opened with `portMapping`. */
  get portMapping(): PortMappingStatus | undefined {
    return this.#mapping?.status;
  }

  /** Call when the network has changed: the router is asked for its mapping now, and not when it would be time. */
  recheckPortMapping(): void {
    this.#mapping?.recheck();
  }

  /** What a node says of its own NAT; `"unknown"` when it says nothing. */
  peerNatType(nodeId: bigint): NatClass {
    requireId(nodeId, "nodeId");
    return this.#announced.natClassOf(nodeId);
  }

  /** Where a node says that others see it, `ip:port`; undefined when it says nothing. */
  peerReflexAddress(nodeId: bigint): string | undefined {
    requireId(nodeId, "nodeId");
    return this.#announced.reflexOf(nodeId)?.key;
  }

  /** Asks the peers anew. Resolves when that is done; fewer than two direct peers change nothing. */
  async reclassify(): Promise<void> {
    await this.#traversal.reclassify();
  }

  /** Asks one peer where it sees this node, `ip:port`. Rejects with `peer-not-reachable`, `reflex-timeout`, `transport`, `shutdown`. */
  async probeReflex(nodeId: bigint): Promise<string> {
    requireId(nodeId, "nodeId");
    try {
      return (await this.#traversal.probeReflex(nodeId)).key;
    } catch (error) {
      throw this.#announced.isClosed ? new ShutdownError() : toNetError(error);
    }
  }

  /**
   * Says that this node is open at an address, whatever is found out, and tells the peers at once. Throws `invalid-argument` unless it
   * is an IP address and a port.
   */
  setReflexOverride(address: string): void {
    this.#traversal.setReflexOverride(parseOverride(address));
  }

  /** Takes {@link setReflexOverride} back; harmless without one. */
  clearReflexOverride(): void {
    this.#traversal.clearReflexOverride();
  }
}

function parseOverride(address: string): SocketAddress {
  try {
    return SocketAddress.parse(address);
  } catch (error) {
    throw new InvalidArgumentError("invalid-argument", `invalid reflex override: ${address}`, {
      cause: error,
    });
  }
}

/** Whom a {@link MeshTraversal} tells. */
interface TraversalListener {
  /** Class or address have changed. */
  onChanged(): void;
  onAttempt(attempt: ConnectionAttempt): void;
  onMapping(status: PortMappingStatus): void;
}

/** The traversal of a mesh, with what only it has to know. */
export class MeshTraversal {
  readonly nat: MeshNat;
  readonly #traversal: NodeTraversal;
  readonly #mapping: MeshPortMapping | undefined;

  /** Throws `invalid-argument`. */
  constructor(
    nodeId: bigint,
    node: MeshNode,
    options: NatOptions,
    portMapping: boolean | PortMappingOptions,
    { onMapping, ...told }: TraversalListener,
  ) {
    const { upgrade = true, reflexOverride, ...settings } = options;
    const override = reflexOverride === undefined ? undefined : parseOverride(reflexOverride);
    this.#traversal = new NodeTraversal(nodeId, {
      node,
      timers: systemTimers,
      random: platformRandom,
      settings,
      unixNow: () => systemClock.now(),
      interfaceAddresses: ownAddresses,
      upgrades: upgrade,
      ...told,
    });
    const { traversal } = this.#traversal;
    if (portMapping !== false) {
      const choices = portMapping === true ? {} : portMapping;
      this.#mapping = new MeshPortMapping(choices, node.transport.localAddress, traversal.mapping, onMapping);
    }
    this.nat = new MeshNat(traversal, this.#traversal, this.#mapping);
    if (override !== undefined) traversal.setReflexOverride(override);
    traversal.start();
    this.#mapping?.start();
  }

  onEvent(event: CoreEvent): boolean {
    return this.#traversal.onEvent(event);
  }

  /** How a peer is reached now. */
  pathOf({ session, nodeId }: EnginePeer): Path {
    if (session === undefined || session.path.routed) return "relayed";
    return this.#traversal.isPunched(nodeId, session.path.address) ? "punched" : "direct";
  }

  /** Finds the shortest path to a peer; with `upgrade` also later, in the background. */
  async connect(
    { nodeId, publicKey }: PeerContact,
    coordinators: readonly bigint[],
    upgrade: boolean,
  ): Promise<DirectConnection> {
    const { traversal } = this.#traversal;
    const target = { nodeId, publicKey: publicKey.slice() };
    try {
      const outcome = await traversal.connectDirect(target, coordinators);
      if (outcome.path === "relayed" && upgrade && !this.#traversal.isClosed)
        traversal.upgrade(target, coordinators);
      return outcome;
    } catch (error) {
      throw toNetError(error);
    }
  }

  /** Ends everything, and takes a port mapping back, for which the router has three seconds. */
  async close(): Promise<void> {
    this.#traversal.close();
    await this.#mapping?.close();
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}
