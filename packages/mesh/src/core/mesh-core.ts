import type { AeadProvider } from "@netmesh/crypto";
import type { ProximityNode, RerouteStats } from "@netmesh/routing";
import {
  type AnnouncedCapabilities,
  copyBytes,
  type DatagramBatch,
  EVENT_LENGTH_PREFIX,
  PeerFeature,
  type SocketAddress,
  Subprotocol,
} from "@netmesh/wire";
import { type AnnounceOptions, Announcer } from "../capability/announcer.ts";
import { CapabilityExchange } from "../capability/capability-exchange.ts";
import type { CapabilityFilter, CapabilityRequirement } from "../capability/capability-filter.ts";
import { CapabilityIndex } from "../capability/capability-index.ts";
import type { CapabilityScope } from "../capability/capability-scope.ts";
import type { ChannelSubscription } from "../channel/channel-subscription.ts";
import { type ChannelStats, Channels } from "../channel/channels.ts";
import { DaemonGate } from "../control/daemon-gate.ts";
import { Discovery, type DiscoveryStats } from "../control/discovery.ts";
import { Healer } from "../control/healing.ts";
import { KeepAlives } from "../control/keep-alives.ts";
import { Liveness } from "../control/liveness.ts";
import { NodeLookups } from "../control/node-lookups.ts";
import {
  requireSubprotocolId,
  type SubprotocolHandler,
  SubprotocolTable,
} from "../control/subprotocol-table.ts";
import { MeshError } from "../errors.ts";
import { Handshaker } from "../handshake/handshaker.ts";
import type { HandshakeMode } from "../handshake/initiation.ts";
import { IdentityProver } from "../identity/identity-prover.ts";
import { PathProber } from "../path-mtu/path-prober.ts";
import { Rekeyer } from "../rekey/rekeyer.ts";
import { Relay } from "../relay.ts";
import { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import { isSamePath, type Session } from "../session/session.ts";
import { SessionRegistry } from "../session/session-registry.ts";
import { SendCredit } from "../stream/send-credit.ts";
import { Stream } from "../stream/stream.ts";
import { resolveStreamOptions, type StreamOptions } from "../stream/stream-options.ts";
import { resume, StreamReceiver } from "../stream/stream-receiver.ts";
import { StreamSender } from "../stream/stream-sender.ts";
import { Subnets } from "../subnet/subnets.ts";
import { type CoreOptions, resolveCoreOptions } from "./config.ts";
import type { Counters } from "./counters.ts";
import type { CoreEvent } from "./events.ts";
import { PacketIntake } from "./packet-intake.ts";
import { CoreState } from "./state.ts";

/** Where a core's outputs go. */
export interface CoreSink {
  /** Sends datagrams front to back; returns how many were accepted. The bytes are only borrowed. */
  send(batch: DatagramBatch): number;
  /** Takes an event. May call the core; what that causes comes out of the same drain. */
  event(event: CoreEvent): void;
}

/** So many written bytes are worth a system call of their own: as many as the kernel joins into one datagram. */
const FLUSH_BYTES = 65_536;
/** So many bytes that the application has taken are worth a grant at once: the sender of a large window goes on meanwhile. */
const GRANT_BYTES = 262_144;
/** Rounds of one drain, so that a sink that answers every event cannot keep it going for ever. */
const MAX_ROUNDS = 1_024;

/**
 * The protocol without sockets and timers. Its contract: **after every input, `drain`; it returns the next deadline, at
 * which `wake` is the next input at the latest; never feed two inputs without draining between them.** Inputs are
 * `receive`, `wake`, and the calls of the application.
 */
export class MeshCore {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #subprotocols = new SubprotocolTable();
  readonly #sessions: SessionRegistry;
  readonly #handshaker: Handshaker;
  readonly #sender: StreamSender;
  readonly #receiver: StreamReceiver;
  readonly #intake: PacketIntake;
  readonly #announcer: Announcer;
  readonly #capabilities: CapabilityExchange;
  readonly #channels: Channels;
  readonly #discovery: Discovery;
  readonly #healer: Healer;
  readonly #lookups: NodeLookups;
  readonly #liveness: Liveness;
  readonly #keepAlives: KeepAlives;
  readonly #daemonGate: DaemonGate;
  #isClosed = false;

  /** Throws {@link MeshError} `config` for settings out of range. */
  constructor(options: CoreOptions) {
    const state = new CoreState(resolveCoreOptions(options));
    const fail = (session: Session, stream: Stream, error: MeshError) =>
      this.#sessions.failStream(session, stream, error);
    const writer = new PacketWriter(state);
    this.#state = state;
    this.#writer = writer;
    this.#sender = new StreamSender(state, writer, fail);
    this.#receiver = new StreamReceiver(state, writer, this.#sender, fail);
    const rekeyer = new Rekeyer(state, writer);
    const prober = new PathProber(state, writer);
    const liveness = new Liveness(state, writer);
    this.#liveness = liveness;
    this.#keepAlives = new KeepAlives(state);
    this.#sessions = new SessionRegistry(
      state,
      writer,
      this.#sender,
      this.#receiver,
      rekeyer,
      prober,
      new IdentityProver(state, writer),
      liveness,
    );
    this.#discovery = new Discovery(state, writer);
    this.#healer = new Healer(state, liveness, this.#sessions);
    this.#healer.measure((neighbor, roundTripMs) => this.#discovery.onRoundTrip(neighbor, roundTripMs));
    this.#lookups = new NodeLookups(state, writer, this.#discovery);
    this.#healer.searchWith((nodeId) => this.#lookups.repair(nodeId));
    // In this order: who is a neighbour is known before anything is sent another way.
    this.#sessions.observe(this.#discovery);
    this.#sessions.observe(liveness);
    this.#sessions.observe(this.#healer);
    this.#sessions.observe(this.#lookups);
    this.#handshaker = new Handshaker(state, this.#sessions);
    const index = new CapabilityIndex(
      state.config.maxIndexedNodes,
      state.config.nodeId,
      state.config.floodNodes,
    );
    const subnets = new Subnets(state, index);
    this.#announcer = new Announcer(state, writer, index);
    this.#capabilities = new CapabilityExchange(state, writer, this.#announcer, index, subnets);
    this.#sessions.observe(this.#capabilities);
    this.#subprotocols.install(Subprotocol.CAPABILITY_ANNOUNCEMENT, (session, event) =>
      this.#capabilities.receive(session, event),
    );
    this.#channels = new Channels(state, {
      writer,
      sender: this.#sender,
      index,
      subnets,
      streams: this,
    });
    this.#sessions.observe(this.#channels);
    this.#daemonGate = new DaemonGate(state, writer);
    this.#subprotocols.install(Subprotocol.MIGRATION, (session, event) =>
      this.#daemonGate.receive(session, event),
    );
    this.#subprotocols.install(Subprotocol.CHANNEL_MEMBERSHIP, (session, event) =>
      this.#channels.receive(session, event),
    );
    this.#intake = new PacketIntake(state, {
      handshaker: this.#handshaker,
      sessions: this.#sessions,
      receiver: this.#receiver,
      rekeyer,
      prober,
      relay: new Relay(state),
      discovery: this.#discovery,
      lookups: this.#lookups,
      liveness,
      keepAlives: this.#keepAlives,
      subprotocols: this.#subprotocols,
    });
  }

  /** What happened so far; live numbers. */
  get counters(): Readonly<Counters> {
    return this.#state.counters;
  }

  /** What seals and opens this node's packets. */
  get aead(): AeadProvider {
    return this.#state.config.aead;
  }

  /** Known peers with a session. */
  get peers(): Iterable<Peer> {
    return this.#state.peers;
  }

  /** Number of known peers. */
  get peerCount(): number {
    return this.#state.peers.size;
  }

  /** The peer of that node id. */
  peer(nodeId: bigint): Peer | undefined {
    return this.#state.peers.getId(nodeId);
  }

  // Inputs from below

  /** Takes datagrams that have arrived. Their bytes are overwritten, and must stay valid until the drain is over. */
  receive(batch: DatagramBatch): void {
    this.#state.tick();
    if (this.#isClosed) return;
    this.#intake.receive(batch);
  }

  /** Does everything whose time has come. */
  wake(): void {
    this.#state.tick();
    const { alarms, nowMs } = this.#state;
    for (;;) {
      const alarm = alarms.peek();
      if (alarm === undefined || alarm.deadline > nowMs) return;
      alarm.deadline = Number.POSITIVE_INFINITY;
      alarms.schedule(alarm, Number.POSITIVE_INFINITY);
      alarm.ring();
    }
  }

  /**
   * Hands every output to the sink: datagrams, then events, until there are none; then works on a few of the handshake
   * messages that wait, and hands out what follows from them. Returns when `wake` is due, in milliseconds of the clock;
   * now while handshake messages still wait, `Infinity` for never.
   */
  drain(sink: CoreSink): number {
    const state = this.#state;
    let mayWork = true;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.#flushTurns();
      const stuck = !this.#flushOutbox(sink);
      const { events } = state;
      if (events.length === 0) {
        const isDone =
          stuck || (state.sendTurns.length === 0 && state.grantTurns.length === 0 && state.outbox.isEmpty);
        if (isDone) {
          // A few handshakes, once: whatever came before them has gone out, and the next input comes before the others.
          if (!mayWork || !this.#handshaker.work()) break;
          mayWork = false;
        }
        continue;
      }
      const batch = events.splice(0);
      for (const event of batch) sink.event(event);
    }
    // What the transport has not taken by now is lost with the node.
    if (this.#isClosed) state.outbox.dispose();
    return this.#handshaker.isIdle ? state.alarms.next : state.nowMs;
  }

  /** Whether so much was written or consumed since the last flush that the peer had better hear of it before there is more. */
  get isFlushDue(): boolean {
    const { writtenBytes, consumedBytes } = this.#state;
    return writtenBytes >= FLUSH_BYTES || consumedBytes >= GRANT_BYTES;
  }

  /**
   * Hands grants, and the datagrams that what was written fills, to the sink, and no events: the peer works on them while the
   * application goes on. Takes the place of no drain.
   */
  flush(sink: CoreSink): void {
    const state = this.#state;
    this.#flushGrants();
    for (const { session, stream } of state.sendTurns) this.#sender.flushFull(session, stream);
    this.#flushOutbox(sink);
  }

  #flushTurns(): void {
    this.#flushGrants();
    const { sendTurns } = this.#state;
    if (sendTurns.length === 0) return;
    const turns = sendTurns.splice(0);
    for (const { session, stream } of turns) {
      stream.isScheduled = false;
      this.#sender.flush(session, stream);
    }
  }

  #flushGrants(): void {
    const state = this.#state;
    const { grantTurns } = state;
    state.writtenBytes = 0;
    state.consumedBytes = 0;
    for (const { session, stream } of grantTurns) this.#receiver.flushGrant(session, stream);
    grantTurns.length = 0;
  }

  /** False when the transport did not take everything. */
  #flushOutbox(sink: CoreSink): boolean {
    const { outbox, counters } = this.#state;
    const { batch } = outbox;
    outbox.refill();
    if (batch.count === 0) return true;
    const taken = sink.send(batch);
    counters.datagramsSent += taken;
    for (let i = 0; i < taken; i++) counters.bytesSent += (batch.bytes[i] as Uint8Array).length;
    const complete = taken === batch.count;
    counters.routedRefused += outbox.taken(taken);
    return complete;
  }

  // Calls of the application

  /** Answers routed handshakes of nodes that were not asked for; before it, only awaited and own ones are dealt with. */
  start(): void {
    this.#handshaker.answers = true;
  }

  /**
   * Begins a handshake; its number comes back in `connected` or `connect-failed`. `routed` reaches a started node, and
   * any node behind relays; `direct` a node that awaits it. Throws `invalid-argument`, `handshake-in-flight`,
   * `too-many-peers`, `shutdown`.
   */
  connect(nodeId: bigint, publicKey: Uint8Array, via: SocketAddress, mode: HandshakeMode): number {
    this.#enter();
    return this.#handshaker.initiate(nodeId, publicKey, via, mode);
  }

  /** Gives up an attempt; no event follows. */
  abandon(attempt: number): void {
    this.#state.tick();
    this.#handshaker.abandon(attempt);
  }

  /** Awaits a direct handshake of that node, announced by `accepted`. */
  expect(nodeId: bigint): void {
    this.#enter();
    this.#handshaker.expect(nodeId);
  }

  /** Takes {@link expect} back. */
  unexpect(nodeId: bigint): void {
    this.#handshaker.unexpect(nodeId);
  }

  /**
   * Opens a stream to a peer. A stream that the peer has created is taken over with these options as long as nothing
   * was sent on it here; one that is open already stays as it is. Throws `unknown-peer`, `invalid-argument`,
   * `too-many-streams`.
   */
  openStream(nodeId: bigint, streamId: bigint, options: StreamOptions): { session: Session; stream: Stream } {
    this.#enter();
    const resolved = resolveStreamOptions(options);
    const session = this.#sessionOf(nodeId);
    const { config, nowMs } = this.#state;
    let stream = session.streams.getId(streamId);
    if (stream === undefined) {
      if (session.streams.size >= config.maxStreams && !this.#receiver.evictIdle(session)) {
        throw new MeshError("too-many-streams", "too many streams are open", config.maxStreams);
      }
      const { repairBudgetMs } = config;
      const { pieces } = this.#state;
      stream = new Stream(streamId, resolved, nowMs, repairBudgetMs, session.roundTripMs, pieces);
      const closed = session.closedStreams.getId(streamId);
      if (closed !== undefined && session.has(PeerFeature.STREAM_FIN)) resume(stream, closed);
      // A node of the reference goes on counting until it is told (spec/session.md §14, S8).
      else if (closed !== undefined && resolved.reliable) this.#sender.sendReset(session, streamId);
      session.streams.set(stream.fields.streamIdLo, stream.fields.streamIdHi, stream);
    } else if (!stream.isOpen && stream.isUnsent) {
      const { ordered } = stream.options;
      stream.configure(resolved, config.repairBudgetMs, session.roundTripMs);
      if (ordered && !resolved.ordered) this.#receiver.releaseHeld(session, stream);
      if (!ordered && resolved.ordered) stream.nextDelivered = stream.receive.next;
    }
    if (!stream.isOpen) {
      stream.isOpen = true;
      stream.epoch = session.nextEpoch++;
    }
    return { session, stream };
  }

  /**
   * Takes events for sending, copying them; returns how many. When fewer than given, `stream-writable` tells when to
   * go on. Throws `not-connected`, `message-too-large`, and the stream's own error once it has failed.
   *
   * @param largest - size in bytes up to which events are taken; default {@link maxEventBytes}. Whoever offers events
   * again that found no room gives the limit of the first time: when the path has become narrower since, they travel in
   * parts.
   */
  write(
    session: Session,
    stream: Stream,
    events: readonly Uint8Array[],
    largest: number = this.#sender.largestEvent(session, stream),
  ): number {
    this.#requireOpen();
    return this.#sender.write(session, stream, events, largest);
  }

  /** Sends events once, unrepaired, on a stream of that id; returns how many were taken. */
  send(nodeId: bigint, streamId: bigint, events: readonly Uint8Array[]): number {
    this.#enter();
    const session = this.#sessionOf(nodeId);
    let stream = session.streams.getId(streamId);
    if (stream === undefined) {
      stream = this.openStream(nodeId, streamId, { windowBytes: 0 }).stream;
      stream.isOpen = false;
    } else if (!stream.isOpen && stream.isUnsent && !stream.options.reliable) {
      // The peer has sent first: the answers wait for no grants either.
      stream.credit = new SendCredit(0);
    }
    return this.#sender.write(session, stream, events, this.#sender.largestEvent(session, stream));
  }

  /**
   * Handles a subprotocol: its messages come as `message` events instead of ordinary ones. Throws `invalid-argument` unless
   * the id is a u16, `subprotocol-in-use` for one that is handled already or belongs to the engine.
   */
  registerSubprotocol(id: number): void {
    this.#enter();
    this.#subprotocols.register(id, this.#messageHandler(id));
    this.#announceSubprotocols();
  }

  #messageHandler(id: number): SubprotocolHandler {
    return (session, event) => {
      this.#state.counters.messagesReceived++;
      this.#state.emit({ type: "message", session, subprotocolId: id, data: copyBytes(event) });
    };
  }

  /**
   * Hands messages about reflexive addresses and rendezvous to the application, as `message` events of the ids `0x0D00` and
   * `0x0D01`; before it they are counted and dropped. Throws `subprotocol-in-use` the second time.
   */
  hostTraversal(): void {
    this.#enter();
    for (const id of [Subprotocol.REFLEX, Subprotocol.RENDEZVOUS]) {
      this.#subprotocols.install(id, this.#messageHandler(id));
    }
  }

  /**
   * Hands messages about daemons to the application, as `message` events of the id `0x0500`, and announces that; or no longer. As long as
   * nobody wants them, requests are answered: there are no daemons here.
   */
  hostDaemons(isHosting: boolean): void {
    this.#enter();
    this.#daemonGate.isOpen = isHosting;
    this.#announcer.addTags("daemons", isHosting ? [subprotocolTag(Subprotocol.MIGRATION)] : []);
  }

  /** Reports the keep-alives of a node as events. Throws `invalid-argument` when 256 nodes are awaited already. */
  awaitKeepAlives(nodeId: bigint): void {
    this.#enter();
    this.#keepAlives.await(nodeId);
  }

  /** Takes {@link awaitKeepAlives} back. */
  ignoreKeepAlives(nodeId: bigint): void {
    this.#keepAlives.ignore(nodeId);
  }

  /** Sends a keep-alive, 14 bytes that open the way through a NAT. */
  sendKeepAlive(to: SocketAddress, punchId: number): void {
    this.#enter();
    this.#keepAlives.send(to, punchId);
  }

  /**
   * Asks a peer over an address of its own whether it hears this node there. When it answers, in an authenticated packet, the
   * session moves there, with its keys and its streams; the path before is kept as another way. False for peers that cannot be
   * asked: nodes of Net 0.27 need a handshake.
   */
  tryPath(nodeId: bigint, address: SocketAddress): boolean {
    this.#enter();
    const session = this.peer(nodeId)?.session;
    const watch = session?.watch;
    if (session === undefined || watch === undefined || !session.isConfirmed) return false;
    if (!session.has(PeerFeature.LIVENESS)) return false;
    const path = { address, routed: false };
    if (!isSamePath(session.path, path)) this.#liveness.tryBetter(watch, path);
    return true;
  }

  /**
   * Announces how this node is reached from outside: the tag about its NAT and the address that others see, always together.
   * Announces a node without capabilities when nothing else was announced. `atOnce` does not wait for the least interval.
   */
  announceReachability(natTag: string, reflexAddress: string | undefined, atOnce = false): void {
    this.#enter();
    this.#announcer.announceReachability(natTag, reflexAddress, atOnce);
  }

  /** Takes {@link registerSubprotocol} back; false when the application does not handle the id. */
  unregisterSubprotocol(id: number): boolean {
    this.#state.tick();
    const wasRegistered = this.#subprotocols.unregister(id);
    if (wasRegistered && !this.#isClosed) this.#announceSubprotocols();
    return wasRegistered;
  }

  #announceSubprotocols(): void {
    this.#announcer.addTags("subprotocols", this.#subprotocols.registered.map(subprotocolTag));
  }

  /** The subprotocols that the application handles, ascending. */
  get registeredSubprotocols(): readonly number[] {
    return this.#subprotocols.registered;
  }

  /**
   * Sends a message of any subprotocol, also an empty one: once, unrepaired, in a packet of its own. False when the transport is
   * behind. Throws `invalid-argument`, `unknown-peer`, `message-too-large` beyond what one datagram of the path carries.
   */
  sendMessage(nodeId: bigint, id: number, message: Uint8Array): boolean {
    this.#enter();
    requireSubprotocolId(id);
    const session = this.#sessionOf(nodeId);
    const limit = this.#writer.payloadLimit(session) - EVENT_LENGTH_PREFIX;
    if (message.length > limit) {
      throw new MeshError(
        "message-too-large",
        `a message of ${message.length} bytes exceeds the limit of ${limit}`,
        limit,
      );
    }
    if (!this.#writer.sendMessage(session, id, message)) return false;
    this.#state.counters.messagesSent++;
    return true;
  }

  /**
   * Announces capabilities from now on: to all peers, at most once in the least interval, and again before they expire. Throws
   * `invalid-argument`, `message-too-large`, `config`, before anything changes.
   */
  announce(capabilities: AnnouncedCapabilities, options: AnnounceOptions = {}): void {
    this.#enter();
    this.#announcer.announce(capabilities, options);
  }

  /** Ids of the known nodes, this one included, that fit; ascending. Throws `invalid-argument` for unknown fields. */
  findNodes(filter: CapabilityFilter, scope: CapabilityScope = "any"): bigint[] {
    this.#state.tick();
    return this.#capabilities.find(filter, scope);
  }

  /** The node with the highest score of those that fit. Throws as {@link findNodes}. */
  findBestNode(requirement: CapabilityRequirement, scope: CapabilityScope = "any"): bigint | undefined {
    this.#state.tick();
    return this.#capabilities.findBest(requirement, scope);
  }

  /**
   * Whether a node lets another one use what it offers under a tag: it offers it, and its allow lists are empty or name the
   * caller, or a subnet or group that the caller announces.
   */
  mayExecute(target: bigint, tag: string, caller: bigint): boolean {
    this.#state.tick();
    return this.#capabilities.mayExecute(target, tag, caller);
  }

  /** What is known of other nodes' capabilities, and this node's own. */
  get capabilities(): CapabilityIndex {
    return this.#capabilities.index;
  }

  /** The channels that this node publishes and has subscribed to. Asked for anew for each call. Throws `shutdown`. */
  get channels(): Channels {
    this.#enter();
    return this.#channels;
  }

  /** Numbers about this node's channels. */
  get channelStats(): ChannelStats {
    return this.#channels.stats;
  }

  /** The subscription that the events of a stream belong to; undefined when they are ordinary ones. */
  subscriptionOf(session: Session, stream: Stream): ChannelSubscription | undefined {
    return this.#channels.subscriptionOf(session, stream);
  }

  /** Largest event that the stream can carry, in bytes: what fits one datagram of its path, and the stream's window. */
  maxEventBytes(session: Session, stream: Stream): number {
    return this.#sender.largestEvent(session, stream);
  }

  /** Finishes the sending side; the peer sees the end after everything written. */
  finish(session: Session, stream: Stream): void {
    this.#state.tick();
    this.#sender.finish(session, stream);
  }

  /**
   * Drops the stream's state at once. With `reset`, and when something was not acknowledged, the peer is told that the
   * stream was cut short.
   */
  closeStream(session: Session, stream: Stream, reset: boolean): void {
    this.#state.tick();
    if (stream.ended !== undefined) return;
    if (reset || !stream.isDrained) this.#sender.sendReset(session, stream.id);
    this.#receiver.forget(session, stream);
  }

  /** Tells that the application has taken the events of a packet. */
  consumed(session: Session, stream: Stream, wireBytes: number): void {
    this.#state.tick();
    this.#receiver.consumed(session, stream, wireBytes);
  }

  /** Adds a route by hand: packets for that node go to `nextHop`. */
  addRoute(nodeId: bigint, nextHop: SocketAddress): void {
    this.#enter();
    this.#state.routes.addRoute(nodeId, nextHop, this.#state.nowMs);
    this.#state.manualRoutes.add(nodeId);
  }

  /** Removes the route to that node. */
  removeRoute(nodeId: bigint): boolean {
    this.#state.manualRoutes.delete(nodeId);
    return this.#state.routes.removeRoute(nodeId) !== undefined;
  }

  /** The next hop to that node. */
  route(nodeId: bigint): SocketAddress | undefined {
    return this.#state.routes.lookupId(nodeId, this.#state.nowMs);
  }

  /**
   * Looks for the way to a node that is farther than pingwaves come; `node-found` or `node-not-found` follows, within seconds.
   * Throws `config` without an identity, `invalid-argument` for this node itself and when 64 nodes are looked for.
   */
  lookUp(nodeId: bigint): void {
    this.#enter();
    this.#lookups.start(nodeId);
  }

  /** The nodes that pingwaves tell of, nearest first; nothing in it is proven. */
  get discoveredNodes(): ProximityNode[] {
    return this.#discovery.nodes();
  }

  /** What discovery has done so far. */
  get discovery(): DiscoveryStats {
    return this.#discovery.stats();
  }

  /** Detours that packets of others take around failed neighbours. */
  get reroutes(): RerouteStats {
    return this.#healer.reroutes;
  }

  /** Ignores an address: nothing is taken from it or sent to it. */
  block(address: SocketAddress): void {
    this.#state.blocked.add(address.key);
  }

  /** Takes {@link block} back. */
  unblock(address: SocketAddress): void {
    this.#state.blocked.delete(address.key);
  }

  /** Ends every stream with `shutdown` and wipes all keys. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#state.tick();
    this.#isClosed = true;
    const error = new MeshError("shutdown", "the node was shut down");
    this.#channels.close();
    this.#handshaker.close(error);
    this.#sessions.close(error);
    this.#state.config.psk.fill(0);
    this.#intake.dispose();
  }

  #enter(): void {
    this.#requireOpen();
    this.#state.tick();
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new MeshError("shutdown", "the node was shut down");
  }

  #sessionOf(nodeId: bigint): Session {
    const session = this.peer(nodeId)?.session;
    if (session === undefined) {
      throw new MeshError("unknown-peer", `no session with node ${nodeId.toString(16).padStart(16, "0")}`);
    }
    return session;
  }
}

/** What a node that handles a subprotocol announces. */
function subprotocolTag(id: number): string {
  return `subprotocol:0x${id.toString(16).padStart(4, "0")}`;
}
