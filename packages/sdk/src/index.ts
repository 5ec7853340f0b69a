/**
 * Encrypted UDP mesh for TypeScript: identities, peers, streams, relays.
 * @packageDocumentation
 */

// From the layers below
export {
  type CausalEvent,
  type ControlEvent,
  CoreDaemonError,
  type Daemon,
  DaemonError,
  type DaemonFactory,
  type DaemonHealth,
  type DaemonHostConfig,
  type DaemonOutput,
  type DaemonStats,
  ForkGroup,
  type ForkGroupConfig,
  GroupError,
  type GroupHealth,
  type HeldBackDaemon,
  type HostedMember,
  type MemberInfo,
  type MemberLoad,
  MemorySnapshotStore,
  type MemorySnapshotStoreOptions,
  Migration,
  MigrationError,
  type MigrationEvent,
  type MigrationOptions,
  type MigrationOutcome,
  type MigrationPhase,
  type MigrationSummary,
  type PromotionChain,
  type RegistryEvent,
  ReplicaGroup,
  type ReplicaGroupConfig,
  type RouteContext,
  type RoutingStrategy,
  type SnapshotStore,
  SnapshotStoreError,
  type SnapshotStoreErrorCode,
  type SnapshotSummary,
  type SpawnOptions,
  StandbyGroup,
  type StandbyGroupConfig,
  type StandbyMemberInfo,
  type StateDelta,
  type StoredSnapshot,
  type TakeSnapshotRequest,
} from "@netmesh/compute";
// Keys
export {
  bytesToHex,
  hexToBytes,
  Identity,
  Token,
  TokenChain,
  type TokenErrorCode,
  TokenScope,
} from "@netmesh/crypto";
export type {
  Counters,
  DiscoveryStats,
  HandshakeMode,
  RekeyLimits,
  RelayPolicy,
  RerouteStats,
  SecurityMode,
  SessionSecurity,
  SideSocketCounters,
  Transport,
  TransportListener,
} from "@netmesh/mesh";
export {
  type AnnounceOptions,
  type Capabilities,
  type CapabilityFilter,
  type CapabilityIssue,
  type CapabilityReport,
  type CapabilityRequirement,
  type CapabilityScope,
  type CapabilitySet,
  type ChannelConfig,
  type ChannelLimits,
  type ChannelStats,
  type ChannelVisibility,
  formatSubnetId,
  type GatewayVerdict,
  type Gpu,
  type GpuVendor,
  type Hardware,
  type Limits,
  type Modality,
  type Model,
  parseSubnetId,
  type Software,
  SubnetGateway,
  type SubnetId,
  type SubnetRule,
  subnetId,
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
export type {
  ConnectionAttempt,
  ConnectionReason,
  ConnectionTally,
  MappingPhase,
  MappingProtocol,
  NatClass,
  PortMapperClient,
  PortMapping,
  PortMappingCounters,
  PortMappingError,
  PortMappingErrorKind,
  TraversalStats,
} from "@netmesh/traversal";
export { channelHash } from "@netmesh/wire";
// The mesh
export type { Address } from "./address.ts";
export type { OpOptions } from "./arguments.ts";
// Channels
export type { PublishFailure, PublishOptions, PublishReport, SubscribeOptions } from "./channels.ts";
export { DaemonRef } from "./daemons/daemon.ts";
export { DaemonRuntime, type DaemonRuntimeOptions } from "./daemons/daemon-runtime.ts";
export type { SnapshotEvent, SnapshotOptions, StartReport } from "./daemons/durability.ts";
// Errors
export {
  ChannelAuthError,
  ChannelError,
  InvalidArgumentError,
  NetError,
  ShutdownError,
  StreamError,
  SubprotocolError,
  TokenError,
  TransportError,
  TraversalError,
} from "./errors.ts";
export type { OverflowPolicy } from "./event-queue.ts";
export type { EventBatch, EventFilter, InboundEvent } from "./inbound-event.ts";
export type { EventsOptions } from "./inbox.ts";
export { Mesh } from "./mesh.ts";
export type { MeshEvents } from "./mesh-events.ts";
export { type DirectConnection, MeshNat, type NatOptions } from "./mesh-nat.ts";
export type { AeadName, MeshOptions, PeerContact, StreamOptions } from "./mesh-options.ts";
// Data
export { MeshStream, type StreamStats } from "./mesh-stream.ts";
export type { DiscoveredNode, FoundNode, MeshStats, NodeCapabilities } from "./mesh-view.ts";
export { type PastPath, type Path, Peer } from "./peer.ts";
export type { PortMappingOptions, PortMappingStatus } from "./port-mapping.ts";
export { Subprotocol, type SubprotocolMessage, type SubprotocolOptions } from "./subprotocol.ts";
export {
  type ChannelMessage,
  Subscription,
  type SubscriptionEvents,
  type SubscriptionOptions,
} from "./subscription.ts";
export {
  delegateToken,
  issueToken,
  type TokenAction,
  type TokenDelegation,
  type TokenGrant,
} from "./tokens.ts";
export { TypedEventTarget, type TypedListener } from "./typed-events.ts";
