import { Identity, type StaticKeyPair, staticKeyPairFromIdentity } from "@netmesh/crypto";
import type { SocketAddress } from "@netmesh/wire";
import type { CoreOptions } from "../core/config.ts";
import type { CoreEvent } from "../core/events.ts";
import { MeshNode } from "../node.ts";
import { type LinkConditions, MemoryNetwork, type MemoryTransport } from "./memory-network.ts";
import type { NatBox, NatTransport } from "./nat-box.ts";
import { SeededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

const EPOCH_MS = 1_790_000_000_000;

/** Settings that a test may give to its nodes. */
export type TestNodeOptions = Partial<
  Omit<CoreOptions, "nodeId" | "clock" | "random" | "psk" | "identity">
> & {
  readonly psk?: Uint8Array;
  readonly onEvent?: (event: CoreEvent, node: TestNode) => void;
  /** Default: a new one. That of a killed node makes a restarted process of it. */
  readonly identity?: Identity;
  /** Default: a new address. */
  readonly address?: SocketAddress;
  /** Puts the node behind a NAT, at an inner address. */
  readonly nat?: NatBox;
};

/** A node of a {@link TestNetwork}, and everything that it has reported. */
export class TestNode {
  readonly identity: Identity;
  readonly keys: StaticKeyPair;
  readonly transport: MemoryTransport | NatTransport;
  readonly node: MeshNode;
  /** Every event so far. */
  readonly events: CoreEvent[] = [];
  /** What listeners of the application threw. */
  readonly errors: unknown[] = [];
  /** Called with every further event; may call the core. */
  readonly listeners: Set<(event: CoreEvent) => void> = new Set();
  readonly #network: TestNetwork;

  /** Use {@link TestNetwork.add}. */
  constructor(network: TestNetwork, options: TestNodeOptions) {
    const { onEvent, psk, identity, address, fragments, staticKeyPair, nat, ...rest } = options;
    this.#network = network;
    this.identity = identity ?? Identity.generate(network.random);
    this.keys = staticKeyPair ?? staticKeyPairFromIdentity(this.identity);
    this.transport = nat?.bind() ?? network.net.bind(address, fragments);
    this.node = new MeshNode({
      ...rest,
      nodeId: this.identity.nodeId,
      staticKeyPair: this.keys,
      psk: psk ?? network.psk,
      clock: network.clock,
      systemTime: network.systemTime,
      identity: this.identity,
      random: network.random,
      scheduler: network.clock,
      transport: this.transport,
      onEvent: (event) => {
        this.events.push(event);
        // An application that takes everything; a test that opens a stream takes its events itself.
        if (event.type === "data" && !event.stream.isOpen) {
          this.core.consumed(event.session, event.stream, event.packet.wireBytes);
        }
        onEvent?.(event, this);
        for (const listener of this.listeners) listener(event);
      },
      onError: (error) => this.errors.push(error),
    });
    this.node.core.start();
  }

  get nodeId(): bigint {
    return this.identity.nodeId;
  }

  get core(): MeshNode["core"] {
    return this.node.core;
  }

  /** Events of one type, in order. */
  eventsOf<T extends CoreEvent["type"]>(type: T): Extract<CoreEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<CoreEvent, { type: T }> => event.type === type);
  }

  /**
   * Connects to another node, through a relay when one is given, in virtual time. Throws the attempt's error, and when
   * nothing came of it within `limitMs`.
   */
  connect(to: TestNode, relay?: TestNode, limitMs = 60_000): void {
    const via = (relay ?? to).transport.localAddress;
    const attempt = this.core.connect(to.nodeId, to.keys.publicKey, via, "routed");
    this.node.touch();
    const outcome = () =>
      this.events.find(
        (event) =>
          (event.type === "connected" || event.type === "connect-failed") && event.attempt === attempt,
      );
    this.#network.clock.advanceUntil(() => outcome() !== undefined, limitMs);
    const result = outcome();
    if (result === undefined) throw new Error(`no answer within ${limitMs} ms (${this.#network.label})`);
    if (result.type === "connect-failed") throw result.error;
  }

  /** Ends the node as a crash would: nobody is told. */
  kill(): void {
    this.transport.detach();
  }

  /** Calls into the core and lets the outputs go out. */
  call<T>(use: (core: MeshNode["core"]) => T): T {
    const result = use(this.core);
    this.node.touch();
    return result;
  }
}

/** Settings of {@link createTestNetwork}. */
export interface TestNetworkOptions {
  /** Everything random follows from it; default 1. A failing test should print {@link TestNetwork.label}. */
  readonly seed?: number;
  /** Conditions of every link. */
  readonly conditions?: LinkConditions;
  /** Settings of every node. */
  readonly node?: TestNodeOptions;
}

/** Nodes on a network in memory, in virtual time, from one seed. */
export class TestNetwork {
  readonly clock: VirtualClock = new VirtualClock();
  /** Unix time of every node: a date of 2026 when the virtual clock is at 0. */
  readonly systemTime: { now(): number } = { now: () => EPOCH_MS + this.clock.now() };
  readonly random: SeededRandom;
  readonly net: MemoryNetwork;
  readonly psk: Uint8Array;
  readonly nodes: TestNode[] = [];
  readonly #options: TestNetworkOptions;

  constructor(options: TestNetworkOptions = {}) {
    this.#options = options;
    this.random = new SeededRandom(options.seed ?? 1);
    this.net = new MemoryNetwork(
      this.clock,
      new SeededRandom((options.seed ?? 1) ^ 0x5eed),
      options.conditions,
    );
    this.psk = this.random.bytes(32);
  }

  /** Names the run in a failure message. */
  get label(): string {
    return `seed ${this.random.seed}`;
  }

  /** Adds a started node. */
  add(options: TestNodeOptions = {}): TestNode {
    const node = new TestNode(this, { ...this.#options.node, ...options });
    this.nodes.push(node);
    return node;
  }

  /** Lets virtual time pass. */
  advance(durationMs: number): void {
    this.clock.advance(durationMs);
  }
}

/** A network of `count` started nodes that do not know each other yet. */
export function createTestNetwork(count: number, options: TestNetworkOptions = {}): TestNetwork {
  const network = new TestNetwork(options);
  for (let i = 0; i < count; i++) network.add();
  return network;
}
