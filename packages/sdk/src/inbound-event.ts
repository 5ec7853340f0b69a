/** One event that has arrived. */
export interface InboundEvent {
  /** Node id of the peer whose session carried it. */
  readonly peer: bigint;
  readonly streamId: bigint;
  /** Sequence of its packet within the stream. */
  readonly sequence: number;
  /** Position within the packet. */
  readonly index: number;
  /** Subprotocol id; 0 for plain events. */
  readonly subprotocolId: number;
  /** Low 16 bits of the channel's hash; 0 outside channels. */
  readonly channelHash: number;
  /** What the publisher claims to be; 0 outside channels. */
  readonly originHash: bigint;
  /** The event's bytes; yours to keep. Other events lie in the same `buffer`: copy them before you transfer that. */
  readonly data: Uint8Array;
  /** When it arrived, in milliseconds of the mesh's monotonic clock. */
  readonly receivedAtMs: number;
}

/** Events that have arrived together: those of one packet. */
export interface EventBatch {
  /** Node id of the peer whose session carried them. */
  readonly peer: bigint;
  readonly streamId: bigint;
  /** Sequence of the packet within the stream. */
  readonly sequence: number;
  /** Position of the first event within the packet: not 0 when those before it were read one by one. */
  readonly index: number;
  /** Subprotocol id; 0 for plain events. */
  readonly subprotocolId: number;
  /** Low 16 bits of the channel's hash; 0 outside channels. */
  readonly channelHash: number;
  /** What the publisher claims to be; 0 outside channels. */
  readonly originHash: bigint;
  /** The bytes of each event, at least one; yours to keep. Others lie in the same `buffer`. */
  readonly events: readonly Uint8Array[];
  /** When they arrived, in milliseconds of the mesh's monotonic clock. */
  readonly receivedAtMs: number;
}

/** One event of a batch; `at` counts from the batch's first. */
export function eventOf(batch: EventBatch, at: number): InboundEvent {
  return {
    peer: batch.peer,
    streamId: batch.streamId,
    sequence: batch.sequence,
    index: batch.index + at,
    subprotocolId: batch.subprotocolId,
    channelHash: batch.channelHash,
    originHash: batch.originHash,
    data: batch.events[at] as Uint8Array,
    receivedAtMs: batch.receivedAtMs,
  };
}

/** Which events a consumer wants; a field that is not given matches everything. */
export interface EventFilter {
  readonly peer?: bigint;
  readonly streamId?: bigint;
  /** Low 16 bits of a channel's hash. */
  readonly channelHash?: number;
}
