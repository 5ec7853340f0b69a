/**
 * Encrypted UDP mesh for TypeScript: identities, peers, streams, relays.
 * @packageDocumentation
 */

// Keys
export { bytesToHex, hexToBytes, Identity } from "@netmesh/crypto";
export type {
  Counters,
  DiscoveryStats,
  HandshakeMode,
  RekeyLimits,
  RelayPolicy,
  RerouteStats,
  SecurityMode,
  SessionSecurity,
  Transport,
  TransportListener,
} from "@netmesh/mesh";
// From the layers below
export {
  type AnnounceOptions,
  type Capabilities,
  type CapabilityFilter,
  type CapabilityIssue,
  type CapabilityReport,
  type CapabilityRequirement,
  type CapabilityScope,
  type CapabilitySet,
  type Gpu,
  type GpuVendor,
  type Hardware,
  type Limits,
  type Modality,
  type Model,
  type Software,
  type Tool,
  validateCapabilities,
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
export {
  InvalidArgumentError,
  NetError,
  ShutdownError,
  StreamError,
  SubprotocolError,
  TransportError,
} from "./errors.ts";
export type { OverflowPolicy } from "./event-queue.ts";
export type { EventBatch, EventFilter, InboundEvent } from "./inbound-event.ts";
export { type DiscoveredNode, Mesh, type MeshEvents, type MeshStats, type NodeCapabilities } from "./mesh.ts";
export type { AeadName, MeshOptions, PeerContact, StreamOptions } from "./mesh-options.ts";
// Data
export { MeshStream, type StreamStats } from "./mesh-stream.ts";
export { type Path, Peer } from "./peer.ts";
export { Subprotocol, type SubprotocolMessage, type SubprotocolOptions } from "./subprotocol.ts";
export { TypedEventTarget, type TypedListener } from "./typed-events.ts";
