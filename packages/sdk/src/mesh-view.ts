import type {
  Capabilities,
  ChannelStats,
  Counters,
  DiscoveryStats,
  RerouteStats,
  SideSocketCounters,
} from "@netmesh/mesh";
import type { TransportStats } from "@netmesh/transport-udp";
import type { AeadName } from "./mesh-options.ts";

/** What a node has announced. */
export interface NodeCapabilities extends Capabilities {
  readonly tags: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** A node that others have told of. Nothing of it is proven: connecting to it is what proves who is there. */
export interface DiscoveredNode {
  readonly nodeId: bigint;
  /** Hops to it: 1 for a neighbour. */
  readonly hops: number;
  /** What its pingwave took to get here, in milliseconds, by the two nodes' clocks. */
  readonly latencyMs: number;
  /** The neighbour's address from which it was heard of. */
  readonly via: string;
}

/** The way to a node that was looked for. */
export interface FoundNode {
  readonly nodeId: bigint;
  /** Hops to it. */
  readonly hops: number;
  /** The address of the neighbour over which it is reached; what `connectVia` takes for a relay. */
  readonly via: string;
}

/** Figures of a `Mesh`; numbers that only grow, but for the first ones, up to `channels`. */
export interface MeshStats {
  readonly peers: number;
  readonly streams: number;
  /** Nodes whose capabilities are known. */
  readonly indexedNodes: number;
  /** Channels that are registered, published and subscribed to here. */
  readonly channels: ChannelStats;
  /** What discovery has found and done: the graph of nodes, pingwaves by what became of them, routes. */
  readonly discovery: DiscoveryStats;
  /** Detours of forwarded packets around neighbours that have failed. */
  readonly reroutes: RerouteStats;
  /** Further sockets that have looked for ways past symmetric NATs. */
  readonly sideSockets: Readonly<SideSocketCounters>;
  /** Events that nobody wanted: no open stream and no matching `events()`, or a stream that failed before it was opened. */
  readonly unclaimedEvents: number;
  /** Which implementation seals packets. */
  readonly aead: AeadName;
  /** Present with the built-in transport. */
  readonly socket: TransportStats | undefined;
  /** Everything sent, received, forwarded, opened, refused and dropped, by reason. */
  readonly counters: Readonly<Counters>;
}
