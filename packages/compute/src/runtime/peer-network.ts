import type { Awaitable } from "../daemon.ts";
import type { DaemonRegistry } from "../daemon-registry.ts";
import type { FactoryPlan, FactoryRegistry } from "../factory-registry.ts";
import type { DaemonTime } from "../time.ts";

/** How a runtime reaches other nodes (subprotocol 0x0500); the mesh node fits behind it. */
export interface PeerNetwork {
  /** Id of this node. */
  readonly nodeId: bigint;
  /**
   * Gives all compute messages of peers to this handler, instead of any before; to nobody with undefined. Without one the node answers
   * that it runs no daemons (spec compute.md §14).
   */
  setHandler(handler: PeerMessageHandler | undefined): void;
  /** Sends one message, which it copies; false when there is no session with the node. */
  send(node: bigint, message: Uint8Array): boolean;
  /** X25519 static key of a node, for which a daemon's key can be sealed; undefined unless this node began the session (§23), or has asked for it. */
  staticKeyOf(node: bigint): Uint8Array | undefined;
  /**
   * Asks a netmesh node whose identity is proven for its static key, which `staticKeyOf` then knows; for the move of that daemon. Whether it is known.
   * Rejects with `compute-not-supported`.
   */
  learnStaticKey?(node: bigint, originHash: bigint): Promise<boolean>;
  /** Whether the node is known to be netmesh, and not of the reference; without, all are taken to be the latter. */
  isNetmesh?(node: bigint): boolean;
  /** Opens a stream to a netmesh node, whose handler gets it by `acceptStream`. Rejects when there is no session. */
  openStream?(node: bigint): Promise<ByteStream>;
}

/** A reliable, flow-controlled stream of bytes in both directions. Boundaries of writes mean nothing. */
export interface ByteStream {
  /** What the peer writes, in order; ends when the peer has closed, throws when the stream fails. Read once. */
  readonly readable: AsyncIterable<Uint8Array>;
  /** Takes bytes, which may be reused once it has resolved; waits for room. Rejects when the stream has failed. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the own direction; resolves when it is on its way. Never rejects. */
  close(): Promise<void>;
  /** Ends both directions at once; what was under way may be lost. Idempotent, never throws. */
  abort(): void;
}

/** What answers the compute messages of peers: the migrations of a runtime. */
export interface PeerMessageHandler {
  /** Called once by `start`, which goes on when it has settled, and fails when it does. */
  start?(): Awaitable<void>;
  /** Takes one message; the bytes are only valid during the call. Must not throw. */
  receive(message: Uint8Array, from: bigint): void;
  /** Takes a stream that a peer has opened. Must not throw. */
  acceptStream?(stream: ByteStream, from: bigint): void;
  /** Ends everything under way. Must not throw. */
  shutdown?(): void;
}

/** The parts of a runtime that its migrations work on. */
export interface RuntimeParts {
  /** The way to other nodes. */
  readonly network: PeerNetwork;
  /** The daemons that live here. */
  readonly daemons: DaemonRegistry;
  /** What may be restored here. */
  readonly factories: FactoryRegistry;
  /** Clock and timers. */
  readonly time: DaemonTime;
  /** Whether the runtime is started and not shut down. */
  isReady(): boolean;
  /** The factory of a kind with these limits; undefined when there is none. */
  planOf(kind: string, config?: FactoryPlan["config"]): FactoryPlan | undefined;
}

/** A runtime's connection to other nodes. */
export interface RuntimePeers {
  /** The way to other nodes. */
  readonly network: PeerNetwork;
  /** Makes what answers them; called once, when the runtime is made. */
  readonly createHandler: (parts: RuntimeParts) => PeerMessageHandler;
}

/** A channel that was subscribed to for a daemon that is on its way here. Both end it; the first of them counts. */
export interface PreparedChannel {
  /**
   * The daemon lives here: gives it what has been held, then what comes, as any subscription of the daemon. Events before the position,
   * by the publisher's count, are left out; none is without a position, or where the publisher has not said what it was. Must not throw.
   */
  begin(position: bigint | undefined): void;
  /** The daemon does not come: drops what was held, and unsubscribes. Must not throw. */
  end(): void;
}

/** How daemons become members of channels, and get what is published there; the mesh node fits behind it. */
export interface ChannelMembership {
  /** Asks the publisher; resolves once it has accepted, rejects with its refusal. */
  subscribe(
    publisher: bigint,
    channel: string,
    token: Uint8Array | undefined,
    originHash: bigint,
  ): Promise<void>;
  /** Takes it back; resolves once the publisher knows. */
  unsubscribe(publisher: bigint, channel: string, originHash: bigint): Promise<void>;
  /**
   * Subscribes for a daemon that is on its way here from another netmesh node, and holds what comes. Resolves once the publisher has accepted
   * and said where the first of it is, or does not say; rejects with its refusal. Without, such a daemon is subscribed once it lives here.
   */
  prepare?(
    publisher: bigint,
    channel: string,
    token: Uint8Array | undefined,
    originHash: bigint,
  ): Promise<PreparedChannel>;
  /**
   * For a daemon of this node that is about to leave: resolves when it has processed all that was published on the channel until the call. From
   * then on the function says which event, by the publisher's count, is the first that the daemon has not begun to process; undefined where that
   * is not known.
   */
  follow?(publisher: bigint, channel: string, originHash: bigint): Promise<() => bigint | undefined>;
}
