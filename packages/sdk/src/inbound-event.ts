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
  /** The event's bytes; yours to keep. */
  readonly data: Uint8Array;
  /** When it arrived, in milliseconds of the mesh's monotonic clock. */
  readonly receivedAtMs: number;
}

/** Which events a consumer wants; a field that is not given matches everything. */
export interface EventFilter {
  readonly peer?: bigint;
  readonly streamId?: bigint;
  /** Low 16 bits of a channel's hash. */
  readonly channelHash?: number;
}
