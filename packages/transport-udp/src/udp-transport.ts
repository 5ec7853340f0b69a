import { type DatagramBatch, SocketAddress } from "@netmesh/wire";
import { batchedParts } from "./batched/availability.ts";
import { BatchedSocket } from "./batched/batched-socket.ts";
import { parseAddress, requireSocketOptions } from "./bound-socket.ts";
import { PortableSocket } from "./portable-socket.ts";
import type { SocketBuffers } from "./socket-buffers.ts";
import { TransportError } from "./transport-error.ts";
import type {
  TransportListener,
  TransportOptions,
  TransportSocket,
  TransportStats,
} from "./transport-socket.ts";

/**
 * The UDP leg of a mesh node: one bound socket, batches in, batches out (transport §2, §5, §6, §9.1).
 *
 * Errors of the network never throw and never end the receiving; they are counted, see
 * {@link UdpTransport.stats}. What arrives before {@link UdpTransport.listen} is counted and lost.
 */
export class UdpTransport implements AsyncDisposable {
  readonly #socket: TransportSocket;

  private constructor(socket: TransportSocket) {
    this.#socket = socket;
  }

  /**
   * Binds a literal address such as `"0.0.0.0:0"` or `"[::]:4433"`; port 0 takes a free one. An IPv6
   * socket also talks to IPv4 peers unless `ipv6Only`.
   *
   * @throws TransportError `address-in-use`, `address-not-available`, `invalid-argument`, `socket`, and
   *   `unsupported` when `mode` is `"batched"` and that does not run here
   */
  static async bind(address: string | SocketAddress, options: TransportOptions = {}): Promise<UdpTransport> {
    const local = parseAddress(address);
    requireSocketOptions(options);
    const { mode = "auto" } = options;
    if (mode === "portable") return new UdpTransport(await PortableSocket.bind(local, options, undefined));
    if (mode !== "auto" && mode !== "batched") {
      throw new TransportError("invalid-argument", `mode must be auto, batched or portable, got ${mode}`);
    }
    const parts = await batchedParts();
    if ("sys" in parts) {
      const offload = parts.offload && options.offload !== false;
      return new UdpTransport(BatchedSocket.bind(parts.sys, parts.loop, local, { ...options, offload }));
    }
    if (mode === "batched") throw new TransportError("unsupported", parts.reason);
    return new UdpTransport(await PortableSocket.bind(local, options, parts));
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
   * Whether the system may cut datagrams into IP fragments. False on the batched socket, unless allowed by the option of
   * that name: a datagram that is too large for its path is lost then.
   */
  get fragments(): boolean {
    return this.#socket.fragments;
  }

  /**
   * Starts delivery; once per transport.
   *
   * @throws TransportError `invalid-argument` when there is a listener already.
   */
  listen(listener: TransportListener): void {
    if (this.#socket.listener !== undefined) {
      throw new TransportError("invalid-argument", "a transport has one listener");
    }
    this.#socket.listener = listener;
  }

  /**
   * Sends a batch, in order.
   *
   * @returns how many datagrams were accepted, from the front. Fewer than `batch.count` means that the
   *   send queue is full (the rest is the caller's, `writable` follows) or the transport closed. The
   *   bytes belong to the caller again on return. An accepted datagram that the kernel refuses, or that
   *   is longer than UDP allows, is counted and lost.
   */
  send(batch: DatagramBatch): number {
    return this.#socket.send(batch);
  }

  /**
   * Binds another socket at the same host with a port of its own: the portable one with a small buffer, as there may be hundreds for
   * a moment. It does not keep the process alive.
   *
   * @throws TransportError as {@link UdpTransport.bind}
   */
  async openBeside(): Promise<UdpTransport> {
    const { host } = this.localAddress;
    const side = await UdpTransport.bind(SocketAddress.parse({ host, port: 0 }), { mode: "portable" });
    side.unref();
    return side;
  }

  /** Which socket it is, and counters since the bind. */
  stats(): TransportStats {
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
