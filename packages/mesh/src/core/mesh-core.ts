import type { AeadProvider } from "@netmesh/crypto";
import {
  classifyDatagram,
  type DatagramBatch,
  DatagramKind,
  EventFrameReader,
  HEADER_SIZE,
  HeaderVerdict,
  isValidLength,
  NETMESH_CONTROL,
  NetHeader,
  PACKET_PART_KIND,
  PacketFlags,
  PathProbeKind,
  PeerFeature,
  ROUTING_HEADER_SIZE,
  RoutingHeader,
  type SocketAddress,
  Subprotocol,
  TAG_SIZE,
  validateHeader,
} from "@netmesh/wire";
import { MeshError } from "../errors.ts";
import { Handshaker } from "../handshake/handshaker.ts";
import type { HandshakeMode } from "../handshake/initiation.ts";
import { PathProber } from "../path-mtu/path-prober.ts";
import { Rekeyer } from "../rekey/rekeyer.ts";
import { Relay } from "../relay.ts";
import { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import type { Session } from "../session/session.ts";
import { SessionRegistry } from "../session/session-registry.ts";
import { SendCredit } from "../stream/send-credit.ts";
import { Stream } from "../stream/stream.ts";
import { resolveStreamOptions, type StreamOptions } from "../stream/stream-options.ts";
import { resume, StreamReceiver } from "../stream/stream-receiver.ts";
import { StreamSender } from "../stream/stream-sender.ts";
import { type CoreOptions, resolveCoreOptions } from "./config.ts";
import type { Counters } from "./counters.ts";
import type { CoreEvent } from "./events.ts";
import { CoreState } from "./state.ts";

/** Where a core's outputs go. */
export interface CoreSink {
  /** Sends datagrams front to back; returns how many were accepted. The bytes are only borrowed. */
  send(batch: DatagramBatch): number;
  /** Takes an event. May call the core; what that causes comes out of the same drain. */
  event(event: CoreEvent): void;
}

/** Room for the largest datagram of a session, its routing header included; a larger one is opened where it lies. */
const INBOX_BYTES = 8_256;
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
  readonly #sessions: SessionRegistry;
  readonly #handshaker: Handshaker;
  readonly #sender: StreamSender;
  readonly #receiver: StreamReceiver;
  readonly #rekeyer: Rekeyer;
  readonly #prober: PathProber;
  readonly #relay: Relay;
  readonly #header = new NetHeader();
  readonly #routing = new RoutingHeader();
  readonly #frames = new EventFrameReader();
  /** Where a packet is put to be opened, when the AEAD provider works in a memory of its own. */
  readonly #inbox: Uint8Array<ArrayBuffer> | undefined;
  #isClosed = false;

  /** Throws {@link MeshError} `config` for settings out of range. */
  constructor(options: CoreOptions) {
    const state = new CoreState(resolveCoreOptions(options));
    const fail = (session: Session, stream: Stream, error: MeshError) =>
      this.#sessions.failStream(session, stream, error);
    const writer = new PacketWriter(state);
    this.#state = state;
    this.#sender = new StreamSender(state, writer, fail);
    this.#receiver = new StreamReceiver(state, writer, this.#sender, fail);
    this.#rekeyer = new Rekeyer(state, writer);
    this.#prober = new PathProber(state, writer);
    this.#sessions = new SessionRegistry(
      state,
      writer,
      this.#sender,
      this.#receiver,
      this.#rekeyer,
      this.#prober,
    );
    this.#handshaker = new Handshaker(state, this.#sessions);
    this.#relay = new Relay(state);
    this.#inbox = state.config.aead.memory?.allocate(INBOX_BYTES);
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
    for (let i = 0; i < batch.count; i++) {
      this.#receiveOne(batch.bytes[i] as Uint8Array, batch.addresses[i] as SocketAddress);
    }
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
          stuck ||
          (state.sendTurns.length === 0 && state.grantTurns.length === 0 && state.outbox.batch.count === 0);
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
    if (batch.count === 0) return true;
    const taken = sink.send(batch);
    counters.datagramsSent += taken;
    for (let i = 0; i < taken; i++) counters.bytesSent += (batch.bytes[i] as Uint8Array).length;
    const complete = taken === batch.count;
    counters.routedRefused += outbox.taken(taken);
    return complete;
  }

  // Datagrams

  #receiveOne(bytes: Uint8Array, from: SocketAddress): void {
    const { counters, blocked } = this.#state;
    counters.datagramsReceived++;
    counters.bytesReceived += bytes.length;
    if (blocked.size > 0 && blocked.has(from.key)) {
      counters.blockedSource++;
      return;
    }
    switch (classifyDatagram(bytes)) {
      case DatagramKind.DIRECT:
        this.#receivePacket(bytes, 0, from, undefined);
        return;
      case DatagramKind.ROUTED:
        this.#receiveRouted(bytes, from);
        return;
      case DatagramKind.KEEP_ALIVE:
        counters.keepAliveIgnored++;
        return;
      case DatagramKind.PINGWAVE:
        counters.pingwaveIgnored++;
        return;
      default:
        counters.unknownPrefix++;
    }
  }

  #receiveRouted(bytes: Uint8Array, from: SocketAddress): void {
    const routing = this.#routing.wrap(bytes, 0);
    if (!this.#state.routes.isLocal(routing.destinationLo, routing.destinationHi)) {
      this.#relay.forward(bytes, from);
      return;
    }
    this.#receivePacket(bytes, ROUTING_HEADER_SIZE, from, routing);
  }

  #receivePacket(
    bytes: Uint8Array,
    offset: number,
    from: SocketAddress,
    routing: RoutingHeader | undefined,
  ): void {
    const { counters } = this.#state;
    const length = bytes.length - offset;
    switch (validateHeader(bytes, offset, length)) {
      case HeaderVerdict.OK:
        break;
      case HeaderVerdict.SHORT:
        counters.short++;
        return;
      case HeaderVerdict.BAD_MAGIC:
        if (routing === undefined) counters.badMagic++;
        else counters.routedNested++;
        return;
      case HeaderVerdict.BAD_VERSION:
        counters.badVersion++;
        return;
      case HeaderVerdict.PAYLOAD_LENGTH:
        counters.payloadLengthTooLarge++;
        return;
      default:
        counters.eventCountTooLarge++;
        return;
    }
    const header = this.#header.wrap(bytes, offset);
    const { flags } = header;
    if ((flags & PacketFlags.HANDSHAKE) !== 0) {
      this.#handshaker.receive(bytes, offset, from, routing);
      return;
    }
    const session = this.#state.sessions.get(header.sessionIdLo, header.sessionIdHi);
    if (session === undefined) {
      counters.noSession++;
      return;
    }
    if ((flags & PacketFlags.HEARTBEAT) !== 0) {
      this.#receiveHeartbeat(session, bytes, offset, length, from, routing);
      return;
    }
    if (!isValidLength(bytes, offset, length)) {
      counters.badLength++;
      return;
    }
    const packet = this.#takeIn(bytes);
    const payloadLength = this.#open(session, packet, offset, length, from, routing);
    if (payloadLength >= 0) this.#dispatch(session, header, packet, offset, payloadLength);
  }

  /** The datagram where it can be opened in place: copied once, unless it lies there or any memory will do. */
  #takeIn(bytes: Uint8Array): Uint8Array {
    const inbox = this.#inbox;
    if (inbox === undefined || bytes.buffer === inbox.buffer || bytes.length > inbox.length) return bytes;
    inbox.set(bytes);
    return inbox;
  }

  /** Opens the packet in place and admits its counter; the plain text's length, or -1 after counting the drop. */
  #open(
    session: Session,
    bytes: Uint8Array,
    offset: number,
    length: number,
    from: SocketAddress,
    routing: RoutingHeader | undefined,
  ): number {
    const { counters } = this.#state;
    const header = this.#header;
    const isHeartbeat = length === HEADER_SIZE + TAG_SIZE && (header.flags & PacketFlags.HEARTBEAT) !== 0;
    const { counterLo, counterHi } = header;
    const epoch = session.rx.select(counterHi);
    if (epoch === undefined) {
      counters.epochUnknown++;
      return -1;
    }
    const payloadLength = epoch.cipher.openPacket(bytes, offset, length);
    if (payloadLength < 0) {
      if (isHeartbeat) counters.heartbeatAuth++;
      else counters.authFailed++;
      return -1;
    }
    if (!epoch.replay.commit(counterLo, counterHi)) {
      if (isHeartbeat) counters.heartbeatReplay++;
      else counters.replay++;
      return -1;
    }
    counters.opened++;
    if (session.rekeying !== undefined) this.#rekeyer.onOpened(session, session.rekeying, epoch, length);
    const isRouted = routing !== undefined && routing.hopCount > 0;
    this.#sessions.onAuthenticated(session, from, isRouted, counterLo, counterHi);
    return payloadLength;
  }

  #receiveHeartbeat(
    session: Session,
    bytes: Uint8Array,
    offset: number,
    length: number,
    from: SocketAddress,
    routing: RoutingHeader | undefined,
  ): void {
    const { counters } = this.#state;
    // The reference sends none through relays; a netmesh peer announces that it does.
    if (routing !== undefined && !session.has(PeerFeature.ROUTED_HEARTBEAT)) {
      counters.routedHeartbeat++;
      return;
    }
    if (length !== HEADER_SIZE + TAG_SIZE) {
      counters.heartbeatLength++;
      return;
    }
    this.#open(session, bytes, offset, length, from, routing);
  }

  #dispatch(
    session: Session,
    header: NetHeader,
    bytes: Uint8Array,
    offset: number,
    payloadLength: number,
  ): void {
    const id = header.subprotocolId;
    switch (id) {
      case Subprotocol.STREAM_WINDOW:
      case Subprotocol.STREAM_NACK:
      case Subprotocol.STREAM_RESET: {
        const frames = this.#frames.wrap(bytes, offset + HEADER_SIZE, payloadLength, header.eventCount);
        while (frames.next()) this.#receiver.onControl(session, id, bytes.subarray(frames.start, frames.end));
        if (frames.short) this.#state.counters.framesShort++;
        return;
      }
      case Subprotocol.MIGRATION:
      case Subprotocol.CHANNEL_MEMBERSHIP:
      case Subprotocol.CAPABILITY_ANNOUNCEMENT:
      case Subprotocol.REFLEX:
      case Subprotocol.RENDEZVOUS:
      case Subprotocol.LOG_REPLICATION:
      case Subprotocol.FEDERATED_QUERY:
      case Subprotocol.FOLD:
      case Subprotocol.BLOB_TRANSFER:
        this.#state.counters.handlerMissing++;
        return;
      case NETMESH_CONTROL: {
        // Without them nothing was agreed on, and the id is like any other that nobody knows.
        if (!session.has(PeerFeature.REKEY | PeerFeature.PATH_MTU)) break;
        const frames = this.#frames.wrap(bytes, offset + HEADER_SIZE, payloadLength, header.eventCount);
        while (frames.next()) {
          this.#onNetmeshControl(session, bytes.subarray(frames.start, frames.end), payloadLength);
        }
        if (frames.short) this.#state.counters.framesShort++;
        return;
      }
    }
    this.#receiver.onPacket(session, header, bytes, offset, payloadLength);
  }

  /** Takes one control event of a netmesh peer: of a feature that is in effect, or it is malformed. */
  #onNetmeshControl(session: Session, event: Uint8Array, payloadLength: number): void {
    const { rekeying } = session;
    const kind = event[0];
    const takesParts = session.has(PeerFeature.PATH_MTU);
    if (takesParts && kind === PACKET_PART_KIND) this.#receiver.onPart(session, event);
    else if (takesParts && (kind === PathProbeKind.PROBE || kind === PathProbeKind.ANSWER)) {
      this.#prober.onControl(session, event, payloadLength);
    } else if (rekeying !== undefined) this.#rekeyer.onControl(session, rekeying, event);
    else this.#state.counters.controlMalformed++;
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
  }

  /** Removes the route to that node. */
  removeRoute(nodeId: bigint): boolean {
    return this.#state.routes.removeRoute(nodeId) !== undefined;
  }

  /** The next hop to that node. */
  route(nodeId: bigint): SocketAddress | undefined {
    return this.#state.routes.lookupId(nodeId, this.#state.nowMs);
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
    this.#handshaker.close(error);
    this.#sessions.close(error);
    const { aead, psk } = this.#state.config;
    psk.fill(0);
    if (this.#inbox === undefined) return;
    this.#inbox.fill(0);
    aead.memory?.release(this.#inbox);
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
