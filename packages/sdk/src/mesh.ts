import {
  aeadProvider,
  Identity,
  platformRandom,
  StaticKeyPair,
  staticKeyPairFromIdentity,
  Token,
  TokenChain,
} from "@netmesh/crypto";
import {
  type AnnounceOptions,
  type CapabilityFilter,
  type CapabilityRequirement,
  type CapabilityScope,
  type CapabilitySet,
  type ChannelConfig,
  type CoreEvent,
  type Peer as EnginePeer,
  type HandshakeMode,
  MeshNode,
  monotonicClock,
  systemClock,
  toAnnounced,
  validateCapabilities,
} from "@netmesh/mesh";
import { UdpTransport } from "@netmesh/transport-udp";
import { copyBytes, SocketAddress } from "@netmesh/wire";
import { type Address, resolveAddress } from "./address.ts";
import { abortable, type OpOptions, requireBytes, requireId, signalOf, toEvents } from "./arguments.ts";
import type { ChannelCursor } from "./channel-cursor.ts";
import { MeshChannels, type PublishOptions, type PublishReport, type SubscribeOptions } from "./channels.ts";
import type { DaemonChannels } from "./daemons/daemon-channels.ts";
import { MeshDaemons } from "./daemons/mesh-daemons.ts";
import {
  InvalidArgumentError,
  ShutdownError,
  StreamError,
  TransportError,
  TraversalError,
  toNetError,
} from "./errors.ts";
import type { InboundEvent } from "./inbound-event.ts";
import { type EventsOptions, Inbox } from "./inbox.ts";
import type { MeshEvents } from "./mesh-events.ts";
import { type DirectConnection, type MeshNat, MeshTraversal } from "./mesh-nat.ts";
import {
  type AeadName,
  coreSettings,
  type MeshOptions,
  type PeerContact,
  type StreamOptions,
} from "./mesh-options.ts";
import type { MeshStream } from "./mesh-stream.ts";
import type { DiscoveredNode, FoundNode, MeshStats, NodeCapabilities } from "./mesh-view.ts";
import { type Path, Peer } from "./peer.ts";
import { Subprotocol, type SubprotocolOptions } from "./subprotocol.ts";
import type { Subscription } from "./subscription.ts";
import { TypedEventTarget } from "./typed-events.ts";

interface Pending<T = Peer> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

const DEFAULT_GRACE_MS = 2_000;
/** Stream id of {@link Mesh.send}. */
const PLAIN_STREAM_ID = 0n;

/** A node of the mesh: a socket, a set of peers, streams to them. */
export class Mesh extends TypedEventTarget<MeshEvents> implements AsyncDisposable {
  readonly identity: Identity;
  readonly #node: MeshNode;
  readonly #keys: StaticKeyPair;
  readonly #udp: UdpTransport | undefined;
  readonly #attempts = new Map<number, Pending>();
  readonly #accepts = new Map<bigint, Pending>();
  /** Calls of {@link connectDirect} under way. */
  readonly #connections = new Set<Pick<Pending, "reject">>();
  /** Nodes that are looked for; the engine bounds them. */
  readonly #lookups = new Map<bigint, Pending<FoundNode>>();
  readonly #inbox = new Inbox();
  readonly #subprotocols = new Map<number, Pick<SubprotocolOptions, "onMessage"> & { handle: Subprotocol }>();
  readonly #channels: MeshChannels;
  readonly #daemons: MeshDaemons;
  readonly #traversal: MeshTraversal | undefined;
  readonly #views = new WeakMap<object, Peer>();
  #isStarted = false;
  #shutdown: Promise<void> | undefined;

  private constructor(
    node: (mesh: Mesh) => MeshNode,
    keys: StaticKeyPair,
    identity: Identity,
    udp: UdpTransport | undefined,
    { nat = {}, portMapping = false }: MeshOptions,
  ) {
    super();
    this.identity = identity;
    this.#keys = keys;
    this.#udp = udp;
    this.#node = node(this);
    this.#channels = new MeshChannels(this.#node);
    this.#daemons = new MeshDaemons(identity.nodeId, this.#keys.publicKey, this.#node, this.#inbox);
    if (nat === false) return;
    this.#traversal = new MeshTraversal(identity.nodeId, this.#node, nat, portMapping, {
      onChanged: () => {
        // Nobody listens yet while it is being made.
        if (this.#traversal === undefined) return;
        const { type: natType, reflexAddress } = this.nat;
        this.announce("nat-changed", { natType, reflexAddress });
      },
      onAttempt: (attempt) => this.announce("nat-attempt", attempt),
      onMapping: (status) => this.announce("port-mapping-changed", status),
    });
  }

  /** Binds and starts. Rejects with `invalid-argument`, `invalid-length`, `config`, `address-in-use`, `socket`. */
  static async open(options: MeshOptions, op?: OpOptions): Promise<Mesh> {
    signalOf(op)?.throwIfAborted();
    const mesh = await Mesh.create(options);
    mesh.start();
    return mesh;
  }

  /**
   * Binds only: the mesh can connect and accept, and does not answer anybody else until `start`. Rejects as `open`, with
   * `unknown-provider` when the `aead` asked for does not run here.
   */
  static async create(options: MeshOptions): Promise<Mesh> {
    requireBytes(options.psk, 32, "psk");
    if (options.noiseKey !== undefined) requireBytes(options.noiseKey, 32, "noiseKey");
    const { acceptPeers, bind = "0.0.0.0:0" } = options;
    // The caller may wipe its key while the socket is being bound.
    const psk = copyBytes(options.psk);
    let udp: UdpTransport | undefined;
    try {
      const aead = aeadProvider(options.aead);
      const identity = options.identity ?? Identity.generate();
      const keys =
        options.noiseKey === undefined
          ? staticKeyPairFromIdentity(identity)
          : StaticKeyPair.fromPrivateKey(options.noiseKey);
      if (options.transport === undefined) {
        // Packets arrive where they are opened.
        const memory = aead.memory === undefined ? {} : { memory: aead.memory };
        udp = await UdpTransport.bind(bind, { ...options.socket, ...memory });
      }
      const transport = options.transport ?? (udp as UdpTransport);
      return new Mesh(
        (mesh) =>
          new MeshNode({
            ...coreSettings(options),
            nodeId: identity.nodeId,
            psk,
            staticKeyPair: keys,
            clock: monotonicClock,
            systemTime: systemClock,
            identity,
            random: platformRandom,
            transport,
            aead,
            ...(typeof acceptPeers === "function"
              ? {
                  acceptPeers: (nodeId: bigint, from: SocketAddress) =>
                    mesh.#asks(() => acceptPeers({ nodeId, address: from.key })),
                }
              : {}),
            onEvent: (event) => mesh.#onEvent(event),
            onError: (error) => mesh.listenerFailed(error),
          }),
        keys,
        identity,
        udp,
        options,
      );
    } catch (error) {
      await udp?.close();
      throw toNetError(error);
    } finally {
      // The engine has its own copy.
      psk.fill(0);
    }
  }

  /** Starts answering nodes that were not asked for. Idempotent. */
  start(): void {
    this.#requireRunning();
    this.#isStarted = true;
    this.#node.core.start();
  }

  get nodeId(): bigint {
    return this.identity.nodeId;
  }

  /** The Noise public key that others need to connect to this node, 32 bytes. */
  get noisePublicKey(): Uint8Array {
    return this.#keys.publicKey.slice();
  }

  /** The bound address with its real port. */
  get localAddress(): string {
    return this.#node.transport.localAddress.key;
  }

  /** What others need to connect to this node. */
  get contact(): PeerContact & { readonly address: string } {
    return { nodeId: this.nodeId, publicKey: this.noisePublicKey, address: this.localAddress };
  }

  // Peers

  /**
   * Connects to a node at an address. A started mesh reaches any started node; before `start`, or with
   * `handshake: "direct"`, a node that awaits this one with `accept`. Rejects with `handshake-timeout` after three
   * attempts, `handshake-in-flight`, `unknown-host`.
   */
  async connect(
    peer: PeerContact & { readonly address: Address },
    options: OpOptions & { readonly handshake?: HandshakeMode } = {},
  ): Promise<Peer> {
    const mode = options.handshake ?? (this.#isStarted ? "routed" : "direct");
    return await this.#connect(peer, peer.address, mode, options);
  }

  /**
   * Connects to a node through a relay: a peer's node id, or an address. The handshake and everything after travel
   * through it, sealed between the two ends. The mesh must have been started.
   */
  async connectVia(relay: bigint | Address, peer: PeerContact, options: OpOptions = {}): Promise<Peer> {
    if (!this.#isStarted) throw new InvalidArgumentError("config", "connectVia needs a started mesh");
    let address: Address;
    if (typeof relay === "bigint") {
      requireId(relay, "relay");
      const session = this.#node.core.peer(relay)?.session;
      if (session === undefined)
        throw new TransportError("unknown-peer", `no session with relay ${hex(relay)}`);
      address = session.path.address.key;
    } else address = relay;
    return await this.#connect(peer, address, "routed", options);
  }

  /**
   * Connects to a node over the shortest path there is: straight to its address, through the NATs in between, or over a relay, from
   * which it goes on looking for a direct path with `upgrade` (default true). Coordinators are direct peers of both nodes, asked in
   * turn to introduce them; default: this node's own direct peers. Concurrent calls for a peer are one. Rejects with
   * `peer-not-reachable` without a peer to ask, `transport` when no session comes about.
   */
  async connectDirect(
    peer: PeerContact,
    options: OpOptions & {
      readonly coordinator?: bigint | readonly bigint[];
      readonly upgrade?: boolean;
    } = {},
  ): Promise<DirectConnection & { readonly peer: Peer }> {
    this.#requireRunning();
    if (!this.#isStarted) throw new InvalidArgumentError("config", "connectDirect needs a started mesh");
    requireId(peer.nodeId, "nodeId");
    requireBytes(peer.publicKey, 32, "publicKey");
    const { coordinator = [], upgrade = true } = options;
    const coordinators = typeof coordinator === "bigint" ? [coordinator] : coordinator;
    for (const id of coordinators) requireId(id, "coordinator");
    const traversal = this.#requireTraversal();
    const signal = signalOf(options);
    const outcome = await abortable<DirectConnection>(signal, (pending) => {
      this.#connections.add(pending);
      traversal
        .connect(peer, coordinators, upgrade)
        .then(pending.resolve, pending.reject)
        .finally(() => this.#connections.delete(pending));
    });
    const known = this.#node.core.peer(peer.nodeId);
    if (known === undefined) throw new TransportError("unknown-peer", "the session has ended meanwhile");
    return { ...outcome, peer: this.#view(known) };
  }

  /** How this node is reached from outside. Throws `unsupported` with `nat: false`. */
  get nat(): MeshNat {
    return this.#requireTraversal().nat;
  }

  #requireTraversal(): MeshTraversal {
    if (this.#traversal === undefined) {
      throw new TraversalError("unsupported", "NAT traversal is switched off (`nat: false`)");
    }
    return this.#traversal;
  }

  async #connect(contact: PeerContact, address: Address, mode: HandshakeMode, op: OpOptions): Promise<Peer> {
    this.#requireRunning();
    requireId(contact.nodeId, "nodeId");
    requireBytes(contact.publicKey, 32, "publicKey");
    const signal = signalOf(op);
    signal?.throwIfAborted();
    const via = await resolveAddress(address);
    this.#requireRunning();
    let attempt = 0;
    return await abortable<Peer>(
      signal,
      (pending) => {
        try {
          attempt = this.#node.core.connect(contact.nodeId, contact.publicKey, via, mode);
        } catch (error) {
          pending.reject(toNetError(error));
          return;
        }
        this.#attempts.set(attempt, pending);
        this.#node.touch();
      },
      () => {
        this.#attempts.delete(attempt);
        this.#node.core.abandon(attempt);
      },
    );
  }

  /** Awaits the direct handshake of a node that uses `handshake: "direct"` or is not started yet. */
  async accept(nodeId: bigint, options?: OpOptions): Promise<Peer> {
    this.#requireRunning();
    requireId(nodeId, "nodeId");
    if (this.#accepts.has(nodeId)) {
      throw new TransportError("handshake-in-flight", "this node is awaited already");
    }
    return await abortable<Peer>(
      signalOf(options),
      (pending) => {
        try {
          this.#node.core.expect(nodeId);
        } catch (error) {
          pending.reject(toNetError(error));
          return;
        }
        this.#accepts.set(nodeId, pending);
      },
      () => {
        this.#accepts.delete(nodeId);
        this.#node.core.unexpect(nodeId);
      },
    );
  }

  /** The peers with a session. */
  *peers(): IterableIterator<Peer> {
    for (const peer of this.#node.core.peers) yield this.#view(peer);
  }

  /** The peer of that node id. */
  peer(nodeId: bigint): Peer | undefined {
    requireId(nodeId, "nodeId");
    const peer = this.#node.core.peer(nodeId);
    return peer === undefined ? undefined : this.#view(peer);
  }

  /**
   * Looks for the way to a node that is farther than {@link discoveredNodes} reaches: up to 16 hops, over netmesh nodes. The
   * node itself has answered over that way; `connectVia(way.via, contact)` takes it. Rejects with `peer-not-reachable` when
   * nobody knows it, within seconds; `handshake-in-flight` when it is looked for already.
   */
  async findNode(nodeId: bigint, options: OpOptions = {}): Promise<FoundNode> {
    this.#requireRunning();
    requireId(nodeId, "nodeId");
    if (this.#lookups.has(nodeId)) {
      throw new TransportError("handshake-in-flight", "this node is looked for already");
    }
    return await abortable<FoundNode>(
      signalOf(options),
      (pending) => {
        try {
          this.#node.core.lookUp(nodeId);
        } catch (error) {
          pending.reject(toNetError(error));
          return;
        }
        this.#lookups.set(nodeId, pending);
        this.#node.touch();
      },
      () => this.#lookups.delete(nodeId),
    );
  }

  /** The nodes that are heard of, nearest first: neighbours, and nodes behind up to `discoveryHops` relays. */
  discoveredNodes(): DiscoveredNode[] {
    return this.#node.core.discoveredNodes.map(({ id, hops, latencyUs, address }) => ({
      nodeId: id,
      hops,
      latencyMs: latencyUs / 1_000,
      via: address.key,
    }));
  }

  /** Sends packets for that node to an address, as if it had been discovered there. */
  addRoute(nodeId: bigint, nextHop: string): void {
    requireId(nodeId, "nodeId");
    this.#guard(() => this.#node.core.addRoute(nodeId, SocketAddress.parse(nextHop)));
  }

  /** Removes the route to that node; false when there was none. */
  removeRoute(nodeId: bigint): boolean {
    requireId(nodeId, "nodeId");
    return this.#node.core.removeRoute(nodeId);
  }

  /** Takes nothing from an address and sends nothing to it. */
  block(address: string): void {
    this.#guard(() => this.#node.core.block(SocketAddress.parse(address)));
  }

  /** Takes `block` back. */
  unblock(address: string): void {
    this.#guard(() => this.#node.core.unblock(SocketAddress.parse(address)));
  }

  // Capabilities

  /**
   * Announces what this node offers: to every peer now and later, and through them up to 16 hops far, signed; again before it
   * expires and whenever it changes. A call within ten seconds of the one before is heard by the peers when they are over.
   * Rejects with `invalid-argument` for what {@link validateCapabilities} finds wrong, `message-too-large`.
   */
  async announceCapabilities(set: CapabilitySet, options: AnnounceOptions = {}): Promise<void> {
    const [error] = validateCapabilities(set).errors;
    if (error !== undefined) {
      throw new InvalidArgumentError("invalid-argument", `capabilities: ${error.at}: ${error.text}`);
    }
    this.#guard(() => this.#node.core.announce(toAnnounced(set), options));
    this.#node.touch();
  }

  /**
   * Ids of the nodes that are known to offer what the filter asks for, ascending; this node counts, too. Looks up what has been
   * announced, and sends nothing. Throws `invalid-argument` for a field that filters do not have.
   */
  findNodes(filter: CapabilityFilter, options: { readonly scope?: CapabilityScope } = {}): bigint[] {
    return this.#guard(() => this.#node.core.findNodes(filter, options.scope));
  }

  /** The node that scores highest of those that fit; of equal ones that with the lowest id. Throws as {@link findNodes}. */
  findBestNode(
    requirement: CapabilityRequirement,
    options: { readonly scope?: CapabilityScope } = {},
  ): bigint | undefined {
    return this.#guard(() => this.#node.core.findBestNode(requirement, options.scope));
  }

  /** What a node has announced: typed, and its tags and metadata as they are. */
  capabilitiesOf(nodeId: bigint): NodeCapabilities | undefined {
    requireId(nodeId, "nodeId");
    const node = this.#guard(() => this.#node.core.capabilities.get(nodeId));
    if (node === undefined) return undefined;
    const { tags, metadata } = node.announced;
    return { ...node.capabilities, tags: [...tags], metadata: new Map(metadata) };
  }

  // Channels

  /**
   * Lays down for a channel who may subscribe and publish, in place of what was laid down before. As long as there is none,
   * everybody may subscribe to anything; from then on only to registered channels. Throws `invalid-channel-name`,
   * `invalid-argument`.
   */
  registerChannel(config: ChannelConfig): void {
    this.#guard(() => this.#node.core.channels.register(config));
  }

  /** Takes {@link registerChannel} back; false when there was nothing. */
  unregisterChannel(name: string, options: { readonly isPrefix?: boolean } = {}): boolean {
    return this.#guard(() => this.#node.core.channels.unregister(name, options.isPrefix));
  }

  /**
   * Asks a peer to send what it publishes on a channel. Resolves when it has accepted; rejects with `unauthorized`
   * (`ChannelAuthError`), `unknown-channel`, `rate-limited`, `too-many-channels`, `ack-timeout`, `unknown-peer`. When the peer is
   * lost, or comes back as a new process, the mesh asks again, with the same token and group, until it is accepted.
   */
  async subscribe(publisher: bigint, channel: string, options: SubscribeOptions = {}): Promise<Subscription> {
    return await this.#subscribe(publisher, channel, options);
  }

  async #subscribe(
    publisher: bigint,
    channel: string,
    options: SubscribeOptions,
    cursor?: ChannelCursor,
  ): Promise<Subscription> {
    this.#requireRunning();
    try {
      return await this.#channels.subscribe(publisher, channel, options, cursor);
    } catch (error) {
      throw toNetError(error);
    }
  }

  /**
   * Sends events to everybody who has subscribed and may have them; this node itself gets none. Nothing waits: a subscriber
   * without room is reported, with the number of events that were taken for it. Rejects with `publish-denied`,
   * `message-too-large`, and with `publish-failed` when no subscriber at all could be sent to and `onFailure` is `"best-effort"`.
   */
  async publish(
    channel: string,
    data: Uint8Array | readonly Uint8Array[],
    options: PublishOptions = {},
  ): Promise<PublishReport> {
    return this.#guard(() => this.#channels.publish(channel, data, options));
  }

  /**
   * Keeps a token, or a chain of them, that was issued to this node: it is presented where it lets this node subscribe, and lets
   * it publish. Throws `invalid-argument` when it is for somebody else, or not signed by its issuer.
   */
  installToken(token: Token | TokenChain): void {
    const chain = token instanceof Token ? new TokenChain([token]) : token;
    this.#guard(() => this.#node.core.channels.installToken(chain));
  }

  /**
   * Lets no token of an issuer (entity id, 32 bytes) below that generation count here any more; false when it was so already.
   * Who has subscribed with one is left out of the next publication.
   */
  revokeTokens(issuer: Uint8Array, generation: number): boolean {
    return this.#guard(() => this.#node.core.channels.revokeTokens(issuer, generation));
  }

  // Data

  /**
   * Sends events once, without repair or flow control, on stream 0; small ones share a packet. Resolves when they were
   * taken. Rejects with `unknown-peer`, `message-too-large`, `backpressure`.
   */
  async send(to: bigint, data: Uint8Array | readonly Uint8Array[], options?: OpOptions): Promise<void> {
    this.#requireRunning();
    requireId(to, "to");
    signalOf(options)?.throwIfAborted();
    const events = toEvents(data);
    const accepted = this.#guard(() => this.#node.core.send(to, PLAIN_STREAM_ID, events));
    this.#node.touch();
    if (accepted < events.length) {
      throw new StreamError("backpressure", `only ${accepted} of ${events.length} events were taken`, {
        accepted,
      });
    }
  }

  /** Opens a stream to a peer. Nothing is sent by it; a live stream of that id comes back as it is. */
  openStream(peer: bigint, options: StreamOptions): MeshStream {
    this.#requireRunning();
    requireId(peer, "peer");
    requireId(options.streamId, "streamId");
    const { streamId, ...rest } = options;
    const { session, stream } = this.#guard(() => this.#node.core.openStream(peer, streamId, rest));
    this.#node.touch();
    return this.#inbox.open(this.#node, session, stream);
  }

  /**
   * Iterates all events that arrive and match, from any peer and stream. Each consumer has a queue of its own, of
   * `highWaterMark` events (default 1024); what does not fit is dropped and counted, or ends the loop with `"error"`.
   */
  events(
    options: EventsOptions = {},
  ): AsyncIterableIterator<InboundEvent, undefined> & { readonly dropped: number } {
    this.#requireRunning();
    return this.#inbox.events(options);
  }

  /**
   * Handles a subprotocol of the application's own. Throws `subprotocol-in-use` for an id that is handled already or that the
   * mesh uses itself, `invalid-argument` unless it is a u16.
   */
  subprotocol(id: number, options: SubprotocolOptions = {}): Subprotocol {
    this.#guard(() => this.#node.core.registerSubprotocol(id));
    const handle = new Subprotocol(this.#node, id, () => {
      if (this.#subprotocols.get(id)?.handle !== handle) return;
      this.#subprotocols.delete(id);
      this.#node.core.unregisterSubprotocol(id);
    });
    this.#subprotocols.set(id, { handle, onMessage: options.onMessage });
    return handle;
  }

  /** Figures of this node. */
  stats(): MeshStats {
    let streams = 0;
    for (const peer of this.#node.core.peers) streams += peer.session?.streams.size ?? 0;
    return {
      peers: this.#node.core.peerCount,
      streams,
      indexedNodes: this.#node.core.capabilities.size,
      channels: this.#node.core.channelStats,
      discovery: this.#node.core.discovery,
      reroutes: this.#node.core.reroutes,
      sideSockets: { ...this.#node.sides.counters },
      unclaimedEvents: this.#inbox.unclaimedEvents,
      aead: this.#node.core.aead.name as AeadName,
      socket: this.#udp?.stats(),
      counters: { ...this.#node.counters },
    };
  }

  /** @internal What a `DaemonRuntime` needs of its mesh. */
  get daemons(): {
    readonly network: MeshDaemons;
    readonly staticKey: StaticKeyPair;
    readonly channels: DaemonChannels;
  } {
    const channels: DaemonChannels = {
      subscribe: (...subscription) => this.#subscribe(...subscription),
      askPosition: (subscription) => this.#channels.askPosition(subscription),
    };
    return { network: this.#daemons, staticKey: this.#keys, channels };
  }

  /**
   * Closes every stream, waiting up to `graceMs` (default 2000) for acknowledgements, then the socket. Loops end, pending
   * operations reject with `shutdown`. Idempotent.
   */
  shutdown(options: { readonly graceMs?: number } = {}): Promise<void> {
    this.#shutdown ??= this.#close(options.graceMs ?? DEFAULT_GRACE_MS);
    return this.#shutdown;
  }

  /** {@link shutdown}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #close(graceMs: number): Promise<void> {
    const error = new ShutdownError();
    const all = [this.#attempts.values(), this.#accepts.values(), this.#lookups.values(), this.#connections];
    for (const operations of all) for (const pending of operations) pending.reject(error);
    this.#attempts.clear();
    this.#accepts.clear();
    this.#lookups.clear();
    this.#connections.clear();
    this.#channels.shutdown(error);
    await this.#inbox.closeStreams(graceMs);
    await this.#traversal?.close();
    await this.#node.close();
    this.#inbox.end();
    this.#keys.destroy();
  }

  // The engine's events

  #onEvent(event: CoreEvent): void {
    // The first events may come while the traversal is being made.
    if (this.#traversal?.onEvent(event) === true) return;
    if (this.#daemons?.onEvent(event) === true) return;
    switch (event.type) {
      case "connected":
        this.#settle(this.#attempts, event.attempt)?.resolve(this.#view(event.peer));
        return;
      case "connect-failed":
        this.#settle(this.#attempts, event.attempt)?.reject(toNetError(event.error));
        return;
      case "accepted":
        this.#settle(this.#accepts, event.peer.nodeId)?.resolve(this.#view(event.peer));
        return;
      case "data":
        if (!this.#channels.onData(event)) this.#inbox.onData(this.#node, event);
        return;
      case "subscribed":
      case "subscribe-failed":
      case "subscription-lost":
      case "resubscribed":
      case "unsubscribed":
        this.#channels.onEvent(event);
        return;
      case "channel-position":
        this.#channels.onPosition(event);
        return;
      case "capabilities-changed":
        this.announce("capabilities-changed", { nodeId: event.nodeId });
        return;
      case "message":
        this.#subprotocols
          .get(event.subprotocolId)
          ?.onMessage?.({ peer: event.session.peer.nodeId, data: event.data });
        return;
      case "stream-opened":
        // It came and went within one batch: nothing is left to open.
        if (event.stream.ended !== undefined) return;
        // Nobody can open it any more.
        if (this.#shutdown !== undefined) return;
        this.announce("stream", {
          peer: this.#view(event.session.peer),
          streamId: event.stream.id,
          reliability: event.stream.receivesReliably ? "reliable" : "fire-and-forget",
        });
        return;
      case "stream-writable":
      case "stream-drained":
      case "stream-ended":
      case "stream-failed":
        this.#inbox.onStream(event);
        return;
      case "keep-alive":
        return;
      case "node-found": {
        const { nodeId, via, hops } = event;
        this.#settle(this.#lookups, nodeId)?.resolve({ nodeId, via: via.key, hops });
        return;
      }
      case "node-not-found":
        this.#settle(this.#lookups, event.nodeId)?.reject(
          new TransportError("peer-not-reachable", `nobody within reach knows node ${hex(event.nodeId)}`),
        );
        return;
      case "path-changed":
        this.#onPath(event.peer);
        return;
      case "peer-connected":
        this.#view(event.peer).notePath(systemClock.now());
        this.announce(event.type, { peer: this.#view(event.peer) });
        return;
      default:
        this.announce(event.type, { peer: this.#view(event.peer) });
    }
  }

  /** What a callback says; one that throws says no, and the error is announced. */
  #asks(callback: () => boolean): boolean {
    try {
      return callback();
    } catch (error) {
      this.listenerFailed(error);
      return false;
    }
  }

  #settle<K, V>(map: Map<K, V>, key: K): V | undefined {
    const pending = map.get(key);
    map.delete(key);
    return pending;
  }

  #onPath(changed: EnginePeer): void {
    const peer = this.#view(changed);
    const from = peer.pathHistory.at(-1)?.path;
    peer.notePath(systemClock.now());
    this.announce("path-changed", { peer });
    const { path: to } = peer;
    if (from === "relayed" && to !== "relayed") this.announce("peer-upgraded", { peer, from, to });
  }

  #view(peer: EnginePeer): Peer {
    let view = this.#views.get(peer);
    if (view === undefined) {
      view = new Peer(this.#node, peer, (engine) => this.#pathOf(engine));
      this.#views.set(peer, view);
    }
    return view;
  }

  #pathOf(peer: EnginePeer): Path {
    if (this.#traversal !== undefined) return this.#traversal.pathOf(peer);
    return peer.session?.path.routed === true ? "relayed" : "direct";
  }

  #requireRunning(): void {
    if (this.#shutdown !== undefined) throw new ShutdownError();
  }

  #guard<T>(call: () => T): T {
    this.#requireRunning();
    try {
      return call();
    } catch (error) {
      throw toNetError(error);
    }
  }
}

function hex(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}
