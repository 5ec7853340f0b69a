import { PACKET_OFFSET, type PacketFields, type PacketSlot, PoolError, packetFields } from "@netmesh/pool";
import {
  CONTROL_STREAM_ID,
  DATA_TTL,
  EVENT_LENGTH_PREFIX,
  encodeEventFrames,
  encodePacketPart,
  HANDSHAKE_TTL,
  high32,
  low32,
  MESSAGE_PART_FLAG,
  NETMESH_CONTROL,
  PACKET_OVERHEAD,
  PACKET_PART_DATA_SIZE,
  PACKET_PART_HEAD_SIZE,
  type PartedPacket,
  PeerFeature,
  packetPartCount,
  ROUTING_HEADER_SIZE,
  type SocketAddress,
  Subprotocol,
  writeRoutingHeader,
} from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import { BASE_DATAGRAM_BYTES } from "../path-mtu/constants.ts";
import type { FramedPacket } from "../stream/framed-packet.ts";
import type { Path, Session } from "./session.ts";

/** Payload of a control packet that carries a part, in bytes. */
export const PART_PAYLOAD: number = EVENT_LENGTH_PREFIX + PACKET_PART_HEAD_SIZE + PACKET_PART_DATA_SIZE;
/** Hops that packets make to nodes that are farther than those of the reference send: as many as handshakes. */
const FAR_TTL = HANDSHAKE_TTL;
const NO_FRAMES = new Uint8Array(0);

/** Builds sealed packets of sessions straight into outgoing slots, with the routing header where the path needs one. */
export class PacketWriter {
  readonly #state: CoreState;
  readonly #sourceId: number;
  readonly #control: PacketFields = {
    ...packetFields(),
    streamIdLo: low32(CONTROL_STREAM_ID),
    streamIdHi: high32(CONTROL_STREAM_ID),
  };
  readonly #message: PacketFields = packetFields();

  constructor(state: CoreState) {
    this.#state = state;
    this.#sourceId = low32(state.config.nodeId);
  }

  /** Whether a packet with so much plain text makes a larger datagram than every path is taken to carry. */
  isAboveBase({ path }: Session, payload: number): boolean {
    return payload + PACKET_OVERHEAD + (path.routed ? ROUTING_HEADER_SIZE : 0) > BASE_DATAGRAM_BYTES;
  }

  /** Plain text that fits one packet by the size of the datagrams on the session's path, in bytes. */
  payloadLimit({ path, pathMtu }: Session): number {
    return pathMtu.datagramBytes - PACKET_OVERHEAD - (path.routed ? ROUTING_HEADER_SIZE : 0);
  }

  /**
   * Sends events `from` to `to` (exclusive) as one packet, over another path when one is given. False when the outbox is full or the key used up: nothing
   * was sealed. A blocked destination swallows the packet.
   */
  send(
    session: Session,
    fields: PacketFields,
    events: readonly Uint8Array[],
    from: number,
    to: number,
    path: Path = session.path,
  ): boolean {
    const slot = this.#slot();
    if (slot === undefined) return false;
    try {
      slot.length = session.builder.buildInto(slot.bytes, PACKET_OFFSET, fields, events, from, to);
    } catch (error) {
      this.#giveUp(session, slot, error);
      return false;
    }
    // Signs of life, and what is repeated before long, keep no path in use.
    if (!isBackground(fields.subprotocolId)) this.#use(session);
    this.#push(session, slot, path);
    return true;
  }

  /** As {@link send}, of a packet whose events are framed already; its bytes stay as they are. */
  sendFramed(session: Session, fields: PacketFields, packet: FramedPacket): boolean {
    const slot = this.#slot();
    if (slot === undefined) return false;
    const { piece, start, length, eventCount } = packet;
    try {
      const frames = piece?.bytes ?? NO_FRAMES;
      slot.length = session.builder.buildFramedInto(
        slot.bytes,
        PACKET_OFFSET,
        fields,
        frames,
        start,
        length,
        eventCount,
      );
    } catch (error) {
      this.#giveUp(session, slot, error);
      return false;
    }
    this.#use(session);
    this.#push(session, slot, session.path);
    return true;
  }

  /**
   * Sends a packet in parts, each in a control packet of its own. False when the outbox was full from the beginning, or the
   * key is used up; a part that found no room later is lost.
   */
  sendInParts(session: Session, fields: PacketFields, framed: FramedPacket): boolean {
    const { piece, start, length, eventCount } = framed;
    const frames = (piece?.bytes ?? NO_FRAMES).subarray(start, start + length);
    const { streamIdLo, streamIdHi, sequenceLo, sequenceHi, flags } = fields;
    const packet = { streamIdLo, streamIdHi, sequenceLo, sequenceHi, flags, eventCount };
    return this.#sendParts(session, packet, frames);
  }

  #sendParts(session: Session, packet: PartedPacket, frames: Uint8Array): boolean {
    const count = packetPartCount(frames.length);
    for (let i = 0; i < count; i++) {
      const part = encodePacketPart(packet, frames, i);
      if (!this.sendControl(session, NETMESH_CONTROL, [part]) && i === 0) return false;
    }
    this.#use(session);
    this.#state.counters.packetsParted++;
    return true;
  }

  /** Sends control events of one subprotocol; false when the outbox is full or the key used up. */
  sendControl(
    session: Session,
    subprotocolId: number,
    events: readonly Uint8Array[],
    path: Path = session.path,
  ): boolean {
    const fields = this.#control;
    fields.subprotocolId = subprotocolId;
    fields.sequenceLo = session.controlSequence >>> 0;
    fields.sequenceHi = Math.floor(session.controlSequence / 2 ** 32);
    if (!this.send(session, fields, events, 0, events.length, path)) return false;
    session.controlSequence++;
    return true;
  }

  /**
   * Sends one message of a subprotocol, once and unrepaired, in a packet of its own on the stream of its id. One that is larger
   * than the path's datagrams travels in parts, to peers that take those, and whole to others. False when the outbox is full
   * or the key used up.
   */
  sendMessage(session: Session, subprotocolId: number, message: Uint8Array): boolean {
    const fields = this.#message;
    fields.streamIdLo = subprotocolId;
    fields.subprotocolId = subprotocolId;
    fields.sequenceLo = session.messageSequence >>> 0;
    fields.sequenceHi = Math.floor(session.messageSequence / 2 ** 32);
    if (!this.#sendAsFits(session, fields, message)) return false;
    session.messageSequence++;
    return true;
  }

  #sendAsFits(session: Session, fields: PacketFields, message: Uint8Array): boolean {
    const payload = EVENT_LENGTH_PREFIX + message.length;
    const limit = this.payloadLimit(session);
    if (payload > limit) {
      if (session.has(PeerFeature.PATH_MTU) && payload > PACKET_PART_DATA_SIZE && limit >= PART_PAYLOAD) {
        const packet = { ...fields, flags: MESSAGE_PART_FLAG, eventCount: 1 };
        return this.#sendParts(session, packet, encodeEventFrames([message]));
      }
      this.#state.counters.oversizeSent++;
    }
    return this.send(session, fields, [message], 0, 1);
  }

  /** Sends a heartbeat. */
  sendHeartbeat(session: Session): void {
    const slot = this.#slot();
    if (slot === undefined) return;
    try {
      slot.length = session.builder.heartbeatInto(slot.bytes, PACKET_OFFSET);
    } catch (error) {
      this.#giveUp(session, slot, error);
      return;
    }
    this.#push(session, slot, session.path);
  }

  /** The session's path is in use, and that to its relay. */
  #use({ watch, path }: Session): void {
    const { nowMs, neighbors } = this.#state;
    watch?.used(nowMs);
    if (path.routed) neighbors.at(path.address)?.session.watch?.used(nowMs);
  }

  /** Nothing was sealed: a key that is used up ends its session, at its next deadline. */
  #giveUp(session: Session, slot: PacketSlot, error: unknown): void {
    const { outbox, alarms, nowMs } = this.#state;
    outbox.release(slot);
    if (!(error instanceof PoolError && error.code === "counter-exhausted")) throw error;
    session.isExhausted = true;
    alarms.hasten(session, nowMs);
  }

  #slot(): PacketSlot | undefined {
    const slot = this.#state.outbox.acquire();
    if (slot === undefined) this.#state.counters.outboxFull++;
    return slot;
  }

  #push(session: Session, slot: PacketSlot, path: Path): void {
    const { peer, rekeying } = session;
    if (rekeying?.countSealed(slot.length) === true) {
      this.#state.alarms.hasten(session, this.#state.nowMs);
    }
    slot.start = PACKET_OFFSET;
    if (path.routed) {
      slot.start -= ROUTING_HEADER_SIZE;
      slot.length += ROUTING_HEADER_SIZE;
      writeRoutingHeader(
        slot.bytes,
        slot.start,
        peer.distance < DATA_TTL ? DATA_TTL : FAR_TTL,
        0,
        this.#sourceId,
        peer.idLo,
        peer.idHi,
      );
    }
    this.transmit(slot, path.address);
  }

  /** Hands a filled slot to the outbox, unless the destination is blocked. */
  transmit(slot: PacketSlot, to: SocketAddress): void {
    if (this.#state.blocked.size > 0 && this.#state.blocked.has(to.key)) {
      this.#state.counters.blockedDestination++;
      this.#state.outbox.release(slot);
      return;
    }
    if (!this.#state.outbox.push(slot, to)) this.#state.counters.outboxFull++;
  }
}

/** Whether nobody waits for packets of the subprotocol to arrive. */
function isBackground(subprotocolId: number): boolean {
  return subprotocolId === NETMESH_CONTROL || subprotocolId === Subprotocol.CAPABILITY_ANNOUNCEMENT;
}
