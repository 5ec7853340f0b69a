import {
  decodePacketPart,
  decodeStreamNack,
  decodeStreamReset,
  decodeStreamWindow,
  EventFrameReader,
  encodeStreamNack,
  encodeStreamWindow,
  HEADER_SIZE,
  NetHeader,
  PACKET_OVERHEAD,
  PacketFlags,
  PeerFeature,
  Subprotocol,
  u64ToNumber,
} from "@netmesh/wire";
import type { InboundPacket } from "../core/events.ts";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { ClosedStream, Session } from "../session/session.ts";
import { PacketAssembly } from "./packet-assembly.ts";
import { ReceiveVerdict } from "./receive-window.ts";
import { type HeldPacket, implicitOptions, Stream } from "./stream.ts";
import type { StreamSender } from "./stream-sender.ts";

/** A grant is sent at once after so many packets, when the application has taken any of them. */
const GRANT_EVERY_PACKETS = 16;
/** A grant is sent at once after so many bytes that the application has taken: half of the default window. */
const GRANT_EVERY_BYTES = 32_768;
/** An acknowledgement is sent at once after so many packets, also while the application takes none. */
const ACKNOWLEDGE_EVERY_PACKETS = 64;
/** Otherwise it waits so long for company. */
const GRANT_DELAY_MS = 1;
/** Grants and reports for a stream are ignored so long after it was closed. */
const QUARANTINE_MS = 2_000;
/** Least pause between two reports of missing packets. */
const NACK_INTERVAL_MS = 5;
/** Pause between reports while nothing arrives. */
const NACK_REPEAT_MS = 25;
/** A stream without packets for so long is quiet: the sender is cut off, or has stopped. */
const QUIET_AFTER_MS = 1_000;
/** Pause between reports on a quiet stream. */
const QUIET_NACK_REPEAT_MS = 250;
/** So many packets have to overtake a missing one before it counts as lost rather than late. */
const REORDERING_THRESHOLD = 3;
/** Reports of one round to a peer that takes several. */
const MAX_NACKS = 32;
/** Sequences that one report covers. */
const NACK_SPAN = 65;
/** Bytes that all streams of a session may hold for the application. */
const SESSION_BUFFER_BYTES = 64 << 20;
/** Closed streams remembered per session. */
const MAX_CLOSED_STREAMS = 4_096;

/** The receiving side of streams: order, duplicates, grants and reports of missing packets (spec/session.md §§5–9). */
export class StreamReceiver {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #sender: StreamSender;
  readonly #frames = new EventFrameReader();
  readonly #assembled = new NetHeader();
  readonly #fail: (session: Session, stream: Stream, error: MeshError) => void;

  constructor(
    state: CoreState,
    writer: PacketWriter,
    sender: StreamSender,
    fail: (session: Session, stream: Stream, error: MeshError) => void,
  ) {
    this.#state = state;
    this.#writer = writer;
    this.#sender = sender;
    this.#fail = fail;
  }

  /** Takes a control event that is a part of a packet, and the packet once it is complete. */
  onPart(session: Session, event: Uint8Array): void {
    const { counters, nowMs } = this.#state;
    const part = decodePacketPart(event);
    if (part === undefined) {
      counters.controlMalformed++;
      return;
    }
    const stream = session.streams.get(part.streamIdLo, part.streamIdHi);
    const isReliable = (part.flags & PacketFlags.RELIABLE) !== 0;
    if (isReliable && stream?.receive.has(u64ToNumber(part.sequenceLo, part.sequenceHi)) === true) {
      counters.reliableDuplicate++;
      this.#oweGrant(session, stream, true);
      return;
    }
    session.assembly ??= new PacketAssembly();
    const packet = session.assembly.take(part, nowMs);
    if (packet === undefined) return;
    counters.packetsAssembled++;
    this.onPacket(session, this.#assembled.wrap(packet), packet, 0, packet.length - HEADER_SIZE);
  }

  /** Takes an authenticated event packet whose plain text lies in place. */
  onPacket(
    session: Session,
    header: NetHeader,
    bytes: Uint8Array,
    offset: number,
    payloadLength: number,
  ): void {
    const { counters } = this.#state;
    const stream = this.#streamFor(session, header);
    if (stream === undefined) return;
    const sequence = u64ToNumber(header.sequenceLo, header.sequenceHi);
    const wireBytes = payloadLength + PACKET_OVERHEAD;
    stream.packetsReceived++;
    stream.lastActivityMs = this.#state.nowMs;
    stream.lastPacketMs = this.#state.nowMs;
    stream.unacknowledged++;

    if ((header.flags & PacketFlags.RELIABLE) !== 0) stream.receivesReliably = true;
    else if (stream.packetsReceived === 1) stream.receivesReliably = this.#state.config.defaultReliable;
    if (!stream.receivesReliably) {
      const events = this.#readEvents(stream, header, bytes, offset, payloadLength);
      if (sequence >= stream.receive.next)
        stream.receive.next = Math.min(sequence + 1, Number.MAX_SAFE_INTEGER);
      this.#account(session, stream, wireBytes);
      this.#oweGrant(session, stream, false);
      this.#deliver(session, stream, this.#packet(header, sequence, events, 0));
      return;
    }

    const isStart = (header.flags & PacketFlags.NACK) !== 0 && session.has(PeerFeature.STREAM_FIN);
    if (isStart && !this.#startOver(session, stream, sequence)) return;
    if (this.#isFull(session, stream, sequence, wireBytes)) {
      counters.receiveQueueFull++;
      // A word to the sender, or it takes a slow reader for a dead one.
      this.#oweGrant(session, stream, true);
      return;
    }
    const verdict = stream.receive.receive(sequence);
    if (verdict === ReceiveVerdict.DUPLICATE) {
      counters.reliableDuplicate++;
      // The grant may have been lost: repeat it, or the sender gives the stream up.
      this.#oweGrant(session, stream, true);
      return;
    }
    const isEnd = (header.flags & PacketFlags.FIN) !== 0 && session.has(PeerFeature.STREAM_FIN);
    if (verdict === ReceiveVerdict.TOO_FAR) {
      counters.reliableOutOfWindow++;
      this.#oweGrant(session, stream, true);
      // Some senders of the reference never fill their gaps: unordered readers still get what arrives.
      if (stream.options.ordered) return;
      const events = this.#readEvents(stream, header, bytes, offset, payloadLength);
      // They count like any other, or a reader that is away would let them pile up without a bound.
      this.#account(session, stream, wireBytes);
      this.#deliver(session, stream, this.#packet(header, sequence, events, wireBytes));
      return;
    }
    const events = this.#readEvents(stream, header, bytes, offset, payloadLength);
    const outOfOrder = sequence + 1 !== stream.receive.next;
    const packet = this.#packet(header, sequence, events, wireBytes);
    if (stream.options.ordered) this.#deliverInOrder(session, stream, packet, isEnd);
    else {
      this.#account(session, stream, wireBytes);
      this.#deliver(session, stream, packet);
      if (isEnd) stream.endSequence = sequence;
      if (stream.endSequence !== undefined && stream.receive.next > stream.endSequence) {
        this.#end(session, stream);
      }
    }
    this.#oweGrant(session, stream, outOfOrder || isEnd);
    if (stream.receive.hasGap) this.#watchGap(session, stream);
    else stream.gapSinceMs = 0;
  }

  /**
   * A packet says that with it another use of the id begins, after one that was given up: nothing before it will come.
   * False when the stream has ended by that; the packet will be repeated, and begins another one.
   */
  #startOver(session: Session, stream: Stream, first: number): boolean {
    if (first < stream.receive.next || !Number.isSafeInteger(first)) return true;
    if (stream.hasDelivered || stream.remoteEnded) {
      stream.receive.next = first;
      const error = new MeshError("stream-reset", "the peer has given the stream up and begun another one");
      if (stream.remoteEnded) this.forget(session, stream);
      else this.#fail(session, stream, error);
      return false;
    }
    for (const [sequence, { packet }] of stream.held) {
      if (sequence >= first) continue;
      stream.held.delete(sequence);
      stream.heldBytes -= packet.wireBytes;
      session.bufferedBytes -= packet.wireBytes;
    }
    stream.receive.skipTo(first);
    stream.nextDelivered = Math.max(stream.nextDelivered, first);
    return true;
  }

  #isFull(session: Session, stream: Stream, sequence: number, wireBytes: number): boolean {
    const limit = this.#state.config.receiveBufferBytes;
    if (stream.unreadBytes > limit || session.bufferedBytes > SESSION_BUFFER_BYTES) return true;
    return sequence !== stream.receive.next && stream.unreadBytes + stream.heldBytes + wireBytes > limit;
  }

  /** The stream of the packet, made when there is none yet; undefined when there may not be more. */
  #streamFor(session: Session, header: NetHeader): Stream | undefined {
    const found = session.streams.get(header.streamIdLo, header.streamIdHi);
    if (found !== undefined) return found;
    const { counters, nowMs, config } = this.#state;
    // A node of the reference begins at 0 again when it uses an id again.
    const closed = session.has(PeerFeature.STREAM_FIN)
      ? session.closedStreams.get(header.streamIdLo, header.streamIdHi)
      : undefined;
    const reliable = (header.flags & PacketFlags.RELIABLE) !== 0;
    if (closed !== undefined && reliable) {
      const sequence = u64ToNumber(header.sequenceLo, header.sequenceHi);
      if (sequence < closed.receiveNext) {
        counters.reliableDuplicate++;
        this.#sendGrant(session, closed.id, closed.consumedBytes, closed.receiveNext);
        return undefined;
      }
    }
    if (session.streams.size >= config.maxStreams && !this.evictIdle(session)) {
      counters.streamLimit++;
      return undefined;
    }
    const stream = new Stream(
      header.streamId,
      // A netmesh peer fills every gap, so its packets can be put in order before anybody has asked for it.
      implicitOptions(reliable || config.defaultReliable, reliable && session.has(PeerFeature.STREAM_FIN)),
      nowMs,
      config.repairBudgetMs,
      session.roundTripMs,
      this.#state.pieces,
    );
    if (closed !== undefined) resume(stream, closed);
    session.streams.set(header.streamIdLo, header.streamIdHi, stream);
    this.#state.emit({ type: "stream-opened", session, stream });
    return stream;
  }

  /** Drops the least recently used stream that the application does not hold; false when there is none. */
  evictIdle(session: Session): boolean {
    let oldest: Stream | undefined;
    for (const stream of session.streams) {
      if (stream.isOpen || !stream.isDrained || stream.unreadBytes > 0) continue;
      if (oldest === undefined || stream.lastActivityMs < oldest.lastActivityMs) oldest = stream;
    }
    if (oldest === undefined) return false;
    this.forget(session, oldest);
    return true;
  }

  /** Ends the stream and keeps of it what {@link ClosedStream} says. */
  forget(session: Session, stream: Stream): void {
    const wasDrained = stream.isDrained;
    stream.ended ??= "closed";
    session.bufferedBytes -= stream.unreadBytes + stream.heldBytes;
    stream.unreadBytes = 0;
    stream.heldBytes = 0;
    stream.held.clear();
    stream.queue.clear();
    session.timedStreams.delete(stream);
    const { streamIdLo, streamIdHi } = stream.fields;
    session.assembly?.forget(streamIdLo, streamIdHi);
    session.streams.delete(streamIdLo, streamIdHi);
    if (session.closedStreams.size >= MAX_CLOSED_STREAMS) this.#dropOldestClosed(session);
    session.closedStreams.set(streamIdLo, streamIdHi, {
      id: stream.id,
      closedMs: this.#state.nowMs,
      wasDrained,
      sendNext: stream.sendWindow?.next ?? stream.nextSequence,
      // What the receiver has accounted for, at least: more would be missing from the next use's window for good.
      sentBytes: stream.credit.maxConsumedSeen,
      receiveNext: stream.receivesReliably ? stream.receive.next : 0,
      consumedBytes: stream.consumedBytes,
    });
  }

  #dropOldestClosed(session: Session): void {
    let oldest: ClosedStream | undefined;
    for (const closed of session.closedStreams) {
      if (oldest === undefined || closed.closedMs < oldest.closedMs) oldest = closed;
    }
    if (oldest !== undefined) session.closedStreams.deleteId(oldest.id);
  }

  #readEvents(
    stream: Stream,
    header: NetHeader,
    bytes: Uint8Array,
    offset: number,
    payloadLength: number,
  ): Uint8Array[] {
    const start = offset + HEADER_SIZE;
    const kept = stream.received.copy(bytes, start, start + payloadLength);
    const frames = this.#frames.wrap(kept, 0, payloadLength, header.eventCount);
    const events: Uint8Array[] = [];
    const { buffer, byteOffset } = kept;
    while (frames.next()) {
      events.push(new Uint8Array(buffer, byteOffset + frames.start, frames.end - frames.start));
    }
    if (frames.short) this.#state.counters.framesShort++;
    return events;
  }

  /** Counts bytes for the sender; those of a reliable stream only once the application has taken them. */
  #account(session: Session, stream: Stream, wireBytes: number): void {
    if (!stream.receivesReliably) {
      stream.consumedBytes += wireBytes;
      return;
    }
    stream.unreadBytes += wireBytes;
    session.bufferedBytes += wireBytes;
  }

  #packet(
    header: NetHeader,
    sequence: number,
    events: readonly Uint8Array[],
    wireBytes: number,
  ): InboundPacket {
    return {
      sequence,
      events,
      wireBytes,
      subprotocolId: header.subprotocolId,
      channelHash: header.channelHash,
      originHash: header.originHash,
    };
  }

  #deliver(session: Session, stream: Stream, packet: InboundPacket): void {
    if (packet.events.length > 0) {
      stream.hasDelivered = true;
      this.#state.emit({ type: "data", session, stream, packet });
    } else this.consumed(session, stream, packet.wireBytes);
  }

  /** Hands out what is now contiguous; the rest waits. */
  #deliverInOrder(session: Session, stream: Stream, packet: InboundPacket, isEnd: boolean): void {
    if (packet.sequence === stream.nextDelivered && stream.held.size === 0) {
      stream.nextDelivered++;
      this.#account(session, stream, packet.wireBytes);
      this.#deliver(session, stream, packet);
      if (isEnd) this.#end(session, stream);
      return;
    }
    stream.held.set(packet.sequence, { packet, isEnd });
    stream.heldBytes += packet.wireBytes;
    session.bufferedBytes += packet.wireBytes;
    this.deliverHeld(session, stream);
  }

  /** Hands out held packets up to the first gap. */
  deliverHeld(session: Session, stream: Stream): void {
    while (stream.nextDelivered < stream.receive.next) {
      const held = stream.held.get(stream.nextDelivered);
      stream.nextDelivered++;
      // Absent: handed out before the stream became ordered.
      if (held === undefined) continue;
      const { packet, isEnd } = held;
      stream.held.delete(packet.sequence);
      stream.heldBytes -= packet.wireBytes;
      session.bufferedBytes -= packet.wireBytes;
      this.#account(session, stream, packet.wireBytes);
      this.#deliver(session, stream, packet);
      if (isEnd) this.#end(session, stream);
    }
  }

  /** Hands out everything held, in sequence but with its gaps: the stream is no longer ordered. */
  releaseHeld(session: Session, stream: Stream): void {
    const sequences = [...stream.held.keys()].sort((a, b) => a - b);
    for (const sequence of sequences) {
      const { packet, isEnd } = stream.held.get(sequence) as HeldPacket;
      stream.held.delete(sequence);
      stream.heldBytes -= packet.wireBytes;
      session.bufferedBytes -= packet.wireBytes;
      this.#account(session, stream, packet.wireBytes);
      this.#deliver(session, stream, packet);
      if (isEnd) stream.endSequence = sequence;
    }
  }

  #end(session: Session, stream: Stream): void {
    if (stream.remoteEnded) return;
    stream.remoteEnded = true;
    this.#state.emit({ type: "stream-ended", session, stream });
  }

  /** The application has taken events that counted `wireBytes`; the sender may send as much again. */
  consumed(session: Session, stream: Stream, wireBytes: number): void {
    if (stream.ended !== undefined) return;
    const bytes = Math.min(wireBytes, stream.unreadBytes);
    if (bytes === 0) return;
    stream.unreadBytes -= bytes;
    session.bufferedBytes -= bytes;
    stream.consumedBytes += bytes;
    this.#state.consumedBytes += bytes;
    this.#oweGrant(session, stream, false);
  }

  /** Remembers that the sender is owed a grant, now or soon. */
  #oweGrant(session: Session, stream: Stream, atOnce: boolean): void {
    if (stream.options.windowBytes === 0 && !stream.receivesReliably) return;
    const pending = stream.consumedBytes - stream.grantedBytes;
    const isManyPackets =
      stream.unacknowledged >= (pending > 0 ? GRANT_EVERY_PACKETS : ACKNOWLEDGE_EVERY_PACKETS);
    if (atOnce || isManyPackets || pending >= GRANT_EVERY_BYTES) {
      stream.grantDueMs = this.#state.nowMs;
      if (!stream.isGrantScheduled) this.#state.grantTurns.push({ session, stream });
      stream.isGrantScheduled = true;
      return;
    }
    if (stream.grantDueMs !== Number.POSITIVE_INFINITY) return;
    stream.grantDueMs = this.#state.nowMs + GRANT_DELAY_MS;
    session.timedStreams.add(stream);
    this.#state.alarms.hasten(session, stream.grantDueMs);
  }

  /** Sends the grant that is owed, and reports what is missing. */
  flushGrant(session: Session, stream: Stream): void {
    stream.isGrantScheduled = false;
    if (stream.grantDueMs > this.#state.nowMs || stream.ended !== undefined) return;
    const acknowledged = stream.receivesReliably ? stream.receive.next : 0;
    if (!this.#sendGrant(session, stream.id, stream.consumedBytes, acknowledged)) {
      stream.grantDueMs = this.#state.nowMs + GRANT_DELAY_MS;
      session.timedStreams.add(stream);
      this.#state.alarms.hasten(session, stream.grantDueMs);
      return;
    }
    stream.grantDueMs = Number.POSITIVE_INFINITY;
    stream.unacknowledged = 0;
    stream.grantedBytes = stream.consumedBytes;
    stream.grantsSent++;
    if (stream.receive.end - stream.receive.next > REORDERING_THRESHOLD) this.#reportMissing(session, stream);
  }

  /** Sends every grant that a session still owes: its last chance, when the node closes. */
  flushAllGrants(session: Session): void {
    for (const stream of session.timedStreams) {
      if (stream.grantDueMs === Number.POSITIVE_INFINITY) continue;
      stream.grantDueMs = this.#state.nowMs;
      this.flushGrant(session, stream);
    }
  }

  #sendGrant(session: Session, streamId: bigint, total: number, acknowledged: number): boolean {
    const grant = encodeStreamWindow({
      streamId,
      totalConsumed: BigInt(total),
      ackSequence: BigInt(acknowledged),
    });
    if (!this.#writer.sendControl(session, Subprotocol.STREAM_WINDOW, [grant])) return false;
    this.#state.counters.grantsSent++;
    return true;
  }

  #reportMissing(session: Session, stream: Stream): void {
    const { nowMs } = this.#state;
    if (!stream.receivesReliably || !stream.receive.hasGap || nowMs < stream.nextNackMs) return;
    stream.nextNackMs = nowMs + NACK_INTERVAL_MS;
    const { receive, id } = stream;
    const nacks: Uint8Array[] = [];
    const most = session.has(PeerFeature.SELECTIVE_REPAIR) ? MAX_NACKS : 1;
    let missing = receive.next;
    while (nacks.length < most && missing < receive.end) {
      nacks.push(
        encodeStreamNack({
          streamId: id,
          nextExpected: BigInt(missing),
          missingBitmap: receive.missingAfter(missing),
        }),
      );
      missing = receive.firstMissing(missing + NACK_SPAN);
    }
    if (this.#writer.sendControl(session, Subprotocol.STREAM_NACK, nacks)) {
      this.#state.counters.nacksSent += nacks.length;
    }
  }

  #watchGap(session: Session, stream: Stream): void {
    const { nowMs, alarms } = this.#state;
    if (stream.gapSinceMs === 0 || stream.gapAt !== stream.receive.next) {
      stream.gapSinceMs = nowMs;
      stream.gapAt = stream.receive.next;
    }
    stream.gapLookMs = nowMs;
    session.timedStreams.add(stream);
    alarms.hasten(session, nowMs + NACK_REPEAT_MS);
  }

  /** Sends what is due; gives up a gap that nobody fills. Returns the next deadline. */
  onDeadline(session: Session, stream: Stream): number {
    const { nowMs, config } = this.#state;
    if (stream.ended !== undefined) return Number.POSITIVE_INFINITY;
    this.flushGrant(session, stream);
    if (!stream.receivesReliably || !stream.receive.hasGap) return stream.grantDueMs;
    // Time in which nothing arrives says nothing about the sender's will to repair.
    const quietSinceMs = stream.lastPacketMs + QUIET_AFTER_MS;
    stream.gapSinceMs += Math.max(0, nowMs - Math.max(stream.gapLookMs, quietSinceMs));
    stream.gapLookMs = nowMs;
    if (stream.gapAt !== stream.receive.next) {
      stream.gapAt = stream.receive.next;
      stream.gapSinceMs = nowMs;
    } else if (nowMs - stream.gapSinceMs > config.repairBudgetMs) {
      if (stream.options.ordered && stream.isOpen) {
        this.#sender.sendReset(session, stream.id);
        this.#fail(session, stream, new MeshError("stream-gap", "the peer does not resend a lost packet"));
        return Number.POSITIVE_INFINITY;
      }
      stream.receive.skipGap();
      this.deliverHeld(session, stream);
      stream.gapSinceMs = 0;
      this.#oweGrant(session, stream, true);
    }
    this.#reportMissing(session, stream);
    const pauseMs = nowMs > quietSinceMs ? QUIET_NACK_REPEAT_MS : NACK_REPEAT_MS;
    return Math.min(stream.grantDueMs, nowMs + pauseMs);
  }

  /** Applies one control event; malformed ones are counted and change nothing. */
  onControl(session: Session, subprotocolId: number, event: Uint8Array): void {
    const { counters, nowMs } = this.#state;
    if (subprotocolId === Subprotocol.STREAM_WINDOW) {
      const grant = decodeStreamWindow(event);
      if (grant === undefined) counters.controlMalformed++;
      else {
        const stream = this.#known(session, grant.streamId);
        if (stream === undefined) return;
        this.#sender.onGrant(session, stream, Number(grant.totalConsumed), Number(grant.ackSequence));
      }
    } else if (subprotocolId === Subprotocol.STREAM_NACK) {
      const nack = decodeStreamNack(event);
      if (nack === undefined) counters.controlMalformed++;
      else {
        const stream = this.#known(session, nack.streamId);
        if (stream === undefined) {
          // The peer still waits for a stream that has ended here: it has missed the reset.
          if (session.closedStreams.hasId(nack.streamId)) this.#sender.sendReset(session, nack.streamId);
          return;
        }
        this.#sender.onNack(session, stream, Number(nack.nextExpected), nack.missingBitmap);
      }
    } else {
      const reset = decodeStreamReset(event);
      if (reset === undefined) {
        counters.controlMalformed++;
        return;
      }
      const stream = this.#known(session, reset.streamId);
      if (stream === undefined) return;
      counters.streamResetReceived++;
      // A reset that arrives after everything was delivered and acknowledged takes nothing away.
      if (stream.remoteEnded && stream.isDrained) {
        stream.isRefused = true;
        return;
      }
      stream.lastActivityMs = nowMs;
      this.#fail(session, stream, new MeshError("stream-reset", "the peer has reset the stream"));
    }
  }

  /** The live stream of a control event; undefined, and counted, when there is none or it is quarantined. */
  #known(session: Session, id: bigint): Stream | undefined {
    const { counters, nowMs } = this.#state;
    const stream = session.streams.getId(id);
    if (stream !== undefined) return stream;
    const closed = session.closedStreams.getId(id);
    if (closed !== undefined && nowMs - closed.closedMs <= QUARANTINE_MS) counters.controlQuarantined++;
    else counters.controlUnknownStream++;
    return undefined;
  }
}

/** Lets a stream go on where an earlier one of the same id stopped. */
export function resume(stream: Stream, closed: ClosedStream): void {
  const { receive, credit, sendWindow } = stream;
  if (sendWindow !== undefined) {
    sendWindow.base = closed.sendNext;
    sendWindow.next = closed.sendNext;
  } else stream.nextSequence = closed.sendNext;
  credit.sent = closed.sentBytes;
  credit.maxConsumedSeen = closed.sentBytes;
  if (stream.receivesReliably) {
    receive.next = closed.receiveNext;
    receive.end = closed.receiveNext;
    stream.nextDelivered = closed.receiveNext;
  }
  stream.consumedBytes = closed.consumedBytes;
  stream.grantedBytes = closed.consumedBytes;
  stream.firstSequence = closed.sendNext;
  stream.startsOver = !closed.wasDrained && sendWindow !== undefined;
}
