import { copyBytes, DatagramBatch, SocketAddress } from "@netmesh/wire";
import type { Transport, TransportListener } from "../transport.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** How one direction between two addresses behaves. Everything is 0 by default: an ideal link. */
export interface LinkConditions {
  /** Time a datagram takes. */
  readonly delayMs?: number;
  /** Up to so much is added at random, without changing the order. */
  readonly jitterMs?: number;
  /** Share of datagrams that vanish, 0 to 1. */
  readonly loss?: number;
  /** Share of datagrams that arrive twice. */
  readonly duplication?: number;
  /** Share of datagrams that are held back and overtaken. */
  readonly reordering?: number;
  /** How long they are held back; default 5. */
  readonly reorderingMs?: number;
  /** Capacity in bytes per second, headers of lower layers not counted; 0 for no limit. */
  readonly bytesPerSecond?: number;
  /** Bytes that may wait for a link with a capacity; more are dropped. Default 256 KiB. */
  readonly queueBytes?: number;
  /**
   * Bytes of the largest datagram that passes whole; 0 for no limit. Larger ones vanish silently, unless the transport
   * they come from `fragments`.
   */
  readonly mtuBytes?: number;
}

/** What became of the datagrams of a network. */
export interface NetworkStats {
  sent: number;
  delivered: number;
  lost: number;
  duplicated: number;
  reordered: number;
  /** Dropped because a link's queue was full. */
  overflowed: number;
  /** Dropped because they were larger than a link carries. */
  oversized: number;
  /** Larger than a link carries, and passed in fragments. */
  fragmented: number;
  /** Dropped by a partition, or because nobody listens at the address. */
  unreachable: number;
}

interface Link {
  /** Undefined: those of the network, whatever they are at the time. */
  readonly conditions: LinkConditions | undefined;
  /** When the link is free for the next datagram. */
  freeAtMs: number;
  /** Arrival of the last datagram that kept its place. */
  lastArrivalMs: number;
}

const DEFAULT_QUEUE_BYTES = 256 * 1024;
const DEFAULT_REORDERING_MS = 5;

/** Sees every datagram that is sent, before anything happens to it; `false` drops it. The bytes are a copy. */
export type NetworkTap = (bytes: Uint8Array, from: SocketAddress, to: SocketAddress) => boolean | undefined;

/** A network in memory and virtual time. All that happens follows from the seed of its random generator. */
export class MemoryNetwork {
  readonly stats: NetworkStats = {
    sent: 0,
    delivered: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    overflowed: 0,
    oversized: 0,
    fragmented: 0,
    unreachable: 0,
  };
  /** Conditions of links that {@link link} does not name. */
  conditions: LinkConditions;
  tap: NetworkTap | undefined;
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #transports = new Map<string, MemoryTransport>();
  readonly #links = new Map<string, Link>();
  readonly #cut = new Set<string>();
  #nextHost = 1;

  constructor(clock: VirtualClock, random: SeededRandom, conditions: LinkConditions = {}) {
    this.#clock = clock;
    this.#random = random;
    this.conditions = conditions;
  }

  /**
   * A transport at a new address, or at the given one. Throws when the address is taken.
   *
   * @param fragments - whether what is too large for a link passes in fragments; default false
   */
  bind(address?: SocketAddress, fragments = false): MemoryTransport {
    const host = this.#nextHost++;
    const at =
      address ?? SocketAddress.parse(`10.${(host >> 16) & 255}.${(host >> 8) & 255}.${host & 255}:7000`);
    if (this.#transports.has(at.key)) throw new Error(`${at.key} is taken`);
    const transport = new MemoryTransport(at, this, fragments);
    this.#transports.set(at.key, transport);
    return transport;
  }

  /** Sets the conditions from one address to another, one direction only. */
  link(from: SocketAddress, to: SocketAddress, conditions: LinkConditions): void {
    this.#links.set(linkKey(from, to), { conditions, freeAtMs: 0, lastArrivalMs: 0 });
  }

  /** Nothing passes between the two addresses any more. */
  partition(a: SocketAddress, b: SocketAddress): void {
    this.#cut.add(linkKey(a, b)).add(linkKey(b, a));
  }

  /** Takes {@link partition} back. */
  heal(a: SocketAddress, b: SocketAddress): void {
    this.#cut.delete(linkKey(a, b));
    this.#cut.delete(linkKey(b, a));
  }

  /** Puts bytes on the wire as if sent from that address, whoever that is. */
  inject(bytes: Uint8Array, from: SocketAddress, to: SocketAddress): void {
    this.stats.sent++;
    const copy = copyBytes(bytes);
    if (this.tap?.(copy, from, to) === false) {
      this.stats.lost++;
      return;
    }
    if (this.#cut.has(linkKey(from, to))) {
      this.stats.unreachable++;
      return;
    }
    const link = this.#linkOf(from, to);
    const { loss = 0, duplication = 0, mtuBytes = 0 } = link.conditions ?? this.conditions;
    if (mtuBytes > 0 && bytes.length > mtuBytes) {
      if (this.#transports.get(from.key)?.fragments !== true) {
        this.stats.oversized++;
        return;
      }
      this.stats.fragmented++;
    }
    if (loss > 0 && this.#random.chance(loss)) {
      this.stats.lost++;
      return;
    }
    this.#deliver(copy, from, to, link);
    if (duplication > 0 && this.#random.chance(duplication)) {
      this.stats.duplicated++;
      this.#deliver(copy.slice(), from, to, link);
    }
  }

  /** Takes a transport out; what is on its way to it is lost. */
  release(transport: Transport): void {
    if (this.#transports.get(transport.localAddress.key) === transport) {
      this.#transports.delete(transport.localAddress.key);
    }
  }

  #linkOf(from: SocketAddress, to: SocketAddress): Link {
    const key = linkKey(from, to);
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { conditions: undefined, freeAtMs: 0, lastArrivalMs: 0 };
      this.#links.set(key, link);
    }
    return link;
  }

  #deliver(bytes: Uint8Array, from: SocketAddress, to: SocketAddress, link: Link): void {
    const now = this.#clock.now();
    const {
      delayMs = 0,
      jitterMs = 0,
      reordering = 0,
      reorderingMs = DEFAULT_REORDERING_MS,
      bytesPerSecond = 0,
      queueBytes = DEFAULT_QUEUE_BYTES,
    } = link.conditions ?? this.conditions;
    let departure = now;
    if (bytesPerSecond > 0) {
      const waiting = (Math.max(0, link.freeAtMs - now) / 1_000) * bytesPerSecond;
      if (waiting + bytes.length > queueBytes) {
        this.stats.overflowed++;
        return;
      }
      departure = Math.max(now, link.freeAtMs) + (bytes.length / bytesPerSecond) * 1_000;
      link.freeAtMs = departure;
    }
    let arrival = departure + delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0);
    if (reordering > 0 && this.#random.chance(reordering)) {
      this.stats.reordered++;
      arrival += reorderingMs;
    } else {
      arrival = Math.max(arrival, link.lastArrivalMs);
      link.lastArrivalMs = arrival;
    }
    this.#clock.after(arrival - now, () => {
      const transport = this.#transports.get(to.key);
      if (transport === undefined || this.#cut.has(linkKey(from, to))) {
        this.stats.unreachable++;
        return;
      }
      this.stats.delivered++;
      transport.deliver(bytes, from);
    });
  }
}

function linkKey(from: SocketAddress, to: SocketAddress): string {
  return `${from.key}>${to.key}`;
}

/** One address of a {@link MemoryNetwork}. */
export class MemoryTransport implements Transport {
  readonly localAddress: SocketAddress;
  /** Whether what a link does not carry whole passes in fragments, or not at all. */
  readonly fragments: boolean;
  readonly #network: MemoryNetwork;
  readonly #batch = new DatagramBatch();
  #listener: TransportListener | undefined;
  #isDetached = false;

  /** Use {@link MemoryNetwork.bind}. */
  constructor(localAddress: SocketAddress, network: MemoryNetwork, fragments: boolean) {
    this.localAddress = localAddress;
    this.fragments = fragments;
    this.#network = network;
  }

  send(batch: DatagramBatch): number {
    if (this.#isDetached) return batch.count;
    for (let i = 0; i < batch.count; i++) {
      this.#network.inject(
        batch.bytes[i] as Uint8Array,
        this.localAddress,
        batch.addresses[i] as SocketAddress,
      );
    }
    return batch.count;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  /** Called by the network. */
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
    this.#network.release(this);
  }

  close(): Promise<void> {
    this.detach();
    return Promise.resolve();
  }
}
