import type { ConnectionAttempt, NatClass } from "@netmesh/traversal";
import type { Path, Peer } from "./peer.ts";
import type { PortMappingStatus } from "./port-mapping.ts";

/** What a `Mesh` announces; data comes through iteration, not through these. */
export interface MeshEvents extends Record<string, object> {
  /** A session with the peer is in use. */
  "peer-connected": { readonly peer: Peer };
  /** The peer has proven by a signature who it is: `peer.verified`. */
  "peer-verified": { readonly peer: Peer };
  /** Nothing was heard of the peer for the session time-out; its streams have failed. */
  "peer-lost": { readonly peer: Peer };
  /** A lost peer is heard again, with the same keys. */
  "peer-recovered": { readonly peer: Peer };
  /** The peer was given up and its keys wiped. */
  "peer-removed": { readonly peer: Peer };
  /** What is known of a node's capabilities has changed; the node need not be a peer. */
  "capabilities-changed": { readonly nodeId: bigint };
  /** Packets to the peer take another way. */
  "path-changed": { readonly peer: Peer };
  /** A peer that was reached over a relay is reached without one; nothing was lost. */
  "peer-upgraded": { readonly peer: Peer; readonly from: Path; readonly to: Path };
  /** What is known of this node's NAT has changed: `mesh.nat.type`, `mesh.nat.reflexAddress`. */
  "nat-changed": { readonly natType: NatClass; readonly reflexAddress: string | undefined };
  /** An attempt to reach a peer without a relay has come to an end, asked for or in the background, with its reason. */
  "nat-attempt": ConnectionAttempt;
  /** The mapping of this node's port is asked for, there, being renewed, waited for, or gone: `phase`, and `error` with its reason. */
  "port-mapping-changed": PortMappingStatus;
  /**
   * A peer writes on a stream that was not opened here. What arrives on a reliable one waits, within its window, until it
   * is opened or `events()` takes it; of others a listener that opens it at once, synchronously, misses nothing.
   */
  stream: {
    readonly peer: Peer;
    readonly streamId: bigint;
    readonly reliability: "reliable" | "fire-and-forget";
  };
  /**
   * A listener or `acceptPeers` threw, or a listener's promise was rejected, or the socket has ended by itself. Without a
   * listener for it, the error is thrown as uncaught.
   */
  error: { readonly error: unknown };
}
