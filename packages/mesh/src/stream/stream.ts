import { type PacketFields, packetFields } from "@netmesh/pool";
import { EVENT_LENGTH_PREFIX, high32, low32, PACKET_OVERHEAD } from "@netmesh/wire";
import type { InboundPacket } from "../core/events.ts";
import type { MeshError } from "../errors.ts";
import { ByteSlab } from "./byte-slab.ts";
import type { FramedPacket } from "./framed-packet.ts";
import type { MemoryPieces } from "./memory-pieces.ts";
import { PacketQueue } from "./packet-queue.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { SendCredit } from "./send-credit.ts";
import { maxPendingForWindow, SendWindow } from "./send-window.ts";
import { DEFAULT_WINDOW_BYTES, type ResolvedStreamOptions } from "./stream-options.ts";

/** A packet ahead of a gap. */
export interface HeldPacket {
  readonly packet: InboundPacket;
  readonly isEnd: boolean;
}

/** Options of a stream that the peer's first packet creates. */
export function implicitOptions(reliable: boolean, ordered: boolean): ResolvedStreamOptions {
  return { reliable, windowBytes: DEFAULT_WINDOW_BYTES, ordered };
}

/** Both directions of one stream id of a session (spec/session.md §4.1). */
export class Stream {
  readonly id: bigint;
  /** Differs for every explicit open of this id; 0 when a packet created the stream. */
  epoch = 0;
  /** Whether the application holds a handle. */
  isOpen = false;
  options: ResolvedStreamOptions;
  /** Set once the stream has failed or was closed; nothing is sent or accepted any more. */
  ended: MeshError | "closed" | undefined;
  lastActivityMs: number;

  /** Header fields of outgoing packets; reused for each. */
  readonly fields: PacketFields;

  // Sending.
  credit: SendCredit;
  /** Present on reliable streams. */
  sendWindow: SendWindow | undefined;
  /** Sequence that this incarnation of the id began with. */
  firstSequence = 0;
  /** The first packet has to say that an earlier use of the id was given up. */
  startsOver = false;
  /** Next sequence of an unreliable stream. */
  nextSequence = 0;
  /** Packets of what was accepted from the application and not yet sent. */
  readonly queue: PacketQueue;
  /** The application was refused and waits for room. */
  wantsRoom = false;
  /** No more events will be written; an end marker follows the queue. */
  finishing = false;
  endSent = false;
  /** In the core's list of streams with something to send. */
  isScheduled = false;

  // Receiving.
  readonly receive: ReceiveWindow = new ReceiveWindow();
  /** Where events are copied to that the application gets. */
  readonly received: ByteSlab = new ByteSlab();
  /** Bytes accounted to the sender, the absolute total of a grant. */
  consumedBytes = 0;
  /** Bytes accepted whose grant waits until the application has taken the events. */
  unreadBytes = 0;
  /** Next sequence to hand to the application of an ordered stream. */
  nextDelivered = 0;
  /** Packets ahead of a gap, by sequence; only on ordered streams. */
  readonly held: Map<number, HeldPacket> = new Map();
  heldBytes = 0;
  remoteEnded = false;
  /**
   * Whether the peer repairs its losses, so that what arrives has to be acknowledged. What its packets say counts; until
   * there is one, what this side was opened with.
   */
  receivesReliably: boolean;
  /** The peer has closed its side for good: writing is pointless. */
  isRefused = false;
  /** Whether the application was given any event. */
  hasDelivered = false;
  /** Sequence of the peer's end marker, once it arrived on an unordered stream. */
  endSequence: number | undefined;
  packetsReceived = 0;

  // Acknowledging.
  /** Accepted packets since the last grant was sent. */
  unacknowledged = 0;
  /** The total of the last grant. */
  grantedBytes = 0;
  /** When a grant is due, `Infinity` when none is owed. */
  grantDueMs: number = Number.POSITIVE_INFINITY;
  /** In the core's list of streams that owe a grant now. */
  isGrantScheduled = false;
  grantsSent = 0;
  /** When the next report of missing packets may be sent. */
  nextNackMs = 0;
  /** When the first gap was noticed; 0 while there is none. */
  gapSinceMs = 0;
  /** The value of `receive.next` at that time. */
  gapAt = 0;
  /** When the gap was last looked at. */
  gapLookMs = 0;
  /** When the last packet of the stream arrived. */
  lastPacketMs = 0;

  constructor(
    id: bigint,
    options: ResolvedStreamOptions,
    nowMs: number,
    repairBudgetMs: number,
    roundTripMs: number | undefined,
    pieces: MemoryPieces,
  ) {
    this.id = id;
    this.queue = new PacketQueue(pieces);
    this.options = options;
    this.lastActivityMs = nowMs;
    this.receivesReliably = options.reliable;
    this.credit = new SendCredit(options.windowBytes, !options.reliable);
    if (options.reliable) this.sendWindow = this.#window(options, repairBudgetMs, roundTripMs);
    this.fields = { ...packetFields(), streamIdLo: low32(id), streamIdHi: high32(id) };
  }

  /** Bytes of waiting events, each with its length prefix. */
  get queuedBytes(): number {
    return this.queue.bytes;
  }

  #window(
    { windowBytes }: ResolvedStreamOptions,
    repairBudgetMs: number,
    roundTripMs: number | undefined,
  ): SendWindow {
    const release = (packet: FramedPacket): void => this.queue.recycle(packet);
    return new SendWindow(maxPendingForWindow(windowBytes), repairBudgetMs, roundTripMs, release);
  }

  /** Nothing has been sent yet, so that its sending side can still be configured. */
  get isUnsent(): boolean {
    return (this.sendWindow?.next ?? this.nextSequence) === this.firstSequence && this.queuedBytes === 0;
  }

  /** Takes over the configuration of an explicit open; only while {@link isUnsent}. */
  configure(options: ResolvedStreamOptions, repairBudgetMs: number, roundTripMs: number | undefined): void {
    this.options = options;
    if (this.packetsReceived === 0) this.receivesReliably = options.reliable;
    const { sent } = this.credit;
    this.credit = new SendCredit(options.windowBytes, !options.reliable);
    this.credit.sent = sent;
    this.credit.maxConsumedSeen = sent;
    this.nextSequence = this.firstSequence;
    this.sendWindow = options.reliable ? this.#window(options, repairBudgetMs, roundTripMs) : undefined;
    if (this.sendWindow === undefined) return;
    this.sendWindow.base = this.firstSequence;
    this.sendWindow.next = this.firstSequence;
  }

  /** Wire bytes that the queue and one more event of `length` bytes cost, unless the path becomes narrower. */
  costWith(length: number, payloadLimit: number): number {
    const { queue } = this;
    const packets = queue.count + (queue.begins(length, payloadLimit) ? 1 : 0);
    return queue.bytes + EVENT_LENGTH_PREFIX + length + PACKET_OVERHEAD * packets;
  }

  /** Whether every packet, the end marker included, has been acknowledged. */
  get isDrained(): boolean {
    return this.queuedBytes === 0 && (this.sendWindow === undefined || this.sendWindow.inFlight === 0);
  }
}
