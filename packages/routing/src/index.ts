/**
 * The Net 0.27 routing plane as state machines: no socket, no timer, no clock.
 * @packageDocumentation
 */

// What goes wrong

export { RoutingError, type RoutingErrorCode } from "./routing-error.ts";

// Which next hop leads where

export {
  DEFAULT_MAX_ROUTES,
  type Route,
  RoutingTable,
  type RoutingTableOptions,
  type RoutingTableStats,
  SESSION_METRIC,
} from "./routing-table.ts";
export {
  MAX_STREAM_RECORDS,
  StreamAccounting,
  type StreamStats,
  type StreamTotals,
} from "./stream-accounting.ts";

// Forwarding

export {
  DEFAULT_MAX_DEPTH,
  DEFAULT_QUANTUM,
  FairScheduler,
  type FairSchedulerOptions,
  type FairSchedulerStats,
  type QueuedPacket,
} from "./fair-scheduler.ts";
export {
  buildRoutedPacket,
  ForwardingProxy,
  type HopStats,
  type ProxyStats,
  type RoutedPacketKind,
  type SendDatagram,
} from "./forwarding-proxy.ts";
export { PriorityShares } from "./priority-shares.ts";
export { RouteDecision, type RouteVerdict } from "./route-decision.ts";
export {
  MAX_DRAIN,
  Router,
  type RouterOptions,
  type RouterStats,
  type RouterVerdict,
} from "./router.ts";

// Discovery

export { HeartbeatSchedule, type RandomFraction } from "./heartbeat-schedule.ts";
export {
  LocalGraph,
  type LocalGraphOptions,
  type LocalGraphStats,
  type LocalNode,
} from "./local-graph.ts";
export { type CapabilitySummary, isAvailable, nodeScore, type ProximityNode } from "./node-score.ts";
export { type NeighborLimits, PingwaveNeighbor } from "./pingwave-neighbor.ts";
export {
  PingwaveRules,
  type PingwaveRulesOptions,
  type PingwaveSink,
  type PingwaveVerdict,
} from "./pingwave-rules.ts";
export {
  type GraphVerdict,
  ProximityGraph,
  type ProximityGraphOptions,
  type ProximityGraphStats,
} from "./proximity-graph.ts";
export { TokenBucket } from "./token-bucket.ts";

// Failure and recovery

export {
  AdaptiveFailureDetector,
  type AdaptiveFailureDetectorOptions,
  type AdaptiveFailureDetectorStats,
  DEFAULT_HEARTBEAT_MS,
  type WatchedPeer,
} from "./adaptive-failure-detector.ts";
export { CircuitBreaker, type CircuitBreakerOptions, type CircuitState } from "./circuit-breaker.ts";
export {
  CorrelatedFailures,
  type CorrelatedFailuresOptions,
  type FailureCause,
  type FailureVerdict,
} from "./correlated-failures.ts";
export {
  FailureDetector,
  type FailureDetectorOptions,
  type FailureDetectorStats,
  type NodeStatus,
} from "./failure-detector.ts";
export { LossSimulator } from "./loss-simulator.ts";
export {
  type Partition,
  PartitionDetector,
  type PartitionDetectorOptions,
  type PartitionPhase,
} from "./partition-detector.ts";
export { type RecoveryAction, RecoveryManager, type RecoveryStats } from "./recovery-manager.ts";
export {
  BLIND_DETOUR_METRIC,
  type PathSearch,
  type PeerAddresses,
  ReroutePolicy,
  type RerouteStats,
} from "./reroute-policy.ts";
