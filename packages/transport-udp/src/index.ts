/**
 * Datagram transport over UDP for netmesh. Node only.
 * @packageDocumentation
 */

// The transport of a mesh node.
export type { ReceiveMemory } from "./batched/receive-ring.ts";
// Options, counters and errors of both.
export type { SocketOptions, SocketStats } from "./bound-socket.ts";

// A socket to pull from.
export type { ReceivedDatagram } from "./datagram-queue.ts";
export { MAX_QUEUED_DATAGRAMS } from "./datagram-queue.ts";
export { MAX_DATAGRAM_BYTES } from "./datagram-size.ts";
export { DatagramSocket, type DatagramSocketStats, type WaitOptions } from "./datagram-socket.ts";
export { PacketReceiver, PacketSender } from "./packet-endpoints.ts";
export { ParsedPacket, parsePacket } from "./parsed-packet.ts";
export type { ReceiveBatches } from "./receive-histogram.ts";
export { DEFAULT_BUFFER_BYTES, MIN_BUFFER_BYTES, type SocketBuffers, testing } from "./socket-buffers.ts";
export { TransportError, type TransportErrorCode } from "./transport-error.ts";
export type {
  Fallback,
  FallbackCode,
  SocketMode,
  TransportListener,
  TransportOptions,
  TransportStats,
} from "./transport-socket.ts";
export { UdpTransport } from "./udp-transport.ts";
