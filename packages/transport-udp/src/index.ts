/**
 * Datagram transport over UDP for netmesh. Node only.
 * @packageDocumentation
 */

// Options, counters and errors of both.
export { MAX_DATAGRAM_BYTES, type SocketOptions, type SocketStats } from "./bound-socket.ts";

// A socket to pull from.
export type { ReceivedDatagram } from "./datagram-queue.ts";
export { MAX_QUEUED_DATAGRAMS } from "./datagram-queue.ts";
export { DatagramSocket, type DatagramSocketStats, type WaitOptions } from "./datagram-socket.ts";
export { PacketReceiver, PacketSender } from "./packet-endpoints.ts";
export { ParsedPacket, parsePacket } from "./parsed-packet.ts";
export { DEFAULT_BUFFER_BYTES, MIN_BUFFER_BYTES, type SocketBuffers, testing } from "./socket-buffers.ts";
export { TransportError, type TransportErrorCode } from "./transport-error.ts";
// The transport of a mesh node.
export { type TransportListener, UdpTransport } from "./udp-transport.ts";
