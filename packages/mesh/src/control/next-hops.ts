import { high32, low32, U64Map } from "@netmesh/wire";

/** Neighbours remembered for one destination. */
const HOPS_PER_DESTINATION = 4;
/** Destinations remembered: more than the proximity graph knows, and room for those that announcements tell of. */
const MAX_DESTINATIONS = 16_384;

/** A neighbour that has told of a destination. */
export interface NextHop {
  /** Node id of the neighbour. */
  readonly via: bigint;
  /** As in the routing table: hops, from 2 up. */
  readonly metric: number;
  /** When the neighbour last told of it, in milliseconds of the core's clock. */
  readonly toldAtMs: number;
}

/**
 * Who else leads to a node. The routing table keeps the best way to each destination; this keeps up to four, so that there is
 * another one at once when that fails.
 *
 * Bounds: 16 384 destinations, beyond which new ones are refused; {@link NextHops.sweep} removes what nobody tells any more.
 */
export class NextHops {
  readonly #destinations: U64Map<NextHop[]>;

  /** @param hashSeed - 32 random bits */
  constructor(hashSeed: number) {
    this.#destinations = new U64Map(hashSeed);
  }

  /** Destinations that somebody has told of. */
  get size(): number {
    return this.#destinations.size;
  }

  /** A neighbour has told of a destination; of more than four the nearest are kept. */
  note(lo: number, hi: number, via: bigint, metric: number, nowMs: number): void {
    const hop: NextHop = { via, metric, toldAtMs: nowMs };
    const hops = this.#destinations.get(lo, hi);
    if (hops === undefined) {
      if (this.#destinations.size < MAX_DESTINATIONS) this.#destinations.set(lo, hi, [hop]);
      return;
    }
    const known = hops.findIndex((each) => each.via === via);
    if (known >= 0) hops.splice(known, 1);
    else if (hops.length >= HOPS_PER_DESTINATION) {
      if ((hops.at(-1) as NextHop).metric <= metric) return;
      hops.pop();
    }
    const place = hops.findIndex((each) => each.metric > metric);
    hops.splice(place < 0 ? hops.length : place, 0, hop);
  }

  /** Who has told of the node, the nearest first. */
  of(nodeId: bigint): readonly NextHop[] {
    return this.#destinations.get(low32(nodeId), high32(nodeId)) ?? [];
  }

  /** How far the node is over that neighbour, `Infinity` when the neighbour has not told of it. */
  metricOver(nodeId: bigint, via: bigint): number {
    return this.of(nodeId).find((hop) => hop.via === via)?.metric ?? Number.POSITIVE_INFINITY;
  }

  /** Forgets what was told before that time. */
  sweep(beforeMs: number): void {
    this.#destinations.removeIf((hops) => {
      for (let i = hops.length - 1; i >= 0; i--) {
        if ((hops[i] as NextHop).toldAtMs < beforeMs) hops.splice(i, 1);
      }
      return hops.length === 0;
    });
  }
}
