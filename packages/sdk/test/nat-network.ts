import {
  type NatOptions as BoxOptions,
  NatBox,
  type NatKind,
  TestNetwork,
  type TestNetworkOptions,
  type TestNode,
  type TestNodeOptions,
} from "@netmesh/mesh/testing";
import type { TraversalSettings } from "@netmesh/traversal";
import { NodeTraversal } from "../src/node-traversal.ts";

/** Where a node is: on the open network, or behind a NAT of its own. */
export type Place = "open" | NatKind;

/** A node and its traversal. */
export interface TraversingNode {
  readonly node: TestNode;
  readonly nat: NodeTraversal;
  readonly box: NatBox | undefined;
}

/** Settings of a {@link TraversingNode}. */
export interface TraversingOptions {
  /** Default: relayed sessions stay as they are. */
  readonly upgrades?: boolean;
  /** Default: a NAT of its own. */
  readonly box?: NatBox;
  readonly node?: TestNodeOptions;
  readonly settings?: Partial<TraversalSettings>;
}

/** Nodes behind NATs, two of them open ones that everybody is connected to; in virtual time. */
export class NatNetwork {
  readonly network: TestNetwork;
  readonly relays: readonly TraversingNode[];
  #nextHost = 1;

  constructor(options: TestNetworkOptions = {}) {
    this.network = new TestNetwork({ ...options, node: { heartbeatMs: 1_000, ...options.node } });
    this.relays = [this.add("open"), this.add("open")];
    const [a, b] = this.relays as [TraversingNode, TraversingNode];
    a.node.connect(b.node);
  }

  /** Adds a node that is connected to both relays. */
  join(place: Place, options: TraversingOptions = {}): TraversingNode {
    const added = this.add(place, options);
    for (const { node } of this.relays) added.node.connect(node);
    return added;
  }

  /** Adds a node that knows nobody. */
  add(place: Place, options: TraversingOptions = {}): TraversingNode {
    const { network } = this;
    const box = options.box ?? (place === "open" ? undefined : this.box(place));
    const node = network.add({ ...options.node, ...(box === undefined ? {} : { nat: box }) });
    const nat = new NodeTraversal(node.nodeId, {
      node: node.node,
      timers: network.clock,
      random: network.random,
      unixNow: () => network.systemTime.now(),
      interfaceAddresses: () => [node.transport.localAddress.host],
      upgrades: options.upgrades ?? false,
      ...(options.settings && { settings: options.settings }),
    });
    node.listeners.add((event) => nat.onEvent(event));
    nat.traversal.start();
    return { node, nat, box };
  }

  /** A NAT with an address of its own. */
  box(kind: NatKind, options: Partial<BoxOptions> = {}): NatBox {
    const host = `203.0.113.${this.#nextHost++}`;
    return new NatBox(this.network.net, this.network.clock, { ...options, kind, host });
  }

  /** Lets virtual time pass, and whatever was promised meanwhile happen. */
  async advance(durationMs: number): Promise<void> {
    const step = 25;
    for (let passed = 0; passed < durationMs; passed += step) {
      this.network.advance(step);
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  }

  /** What a call comes to within `limitMs` of virtual time; rejects with its reason. */
  async within<T>(call: Promise<T>, limitMs = 30_000): Promise<T> {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    call.then(over, over);
    for (let passed = 0; passed < limitMs && !isOver; passed += 100) await this.advance(100);
    if (!isOver) throw new Error(`nothing came of it within ${limitMs} ms (${this.network.label})`);
    return await call;
  }
}

/** What it takes to connect to a node. */
export function targetOf({ node }: TraversingNode): { nodeId: bigint; publicKey: Uint8Array } {
  return { nodeId: node.nodeId, publicKey: node.keys.publicKey };
}
