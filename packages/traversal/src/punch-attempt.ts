import type { SocketAddress } from "@netmesh/wire";

/** How a punch ended; stable. */
export type PunchReason =
  /** The session uses the punched path. */
  | "punched"
  /** An address of the peer's own host has answered first: on the same network, or over IPv6. */
  | "local-answered"
  /** The peer was heard; a node that cannot move its session needs a handshake there. */
  | "heard"
  /** The request could not be sent, or no introduction came. */
  | "no-introduction"
  /** The coordinator has no session with the peer, or does not know where it is seen. */
  | "coordinator-cannot"
  /** The coordinator has refused. */
  | "coordinator-refused"
  /** Nothing of the peer came through before the deadline. */
  | "nothing-heard"
  /** Something of the peer came through, but no authenticated packet did. */
  | "unproven"
  /** It was given up. */
  | "closed";

/** What became of a punch. */
export interface PunchOutcome {
  readonly reason: PunchReason;
  /** Where the peer was heard, or else is said to be; with `punched` and `heard`. */
  readonly address: SocketAddress | undefined;
  /** Whether the introduction came, so that both sides tried. */
  readonly wasAttempted: boolean;
}

/** A punch towards one node, from the request or the introduction on. Written by `HolePuncher`. */
export interface PunchAttempt {
  readonly peer: bigint;
  readonly coordinator: bigint;
  phase: "requested" | "punching" | "done";
  /** Where the peer is said to be; with the introduction. */
  reflex: SocketAddress | undefined;
  /** Further ports at which its NAT may let it out. */
  guesses: readonly SocketAddress[];
  fireAtMs: bigint;
  /** What this node's keep-alives bear: the least of the ids below, so that both ends come to the same one. */
  punchId: number;
  /** Ids that the peer's may bear, by coordinator: both ends may have asked, each another one. */
  readonly punchIds: Map<bigint, number>;
  /** Source of the peer's keep-alives. */
  heardAt: SocketAddress | undefined;
  /** The peer says that it has heard this node. */
  isAcked: boolean;
  acksSent: number;
  /** Requests repeated after the introduction, in case that the peer's got lost. */
  reintroductions: number;
  turns: number;
  readonly handles: Set<unknown>;
  /** Called once, by this node's own attempts. */
  readonly settled: ((outcome: PunchOutcome) => void)[];
}
