/**
 * Past NATs without relays: finding out how a node is reached, hole punching, and port mapping as a best effort, over PCP, NAT-PMP or
 * UPnP. The logic runs anywhere; sockets come from `@netmesh/traversal/node`.
 * @packageDocumentation
 */

// Connecting
export type { ConnectionAttempt, ConnectionTally } from "./connection-tally.ts";
export type {
  ConnectionCounters,
  ConnectionOutcome,
  ConnectionPath,
  ConnectionReason,
  DirectTarget,
} from "./direct-connector.ts";
export type { PunchCounters } from "./hole-puncher.ts";
export type { CandidateCounters } from "./local-candidates.ts";
// Reachability
export { type NatClass, natClassOfTag, natClassOfTags, natTag } from "./nat-class.ts";
export { NatClassifier } from "./nat-classifier.ts";
export { type PairAction, pairAction } from "./pair-matrix.ts";
// What is counted, and what is refused
export { type PortMappingCounters, portMappingCounters } from "./port-mapping/counters.ts";
export { isPublicIpv4 } from "./port-mapping/external-address.ts";
// Gateways, PCP and NAT-PMP
export { gatewayInLinuxRoutes } from "./port-mapping/gateway/linux-routes.ts";
export { gatewayInMacosRoute } from "./port-mapping/gateway/macos-route.ts";
export { gatewayInWindowsRoutes } from "./port-mapping/gateway/windows-routes.ts";
export type {
  ChannelListener,
  GatewayChannel,
  GatewayChannels,
  NoticeSource,
} from "./port-mapping/gateway-channel.ts";
export { type EpochRule, GatewayEpoch } from "./port-mapping/gateway-epoch.ts";
export type { GatewayLink } from "./port-mapping/gateway-exchange.ts";
export {
  GatewayMapper,
  type GatewayMapperOptions,
  type GatewayVariant,
} from "./port-mapping/gateway-mapper.ts";
export {
  type MappingSink,
  type PortMappingStats,
  type PublishedReflex,
  ReflexMappingSink,
} from "./port-mapping/mapping-sink.ts";
export {
  decodeNatPmpAnswer,
  encodeNatPmpAddressRequest,
  encodeNatPmpMapRequest,
  GATEWAY_PORT,
  type NatPmpAddressAnswer,
  type NatPmpAnswer,
  type NatPmpErrorAnswer,
  type NatPmpMapAnswer,
  NatPmpResult,
  natPmpResultName,
} from "./port-mapping/nat-pmp.ts";
export { NullPortMapper } from "./port-mapping/null-mapper.ts";
export {
  decodePcpAnswer,
  encodePcpAnnounce,
  encodePcpMap,
  type PcpAnswer,
  type PcpMapAnswer,
  type PcpMapRequest,
  PcpOpcode,
  PcpResult,
} from "./port-mapping/pcp.ts";
// The clients' face, and the task that uses one
export {
  type CallOptions,
  type GatewayNotice,
  MAPPING_TTL_MS,
  type MappingProtocol,
  type PortMapperClient,
  type PortMapping,
  sameMapping,
} from "./port-mapping/port-mapping.ts";
export { PortMappingError, type PortMappingErrorKind } from "./port-mapping/port-mapping-error.ts";
export {
  type MappingPhase,
  PortMappingTask,
  type PortMappingTaskOptions,
} from "./port-mapping/port-mapping-task.ts";
export { effectiveRenewalMs, RENEWAL_MS, REPROBE_MS } from "./port-mapping/renewal-schedule.ts";
export { SequentialMapper } from "./port-mapping/sequential-mapper.ts";
// UPnP
export type { DeviceLink } from "./port-mapping/upnp/control-point.ts";
export type {
  DeviceSearchOptions,
  SearchChannel,
  SearchChannels,
} from "./port-mapping/upnp/device-search.ts";
export type { HttpAnswer, HttpClient, HttpRequest } from "./port-mapping/upnp/http-client.ts";
export { UpnpMapper, type UpnpMapperOptions } from "./port-mapping/upnp/upnp-mapper.ts";
export type { PortSearchCounters } from "./port-search.ts";
export type { PunchOutcome, PunchReason } from "./punch-attempt.ts";
// Time and randomness
export type { RandomSource } from "./random-source.ts";
export { type CoordinatorCounters, PunchRejection } from "./rendezvous-coordinator.ts";
export { DEFAULT_TRAVERSAL_SETTINGS, type TraversalSettings } from "./settings.ts";
export type { Timers } from "./timers.ts";
// The whole
export { Traversal, type TraversalOptions, type TraversalStats } from "./traversal.ts";
export { TraversalError, type TraversalErrorKind } from "./traversal-error.ts";
export type { TraversalContact, TraversalHost, TraversalPeer } from "./traversal-host.ts";
