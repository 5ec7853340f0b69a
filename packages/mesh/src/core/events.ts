import type { SocketAddress } from "@netmesh/wire";
import type { ChannelSubscription } from "../channel/channel-subscription.ts";
import type { MeshError } from "../errors.ts";
import type { Peer } from "../session/peer.ts";
import type { Session } from "../session/session.ts";
import type { Stream } from "../stream/stream.ts";

/** What the core tells its shell, in the order in which it happened. */
export type CoreEvent =
  /** An attempt of this node has succeeded. */
  | { readonly type: "connected"; readonly attempt: number; readonly peer: Peer }
  /** An attempt of this node has failed for good. */
  | { readonly type: "connect-failed"; readonly attempt: number; readonly error: MeshError }
  /** A session is in use: `peer.session`. `replaced` is the one that it took the place of. */
  | { readonly type: "peer-connected"; readonly peer: Peer; readonly replaced: Session | undefined }
  /** A direct handshake that was waited for has arrived. */
  | { readonly type: "accepted"; readonly peer: Peer }
  /** The peer has proven who it is: `peer.entityId`. */
  | { readonly type: "peer-verified"; readonly peer: Peer }
  /** Nothing authenticated has arrived for the session time-out. The session is kept for a while. */
  | { readonly type: "peer-lost"; readonly peer: Peer }
  /** A lost peer is heard again, with the same keys. */
  | { readonly type: "peer-recovered"; readonly peer: Peer }
  /** The peer and its keys were removed. */
  | { readonly type: "peer-removed"; readonly peer: Peer }
  /** What is known of a node's capabilities has changed. */
  | { readonly type: "capabilities-changed"; readonly nodeId: bigint }
  /** The way to a node that was looked for is known: over the neighbour at `via`, in so many hops. */
  | {
      readonly type: "node-found";
      readonly nodeId: bigint;
      readonly via: SocketAddress;
      readonly hops: number;
    }
  /** Nobody within reach knows the way to the node that was looked for. */
  | { readonly type: "node-not-found"; readonly nodeId: bigint }
  /** Packets of the session go another way from now on. */
  | { readonly type: "path-changed"; readonly peer: Peer }
  /** The peer's first packet has created a stream that nobody has opened here. */
  | { readonly type: "stream-opened"; readonly session: Session; readonly stream: Stream }
  /**
   * Events have arrived. Tell the core by `consumed` when they were taken: until then the sender of a reliable stream may
   * not send as much again.
   */
  | {
      readonly type: "data";
      readonly session: Session;
      readonly stream: Stream;
      readonly packet: InboundPacket;
    }
  /** A message of a subprotocol that the application handles; the bytes are its to keep. */
  | {
      readonly type: "message";
      readonly session: Session;
      readonly subprotocolId: number;
      readonly data: Uint8Array;
    }
  /** A keep-alive that claims to be of a node that is awaited; nothing in it is proven. */
  | {
      readonly type: "keep-alive";
      readonly nodeId: bigint;
      readonly punchId: number;
      readonly source: SocketAddress;
    }
  /** The publisher has accepted a subscription of this node. */
  | { readonly type: "subscribed"; readonly subscription: ChannelSubscription }
  /** The publisher has refused, or does not answer; the subscription is over. */
  | {
      readonly type: "subscribe-failed";
      readonly subscription: ChannelSubscription;
      readonly error: MeshError;
    }
  /** A subscription may miss events from now on, or was asked for anew while it did and is still refused; it is asked for again. */
  | {
      readonly type: "subscription-lost";
      readonly subscription: ChannelSubscription;
      readonly error: MeshError;
    }
  /** A lost subscription was accepted again. */
  | { readonly type: "resubscribed"; readonly subscription: ChannelSubscription }
  /** The publisher knows of the end of a subscription, or could not be told in time. */
  | { readonly type: "unsubscribed"; readonly subscription: ChannelSubscription }
  /** A publisher has said how far its channel is, or has not answered in time. */
  | {
      readonly type: "channel-position";
      /** Of the request, as `Channels.askPosition` has returned it. */
      readonly nonce: bigint;
      readonly answer: PublishedPosition | undefined;
    }
  /** A writer that was refused can go on. */
  | { readonly type: "stream-writable"; readonly session: Session; readonly stream: Stream }
  /** Everything written has been acknowledged. */
  | { readonly type: "stream-drained"; readonly session: Session; readonly stream: Stream }
  /** The peer has finished writing; everything before was delivered. */
  | { readonly type: "stream-ended"; readonly session: Session; readonly stream: Stream }
  /** The stream can no longer be used. */
  | {
      readonly type: "stream-failed";
      readonly session: Session;
      readonly stream: Stream;
      readonly error: MeshError;
    };

/** How far a channel was when its publisher answered, and how much of that has arrived. */
export interface PublishedPosition {
  /** Events of the channel that are published from then on are in packets with at least this sequence, all others before. */
  readonly sequence: number;
  /** Events that were published on it until then, counting from wherever the publisher began. */
  readonly position: bigint;
  /** All packets below this sequence were handed out before this event. */
  readonly arrivedThrough: number;
}

/** The events of one packet. */
export interface InboundPacket {
  /** Sequence number of the packet in its stream. */
  readonly sequence: number;
  /** The events, at least one, the application's to keep; other events lie in the same buffers. */
  readonly events: readonly Uint8Array[];
  /** Bytes that the packet counts in flow control. */
  readonly wireBytes: number;
  /** Subprotocol id; 0 for plain events. */
  readonly subprotocolId: number;
  /** Low 16 bits of the channel's hash; 0 outside channels. */
  readonly channelHash: number;
  /** What the publisher claims to be. */
  readonly originHash: bigint;
}
