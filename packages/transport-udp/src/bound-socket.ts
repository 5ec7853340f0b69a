import { createSocket, type Socket } from "node:dgram";
import { AddressBook, SocketAddress } from "@netmesh/wire";
import { MAX_DATAGRAM_BYTES } from "./datagram-size.ts";
import { DEFAULT_BUFFER_BYTES, requestBuffer, type SocketBuffers } from "./socket-buffers.ts";
import { StagingRing } from "./staging-ring.ts";
import { systemCodeOf, TransportError, toTransportError } from "./transport-error.ts";

/** How to bind a socket. */
export interface SocketOptions extends Partial<SocketBuffers> {
  /** Let other sockets bind the same address; on Linux the last one gets every datagram. Default false. */
  readonly reuseAddress?: boolean;
  /** Keep IPv4 peers off an IPv6 socket. Default false. */
  readonly ipv6Only?: boolean;
  /** Sends Node may hold back when the kernel's buffer is full; default 1024. */
  readonly maxQueuedDatagrams?: number;
  /** Their bytes; default 4 MiB. */
  readonly maxQueuedBytes?: number;
}

/** Plain counters of a socket since it was bound. */
export interface SocketStats {
  readonly received: number;
  readonly receivedBytes: number;
  /** Datagrams the kernel took. */
  readonly sent: number;
  readonly sentBytes: number;
  /** Datagrams the kernel did not take, by the system's code. */
  readonly sendErrors: Readonly<Record<string, number>>;
  /** Datagrams turned away because the send queue was full. */
  readonly refused: number;
  /** Datagrams too long for UDP, dropped unsent. */
  readonly oversize: number;
  /** Errors the receiving side reported and survived, such as an ICMP refusal. */
  readonly receiveErrors: number;
}

/** What became of a datagram given to {@link BoundSocket.send}. */
export type SendOutcome = "accepted" | "oversize" | "full" | "closed";

/** What a bound socket reports to the one object that owns it. */
export interface SocketOwner {
  received(bytes: Uint8Array, source: SocketAddress): void;
  /** The send queue has room again after a `full`. */
  writable(): void;
  closed(): void;
}

/** Node's callback of one send. */
export type Sent = (error: Error | null, bytes: number) => void;

/** A bound dgram socket with the rules of transport §9.1: no DNS, bounded sends, counted errors. */
export class BoundSocket {
  readonly localAddress: SocketAddress;
  readonly buffers: SocketBuffers;
  owner: SocketOwner | undefined;
  readonly #socket: Socket;
  readonly #isIpv6: boolean;
  readonly #maxQueuedDatagrams: number;
  readonly #maxQueuedBytes: number;
  readonly #staging: StagingRing;
  readonly #sources: AddressBook = new AddressBook();
  /** IPv4 peers as an IPv6 socket has to spell them. */
  readonly #mappedHosts: WeakMap<SocketAddress, string> = new WeakMap();
  readonly #sendErrors: Record<string, number> = {};
  #closing: Promise<void> | undefined;
  #isConnected = false;
  #isFull = false;
  #received = 0;
  #receivedBytes = 0;
  #sent = 0;
  #sentBytes = 0;
  #refused = 0;
  #oversize = 0;
  #receiveErrors = 0;

  private constructor(socket: Socket, family: 4 | 6, options: SocketOptions) {
    const { address, port } = socket.address();
    const { maxQueuedDatagrams = 1024, maxQueuedBytes = 4 * 1024 * 1024 } = options;
    this.localAddress = SocketAddress.parse({ host: address, port });
    this.buffers = {
      receiveBufferBytes: socket.getRecvBufferSize(),
      sendBufferBytes: socket.getSendBufferSize(),
    };
    this.#socket = socket;
    this.#isIpv6 = family === 6;
    this.#maxQueuedDatagrams = maxQueuedDatagrams;
    this.#maxQueuedBytes = maxQueuedBytes;
    this.#staging = new StagingRing(maxQueuedDatagrams);
    socket.on("error", () => {
      this.#receiveErrors += 1;
    });
    socket.on("message", (message, source) => this.#receive(message, source.address, source.port));
  }

  static async bind(address: string | SocketAddress, options: SocketOptions): Promise<BoundSocket> {
    const { host, port, family } = parseAddress(address);
    requireSocketOptions(options);
    const socket = createSocket({
      type: family === 4 ? "udp4" : "udp6",
      reuseAddr: options.reuseAddress ?? false,
      ipv6Only: options.ipv6Only ?? false,
      // Hosts are literal, and answering at once keeps sends synchronous: no DNS, no extra turn.
      lookup: (literal, _options, callback) => callback(null, literal, family),
    });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind({ port, address: host, exclusive: true }, () => {
          socket.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      socket.close();
      throw toTransportError(error, `binding ${address}`);
    }
    try {
      requestBuffer(
        (bytes) => socket.setRecvBufferSize(bytes),
        options.receiveBufferBytes ?? DEFAULT_BUFFER_BYTES,
      );
      requestBuffer(
        (bytes) => socket.setSendBufferSize(bytes),
        options.sendBufferBytes ?? DEFAULT_BUFFER_BYTES,
      );
      return new BoundSocket(socket, family, options);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** Fixes the peer: sends go there, and the kernel drops what comes from elsewhere. */
  async connect(peer: SocketAddress): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.connect(peer.port, this.#hostOf(peer), (error?: Error) => {
        if (error) reject(toTransportError(error, `connecting to ${peer}`));
        else resolve();
      });
    });
    this.#isConnected = true;
  }

  /**
   * Copies the datagram and hands it to the kernel, or to Node's queue when the kernel's is full.
   * Errors of the system are counted, and told to `sent` when it is given.
   */
  send(bytes: Uint8Array, peer: SocketAddress, sent: Sent = this.#sentOne): SendOutcome {
    if (this.#closing !== undefined) return "closed";
    const { length } = bytes;
    if (length > MAX_DATAGRAM_BYTES) {
      this.#oversize += 1;
      return "oversize";
    }
    const queued = this.#socket.getSendQueueCount();
    if (queued > 0 && this.#isOverBound(queued, length)) {
      this.#isFull = true;
      this.#refused += 1;
      return "full";
    }
    const staged = this.#staging.stage(bytes, queued);
    if (this.#isConnected) {
      this.#socket.send(staged, 0, length, sent);
    } else if (peer.port === 0) {
      // dgram would throw, and the system's answer to port 0 is known.
      process.nextTick(sent, Object.assign(new Error("port 0 takes no datagrams"), { code: "EINVAL" }), 0);
    } else {
      this.#socket.send(staged, 0, length, peer.port, this.#hostOf(peer), sent);
    }
    return "accepted";
  }

  /** Counts the outcome of a send; every callback given to {@link BoundSocket.send} must call it. */
  settle(error: Error | null, bytes: number): void {
    if (error === null) {
      this.#sent += 1;
      this.#sentBytes += bytes;
    } else {
      const code = systemCodeOf(error);
      this.#sendErrors[code] = (this.#sendErrors[code] ?? 0) + 1;
    }
    if (!this.#isFull || this.#closing !== undefined) return;
    if (this.#socket.getSendQueueCount() * 2 > this.#maxQueuedDatagrams) return;
    if (this.#socket.getSendQueueSize() * 2 > this.#maxQueuedBytes) return;
    this.#isFull = false;
    this.owner?.writable();
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#socket.close(() => {
        this.owner?.closed();
        resolve();
      });
    });
    return this.#closing;
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  stats(): SocketStats {
    return {
      received: this.#received,
      receivedBytes: this.#receivedBytes,
      sent: this.#sent,
      sentBytes: this.#sentBytes,
      sendErrors: { ...this.#sendErrors },
      refused: this.#refused,
      oversize: this.#oversize,
      receiveErrors: this.#receiveErrors,
    };
  }

  // One function for every send: no closure per datagram.
  readonly #sentOne: Sent = (error, bytes) => this.settle(error, bytes);

  #isOverBound(queued: number, length: number): boolean {
    return (
      queued >= this.#maxQueuedDatagrams || this.#socket.getSendQueueSize() + length > this.#maxQueuedBytes
    );
  }

  #receive(message: Uint8Array, host: string, port: number): void {
    if (this.#closing !== undefined) return;
    this.#received += 1;
    this.#receivedBytes += message.length;
    this.owner?.received(message, this.#sources.intern(host, port));
  }

  #hostOf(peer: SocketAddress): string {
    if (!this.#isIpv6 || peer.family === 6) return peer.host;
    let mapped = this.#mappedHosts.get(peer);
    if (mapped === undefined) {
      mapped = `::ffff:${peer.host}`;
      this.#mappedHosts.set(peer, mapped);
    }
    return mapped;
  }
}

/** A literal address, or a TransportError `invalid-argument`. */
export function parseAddress(address: string | SocketAddress): SocketAddress {
  try {
    return SocketAddress.parse(address);
  } catch (error) {
    throw new TransportError("invalid-argument", (error as Error).message, { cause: error });
  }
}

/** Throws TransportError `invalid-argument` for sizes that make no sense. */
export function requireSocketOptions(options: SocketOptions): void {
  requireCount("maxQueuedDatagrams", options.maxQueuedDatagrams);
  requireCount("maxQueuedBytes", options.maxQueuedBytes);
  requireCount("receiveBufferBytes", options.receiveBufferBytes);
  requireCount("sendBufferBytes", options.sendBufferBytes);
}

function requireCount(name: string, value: number | undefined): void {
  if (value === undefined || (Number.isInteger(value) && value > 0)) return;
  throw new TransportError("invalid-argument", `${name} must be a positive integer, got ${value}`);
}
