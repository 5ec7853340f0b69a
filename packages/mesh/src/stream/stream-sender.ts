import {
  EVENT_LENGTH_PREFIX,
  encodeStreamReset,
  PACKET_OVERHEAD,
  PACKET_PART_DATA_SIZE,
  PacketFlags,
  PeerFeature,
  Subprotocol,
} from "@netmesh/wire";
import type { SharedEvents } from "../channel/shared-events.ts";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import { SUSPICIOUS_LOSSES } from "../path-mtu/constants.ts";
import { PART_PAYLOAD, type PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";
import type { FramedPacket } from "./framed-packet.ts";
import type { SendWindow } from "./send-window.ts";
import type { Stream } from "./stream.ts";

/** Events waiting on a stream without a window, in bytes. */
const UNLIMITED_QUEUE_BYTES = 1 << 20;
/** Room at which a writer of a large window is woken. */
const WAKE_BYTES = 65_536;
/** Time-outs in a row after which the path is asked whether it carries anything. */
const MISSED_REPAIRS = 2;

/** The sending side of streams: queues, packets, acknowledgements and repairs (spec/session.md §§5–8). */
export class StreamSender {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #fail: (session: Session, stream: Stream, error: MeshError) => void;

  constructor(
    state: CoreState,
    writer: PacketWriter,
    fail: (session: Session, stream: Stream, error: MeshError) => void,
  ) {
    this.#state = state;
    this.#writer = writer;
    this.#fail = fail;
  }

  /**
   * Takes events for sending, copying them, and returns how many; fewer than given when the window is full. Checks
   * every event against the limit before it takes the first. Throws `not-connected`, `message-too-large`.
   */
  write(session: Session, stream: Stream, events: readonly Uint8Array[], largest: number): number {
    if (stream.ended !== undefined) throw endedError(stream);
    if (stream.isRefused) throw new MeshError("stream-reset", "the peer has closed the stream");
    if (stream.finishing) throw new MeshError("not-connected", "the stream was finished");
    for (const event of events) {
      if (event.length > largest) {
        throw new MeshError(
          "message-too-large",
          `an event of ${event.length} bytes exceeds the limit of ${largest}`,
          largest,
        );
      }
    }
    let taken = 0;
    const before = stream.queue.bytes;
    const limit = this.#writer.payloadLimit(session);
    for (const event of events) {
      if (!this.#hasRoom(stream, event.length, limit)) {
        stream.wantsRoom = true;
        this.watch(session, stream);
        stream.credit.backpressureEvents++;
        this.#state.counters.backpressureCredit++;
        break;
      }
      stream.queue.add(event, limit);
      taken++;
    }
    if (taken > 0) {
      this.#state.writtenBytes += stream.queue.bytes - before;
      this.schedule(session, stream);
    }
    return taken;
  }

  /**
   * As {@link write}, of events that many streams send: where nothing waits before them, their frames go out at once as they
   * are, and what is kept for a repair is shared.
   */
  writeShared(session: Session, stream: Stream, shared: SharedEvents, largest: number): number {
    const { events, piece } = shared;
    if (piece === undefined || !this.#canSendAtOnce(session, stream, piece.used)) {
      return this.write(session, stream, events, largest);
    }
    const packet = stream.queue.share(piece, events.length);
    if (this.#sendPacket(session, stream, packet)) return events.length;
    stream.queue.recycle(packet);
    return this.write(session, stream, events, largest);
  }

  #canSendAtOnce(session: Session, stream: Stream, payload: number): boolean {
    return (
      stream.ended === undefined &&
      !stream.isRefused &&
      !stream.finishing &&
      !stream.startsOver &&
      !session.isExhausted &&
      stream.queuedBytes === 0 &&
      payload <= this.#writer.payloadLimit(session) &&
      stream.sendWindow?.canSend !== false &&
      stream.credit.covers(payload + PACKET_OVERHEAD)
    );
  }

  /** Largest event that the stream can carry on its present path, in bytes. */
  largestEvent(session: Session, stream: Stream): number {
    const byPacket = this.#writer.payloadLimit(session) - EVENT_LENGTH_PREFIX;
    const { windowBytes } = stream.options;
    if (windowBytes === 0) return byPacket;
    return Math.max(0, Math.min(byPacket, windowBytes - PACKET_OVERHEAD - EVENT_LENGTH_PREFIX));
  }

  #hasRoom(stream: Stream, length: number, payloadLimit: number): boolean {
    if (stream.credit.windowBytes === 0) {
      return stream.queuedBytes === 0 || stream.queuedBytes + length <= UNLIMITED_QUEUE_BYTES;
    }
    return stream.credit.covers(stream.costWith(length, payloadLimit));
  }

  /** Puts an end marker behind everything written. */
  finish(session: Session, stream: Stream): void {
    if (stream.ended !== undefined || stream.finishing) return;
    stream.finishing = true;
    this.schedule(session, stream);
  }

  /** Gives the stream a turn at the next drain. */
  schedule(session: Session, stream: Stream): void {
    if (stream.isScheduled) return;
    stream.isScheduled = true;
    this.#state.sendTurns.push({ session, stream });
  }

  /** Turns what is queued into packets, as far as window, congestion and outbox allow. */
  flush(session: Session, stream: Stream): void {
    if (!this.#sendQueue(session, stream, true)) return;
    if (stream.queue.count === 0) this.#sendEnd(session, stream);
    this.#offerRoom(session, stream);
    if (stream.sendWindow === undefined) this.watch(session, stream);
  }

  /** Sends what {@link flush} would, but for a packet that another event may still fit; the stream keeps its turn. */
  flushFull(session: Session, stream: Stream): void {
    this.#sendQueue(session, stream, false);
  }

  /** Sends packets as far as possible, with or without the one that is being filled; false when the stream is cut off. */
  #sendQueue(session: Session, stream: Stream, withOpen: boolean): boolean {
    if (stream.ended !== undefined || session.isExhausted) return false;
    if (stream.startsOver && !this.#sendStart(session, stream)) return false;
    const limit = this.#writer.payloadLimit(session);
    const { queue } = stream;
    for (;;) {
      const packet = queue.first;
      if (packet === undefined || (!withOpen && packet === queue.open)) break;
      if (stream.sendWindow !== undefined && !stream.sendWindow.canSend) {
        this.#state.counters.backpressureCongestion++;
        break;
      }
      // The path has become narrower since the packet was filled.
      if (packet.length > limit && packet.eventCount > 1) queue.cut(limit);
      if (!this.#sendPacket(session, stream, packet)) break;
    }
    return true;
  }

  /** Sends the first packet of the queue, or one that waits for nothing; false when it could not be sent. */
  #sendPacket(session: Session, stream: Stream, packet: FramedPacket): boolean {
    // Sealing a whole window takes long enough to be mistaken for a round trip.
    this.#state.tick();
    const { nowMs } = this.#state;
    const wireBytes = packet.length + PACKET_OVERHEAD;
    if (!stream.credit.acquire(wireBytes, nowMs)) {
      this.#state.counters.backpressureCredit++;
      return false;
    }
    const { sendWindow } = stream;
    const sequence = sendWindow?.next ?? stream.nextSequence;
    this.#setSequence(stream, sequence, sendWindow === undefined ? 0 : PacketFlags.RELIABLE);
    if (!this.#transmit(session, stream, packet)) {
      stream.credit.refund(wireBytes);
      this.schedule(session, stream);
      return false;
    }
    if (packet === stream.queue.first) stream.queue.shift();
    if (sendWindow === undefined) {
      stream.nextSequence++;
      stream.queue.recycle(packet);
    } else {
      sendWindow.register(packet, PacketFlags.RELIABLE, nowMs);
      this.watch(session, stream);
    }
    stream.lastActivityMs = nowMs;
    return true;
  }

  /**
   * Sends a packet with the stream's header fields: whole, or in parts when it is larger than the datagrams of the path,
   * which have become smaller since it was filled or its event taken. False when nothing could be sent.
   */
  #transmit(session: Session, stream: Stream, packet: FramedPacket): boolean {
    const payload = packet.length;
    const limit = this.#writer.payloadLimit(session);
    if (payload > limit) {
      if (session.has(PeerFeature.PATH_MTU) && payload > PACKET_PART_DATA_SIZE && limit >= PART_PAYLOAD) {
        return this.#writer.sendInParts(session, stream.fields, packet);
      }
      // A node of the reference takes no parts, and its packets cannot be cut: sequence numbers behind them are in use.
      this.#state.counters.oversizeSent++;
    } else if (this.#writer.isAboveBase(session, payload) && session.pathMtu.used(this.#state.nowMs)) {
      this.#state.alarms.hasten(session, session.pathMtu.deadline);
    }
    return this.#writer.sendFramed(session, stream.fields, packet);
  }

  /**
   * Sends the first packet of a use of an id whose earlier use was given up: everything before it will not come, and what
   * comes after it is another stream (docs/protocol.md). False when it has to wait.
   */
  #sendStart(session: Session, stream: Stream): boolean {
    stream.startsOver = !this.#sendMark(session, stream, PacketFlags.NACK);
    return !stream.startsOver;
  }

  /** Sends an empty reliable packet with that flag; false when it has to wait. */
  #sendMark(session: Session, stream: Stream, flag: number): boolean {
    const { sendWindow } = stream;
    if (sendWindow?.canSend !== true || !stream.credit.acquire(PACKET_OVERHEAD, this.#state.nowMs))
      return false;
    const flags = PacketFlags.RELIABLE | flag;
    this.#setSequence(stream, sendWindow.next, flags);
    const mark = stream.queue.mark();
    if (!this.#writer.sendFramed(session, stream.fields, mark)) {
      stream.queue.recycle(mark);
      stream.credit.refund(PACKET_OVERHEAD);
      this.schedule(session, stream);
      return false;
    }
    sendWindow.register(mark, flags, this.#state.nowMs);
    this.watch(session, stream);
    return true;
  }

  #sendEnd(session: Session, stream: Stream): void {
    const { sendWindow } = stream;
    if (!stream.finishing || stream.endSent) return;
    if (sendWindow === undefined || !session.has(PeerFeature.STREAM_FIN)) {
      stream.endSent = true;
      if (stream.isDrained) this.#state.emit({ type: "stream-drained", session, stream });
      return;
    }
    stream.endSent = this.#sendMark(session, stream, PacketFlags.FIN);
  }

  #offerRoom(session: Session, stream: Stream): void {
    if (!stream.wantsRoom || stream.ended !== undefined) return;
    const { windowBytes } = stream.credit;
    // A few packets at once, so that a writer is not woken for each; not more, or both ends wait for each other.
    const wanted = Math.min(windowBytes / 2, WAKE_BYTES);
    if (stream.queuedBytes > 0 && stream.credit.remaining - stream.queuedBytes < wanted) return;
    if (windowBytes !== 0 && stream.queuedBytes === 0 && stream.credit.remaining < wanted) return;
    stream.wantsRoom = false;
    this.#state.emit({ type: "stream-writable", session, stream });
  }

  /** Applies the receiver's grant and acknowledgement (spec/session.md §5). */
  onGrant(session: Session, stream: Stream, total: number, acknowledged: number): void {
    const { nowMs } = this.#state;
    stream.credit.grant(total, nowMs);
    const { sendWindow } = stream;
    if (sendWindow !== undefined && acknowledged > sendWindow.next) {
      // It speaks of a stream that this one is not; taking it at its word would lose what is in flight.
      this.sendReset(session, stream.id);
      this.#fail(session, stream, new MeshError("stream-reset", "the peer acknowledges more than was sent"));
      return;
    }
    if (sendWindow !== undefined && sendWindow.acknowledge(acknowledged, nowMs) > 0) {
      this.#repairLost(session, stream, sendWindow);
      this.watch(session, stream);
      if (stream.isDrained && (!stream.finishing || stream.endSent)) {
        this.#state.emit({ type: "stream-drained", session, stream });
      }
    }
    if (stream.queuedBytes > 0 || (stream.finishing && !stream.endSent)) this.schedule(session, stream);
    this.#offerRoom(session, stream);
  }

  /** Sends again what the receiver reports missing: `next` and, for each set bit i, `next + 1 + i`. */
  onNack(session: Session, stream: Stream, next: number, bitmap: bigint): void {
    this.#repairMissing(session, stream, next);
    let rest = bitmap;
    for (let sequence = next + 1; rest !== 0n; sequence++, rest >>= 1n) {
      if ((rest & 1n) === 1n) this.#repairMissing(session, stream, sequence);
    }
  }

  #repairMissing(session: Session, stream: Stream, sequence: number): void {
    const packet = stream.sendWindow?.reportMissing(sequence, this.#state.nowMs);
    if (packet === undefined) return;
    this.#state.counters.retransmitNack++;
    this.#repair(session, stream, packet);
  }

  #repairLost(session: Session, stream: Stream, sendWindow: SendWindow): void {
    for (;;) {
      const packet = sendWindow.nextLost(this.#state.nowMs);
      if (packet === undefined) return;
      this.#state.counters.retransmitTimeout++;
      this.#repair(session, stream, packet);
    }
  }

  #repair(session: Session, stream: Stream, packet: FramedPacket): void {
    this.#setSequence(stream, packet.sequence, packet.flags);
    if (packet.retries >= SUSPICIOUS_LOSSES && this.#writer.isAboveBase(session, packet.length)) {
      const { alarms, nowMs } = this.#state;
      if (session.pathMtu.suspect(nowMs)) alarms.hasten(session, Math.max(nowMs, session.pathMtu.deadline));
    }
    // With the outbox full the repair is lost like any other packet, and its timer runs again.
    this.#transmit(session, stream, packet);
    this.watch(session, stream);
  }

  /** Repairs what has timed out; fails the stream when its budget is spent. Returns the next deadline. */
  onDeadline(session: Session, stream: Stream): number {
    const { sendWindow } = stream;
    if (stream.ended !== undefined) return Number.POSITIVE_INFINITY;
    if (sendWindow === undefined) {
      stream.credit.writeOff(this.#state.nowMs);
      if (stream.queuedBytes > 0) this.schedule(session, stream);
      this.#offerRoom(session, stream);
      return this.#deadline(stream);
    }
    const due = sendWindow.timeOut(this.#state.nowMs);
    if (due === "gave-up") {
      this.#state.counters.retransmitGiveUp++;
      this.sendReset(session, stream.id);
      this.#fail(
        session,
        stream,
        new MeshError("repair-timeout", "the peer no longer acknowledges the stream"),
      );
      return Number.POSITIVE_INFINITY;
    }
    if (due !== undefined) {
      this.#state.counters.retransmitTimeout++;
      if (sendWindow.roundTrip.backoff >= MISSED_REPAIRS) session.watch?.missed();
      this.#repair(session, stream, due);
    }
    return sendWindow.deadline;
  }

  /** Repairs at once what is in flight, as far as the congestion window allows: the path is another one, or alive again. */
  hurry(session: Session, stream: Stream): void {
    const { alarms, nowMs } = this.#state;
    const { sendWindow } = stream;
    if (sendWindow === undefined || sendWindow.inFlight === 0) return;
    sendWindow.hurry(nowMs);
    alarms.hasten(session, this.onDeadline(session, stream));
    if (stream.ended === undefined) this.#repairLost(session, stream, sendWindow);
  }

  /** Tells the peer to forget the stream. */
  sendReset(session: Session, streamId: bigint): void {
    if (this.#writer.sendControl(session, Subprotocol.STREAM_RESET, [encodeStreamReset({ streamId })])) {
      this.#state.counters.streamResetSent++;
    }
  }

  /** When the oldest packet times out; on an unreliable stream without room, when lost bytes are written off. */
  #deadline(stream: Stream): number {
    if (stream.sendWindow !== undefined) return stream.sendWindow.deadline;
    return stream.wantsRoom || stream.queuedBytes > 0
      ? stream.credit.writeOffDueMs
      : Number.POSITIVE_INFINITY;
  }

  /** Makes the session wake up when {@link onDeadline} has something to do. */
  watch(session: Session, stream: Stream): void {
    const deadline = this.#deadline(stream);
    if (deadline === Number.POSITIVE_INFINITY) return;
    session.timedStreams.add(stream);
    this.#state.alarms.hasten(session, deadline);
  }

  #setSequence(stream: Stream, sequence: number, flags: number): void {
    const { fields } = stream;
    fields.sequenceLo = sequence >>> 0;
    fields.sequenceHi = Math.floor(sequence / 2 ** 32);
    fields.flags = flags;
  }
}

/** Why an ended stream refuses to be used. */
export function endedError(stream: Stream): MeshError {
  if (stream.ended instanceof MeshError) return stream.ended;
  return new MeshError("not-connected", "the stream was closed");
}
