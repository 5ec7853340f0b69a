import { decodeRendezvous, type RendezvousMessage, SocketAddress } from "@netmesh/wire";
import type { NatClass, TraversalContact, TraversalHost, TraversalPeer } from "../src/index.ts";
import type { VirtualTimers } from "./virtual-timers.ts";

/** A node for traversal that has the peers that a test gives it, and records what it is made to send. */
export class FakeHost implements TraversalHost {
  readonly nodeId: bigint = 1n;
  localAddress: SocketAddress = SocketAddress.parse("[::]:7000");
  interfaces: readonly string[] = ["192.168.1.5"];
  /** By node. */
  readonly known: Map<bigint, TraversalPeer> = new Map();
  readonly reflexes: Map<bigint, SocketAddress> = new Map();
  readonly classes: Map<bigint, NatClass> = new Map();
  /** Messages sent, to whom. */
  readonly sent: [bigint, RendezvousMessage | undefined][] = [];
  /** Keep-alives sent, to which address, and when. */
  readonly keepAlives: [string, number][] = [];
  /** Addresses at which peers were asked for a sign of life, and when. */
  readonly asked: [string, number][] = [];
  /** Addresses over which handshakes come about, and what the peer is like then. */
  readonly answering: Map<string, Partial<TraversalPeer>> = new Map();
  /** Nodes whose keep-alives are awaited. */
  readonly awaited: Set<bigint> = new Set();
  /** Further sockets asked for. */
  sides = 0;
  readonly #timers: VirtualTimers;

  constructor(timers: VirtualTimers) {
    this.#timers = timers;
  }

  /** Adds a peer of netmesh, reached over a relay unless `changes` says otherwise. */
  add(nodeId: bigint, changes: Partial<TraversalPeer> = {}): void {
    const address = SocketAddress.parse("198.51.100.99:9000");
    this.known.set(nodeId, {
      nodeId,
      address,
      isDirect: false,
      roundTripMs: 40,
      movesPaths: true,
      ...changes,
    });
  }

  interfaceAddresses(): readonly string[] {
    return this.interfaces;
  }

  unixNow(): number {
    return 1_790_000_000_000 + this.#timers.now();
  }

  peers(): Iterable<TraversalPeer> {
    return this.known.values();
  }

  peer(nodeId: bigint): TraversalPeer | undefined {
    return this.known.get(nodeId);
  }

  reflexOf(nodeId: bigint): SocketAddress | undefined {
    return this.reflexes.get(nodeId);
  }

  natClassOf(nodeId: bigint): NatClass {
    return this.classes.get(nodeId) ?? "unknown";
  }

  send(nodeId: bigint, _subprotocolId: number, message: Uint8Array): boolean {
    this.sent.push([nodeId, decodeRendezvous(message)]);
    return true;
  }

  sendKeepAlive(to: SocketAddress): void {
    this.keepAlives.push([to.key, this.#timers.now()]);
  }

  sendFromSides(_nodeId: bigint, _to: SocketAddress, _punchId: number, count: number): boolean {
    this.sides += count;
    return true;
  }

  closeSides(): void {}

  awaitKeepAlives(nodeId: bigint, isAwaited: boolean): void {
    if (isAwaited) this.awaited.add(nodeId);
    else this.awaited.delete(nodeId);
  }

  tryPath(nodeId: bigint, address: SocketAddress): boolean {
    if (this.known.get(nodeId)?.movesPaths === false) return false;
    this.asked.push([address.key, this.#timers.now()]);
    return true;
  }

  connect({ nodeId }: TraversalContact, via: SocketAddress): Promise<void> {
    const peer = this.answering.get(via.key);
    if (peer === undefined) return Promise.reject(new Error("nobody answers"));
    this.add(nodeId, { address: via, ...peer });
    return Promise.resolve();
  }

  punched(): void {}

  publish(): void {}
}
