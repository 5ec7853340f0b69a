import { createRequire } from "node:module";
import type { Transport, TransportListener } from "@netmesh/mesh";
import { AddressBook, DatagramBatch, SocketAddress } from "@netmesh/wire";

/** Sends that wait in udx at most, as in Node's socket. */
const MAX_WAITING = 1_024;
/** Datagrams of at most so many bytes are received whole. */
export const MAX_UDX_BYTES = 2_048;

/** What is used of the package udx-native. */
interface UdxSocket {
  bind(port: number, host: string): void;
  address(): { readonly port: number };
  setRecvBufferSize(bytes: number): void;
  setSendBufferSize(bytes: number): void;
  /** Resolves with whether the kernel took it. */
  send(bytes: Uint8Array, port: number, host: string): Promise<boolean>;
  on(
    event: "message",
    listener: (bytes: Uint8Array, from: { readonly host: string; readonly port: number }) => void,
  ): void;
  close(): Promise<void>;
}

const require = createRequire(import.meta.url);

/** Whether the package udx-native is installed where this one finds it, or in a folder of `NODE_PATH`. */
export function hasUdx(): boolean {
  try {
    require.resolve("udx-native");
    return true;
  } catch {
    return false;
  }
}

/** A bare socket of udx-native, whose sends and receives go through libuv's poll and its own queue. */
export class UdxTransport implements Transport {
  readonly localAddress: SocketAddress;
  readonly #socket: UdxSocket;
  readonly #sources = new AddressBook();
  readonly #batch = new DatagramBatch();
  #listener: TransportListener | undefined;
  /** A send was refused; `writable` is owed. */
  #isFull = false;
  #waiting = 0;
  #sent = 0;

  constructor(bufferBytes: number) {
    const Udx = require("udx-native") as new () => { createSocket(): UdxSocket };
    const socket = new Udx().createSocket();
    socket.bind(0, "127.0.0.1");
    socket.setRecvBufferSize(bufferBytes);
    socket.setSendBufferSize(bufferBytes);
    socket.on("message", (bytes, { host, port }) => {
      this.#batch.clear();
      this.#batch.push(bytes, this.#sources.intern(host, port));
      this.#listener?.receive(this.#batch);
    });
    this.#socket = socket;
    this.localAddress = SocketAddress.parse({ host: "127.0.0.1", port: socket.address().port });
  }

  /** Unlike other transports, keeps the bytes until they are sent: the ends do not change them meanwhile. */
  send({ bytes, addresses, count }: DatagramBatch): number {
    let at = 0;
    for (; at < count && this.#waiting < MAX_WAITING; at++) {
      const { port, host } = addresses[at] as SocketAddress;
      this.#waiting += 1;
      void this.#socket.send(bytes[at] as Uint8Array, port, host).then(this.#settle);
    }
    this.#isFull = at < count;
    return at;
  }

  readonly #settle = (isSent: boolean): void => {
    this.#waiting -= 1;
    if (isSent) this.#sent += 1;
    if (!this.#isFull || this.#waiting * 2 > MAX_WAITING) return;
    this.#isFull = false;
    this.#listener?.writable?.();
  };

  /** Datagrams that the kernel took. */
  stats(): { sent: number } {
    return { sent: this.#sent };
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  close(): Promise<void> {
    return this.#socket.close();
  }
}
