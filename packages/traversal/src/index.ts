/**
 * Port mapping as a best effort: a port of the router that leads to a mesh node, over PCP, NAT-PMP or UPnP. The logic runs
 * anywhere; sockets come from `@netmesh/traversal/node`.
 * @packageDocumentation
 */

// Time, randomness and reachability
export type { NatClass } from "./nat-class.ts";
// The task and what it writes
export { type PortMappingCounters, portMappingCounters } from "./port-mapping/counters.ts";
export { isPublicIpv4 } from "./port-mapping/external-address.ts";
// PCP and NAT-PMP
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
// Clients
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
export type { RandomSource } from "./random-source.ts";
export type { Timers } from "./timers.ts";
