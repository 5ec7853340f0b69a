import {
  classifyDatagram,
  type DatagramBatch,
  DatagramKind,
  decodePacketPart,
  EventFrameReader,
  HEADER_SIZE,
  HeaderVerdict,
  IDENTITY_PROOF_KIND,
  isValidLength,
  MESSAGE_PART_FLAG,
  NETMESH_CONTROL,
  NetHeader,
  NodeLookupKind,
  PACKET_PART_KIND,
  PacketFlags,
  PathPingKind,
  PathProbeKind,
  PeerFeature,
  ROUTING_HEADER_SIZE,
  RoutingHeader,
  SEALED_PINGWAVE_KIND,
  type SocketAddress,
  Subprotocol,
  TAG_SIZE,
  validateHeader,
} from "@netmesh/wire";
import type { Discovery } from "../control/discovery.ts";
import type { KeepAlives } from "../control/keep-alives.ts";
import type { Liveness } from "../control/liveness.ts";
import type { NodeLookups } from "../control/node-lookups.ts";
import type { SubprotocolTable } from "../control/subprotocol-table.ts";
import type { Handshaker } from "../handshake/handshaker.ts";
import type { PathProber } from "../path-mtu/path-prober.ts";
import type { Rekeyer } from "../rekey/rekeyer.ts";
import type { Relay } from "../relay.ts";
import type { Session } from "../session/session.ts";
import type { SessionRegistry } from "../session/session-registry.ts";
import { PacketAssembly } from "../stream/packet-assembly.ts";
import type { StreamReceiver } from "../stream/stream-receiver.ts";
import type { CoreState } from "./state.ts";

/** Room for the largest datagram of a session, its routing header included; a larger one is opened where it lies. */
const INBOX_BYTES = 8_256;

/** What belongs to streams and sessions themselves is small, and has no business in parts of messages. */
const NEVER_IN_PARTS: ReadonlySet<number> = new Set([
  Subprotocol.EVENTS,
  Subprotocol.STREAM_WINDOW,
  Subprotocol.STREAM_NACK,
  Subprotocol.STREAM_RESET,
  NETMESH_CONTROL,
]);

/** Who takes what has arrived. */
export interface IntakeTargets {
  readonly handshaker: Handshaker;
  readonly sessions: SessionRegistry;
  readonly receiver: StreamReceiver;
  readonly rekeyer: Rekeyer;
  readonly prober: PathProber;
  readonly relay: Relay;
  readonly discovery: Discovery;
  readonly lookups: NodeLookups;
  readonly liveness: Liveness;
  readonly keepAlives: KeepAlives;
  readonly subprotocols: SubprotocolTable;
}

/** With any of them two nodes have agreed on control messages. */
const CONTROL_FEATURES: number =
  PeerFeature.REKEY |
  PeerFeature.PATH_MTU |
  PeerFeature.IDENTITY |
  PeerFeature.LIVENESS |
  PeerFeature.SCOPED_FLOODS;

/** The way of a datagram into the node: classified, opened, authenticated, dispatched (spec/mesh.md §§5–6). */
export class PacketIntake {
  readonly #state: CoreState;
  readonly #handshaker: Handshaker;
  readonly #sessions: SessionRegistry;
  readonly #receiver: StreamReceiver;
  readonly #rekeyer: Rekeyer;
  readonly #prober: PathProber;
  readonly #relay: Relay;
  readonly #discovery: Discovery;
  readonly #lookups: NodeLookups;
  readonly #liveness: Liveness;
  readonly #keepAlives: KeepAlives;
  readonly #subprotocols: SubprotocolTable;
  readonly #header = new NetHeader();
  readonly #routing = new RoutingHeader();
  readonly #frames = new EventFrameReader();
  /** Of a message that was put together while {@link #frames} walks its last part's packet. */
  readonly #messageFrames = new EventFrameReader();
  readonly #assembled = new NetHeader();
  /** Where a packet is put to be opened, when the AEAD provider works in a memory of its own. */
  readonly #inbox: Uint8Array<ArrayBuffer> | undefined;

  constructor(state: CoreState, targets: IntakeTargets) {
    this.#state = state;
    this.#handshaker = targets.handshaker;
    this.#sessions = targets.sessions;
    this.#receiver = targets.receiver;
    this.#rekeyer = targets.rekeyer;
    this.#prober = targets.prober;
    this.#relay = targets.relay;
    this.#discovery = targets.discovery;
    this.#lookups = targets.lookups;
    this.#liveness = targets.liveness;
    this.#keepAlives = targets.keepAlives;
    this.#subprotocols = targets.subprotocols;
    this.#inbox = state.config.aead.memory?.allocate(INBOX_BYTES);
  }

  /** Takes datagrams that have arrived. Their bytes are overwritten, and must stay valid until the drain is over. */
  receive(batch: DatagramBatch): void {
    for (let i = 0; i < batch.count; i++) {
      this.#receiveOne(batch.bytes[i] as Uint8Array, batch.addresses[i] as SocketAddress);
    }
  }

  /** Wipes what was opened last and gives the memory back. */
  dispose(): void {
    if (this.#inbox === undefined) return;
    this.#inbox.fill(0);
    this.#state.config.aead.memory?.release(this.#inbox);
  }

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
        this.#keepAlives.receive(bytes, from);
        return;
      case DatagramKind.PINGWAVE:
        this.#discovery.receivePlain(bytes, from);
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
    if (payloadLength < 0) return;
    if (header.subprotocolId !== NETMESH_CONTROL || !session.has(CONTROL_FEATURES)) {
      // Without features nothing was agreed on, and the id is like any other that nobody knows.
      this.#dispatch(session, header, packet, offset, payloadLength);
      return;
    }
    const frames = this.#frames.wrap(packet, offset + HEADER_SIZE, payloadLength, header.eventCount);
    const isRouted = routing !== undefined && routing.hopCount > 0;
    while (frames.next()) {
      this.#onNetmeshControl(
        session,
        packet.subarray(frames.start, frames.end),
        payloadLength,
        from,
        isRouted,
      );
    }
    if (frames.short) counters.framesShort++;
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
    // Opened, but not in use: the peer has to prove first who it is.
    if (!session.isConfirmed) {
      this.#state.counters.identityUnproven++;
      return;
    }
    switch (id) {
      case Subprotocol.EVENTS:
      case NETMESH_CONTROL:
        break;
      case Subprotocol.STREAM_WINDOW:
      case Subprotocol.STREAM_NACK:
      case Subprotocol.STREAM_RESET: {
        const frames = this.#frames.wrap(bytes, offset + HEADER_SIZE, payloadLength, header.eventCount);
        while (frames.next()) this.#receiver.onControl(session, id, bytes.subarray(frames.start, frames.end));
        if (frames.short) this.#state.counters.framesShort++;
        return;
      }
      default: {
        this.#frames.wrap(bytes, offset + HEADER_SIZE, payloadLength, header.eventCount);
        if (!this.#handle(session, id, this.#frames)) break;
        return;
      }
    }
    this.#receiver.onPacket(session, header, bytes, offset, payloadLength);
  }

  /** Gives the events of a subprotocol to its handler; false when they are ordinary ones. */
  #handle(session: Session, id: number, frames: EventFrameReader): boolean {
    const { counters } = this.#state;
    const handler = this.#subprotocols.get(id);
    if (handler === undefined) {
      if (!this.#subprotocols.isOwn(id)) return false;
      counters.handlerMissing++;
      return true;
    }
    while (frames.next()) handler(session, frames.bytes.subarray(frames.start, frames.end));
    if (frames.short) counters.framesShort++;
    return true;
  }

  /** Takes a part of a subprotocol's message, and the message once it is complete. */
  #onMessagePart(session: Session, event: Uint8Array): void {
    const { counters, nowMs } = this.#state;
    const part = decodePacketPart(event);
    const id = part?.streamIdLo ?? 0;
    if (part === undefined || part.streamIdHi !== 0 || id > 0xffff || NEVER_IN_PARTS.has(id)) {
      counters.controlMalformed++;
      return;
    }
    session.messageAssembly ??= new PacketAssembly();
    const packet = session.messageAssembly.take(part, nowMs);
    if (packet === undefined) return;
    counters.packetsAssembled++;
    const header = this.#assembled.wrap(packet, 0);
    header.flags = 0;
    header.subprotocolId = id;
    const frames = this.#messageFrames.wrap(packet, HEADER_SIZE, part.length, part.eventCount);
    if (!this.#handle(session, id, frames)) this.#receiver.onPacket(session, header, packet, 0, part.length);
  }

  /** Takes one control event of a netmesh peer: of a feature that is in effect, or it is malformed. */
  #onNetmeshControl(
    session: Session,
    event: Uint8Array,
    payloadLength: number,
    from: SocketAddress,
    isRouted: boolean,
  ): void {
    const { rekeying, identity } = session;
    const kind = event[0];
    if (session.has(PeerFeature.LIVENESS)) {
      if (kind === PathPingKind.PING || kind === PathPingKind.ANSWER) {
        const { counterLo, counterHi } = this.#header;
        this.#liveness.onControl(session, event, from, isRouted, session.rx.isNewest(counterLo, counterHi));
        return;
      }
      if (kind === SEALED_PINGWAVE_KIND) {
        this.#discovery.receiveSealed(session, event);
        return;
      }
    }
    if (session.has(PeerFeature.SCOPED_FLOODS)) {
      if (kind === NodeLookupKind.REQUEST || kind === NodeLookupKind.ANSWER) {
        this.#lookups.receive(session, event);
        return;
      }
    }
    const takesParts = session.has(PeerFeature.PATH_MTU);
    if (identity !== undefined && kind === IDENTITY_PROOF_KIND) {
      this.#sessions.onIdentityProof(session, identity, event);
      return;
    }
    if (takesParts && kind === PACKET_PART_KIND) {
      // What the parts make up is dispatched like a packet, and asks for as much.
      if (!session.isConfirmed) {
        this.#state.counters.identityUnproven++;
        return;
      }
      if (((event[1] as number) & MESSAGE_PART_FLAG) === 0) this.#receiver.onPart(session, event);
      else this.#onMessagePart(session, event);
    } else if (takesParts && (kind === PathProbeKind.PROBE || kind === PathProbeKind.ANSWER)) {
      this.#prober.onControl(session, event, payloadLength);
    } else if (rekeying !== undefined) this.#rekeyer.onControl(session, rekeying, event);
    else this.#state.counters.controlMalformed++;
  }
}
