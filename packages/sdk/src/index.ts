/**
 * Encrypted UDP mesh for TypeScript: identities, peers, streams, relays.
 * @packageDocumentation
 */

// Keys
export { bytesToHex, hexToBytes, Identity } from "@netmesh/crypto";
// From the layers below
export type { Counters, HandshakeMode, RelayPolicy, Transport, TransportListener } from "@netmesh/mesh";
export type { SocketOptions, SocketStats } from "@netmesh/transport-udp";
export type { OpOptions } from "./arguments.ts";
// Errors
export { InvalidArgumentError, NetError, ShutdownError, StreamError, TransportError } from "./errors.ts";
export type { OverflowPolicy } from "./event-queue.ts";
export type { EventFilter, InboundEvent } from "./inbound-event.ts";
// The mesh
export {
  type Address,
  Mesh,
  type MeshEvents,
  type MeshOptions,
  type MeshStats,
  type PeerContact,
  type StreamOptions,
} from "./mesh.ts";
// Data
export { MeshStream, type StreamStats } from "./mesh-stream.ts";
export { type Path, Peer } from "./peer.ts";
export { TypedEventTarget, type TypedListener } from "./typed-events.ts";
