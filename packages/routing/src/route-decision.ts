import {
  forwardInPlace,
  HeaderOffset,
  isRoutingHeader,
  low32,
  ROUTED_MIN_SIZE,
  ROUTING_HEADER_SIZE,
  RoutingFlags,
  RoutingHeader,
  readU32,
  type SocketAddress,
} from "@netmesh/wire";
import type { RoutingTable } from "./routing-table.ts";

/** Where a routed datagram keeps the stream id of its inner packet. */
const STREAM_ID_AT = ROUTING_HEADER_SIZE + HeaderOffset.STREAM_ID;

/** What becomes of a routed datagram. */
export type RouteVerdict =
  /** Hand the bytes after the routing header to this node. */
  | "local"
  /** Send the rewritten datagram to the next hop. */
  | "forward"
  /** Dropped: fewer than 18 bytes. */
  | "too-short"
  /** Dropped: no routing magic. */
  | "invalid-header"
  /** Dropped: this node is the source, and the datagram has been forwarded since. */
  | "loop"
  /** Dropped: no forward is left, or none would be left after this one. */
  | "ttl-expired"
  /** Dropped: no active and fresh route. */
  | "no-route";

/**
 * The decision of a stand-alone router or proxy over one routed datagram (routing §5.1, §10), without
 * socket, queue or counters. One object, asked about datagram after datagram; its fields describe the
 * last one. Local delivery comes first, whatever the ttl.
 *
 * Not for a mesh node's own forwarding, which has no loop check and still sends a packet whose ttl has
 * just become 0 (wire §7).
 */
export class RouteDecision {
  /** The verdict on the last datagram. */
  verdict: RouteVerdict = "too-short";
  /** Where to send, on `forward` only. */
  nextHop: SocketAddress | undefined;
  /** Low half of the inner packet's stream id, 0 when the datagram is too short to hold one. */
  streamLo = 0;
  /** High half of the stream id. */
  streamHi = 0;
  /** Whether the datagram asked for the priority lane. */
  hasPriority = false;
  readonly #table: RoutingTable;
  readonly #dropsLoops: boolean;
  readonly #localSourceId: number;
  readonly #header: RoutingHeader = new RoutingHeader();

  /**
   * @param role a `router` drops forwarded datagrams whose source is this node; a `proxy` does not check
   */
  constructor(table: RoutingTable, role: "router" | "proxy") {
    this.#table = table;
    this.#dropsLoops = role === "router";
    this.#localSourceId = low32(table.localId);
  }

  /**
   * Decides over the datagram in `bytes` from `offset`, `length` bytes long. On `forward` its routing
   * header is rewritten in place, so the caller must own the bytes; nothing else is ever changed.
   * Never throws.
   */
  decide(bytes: Uint8Array, offset: number, length: number, nowMs: number): RouteVerdict {
    this.nextHop = undefined;
    this.streamLo = 0;
    this.streamHi = 0;
    this.hasPriority = false;
    this.verdict = this.#decide(bytes, offset, length, nowMs);
    return this.verdict;
  }

  #decide(bytes: Uint8Array, offset: number, length: number, nowMs: number): RouteVerdict {
    if (length < ROUTING_HEADER_SIZE) return "too-short";
    if (!isRoutingHeader(bytes, offset, length)) return "invalid-header";
    if (length >= ROUTED_MIN_SIZE) {
      this.streamLo = readU32(bytes, offset + STREAM_ID_AT);
      this.streamHi = readU32(bytes, offset + STREAM_ID_AT + 4);
    }
    const header = this.#header.wrap(bytes, offset);
    this.hasPriority = (header.flags & RoutingFlags.PRIORITY) !== 0;
    if (this.#table.isLocal(header.destinationLo, header.destinationHi)) return "local";
    // Source ids have 32 bits and collide: what nobody has forwarded yet comes from a namesake, not from here.
    if (this.#dropsLoops && header.sourceId === this.#localSourceId && header.hopCount > 0) return "loop";
    if (header.isExpired) return "ttl-expired";
    const nextHop = this.#table.lookup(header.destinationLo, header.destinationHi, nowMs);
    if (nextHop === undefined) return "no-route";
    if (header.ttl === 1) return "ttl-expired";
    forwardInPlace(bytes, offset);
    this.nextHop = nextHop;
    return "forward";
  }
}
