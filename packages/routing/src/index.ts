/**
 * Routing table and stream accounting of the Net 0.27 routing plane: no socket, no timer, no clock.
 * @packageDocumentation
 */

// What becomes of a routed datagram.
export { RouteDecision, type RouteVerdict } from "./route-decision.ts";
// What goes wrong.
export { RoutingError, type RoutingErrorCode } from "./routing-error.ts";
// Which next hop leads where.
export {
  DEFAULT_MAX_ROUTES,
  type Route,
  RoutingTable,
  type RoutingTableOptions,
  type RoutingTableStats,
  SESSION_METRIC,
} from "./routing-table.ts";
// Packet counters per stream.
export {
  MAX_STREAM_RECORDS,
  StreamAccounting,
  type StreamStats,
  type StreamTotals,
} from "./stream-accounting.ts";
