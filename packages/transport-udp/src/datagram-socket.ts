import type { SocketAddress } from "@netmesh/wire";
import {
  BoundSocket,
  parseAddress,
  type Sent,
  type SocketOptions,
  type SocketStats,
} from "./bound-socket.ts";
import { DatagramQueue, type ReceivedDatagram } from "./datagram-queue.ts";
import type { SocketBuffers } from "./socket-buffers.ts";
import { TransportError, toTransportError } from "./transport-error.ts";
import { WaitList } from "./wait-list.ts";

/** Counters of a {@link DatagramSocket}. */
export interface DatagramSocketStats extends SocketStats {
  /** Datagrams dropped because 4096 were waiting to be received. */
  readonly queueOverflow: number;
}

/** What every waiting call takes. */
export interface WaitOptions {
  /** Ends the wait; the call rejects with the signal's reason and loses no datagram. */
  readonly signal?: AbortSignal;
}

/**
 * A UDP socket to pull from: datagrams wait in a queue of at most 4096 (beyond it the newest is dropped
 * and counted) until somebody receives them (transport §2.4, §9.1). A node uses `UdpTransport`; this is
 * for tools, tests and protocols of one question and one answer.
 */
export class DatagramSocket implements AsyncDisposable {
  readonly #socket: BoundSocket;
  readonly #queue: DatagramQueue = new DatagramQueue();
  readonly #writers: WaitList<void> = new WaitList();
  #peer: SocketAddress | undefined;

  private constructor(socket: BoundSocket) {
    this.#socket = socket;
    socket.owner = {
      received: (bytes, source) => this.#queue.push({ bytes, source }),
      writable: () => this.#writers.resolveAll(),
      closed: () => {
        this.#queue.close();
        this.#writers.rejectAll(closed());
      },
    };
  }

  /**
   * Binds a literal address; port 0 takes a free one.
   *
   * @throws TransportError `address-in-use`, `address-not-available`, `invalid-argument`, `socket`
   */
  static async bind(address: string | SocketAddress, options: SocketOptions = {}): Promise<DatagramSocket> {
    return new DatagramSocket(await BoundSocket.bind(address, options));
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
   * Fixes the peer of `send` and `recv`; datagrams from elsewhere no longer arrive. Once per socket.
   *
   * @throws TransportError `invalid-argument` when connected already, `closed`, `socket`
   */
  async connect(peer: string | SocketAddress): Promise<void> {
    const address = parseAddress(peer);
    if (this.#socket.isClosed) throw closed();
    if (this.#peer !== undefined || address.port === 0) {
      throw new TransportError("invalid-argument", `cannot connect to ${address}`);
    }
    this.#peer = address;
    await this.#socket.connect(address);
  }

  /**
   * The next datagram and its source, in arrival order. The bytes are the caller's to keep.
   *
   * @throws TransportError `connection-reset` once the socket is closed and the queue used up
   */
  recvFrom(options: WaitOptions = {}): Promise<ReceivedDatagram> {
    return this.#queue.shift(options.signal);
  }

  /**
   * The next datagram of a connected socket.
   *
   * @throws TransportError `invalid-argument` when not connected, else as `recvFrom`
   */
  async recv(options: WaitOptions = {}): Promise<Uint8Array> {
    this.#requirePeer();
    return (await this.recvFrom(options)).bytes;
  }

  /**
   * The next datagram if one is there.
   *
   * @throws TransportError `connection-reset` once the socket is closed and the queue used up
   */
  tryRecvFrom(): ReceivedDatagram | undefined {
    return this.#queue.tryShift();
  }

  /**
   * Sends one datagram, waiting while the send queue is full; resolves to its length when the kernel
   * has it. The bytes are copied when they are accepted.
   *
   * @throws TransportError `closed`, `invalid-argument` (too long, or not the connected peer), `socket`
   */
  async sendTo(bytes: Uint8Array, peer: SocketAddress, options: WaitOptions = {}): Promise<number> {
    for (;;) {
      const length = await new Promise<number | undefined>((resolve, reject) => {
        const isAccepted = this.#offer(bytes, peer, (error, sent) => {
          this.#socket.settle(error, sent);
          if (error === null) resolve(sent);
          else reject(toTransportError(error, `sending to ${peer}`));
        });
        // Waiting begins in the same turn as the refusal, or the wake-up could come between them.
        if (!isAccepted) resolve(this.#writers.wait(options.signal).then(() => undefined));
      });
      if (length !== undefined) return length;
    }
  }

  /**
   * Sends one datagram to the connected peer, as `sendTo`.
   *
   * @throws TransportError `invalid-argument` when not connected, else as `sendTo`
   */
  async send(bytes: Uint8Array, options: WaitOptions = {}): Promise<number> {
    return await this.sendTo(bytes, this.#requirePeer(), options);
  }

  /**
   * Sends one datagram now; returns its length. What the kernel refuses later is counted only.
   *
   * @throws TransportError `would-block` when the send queue is full, else as `sendTo`
   */
  trySendTo(bytes: Uint8Array, peer: SocketAddress): number {
    if (!this.#offer(bytes, peer)) throw new TransportError("would-block", "the send queue is full");
    return bytes.length;
  }

  /** Counters since the bind. */
  stats(): DatagramSocketStats {
    return { ...this.#socket.stats(), queueOverflow: this.#queue.overflow };
  }

  /** Lets an open socket keep the process alive; the initial state. */
  ref(): void {
    this.#socket.ref();
  }

  /** Lets the process end while the socket is open. */
  unref(): void {
    this.#socket.unref();
  }

  /** Closes the socket; waiting receives fail with `connection-reset`, waiting sends with `closed`. */
  close(): Promise<void> {
    return this.#socket.close();
  }

  /** {@link DatagramSocket.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** False when the send queue is full. */
  #offer(bytes: Uint8Array, peer: SocketAddress, sent?: Sent): boolean {
    if (this.#peer !== undefined && !this.#peer.equals(peer)) {
      throw new TransportError("invalid-argument", `connected to ${this.#peer}, not to ${peer}`);
    }
    switch (this.#socket.send(bytes, peer, sent)) {
      case "closed":
        throw closed();
      case "oversize":
        throw new TransportError("invalid-argument", `${bytes.length} bytes do not fit a UDP datagram`);
      case "full":
        return false;
      case "accepted":
        return true;
    }
  }

  #requirePeer(): SocketAddress {
    if (this.#peer !== undefined) return this.#peer;
    throw new TransportError("invalid-argument", "the socket is not connected");
  }
}

function closed(): TransportError {
  return new TransportError("closed", "the socket is closed");
}
