import { DatagramBatch, type SocketAddress } from "@netmesh/wire";
import { BoundSocket } from "./bound-socket.ts";
import { ReceiveHistogram } from "./receive-histogram.ts";
import type { SocketBuffers } from "./socket-buffers.ts";
import type {
  Fallback,
  TransportListener,
  TransportOptions,
  TransportSocket,
  TransportStats,
} from "./transport-socket.ts";

/** The socket that runs everywhere: `node:dgram`, one system call and one callback per datagram. */
export class PortableSocket implements TransportSocket {
  listener: TransportListener | undefined;
  /** `node:dgram` has no way to set "don't fragment", so it is the system's choice. */
  readonly fragments = true;
  readonly #socket: BoundSocket;
  readonly #fallback: Fallback | undefined;
  readonly #batch: DatagramBatch = new DatagramBatch();
  readonly #measuresBatches: boolean;

  private constructor(socket: BoundSocket, options: TransportOptions, fallback: Fallback | undefined) {
    this.#socket = socket;
    this.#fallback = fallback;
    this.#measuresBatches = options.measureBatches === true;
    socket.owner = {
      received: (bytes, source) => this.#received(bytes, source),
      writable: () => this.listener?.writable?.(),
      closed: () => this.listener?.closed?.(),
    };
  }

  static async bind(
    address: SocketAddress,
    options: TransportOptions,
    fallback: Fallback | undefined,
  ): Promise<PortableSocket> {
    return new PortableSocket(await BoundSocket.bind(address, options), options, fallback);
  }

  get localAddress(): SocketAddress {
    return this.#socket.localAddress;
  }

  get buffers(): SocketBuffers {
    return this.#socket.buffers;
  }

  send(batch: DatagramBatch): number {
    const { bytes, addresses, count } = batch;
    for (let i = 0; i < count; i++) {
      const outcome = this.#socket.send(bytes[i] as Uint8Array, addresses[i] as SocketAddress);
      if (outcome === "full" || outcome === "closed") return i;
    }
    return count;
  }

  stats(): TransportStats {
    return {
      ...this.#socket.stats(),
      mode: "portable",
      fallback: this.#fallback,
      segmentsSends: false,
      joinsReceives: false,
      kernelDrops: 0,
      truncated: 0,
      networkErrors: {},
      timerPolls: 0,
      receiveBatches: this.#measuresBatches ? new ReceiveHistogram().snapshot() : undefined,
    };
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  close(): Promise<void> {
    return this.#socket.close();
  }

  #received(bytes: Uint8Array, source: SocketAddress): void {
    this.#batch.clear();
    this.#batch.push(bytes, source);
    this.listener?.receive(this.#batch);
  }
}
