import type { CoreEvent, Peer as EnginePeer, MeshNode } from "@netmesh/mesh";
import {
  type ConnectionAttempt,
  type NatClass,
  natClassOfTags,
  natTag,
  type RandomSource,
  type Timers,
  Traversal,
  type TraversalContact,
  type TraversalHost,
  type TraversalPeer,
  type TraversalSettings,
} from "@netmesh/traversal";
import { decodeKeepAlive, encodeKeepAlive, PeerFeature, SocketAddress, Subprotocol } from "@netmesh/wire";

/** What the traversal of a node is made of. */
export interface NodeTraversalOptions {
  readonly node: MeshNode;
  readonly timers: Timers;
  readonly random: RandomSource;
  readonly settings?: Partial<TraversalSettings>;
  /** Milliseconds since the Unix epoch. */
  readonly unixNow: () => number;
  /** IP addresses of this host; undefined when they cannot be known. */
  readonly interfaceAddresses: () => readonly string[] | undefined;
  /** Whether relayed sessions that this node has begun look for a direct path by themselves. */
  readonly upgrades: boolean;
  /** Told after class or address have changed. */
  readonly onChanged?: () => void;
  /** Told of every attempt to reach a peer without a relay, when it has come to an end. */
  readonly onAttempt?: (attempt: ConnectionAttempt) => void;
}

/** Brings an engine and {@link Traversal} together, which do not know each other. */
export class NodeTraversal implements TraversalHost {
  readonly traversal: Traversal;
  readonly nodeId: bigint;
  readonly #node: MeshNode;
  readonly #options: NodeTraversalOptions;
  readonly #attempts = new Map<number, { resolve(): void; reject(error: unknown): void }>();
  /** Where sessions have come by a punch, by node; of peers only. */
  readonly #punched = new Map<bigint, string>();
  #isClosed = false;

  constructor(nodeId: bigint, options: NodeTraversalOptions) {
    const { node, timers, random, settings, onChanged, onAttempt } = options;
    this.nodeId = nodeId;
    this.#node = node;
    this.#options = options;
    node.core.hostTraversal();
    const told = { ...(onChanged && { onChanged }), ...(onAttempt && { onAttempt }) };
    this.traversal = new Traversal({ ...settings, ...told, host: this, timers, random });
  }

  get localAddress(): SocketAddress {
    return this.#node.transport.localAddress;
  }

  /** Whether the session with that node uses an address that it took a punch to reach. */
  isPunched(nodeId: bigint, address: SocketAddress): boolean {
    return this.#punched.get(nodeId) === address.key;
  }

  /** Whether everything has ended. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Ends everything. */
  close(): void {
    this.#isClosed = true;
    this.traversal.close();
    for (const { reject } of this.#attempts.values()) reject(new Error("the node was shut down"));
    this.#attempts.clear();
  }

  /** Takes an event of the engine; true when nobody else needs it. */
  onEvent(event: CoreEvent): boolean {
    switch (event.type) {
      case "message": {
        const { subprotocolId, session, data } = event;
        if (subprotocolId !== Subprotocol.REFLEX && subprotocolId !== Subprotocol.RENDEZVOUS) return false;
        this.traversal.receive(session.peer.nodeId, subprotocolId, data);
        return true;
      }
      case "keep-alive":
        this.traversal.keepAlive(event.nodeId, event.punchId, event.source);
        return true;
      case "connected":
        return this.#settle(event.attempt, undefined);
      case "connect-failed":
        return this.#settle(event.attempt, event.error);
      case "peer-connected":
        this.#onConnected(event.peer);
        return false;
      case "path-changed":
        this.#onPath(event.peer);
        return false;
      case "peer-removed":
        this.#punched.delete(event.peer.nodeId);
        this.#node.sides.release(event.peer.nodeId);
        return false;
      default:
        return false;
    }
  }

  interfaceAddresses(): readonly string[] | undefined {
    return this.#options.interfaceAddresses();
  }

  unixNow(): number {
    return this.#options.unixNow();
  }

  *peers(): Iterable<TraversalPeer> {
    for (const peer of this.#node.core.peers) {
      const view = viewOf(peer);
      if (view !== undefined) yield view;
    }
  }

  peer(nodeId: bigint): TraversalPeer | undefined {
    const peer = this.#node.core.peer(nodeId);
    return peer && viewOf(peer);
  }

  reflexOf(nodeId: bigint): SocketAddress | undefined {
    const text = this.#node.core.capabilities.get(nodeId)?.announcement.reflexAddress;
    if (text === undefined) return undefined;
    try {
      return SocketAddress.parse(text);
    } catch {
      return undefined;
    }
  }

  natClassOf(nodeId: bigint): NatClass {
    return natClassOfTags(this.#node.core.capabilities.get(nodeId)?.announced.tags ?? []);
  }

  send(nodeId: bigint, subprotocolId: number, message: Uint8Array): boolean {
    return this.#call(() => this.#node.core.sendMessage(nodeId, subprotocolId, message));
  }

  sendKeepAlive(to: SocketAddress, punchId: number): void {
    this.#call(() => this.#node.core.sendKeepAlive(to, punchId));
  }

  sendFromSides(nodeId: bigint, to: SocketAddress, punchId: number, count: number): boolean {
    const bytes = encodeKeepAlive({ nodeId: this.nodeId, punchId });
    const isAnswer = (answer: Uint8Array): boolean => {
      const keepAlive = decodeKeepAlive(answer);
      return keepAlive?.nodeId === nodeId && keepAlive.punchId === punchId;
    };
    return this.#call(() => this.#node.sides.probe(nodeId, to, count, bytes, isAnswer));
  }

  closeSides(nodeId: bigint): void {
    this.#node.sides.endProbe(nodeId);
  }

  awaitKeepAlives(nodeId: bigint, isAwaited: boolean): void {
    this.#call(() => {
      if (isAwaited) this.#node.core.awaitKeepAlives(nodeId);
      else this.#node.core.ignoreKeepAlives(nodeId);
    });
  }

  tryPath(nodeId: bigint, address: SocketAddress): boolean {
    return this.#call(() => this.#node.core.tryPath(nodeId, address));
  }

  connect(contact: TraversalContact, via: SocketAddress): Promise<void> {
    // What is rejected by the end of the node tries the next relay.
    if (this.#isClosed) return Promise.reject(new Error("the node was shut down"));
    return new Promise((resolve, reject) => {
      try {
        const attempt = this.#node.core.connect(contact.nodeId, contact.publicKey, via, "routed");
        this.#attempts.set(attempt, { resolve, reject });
        this.#node.touch();
      } catch (error) {
        reject(error);
      }
    });
  }

  publish(natClass: NatClass, reflex: SocketAddress | undefined, atOnce: boolean): void {
    // An address with a scope means nothing to others (spec/traversal.md §8.2).
    const told = reflex?.host.includes("%") === true ? undefined : reflex?.key;
    this.#call(() => this.#node.core.announceReachability(natTag(natClass), told, atOnce));
  }

  punched(nodeId: bigint, address: SocketAddress): void {
    this.#punched.set(nodeId, address.key);
  }

  #onConnected(peer: EnginePeer): void {
    const { session } = peer;
    if (session === undefined) return;
    this.#onPath(peer);
    if (!this.#options.upgrades || !session.path.routed || session.role !== "initiator") return;
    this.traversal.upgrade({ nodeId: peer.nodeId, publicKey: peer.publicKey });
  }

  #onPath(peer: EnginePeer): void {
    const { session, nodeId } = peer;
    if (session === undefined) return;
    const { address, routed } = session.path;
    this.#punched.delete(nodeId);
    this.traversal.pathChanged(nodeId, address, !routed);
  }

  #settle(attempt: number, error: unknown): boolean {
    const waiter = this.#attempts.get(attempt);
    if (waiter === undefined) return false;
    this.#attempts.delete(attempt);
    if (error === undefined) waiter.resolve();
    else waiter.reject(error);
    return true;
  }

  /** Nothing that traversal does may throw out of a timer: a session may have ended meanwhile. */
  #call<T>(use: () => T): T | false {
    if (this.#isClosed) return false;
    try {
      const result = use();
      this.#node.touch();
      return result;
    } catch {
      return false;
    }
  }
}

/** Undefined while the peer is not heard. */
function viewOf({ nodeId, session }: EnginePeer): TraversalPeer | undefined {
  if (session === undefined || !session.isConfirmed || session.isSilent) return undefined;
  return {
    nodeId,
    address: session.path.address,
    isDirect: !session.path.routed,
    roundTripMs: session.roundTripMs,
    movesPaths: session.has(PeerFeature.LIVENESS),
  };
}
