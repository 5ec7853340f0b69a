import { DatagramBatch, type SocketAddress } from "@netmesh/wire";
import { BoundSocket, type SocketOptions, type SocketStats } from "./bound-socket.ts";
import type { SocketBuffers } from "./socket-buffers.ts";
import { TransportError } from "./transport-error.ts";

/** What a transport reports. */
export interface TransportListener {
  /**
   * Datagrams in arrival order, 1..64 of them. The batch is the transport's and reused: take what is
   * needed before returning.
   */
  receive(batch: DatagramBatch): void;
  /** There is room again after `send` accepted less than it was given. */
  writable?(): void;
  /** The transport is closed; nothing follows. */
  closed?(error?: Error): void;
}

/**
 * The UDP leg of a mesh node: one bound socket, batches in, batches out (transport §2, §9.1).
 *
 * Errors of the network never throw and never end the receiving; they are counted, see
 * {@link UdpTransport.stats}. What arrives before {@link UdpTransport.listen} is counted and lost.
 */
export class UdpTransport implements AsyncDisposable {
  readonly #socket: BoundSocket;
  readonly #batch: DatagramBatch = new DatagramBatch();

  private constructor(socket: BoundSocket) {
    this.#socket = socket;
  }

  /**
   * Binds a literal address such as `"0.0.0.0:0"` or `"[::]:4433"`; port 0 takes a free one. An IPv6
   * socket also talks to IPv4 peers unless `ipv6Only`.
   *
   * @throws TransportError `address-in-use`, `address-not-available`, `invalid-argument`, `socket`
   */
  static async bind(address: string | SocketAddress, options: SocketOptions = {}): Promise<UdpTransport> {
    return new UdpTransport(await BoundSocket.bind(address, options));
  }

  /** Where the socket is bound, with the port that was really assigned. */
  get localAddress(): SocketAddress {
    return this.#socket.localAddress;
  }

  /** What the kernel granted; Linux reports twice the usable size. */
  get buffers(): SocketBuffers {
    return this.#socket.buffers;
  }

  /**
   * Starts delivery; once per transport.
   *
   * @throws TransportError `invalid-argument` when there is a listener already.
   */
  listen(listener: TransportListener): void {
    if (this.#socket.owner !== undefined) {
      throw new TransportError("invalid-argument", "a transport has one listener");
    }
    const batch = this.#batch;
    this.#socket.owner = {
      received: (bytes, source) => {
        batch.clear();
        batch.push(bytes, source);
        listener.receive(batch);
      },
      writable: () => listener.writable?.(),
      closed: () => listener.closed?.(),
    };
  }

  /**
   * Sends a batch, in order.
   *
   * @returns how many datagrams were accepted, from the front. Fewer than `batch.count` means that the
   *   send queue is full (the rest is the caller's, `writable` follows) or the transport closed. The
   *   bytes are copied as needed: they belong to the caller again on return. An accepted datagram that
   *   the kernel refuses, or that is longer than UDP allows, is counted and lost.
   */
  send(batch: DatagramBatch): number {
    const { bytes, addresses, count } = batch;
    for (let i = 0; i < count; i++) {
      const outcome = this.#socket.send(bytes[i] as Uint8Array, addresses[i] as SocketAddress);
      if (outcome === "full" || outcome === "closed") return i;
    }
    return count;
  }

  /** Counters since the bind. */
  stats(): SocketStats {
    return this.#socket.stats();
  }

  /** Lets an open transport keep the process alive; the initial state. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the process end while the transport is open. */
  unref(): void {
    this.#socket.unref();
  }

  /** Closes the socket; resolves when it is closed, every time it is called. */
  close(): Promise<void> {
    return this.#socket.close();
  }

  /** {@link UdpTransport.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
