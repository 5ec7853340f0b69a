import { Identity, type RandomSource, staticKeyPairFromIdentity } from "@netmesh/crypto";
import { type CoreEvent, MeshNode } from "@netmesh/mesh";
import { MemoryNetwork, type MemoryTransport, SeededRandom, VirtualClock } from "@netmesh/mesh/testing";
import { PeerFeature, type SocketAddress } from "@netmesh/wire";
import { SimulatedAead } from "./simulated-aead.ts";
import type { Topology } from "./topology.ts";

/** How nodes deal with floods: as the reference does, or within a scope and on demand. */
export type FloodMode = "flood" | "scoped";

const ALL_FEATURES: number = Object.values(PeerFeature).reduce((all, bit) => all | bit, 0);
const EPOCH_MS = 1_790_000_000_000;
/** Time that a datagram takes, and up to so much more. */
const LINK = { delayMs: 10, jitterMs: 5 };
/** Handshakes begun at once, so that none waits for longer than its time-out. */
const HANDSHAKES_AT_ONCE = 400;
const HANDSHAKE_PAUSE_MS = 40;
/** Announcements are unsigned here, as verifying them would take days: this tag has the size of a signature. */
const SIGNATURE_FILLER = `sig=${"0".repeat(140)}`;

/** A node of a {@link Simulation}. */
export interface SimulatedNode {
  readonly index: number;
  readonly nodeId: bigint;
  readonly node: MeshNode;
  readonly transport: MemoryTransport;
  readonly publicKey: Uint8Array;
  isUp: boolean;
}

/** The real engine on every node of a topology, on a network in memory, in virtual time, from one seed. */
export class Simulation {
  readonly clock: VirtualClock = new VirtualClock();
  readonly aead: SimulatedAead = new SimulatedAead();
  readonly topology: Topology;
  readonly mode: FloodMode;
  readonly random: SeededRandom;
  readonly nodes: SimulatedNode[] = [];
  readonly #net: MemoryNetwork;
  readonly #byAddress = new Map<string, SimulatedNode>();
  readonly #listeners = new Set<(event: CoreEvent, node: SimulatedNode) => void>();

  constructor(topology: Topology, mode: FloodMode, seed: number, floodNodes?: number) {
    this.topology = topology;
    this.mode = mode;
    this.random = new SeededRandom(seed);
    this.#net = new MemoryNetwork(this.clock, new SeededRandom(seed ^ 0x5eed), LINK);
    const psk = this.random.bytes(32);
    for (let index = 0; index < topology.size; index++) this.#add(index, mode, psk, floodNodes);
  }

  #add(index: number, mode: FloodMode, psk: Uint8Array, floodNodes: number | undefined): void {
    const identity = Identity.generate(this.random as RandomSource);
    const keys = staticKeyPairFromIdentity(identity);
    const transport = this.#net.bind();
    const node = new MeshNode({
      nodeId: identity.nodeId,
      psk,
      staticKeyPair: keys,
      identity,
      clock: this.clock,
      systemTime: { now: () => EPOCH_MS + this.clock.now() },
      random: this.random as RandomSource,
      aead: this.aead,
      features: mode === "flood" ? ALL_FEATURES & ~PeerFeature.SCOPED_FLOODS : ALL_FEATURES,
      ...(floodNodes === undefined ? {} : { floodNodes }),
      requireSignedCapabilities: false,
      // When nodes announce themselves is up to the experiment.
      minAnnounceIntervalMs: 0,
      // How fast a mesh starts is not what is measured.
      handshakesPerSecond: { perSource: 1_000_000, total: 1_000_000 },
      // What a path carries is not found out here; see docs/protocol/path-mtu.md for what that costs.
      datagramBytes: 1_400,
      scheduler: this.clock,
      transport,
      onEvent: (event) => {
        for (const listener of this.#listeners) listener(event, simulated);
      },
      onError: (error) => {
        throw error;
      },
    });
    node.core.start();
    const { nodeId } = identity;
    const simulated = { index, nodeId, node, transport, publicKey: keys.publicKey, isUp: true };
    this.nodes.push(simulated);
    this.#byAddress.set(transport.localAddress.key, simulated);
  }

  /** The node of that number. */
  at(index: number): SimulatedNode {
    return this.nodes[index] as SimulatedNode;
  }

  /** The node at that address. */
  atAddress(address: SocketAddress): SimulatedNode | undefined {
    return this.#byAddress.get(address.key);
  }

  /** The nodes that have not been killed. */
  get living(): SimulatedNode[] {
    return this.nodes.filter(({ isUp }) => isUp);
  }

  /** Is told of every event of every node, until the returned function is called. */
  listen(listener: (event: CoreEvent, node: SimulatedNode) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Connects the ends of every link. Throws when one of them cannot be. */
  connect(): void {
    let begun = 0;
    for (const [a, b] of this.topology.links()) {
      const { node } = this.at(a);
      const { nodeId, publicKey, transport } = this.at(b);
      node.core.connect(nodeId, publicKey, transport.localAddress, "routed");
      node.touch();
      if (++begun % HANDSHAKES_AT_ONCE === 0) this.clock.advance(HANDSHAKE_PAUSE_MS);
    }
    this.clock.advance(2 * HANDSHAKE_PAUSE_MS);
    for (const { index, node } of this.nodes) {
      if (node.core.peerCount !== this.topology.of(index).size) {
        throw new Error(`node ${index} has ${node.core.peerCount} peers`);
      }
    }
  }

  /** A node announces what it offers, as new. */
  announce({ node, index }: SimulatedNode): void {
    const tags = [
      "hardware.cpu_cores=8",
      "hardware.memory_gb=32",
      `role.member-${index % 16}`,
      SIGNATURE_FILLER,
    ];
    node.core.announce({ tags, metadata: new Map([["zone", "simulated"]]) }, { signed: false });
    node.touch();
  }

  /** Ends nodes as a crash would. */
  kill(nodes: readonly SimulatedNode[]): void {
    for (const node of nodes) {
      node.isUp = false;
      node.transport.detach();
      void node.node.close();
    }
  }

  /** Lets nothing pass between the nodes for which `isLeft` holds and the others; without it everything passes again. */
  partition(isLeft?: (node: SimulatedNode) => boolean): void {
    this.#net.tap =
      isLeft &&
      ((_bytes, from, to) => {
        const [sender, receiver] = [this.atAddress(from), this.atAddress(to)];
        if (sender === undefined || receiver === undefined) return undefined;
        return isLeft(sender) === isLeft(receiver) ? undefined : false;
      });
  }

  /** Bytes that the living nodes have sent so far, in all. */
  get bytesSent(): number {
    return this.nodes.reduce((sum, { isUp, node }) => sum + (isUp ? node.counters.bytesSent : 0), 0);
  }
}
