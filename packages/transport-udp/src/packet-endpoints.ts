import type { SocketAddress } from "@netmesh/wire";
import type { ReceivedDatagram } from "./datagram-queue.ts";
import type { DatagramSocket, WaitOptions } from "./datagram-socket.ts";
import { type ParsedPacket, parsePacket } from "./parsed-packet.ts";
import { TransportError } from "./transport-error.ts";

/** The sending half of a socket; any number may share one (transport §2.4). It does not own the socket. */
export class PacketSender {
  readonly #socket: DatagramSocket;

  constructor(socket: DatagramSocket) {
    this.#socket = socket;
  }

  /** {@link DatagramSocket.sendTo}. */
  sendTo(bytes: Uint8Array, peer: SocketAddress, options?: WaitOptions): Promise<number> {
    return this.#socket.sendTo(bytes, peer, options);
  }

  /** {@link DatagramSocket.send}. */
  send(bytes: Uint8Array, options?: WaitOptions): Promise<number> {
    return this.#socket.send(bytes, options);
  }

  /** {@link DatagramSocket.trySendTo}. */
  trySendTo(bytes: Uint8Array, peer: SocketAddress): number {
    return this.#socket.trySendTo(bytes, peer);
  }

  /**
   * Sends packets to one peer in order, without waiting; the caller sends the rest (transport §6).
   *
   * @returns how many were accepted, from the front; an error after progress is the count, too
   * @throws TransportError as `trySendTo`, except `would-block`, when not even the first was accepted
   */
  sendBatch(packets: readonly Uint8Array[], peer: SocketAddress): number {
    let accepted = 0;
    for (const packet of packets) {
      try {
        this.#socket.trySendTo(packet, peer);
      } catch (error) {
        const isFull = error instanceof TransportError && error.code === "would-block";
        if (isFull || accepted > 0) return accepted;
        throw error;
      }
      accepted += 1;
    }
    return accepted;
  }
}

/** The receiving half of a socket; each datagram goes to one of those who share it. */
export class PacketReceiver {
  readonly #socket: DatagramSocket;
  #invalid = 0;

  constructor(socket: DatagramSocket) {
    this.#socket = socket;
  }

  /** Datagrams that were no packets. */
  get invalidPackets(): number {
    return this.#invalid;
  }

  /** The next datagram: {@link DatagramSocket.recvFrom}. */
  recv(options?: WaitOptions): Promise<ReceivedDatagram> {
    return this.#socket.recvFrom(options);
  }

  /** The next datagram as a packet, `undefined` when it is none: call again. */
  async recvParsed(options?: WaitOptions): Promise<ParsedPacket | undefined> {
    const { bytes, source } = await this.#socket.recvFrom(options);
    const packet = parsePacket(bytes, source);
    if (packet === undefined) this.#invalid += 1;
    return packet;
  }
}
