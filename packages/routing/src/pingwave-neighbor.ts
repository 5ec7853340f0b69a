import { high32, low32, type SocketAddress } from "@netmesh/wire";
import { TokenBucket } from "./token-bucket.ts";

/** What one neighbour may send. */
export interface NeighborLimits {
  /** Pingwaves a second on average; default 1000. */
  readonly pingwavesPerSecond?: number;
  /** Pingwaves at once; default 4000. */
  readonly pingwaveBurst?: number;
  /** Unknown origins a second on average; default 50. */
  readonly newOriginsPerSecond?: number;
  /** Unknown origins at once; default 1000. */
  readonly newOriginBurst?: number;
}

/**
 * A peer with a session, from whose address pingwaves are taken, with what it may send and what it has
 * brought. Made and forgotten by `PingwaveRules`.
 */
export class PingwaveNeighbor {
  readonly id: bigint;
  readonly lo: number;
  readonly hi: number;
  /** Where it is; the owner of the session keeps it up to date. */
  address: SocketAddress;
  /** Nodes in the graph that were first heard of through it. */
  introduced = 0;
  readonly pingwaves: TokenBucket;
  readonly newOrigins: TokenBucket;

  /** @throws RoutingError `invalid-limit` */
  constructor(id: bigint, address: SocketAddress, limits: NeighborLimits, nowMs: number) {
    const { pingwavesPerSecond = 1_000, pingwaveBurst = 4_000 } = limits;
    const { newOriginsPerSecond = 50, newOriginBurst = 1_000 } = limits;
    this.id = id;
    this.lo = low32(id);
    this.hi = high32(id);
    this.address = address;
    this.pingwaves = new TokenBucket(pingwavesPerSecond, pingwaveBurst, nowMs);
    this.newOrigins = new TokenBucket(newOriginsPerSecond, newOriginBurst, nowMs);
  }
}
