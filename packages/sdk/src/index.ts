/**
 * Encrypted UDP mesh for TypeScript: identities, peers, streams, relays.
 * @packageDocumentation
 */

// Keys
export { bytesToHex, hexToBytes, Identity } from "@netmesh/crypto";
// From the layers below
export type {
  Counters,
  HandshakeMode,
  RekeyLimits,
  RelayPolicy,
  SecurityMode,
  SessionSecurity,
  Transport,
  TransportListener,
} from "@netmesh/mesh";
export type {
  Fallback,
  FallbackCode,
  ReceiveBatches,
  SocketMode,
  SocketOptions,
  SocketStats,
  TransportOptions,
  TransportStats,
} from "@netmesh/transport-udp";
// The mesh
export type { Address } from "./address.ts";
export type { OpOptions } from "./arguments.ts";
// Errors
export { InvalidArgumentError, NetError, ShutdownError, StreamError, TransportError } from "./errors.ts";
export type { OverflowPolicy } from "./event-queue.ts";
export type { EventBatch, EventFilter, InboundEvent } from "./inbound-event.ts";
export { Mesh, type MeshEvents, type MeshStats } from "./mesh.ts";
export type { AeadName, MeshOptions, PeerContact, StreamOptions } from "./mesh-options.ts";
// Data
export { MeshStream, type StreamStats } from "./mesh-stream.ts";
export { type Path, Peer } from "./peer.ts";
export { TypedEventTarget, type TypedListener } from "./typed-events.ts";
