import { high32, low32, U64Map } from "@netmesh/wire";
import { requireLimit } from "./routing-error.ts";

/** Streams whose packets are counted; ids come from unauthenticated bytes (routing §3.4). */
export const MAX_STREAM_RECORDS = 65_536;

/** Counters of one stream id (routing §2). Live: they keep counting. */
export interface StreamStats {
  /** Packets received or forwarded in. */
  readonly packetsIn: number;
  /** Their bytes. */
  readonly bytesIn: number;
  /** Packets sent on. */
  readonly packetsOut: number;
  /** Their bytes. */
  readonly bytesOut: number;
  /** Packets dropped. */
  readonly packetsDropped: number;
  /** Monotonic milliseconds of the last packet in, or of the record's creation. */
  readonly lastActivityMs: number;
}

/** Sums over every stream record. */
export interface StreamTotals {
  /** Records held. */
  readonly streams: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly packetsDropped: number;
}

/**
 * Per-stream packet counters of a forwarder.
 *
 * New ids are admitted only while fewer than {@link MAX_STREAM_RECORDS} records exist; beyond that,
 * packets of unknown streams go uncounted and known ones keep counting. Stream ids are given as halves.
 * `nowMs` is a monotonic clock in milliseconds, the same one for every call.
 */
export class StreamAccounting {
  readonly #maxRecords: number;
  readonly #records: U64Map<StreamRecord>;
  #refused = 0;

  /**
   * @param seed 32 random bits, against ids chosen to collide
   * @param maxRecords records kept, {@link MAX_STREAM_RECORDS} unless told otherwise
   */
  constructor(seed = 0, maxRecords: number = MAX_STREAM_RECORDS) {
    requireLimit("maxRecords", maxRecords);
    this.#maxRecords = maxRecords;
    this.#records = new U64Map(seed);
  }

  /** Records held. */
  get streamCount(): number {
    return this.#records.size;
  }

  /** Packets that went uncounted because the records were used up. */
  get refused(): number {
    return this.#refused;
  }

  /** Counts a packet in; the only event that keeps a stream from being idle. */
  recordIn(lo: number, hi: number, bytes: number, nowMs: number): void {
    const record = this.#admit(lo, hi, nowMs);
    if (record === undefined) return;
    record.packetsIn += 1;
    record.bytesIn += bytes;
    record.lastActivityMs = nowMs;
  }

  /** Counts a packet out. */
  recordOut(lo: number, hi: number, bytes: number, nowMs: number): void {
    const record = this.#admit(lo, hi, nowMs);
    if (record === undefined) return;
    record.packetsOut += 1;
    record.bytesOut += bytes;
  }

  /** Counts a packet in and out at once. */
  recordForward(lo: number, hi: number, bytes: number, nowMs: number): void {
    const record = this.#admit(lo, hi, nowMs);
    if (record === undefined) return;
    record.packetsIn += 1;
    record.bytesIn += bytes;
    record.packetsOut += 1;
    record.bytesOut += bytes;
    record.lastActivityMs = nowMs;
  }

  /** Counts a dropped packet. */
  recordDrop(lo: number, hi: number, nowMs: number): void {
    const record = this.#admit(lo, hi, nowMs);
    if (record !== undefined) record.packetsDropped += 1;
  }

  /**
   * The live record of a stream, created when there is none, **even beyond the cap**: for ids of the
   * application's own, never for ids read off a datagram.
   */
  getStreamStats(stream: bigint, nowMs: number): StreamStats {
    const [lo, hi] = [low32(stream), high32(stream)];
    return this.#records.get(lo, hi) ?? this.#create(lo, hi, nowMs);
  }

  /** Forgets streams without a packet in for longer than `idleMs`; returns how many. */
  cleanupIdleStreams(idleMs: number, nowMs: number): number {
    requireLimit("idleMs", idleMs);
    return this.#records.removeIf((record) => nowMs - record.lastActivityMs > idleMs);
  }

  /** Sums over the records held; what a forgotten stream counted is no longer in them. */
  totals(): StreamTotals {
    let packetsIn = 0;
    let packetsOut = 0;
    let packetsDropped = 0;
    for (const record of this.#records) {
      packetsIn += record.packetsIn;
      packetsOut += record.packetsOut;
      packetsDropped += record.packetsDropped;
    }
    return { streams: this.#records.size, packetsIn, packetsOut, packetsDropped };
  }

  #admit(lo: number, hi: number, nowMs: number): StreamRecord | undefined {
    const known = this.#records.get(lo, hi);
    if (known !== undefined) return known;
    if (this.#records.size < this.#maxRecords) return this.#create(lo, hi, nowMs);
    this.#refused += 1;
    return undefined;
  }

  #create(lo: number, hi: number, nowMs: number): StreamRecord {
    const record = {
      packetsIn: 0,
      bytesIn: 0,
      packetsOut: 0,
      bytesOut: 0,
      packetsDropped: 0,
      lastActivityMs: nowMs,
    };
    this.#records.set(lo, hi, record);
    return record;
  }
}

type StreamRecord = { -readonly [Name in keyof StreamStats]: StreamStats[Name] };
