import type { SocketAddress } from "@netmesh/wire";
import type { NatClass } from "./nat-class.ts";

/** A node that there is a session with, as traversal has to know it. */
export interface TraversalPeer {
  readonly nodeId: bigint;
  /** Where its packets go: its own address, or that of a relay. */
  readonly address: SocketAddress;
  /** Whether that is its own. */
  readonly isDirect: boolean;
  /** Round trip of the handshake in milliseconds, where it was measured. */
  readonly roundTripMs: number | undefined;
  /** Whether the session can move to another path without a handshake, as those between nodes of netmesh. */
  readonly movesPaths: boolean;
}

/** What it takes to connect to a node. */
export interface TraversalContact {
  readonly nodeId: bigint;
  /** Its Noise public key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** What traversal needs of the node that it is for. Except {@link TraversalHost.connect} nothing waits or throws. */
export interface TraversalHost {
  readonly nodeId: bigint;
  /** Where the socket is bound, with its real port. */
  readonly localAddress: SocketAddress;
  /** IP addresses of this host; undefined when they cannot be known. */
  interfaceAddresses(): readonly string[] | undefined;
  /** Milliseconds since the Unix epoch. */
  unixNow(): number;
  /** Peers that are heard. */
  peers(): Iterable<TraversalPeer>;
  /** The peer of that id, when it is heard. */
  peer(nodeId: bigint): TraversalPeer | undefined;
  /** Where a node says that it is seen, undefined when it does not. */
  reflexOf(nodeId: bigint): SocketAddress | undefined;
  /** What a node says of its NAT. */
  natClassOf(nodeId: bigint): NatClass;
  /** Sends a message of a subprotocol, once; false when it could not be sent. */
  send(nodeId: bigint, subprotocolId: number, message: Uint8Array): boolean;
  /** Sends one small datagram that opens the way through a NAT. */
  sendKeepAlive(to: SocketAddress, punchId: number): void;
  /**
   * Sends one from each of `count` further sockets; the first that a keep-alive of the same punch reaches from there carries
   * everything to that address from then on. False where there are no further sockets.
   */
  sendFromSides(nodeId: bigint, to: SocketAddress, punchId: number, count: number): boolean;
  /** Closes those of them that nothing has reached. */
  closeSides(nodeId: bigint): void;
  /** Reports the keep-alives of that node from now on, or no longer. */
  awaitKeepAlives(nodeId: bigint, isAwaited: boolean): void;
  /** Asks a peer for a sign of life over an address; the session moves there when it comes. False when it cannot move. */
  tryPath(nodeId: bigint, address: SocketAddress): boolean;
  /** Makes a session over an address: the peer's own or a relay's. Rejects when that fails. */
  connect(contact: TraversalContact, via: SocketAddress, signal?: AbortSignal): Promise<void>;
  /** A punch has opened that way to a peer, and its session uses it. */
  punched(nodeId: bigint, address: SocketAddress): void;
  /** Announces class and address as one; `atOnce` regardless of the least interval between announcements. */
  publish(natClass: NatClass, reflex: SocketAddress | undefined, atOnce: boolean): void;
}
