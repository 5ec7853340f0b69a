import { copyBytes, DatagramBatch, SocketAddress } from "@netmesh/wire";
import type { Transport, TransportListener } from "../transport.ts";
import type { MemoryNetwork, MemoryTransport } from "./memory-network.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/**
 * How a NAT behaves (RFC 4787 §§4–5): the first three keep one external port per inner address and differ in who may send to it:
 * everybody, hosts that were sent to, addresses that were sent to. A symmetric one takes another port for each destination.
 */
export type NatKind = "full-cone" | "address-restricted" | "port-restricted" | "symmetric";

/** Settings of a {@link NatBox}. */
export interface NatOptions {
  readonly kind: NatKind;
  /** The external IP address, which nothing else may have. */
  readonly host: string;
  /** Whether inner nodes reach each other over their external addresses; default false. */
  readonly hairpin?: boolean;
  /** Idle time after which a mapping is forgotten; default 120 000. */
  readonly idleMs?: number;
  /** Between two external ports, as a counter of connections takes them; default 1. */
  readonly portStep?: number;
  /** Chooses external ports from 1024 on at random, in place of the counter. */
  readonly portRandom?: SeededRandom;
}

interface Mapping {
  readonly inner: NatTransport;
  readonly outer: MemoryTransport;
  /** Hosts and addresses that were sent to. */
  readonly sentTo: Set<string>;
  usedMs: number;
}

const FIRST_PORT = 20_000;
const FIRST_RANDOM_PORT = 1_024;
const DEFAULT_IDLE_MS = 120_000;

/** A router between an inner network and a {@link MemoryNetwork}, which translates addresses. */
export class NatBox {
  /** Datagrams from outside that were not let in. */
  filtered = 0;
  readonly #network: MemoryNetwork;
  readonly #clock: VirtualClock;
  readonly #options: NatOptions;
  readonly #inner = new Map<string, NatTransport>();
  readonly #mappings = new Map<string, Mapping>();
  /** External ports that were chosen at random; each is used once. */
  readonly #taken = new Set<number>();
  #nextHost = 2;
  #nextPort = FIRST_PORT;
  #nextInnerPort = 7_000;

  constructor(network: MemoryNetwork, clock: VirtualClock, options: NatOptions) {
    this.#network = network;
    this.#clock = clock;
    this.#options = options;
  }

  /** A transport at a new inner address, or at another port of an inner host. */
  bind(host?: string): NatTransport {
    const address = SocketAddress.parse(
      host === undefined ? `192.168.1.${this.#nextHost++}:7000` : { host, port: ++this.#nextInnerPort },
    );
    const transport = new NatTransport(address, this);
    this.#inner.set(address.key, transport);
    return transport;
  }

  /** Forgets every mapping, as a router does that starts anew. */
  restart(): void {
    for (const { outer } of this.#mappings.values()) outer.detach();
    this.#mappings.clear();
  }

  /** Called by inner transports. */
  send(inner: NatTransport, bytes: Uint8Array, to: SocketAddress): void {
    const neighbor = this.#inner.get(to.key);
    if (neighbor !== undefined) {
      const copy = copyBytes(bytes);
      this.#clock.after(0, () => neighbor.deliver(copy, inner.localAddress));
      return;
    }
    if (to.host.startsWith("192.168.")) return;
    if (to.host === this.#options.host && this.#options.hairpin !== true) {
      this.filtered++;
      return;
    }
    const mapping = this.#mapping(inner, to);
    mapping.usedMs = this.#clock.now();
    mapping.sentTo.add(to.host).add(to.key);
    this.#network.inject(bytes, mapping.outer.localAddress, to);
  }

  /** Takes an inner transport out. */
  release(inner: NatTransport): void {
    this.#inner.delete(inner.localAddress.key);
  }

  #takePort(): SocketAddress {
    const { host, portStep = 1, portRandom } = this.#options;
    if (portRandom === undefined) {
      const port = this.#nextPort;
      this.#nextPort += portStep;
      return SocketAddress.parse({ host, port });
    }
    for (;;) {
      const port = FIRST_RANDOM_PORT + Math.floor(portRandom.next() * (65_536 - FIRST_RANDOM_PORT));
      if (this.#taken.has(port)) continue;
      this.#taken.add(port);
      return SocketAddress.parse({ host, port });
    }
  }

  #mapping(inner: NatTransport, to: SocketAddress): Mapping {
    const { kind, idleMs = DEFAULT_IDLE_MS } = this.#options;
    const key = kind === "symmetric" ? `${inner.localAddress.key}>${to.key}` : inner.localAddress.key;
    const known = this.#mappings.get(key);
    if (known !== undefined) {
      if (this.#clock.now() - known.usedMs <= idleMs) return known;
      known.outer.detach();
    }
    const outer = this.#network.bind(this.#takePort());
    const mapping: Mapping = { inner, outer, sentTo: new Set(), usedMs: this.#clock.now() };
    outer.listen({
      receive: (batch) => this.#receive(mapping, batch),
      writable: () => {},
      closed: () => {},
    });
    this.#mappings.set(key, mapping);
    return mapping;
  }

  #receive(mapping: Mapping, batch: DatagramBatch): void {
    const { kind, idleMs = DEFAULT_IDLE_MS } = this.#options;
    const from = batch.addresses[0] as SocketAddress;
    const isKnown =
      kind === "full-cone" || mapping.sentTo.has(kind === "address-restricted" ? from.host : from.key);
    if (!isKnown || this.#clock.now() - mapping.usedMs > idleMs) {
      this.filtered++;
      return;
    }
    mapping.inner.deliver(batch.bytes[0] as Uint8Array, from);
  }
}

/** An address behind a {@link NatBox}. */
export class NatTransport implements Transport {
  readonly localAddress: SocketAddress;
  readonly #box: NatBox;
  readonly #batch = new DatagramBatch();
  #listener: TransportListener | undefined;
  #isDetached = false;

  /** Use {@link NatBox.bind}. */
  constructor(localAddress: SocketAddress, box: NatBox) {
    this.localAddress = localAddress;
    this.#box = box;
  }

  send(batch: DatagramBatch): number {
    for (let i = 0; i < batch.count && !this.#isDetached; i++) {
      this.#box.send(this, batch.bytes[i] as Uint8Array, batch.addresses[i] as SocketAddress);
    }
    return batch.count;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  /** Called by the box. */
  deliver(bytes: Uint8Array, from: SocketAddress): void {
    this.#batch.clear();
    this.#batch.push(bytes, from);
    this.#listener?.receive(this.#batch);
    this.#batch.clear();
  }

  /** Sends and receives nothing from now on, without telling anybody. */
  detach(): void {
    this.#isDetached = true;
    this.#listener = undefined;
    this.#box.release(this);
  }

  close(): Promise<void> {
    this.detach();
    return Promise.resolve();
  }

  openBeside(): Promise<NatTransport> {
    return Promise.resolve(this.#box.bind(this.localAddress.host));
  }
}
