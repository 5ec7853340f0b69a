import { networkInterfaces } from "node:os";
import { platformRandom } from "@netmesh/crypto";
import { type CoreEvent, type Peer as EnginePeer, type MeshNode, systemClock } from "@netmesh/mesh";
import {
  type ConnectionAttempt,
  type ConnectionReason,
  type NatClass,
  PortMappingTask,
  type Traversal,
  type TraversalSettings,
  type TraversalStats,
} from "@netmesh/traversal";
import { SystemMapper, systemTimers } from "@netmesh/traversal/node";
import { SocketAddress } from "@netmesh/wire";
import { requireId } from "./arguments.ts";
import { InvalidArgumentError, toNetError } from "./errors.ts";
import type { PeerContact } from "./mesh-options.ts";
import { NodeTraversal } from "./node-traversal.ts";
import type { Path } from "./peer.ts";

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
  readonly #natClassOf: (nodeId: bigint) => NatClass;

  /** Use `Mesh.nat`. */
  constructor(traversal: Traversal, natClassOf: (nodeId: bigint) => NatClass) {
    this.#traversal = traversal;
    this.#natClassOf = natClassOf;
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

  /** What a node says of its own NAT; `"unknown"` when it says nothing. */
  peerNatType(nodeId: bigint): NatClass {
    requireId(nodeId, "nodeId");
    return this.#natClassOf(nodeId);
  }

  /** Asks the peers anew. Resolves when that is done; fewer than two direct peers change nothing. */
  async reclassify(): Promise<void> {
    await this.#traversal.reclassify();
  }

  /** Asks one peer where it sees this node, `ip:port`. Rejects with `peer-not-reachable`, `reflex-timeout`, `transport`. */
  async probeReflex(nodeId: bigint): Promise<string> {
    requireId(nodeId, "nodeId");
    try {
      return (await this.#traversal.probeReflex(nodeId)).key;
    } catch (error) {
      throw toNetError(error);
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

/** The traversal of a mesh, with what only it has to know. */
export class MeshTraversal {
  readonly nat: MeshNat;
  readonly #traversal: NodeTraversal;
  readonly #mappingEnds = new AbortController();
  #mapping: Promise<void> | undefined;

  /** Throws `invalid-argument`. */
  constructor(
    nodeId: bigint,
    node: MeshNode,
    options: NatOptions,
    mapsPort: boolean,
    told: { onChanged(): void; onAttempt(attempt: ConnectionAttempt): void },
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
    this.nat = new MeshNat(traversal, (id) => this.#traversal.natClassOf(id));
    if (override !== undefined) traversal.setReflexOverride(override);
    traversal.start();
    if (!mapsPort) return;
    const task = new PortMappingTask({
      client: new SystemMapper(),
      sink: traversal.mapping,
      internalPort: node.transport.localAddress.port,
      timers: systemTimers,
      random: platformRandom,
    });
    this.#mapping = task.run(this.#mappingEnds.signal);
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
      if (outcome.path === "relayed" && upgrade) traversal.upgrade(target, coordinators);
      return outcome;
    } catch (error) {
      throw toNetError(error);
    }
  }

  /** Ends everything, and takes a port mapping back, for which the router has three seconds. */
  async close(): Promise<void> {
    this.#traversal.close();
    this.#mappingEnds.abort();
    await this.#mapping;
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}
