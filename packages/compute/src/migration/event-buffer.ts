import type { CausalEvent } from "../state/causal-event.ts";
import { MigrationError } from "./failure-reason.ts";
import {
  BUFFERED_EVENT_OVERHEAD,
  BUFFERED_EVENTS_HEADER_SIZE,
  MAX_BUFFERED_PAYLOAD_SIZE,
  MAX_MIGRATION_MESSAGE_SIZE,
  type MigrationMessage,
} from "./messages.ts";

/** Events that a migration may buffer (spec compute.md §18). */
export const MAX_BUFFERED_EVENTS = 1_000_000;
/** Bytes that they may have, with 44 for each event. */
export const MAX_BUFFERED_BYTES: number = 64 * 1024 * 1024;

/** Bounds of a buffer; the constants of this file by default. */
export interface BufferLimits {
  readonly maxEvents?: number;
  readonly maxBytes?: number;
  /** Bytes of one payload: 7000, what fits into a message, by default. */
  readonly maxPayload?: number;
}

/** Events in the order in which they came, until somebody takes them. Refuses what exceeds its bounds. */
export class EventBuffer {
  readonly #maxEvents: number;
  readonly #maxBytes: number;
  readonly #maxPayload: number;
  readonly #originHash: bigint;
  #events: CausalEvent[] = [];
  #bytes = 0;

  constructor(originHash: bigint, limits: BufferLimits = {}) {
    this.#originHash = originHash;
    this.#maxEvents = limits.maxEvents ?? MAX_BUFFERED_EVENTS;
    this.#maxBytes = limits.maxBytes ?? MAX_BUFFERED_BYTES;
    this.#maxPayload = limits.maxPayload ?? MAX_BUFFERED_PAYLOAD_SIZE;
  }

  /** Events held. */
  get size(): number {
    return this.#events.length;
  }

  /** Bytes held, with 44 for each event. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps an event, whose payload nobody may change. Throws `buffer-full`, and keeps what it has. */
  push(event: CausalEvent): void {
    const bytes = this.#bytes + BUFFERED_EVENT_OVERHEAD + event.payload.length;
    const isTooMuch = this.#events.length >= this.#maxEvents || bytes > this.#maxBytes;
    if (isTooMuch || event.payload.length > this.#maxPayload) {
      throw new MigrationError(
        "buffer-full",
        `${this.#events.length} events, ${this.#bytes} bytes buffered`,
        {
          originHash: this.#originHash,
          size: this.#bytes,
        },
      );
    }
    this.#events.push(event);
    this.#bytes = bytes;
  }

  /** Gives all events and keeps none. */
  drain(): CausalEvent[] {
    const events = this.#events;
    this.#events = [];
    this.#bytes = 0;
    return events;
  }
}

/** The events numbered from `after + 1` on in their order, as a target counts them (§21). */
export function renumbered(events: readonly CausalEvent[], after: bigint): CausalEvent[] {
  return events.map((event, index) => ({
    ...event,
    link: { ...event.link, sequence: after + BigInt(index) + 1n },
  }));
}

/** Messages with these events, each of which fits into a packet (§21). */
export function bufferedEventMessages(
  originHash: bigint,
  events: readonly CausalEvent[],
): MigrationMessage[] {
  const messages: MigrationMessage[] = [];
  let batch: CausalEvent[] = [];
  let size = BUFFERED_EVENTS_HEADER_SIZE;
  for (const event of events) {
    const eventSize = BUFFERED_EVENT_OVERHEAD + event.payload.length;
    if (batch.length > 0 && size + eventSize > MAX_MIGRATION_MESSAGE_SIZE) {
      messages.push({ type: "buffered-events", originHash, events: batch });
      batch = [];
      size = BUFFERED_EVENTS_HEADER_SIZE;
    }
    batch.push(event);
    size += eventSize;
  }
  if (batch.length > 0) messages.push({ type: "buffered-events", originHash, events: batch });
  return messages;
}
