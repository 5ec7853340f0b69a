import { DatagramBatch, type SocketAddress } from "@netmesh/wire";
import type { Transport } from "./transport.ts";

/** Further sockets that are open at once, over all probes. */
const MAX_OPEN = 1_024;
/** Addresses that are reached over another socket than the main one. */
const MAX_PINNED = 64;

/** Whether a datagram is what a probe waits for. */
export type SideAnswer = (bytes: Uint8Array, from: SocketAddress) => boolean;

/** What side sockets have done so far. */
export interface SideSocketCounters {
  opened: number;
  /** Sockets that could not be opened: too many, or the system refused. */
  refused: number;
  /** Datagrams that were no answers. */
  ignored: number;
  /** Sockets that a peer has answered, which carry everything to it since. */
  kept: number;
}

interface Probe {
  readonly owner: bigint;
  readonly to: SocketAddress;
  readonly bytes: Uint8Array;
  readonly isAnswer: SideAnswer;
  readonly sockets: Set<Transport>;
}

/**
 * Further sockets beside a node's own, each of which a NAT gives a port of its own. They send to one address; the one that
 * is answered from there stays, and carries everything that goes to that address. For the core nothing changes: it sends to addresses.
 */
export class SideSockets {
  readonly counters: SideSocketCounters = { opened: 0, refused: 0, ignored: 0, kept: 0 };
  readonly #main: Transport;
  readonly #receive: (batch: DatagramBatch) => void;
  readonly #writable: () => void;
  /** By owner; a later probe of the same owner takes the place of an earlier one. */
  readonly #probes = new Map<bigint, Probe>();
  /** By address; at most {@link MAX_PINNED}, further answers are ignored. */
  readonly #pinned = new Map<string, { readonly owner: bigint; readonly socket: Transport }>();
  readonly #run = new DatagramBatch();
  #open = 0;
  #isClosed = false;

  /** `receive` takes what arrives on sockets that were answered, `writable` is told when one of them has room again. */
  constructor(main: Transport, receive: (batch: DatagramBatch) => void, writable: () => void) {
    this.#main = main;
    this.#receive = receive;
    this.#writable = writable;
  }

  /** Whether everything goes over the main socket. */
  get isIdle(): boolean {
    return this.#pinned.size === 0;
  }

  /** Whether the transport can open further sockets. */
  get isSupported(): boolean {
    return this.#main.openBeside !== undefined;
  }

  /** Sends a batch, each datagram over the socket that reaches its address; returns how many were accepted, as `Transport.send`. */
  send(batch: DatagramBatch): number {
    let sent = 0;
    while (sent < batch.count) {
      const socket = this.#socketTo(batch.addresses[sent] as SocketAddress);
      const run = this.#run;
      run.clear();
      let next = sent;
      while (next < batch.count && this.#socketTo(batch.addresses[next] as SocketAddress) === socket) {
        run.push(batch.bytes[next] as Uint8Array, batch.addresses[next] as SocketAddress);
        next++;
      }
      const accepted = socket.send(run);
      const isWhole = accepted === run.count;
      run.clear();
      sent += accepted;
      if (!isWhole) return sent;
    }
    return sent;
  }

  /**
   * Opens up to `count` further sockets that send `bytes` to an address. The first from which `isAnswer` gets what it waits for
   * stays until {@link release}. Adds to a probe of the same owner for the same address. False when the transport has no further sockets.
   */
  probe(owner: bigint, to: SocketAddress, count: number, bytes: Uint8Array, isAnswer: SideAnswer): boolean {
    if (!this.isSupported || this.#isClosed) return false;
    let probe = this.#probes.get(owner);
    if (probe === undefined || !probe.to.equals(to)) {
      this.release(owner);
      probe = { owner, to, bytes, isAnswer, sockets: new Set() };
      this.#probes.set(owner, probe);
    }
    for (let i = 0; i < count; i++) void this.#openFor(probe);
    return true;
  }

  /** Closes the owner's sockets that were not answered. */
  endProbe(owner: bigint): void {
    const probe = this.#probes.get(owner);
    if (probe === undefined) return;
    this.#probes.delete(owner);
    const sockets = [...probe.sockets];
    probe.sockets.clear();
    for (const socket of sockets) this.#close(socket);
  }

  /** Closes all of the owner's sockets. */
  release(owner: bigint): void {
    this.endProbe(owner);
    for (const [key, pin] of this.#pinned) {
      if (pin.owner !== owner) continue;
      this.#pinned.delete(key);
      this.#close(pin.socket);
    }
  }

  /** Closes everything. */
  close(): void {
    this.#isClosed = true;
    for (const owner of [...this.#probes.keys()]) this.endProbe(owner);
    for (const { socket } of this.#pinned.values()) this.#close(socket);
    this.#pinned.clear();
  }

  async #openFor(probe: Probe): Promise<void> {
    if (this.#open >= MAX_OPEN) {
      this.counters.refused++;
      return;
    }
    this.#open++;
    let socket: Transport;
    try {
      socket = await (this.#main.openBeside as () => Promise<Transport>).call(this.#main);
    } catch {
      this.#open--;
      this.counters.refused++;
      return;
    }
    if (this.#probes.get(probe.owner) !== probe) {
      this.#close(socket);
      return;
    }
    this.counters.opened++;
    probe.sockets.add(socket);
    socket.listen({
      receive: (batch) => this.#onBatch(probe, socket, batch),
      writable: this.#writable,
      closed: () => this.#onClosed(probe, socket),
    });
    const batch = new DatagramBatch();
    batch.push(probe.bytes, probe.to);
    socket.send(batch);
  }

  #onBatch(probe: Probe, socket: Transport, batch: DatagramBatch): void {
    if (this.#pinned.get(probe.to.key)?.socket === socket) {
      this.#receive(batch);
      return;
    }
    for (let i = 0; i < batch.count; i++) {
      const from = batch.addresses[i] as SocketAddress;
      if (probe.sockets.has(socket) && from.equals(probe.to) && this.#accepts(probe, socket, batch, i)) {
        this.#receive(batch);
        return;
      }
      this.counters.ignored++;
    }
  }

  #accepts(probe: Probe, socket: Transport, batch: DatagramBatch, i: number): boolean {
    const { key } = probe.to;
    if (this.#pinned.has(key) || this.#pinned.size >= MAX_PINNED) return false;
    if (!probe.isAnswer(batch.bytes[i] as Uint8Array, probe.to)) return false;
    probe.sockets.delete(socket);
    this.#pinned.set(key, { owner: probe.owner, socket });
    this.counters.kept++;
    return true;
  }

  #onClosed(probe: Probe, socket: Transport): void {
    if (probe.sockets.delete(socket)) this.#open--;
    const pin = this.#pinned.get(probe.to.key);
    if (pin?.socket !== socket) return;
    this.#pinned.delete(probe.to.key);
    this.#open--;
  }

  #socketTo(address: SocketAddress): Transport {
    return this.#pinned.get(address.key)?.socket ?? this.#main;
  }

  #close(socket: Transport): void {
    this.#open--;
    // Nobody waits for it, and there is nothing to be done about a failure.
    void socket.close().catch(() => undefined);
  }
}
