/**
 * The netmesh engine: sessions, streams and relaying as a pure core under a thin shell.
 * @packageDocumentation
 */

export type { ProximityNode, RerouteStats } from "@netmesh/routing";
// Capabilities
export type { AnnounceOptions } from "./capability/announcer.ts";
export type {
  Capabilities,
  CapabilitySet,
  Gpu,
  GpuVendor,
  Hardware,
  Limits,
  Modality,
  Model,
  Software,
  Tool,
} from "./capability/capabilities.ts";
export type { CapabilityFilter, CapabilityRequirement } from "./capability/capability-filter.ts";
export { CapabilityIndex, IndexedNode } from "./capability/capability-index.ts";
export type { AnnouncedScope, CapabilityScope } from "./capability/capability-scope.ts";
export { readCapabilities } from "./capability/read-tags.ts";
export {
  type CapabilityIssue,
  type CapabilityReport,
  validateCapabilities,
} from "./capability/validate-capabilities.ts";
export { toAnnounced } from "./capability/write-tags.ts";
// Channels
export type { ChannelConfig } from "./channel/channel-configs.ts";
export type { ChannelLimits } from "./channel/channel-limits.ts";
export {
  ChannelSubscription,
  type SubscribeOptions,
  type SubscriptionState,
} from "./channel/channel-subscription.ts";
export { type ChannelStats, Channels } from "./channel/channels.ts";
export {
  MAX_PUBLISHED_EVENT_BYTES,
  type PublishFailure,
  type PublishOptions,
  type PublishReport,
} from "./channel/publisher.ts";
// The shell
export { type Clock, monotonicClock, systemClock } from "./clock.ts";
// Discovery and healing
export type { DiscoveryStats } from "./control/discovery.ts";
export { FloodScope } from "./control/flood-scope.ts";
export { type Neighbor, Neighbors } from "./control/neighbors.ts";
export { type NextHop, NextHops } from "./control/next-hops.ts";
export { type AskedPath, type FollowedPath, PathWatch, type PathWatchOwner } from "./control/path-watch.ts";
// The core
export type { CoreConfig, CoreOptions, RelayPolicy, Signer } from "./core/config.ts";
export { Counters } from "./core/counters.ts";
export type { DeadlineHeap, Timed } from "./core/deadline-heap.ts";
export type { CoreEvent, InboundPacket, PublishedPosition } from "./core/events.ts";
export { type CoreSink, MeshCore } from "./core/mesh-core.ts";
export type { Alarm } from "./core/state.ts";
export { MeshError, type MeshErrorCode } from "./errors.ts";
export type { HandshakeMode } from "./handshake/initiation.ts";
export type { SecurityMode, SessionSecurity } from "./handshake/security.ts";
// Identities
export { IdentityState } from "./identity/identity-state.ts";
export { MeshNode, type NodeOptions, platformScheduler, type Scheduler } from "./node.ts";
// Path MTU discovery
export { BASE_DATAGRAM_BYTES } from "./path-mtu/constants.ts";
export { PathMtu, type PathMtuPhase, type ProbeOrder } from "./path-mtu/path-mtu.ts";
// Key renewal
export { OperationBudget } from "./rekey/operation-budget.ts";
export { PREVIOUS_EPOCH_MS, ReceiveEpoch, ReceiveEpochs } from "./rekey/receive-epochs.ts";
export type { RekeyLimits } from "./rekey/rekey-limits.ts";
export { type Answered, RekeyState, type Unanswered } from "./rekey/rekey-state.ts";
// Peers and sessions
export { Peer } from "./session/peer.ts";
export type { PeerObserver } from "./session/peer-observer.ts";
export {
  type ClosedStream,
  type Path,
  Session,
  type SessionInit,
  type SessionRole,
} from "./session/session.ts";
export { type SideAnswer, type SideSocketCounters, SideSockets } from "./side-sockets.ts";
// Streams
export { ByteSlab } from "./stream/byte-slab.ts";
export type { CongestionControl } from "./stream/congestion/congestion-control.ts";
export { FramedPacket } from "./stream/framed-packet.ts";
export { MemoryPiece, MemoryPieces } from "./stream/memory-pieces.ts";
export { PacketAssembly } from "./stream/packet-assembly.ts";
export { PacketQueue } from "./stream/packet-queue.ts";
export { ReceiveVerdict, ReceiveWindow } from "./stream/receive-window.ts";
export { RoundTrip } from "./stream/round-trip.ts";
export { SendCredit } from "./stream/send-credit.ts";
export { maxPendingForWindow, SendWindow } from "./stream/send-window.ts";
export { type HeldPacket, Stream } from "./stream/stream.ts";
export {
  DEFAULT_WINDOW_BYTES,
  type Reliability,
  type ResolvedStreamOptions,
  resolveStreamOptions,
  type StreamOptions,
} from "./stream/stream-options.ts";
// Subnets
export { type GatewayVerdict, SubnetGateway } from "./subnet/subnet-gateway.ts";
export {
  areSubnetSiblings,
  formatSubnetId,
  GLOBAL_SUBNET,
  isSubnetAncestor,
  MAX_SUBNET_LEVELS,
  parseSubnetId,
  type SubnetId,
  subnetDepth,
  subnetId,
  subnetParent,
} from "./subnet/subnet-id.ts";
export { SubnetPolicy, type SubnetRule } from "./subnet/subnet-policy.ts";
export { type ChannelVisibility, isVisible } from "./subnet/visibility.ts";
export type { Transport, TransportListener } from "./transport.ts";
