import { readU32, writeU32 } from "@netmesh/wire";
import { CAUSAL_LINK_SIZE, type CausalLink, decodeCausalLink, writeCausalLink } from "./causal-link.ts";

/** A link with its payload (§1). */
export interface CausalEvent {
  /** Where the event stands in its chain. */
  readonly link: CausalLink;
  /** Opaque bytes. Nobody may change them once the event exists. */
  readonly payload: Uint8Array;
  /** Unix time in nanoseconds at which this node made or received the event; never on the wire of a batch. */
  readonly receivedAt: bigint;
}

const LENGTH_SIZE = 4;
const MAX_RECORD_LENGTH = 0xffff_ffff;

/** A batch in its framing, and what became of the events. */
export interface FramedEvents {
  /** The records one after the other. */
  readonly bytes: Uint8Array;
  /** Records in `bytes`: the event count of a packet that carries them. */
  readonly written: number;
  /** Events left out because their length does not fit into 32 bits. */
  readonly skipped: number;
}

/** Frames a batch (§1.5): for each event the length of the rest as u32, 32 bytes of link, the payload. */
export function encodeCausalEvents(events: readonly CausalEvent[]): FramedEvents {
  const fitting = events.filter(({ payload }) => CAUSAL_LINK_SIZE + payload.length <= MAX_RECORD_LENGTH);
  let size = 0;
  for (const { payload } of fitting) size += LENGTH_SIZE + CAUSAL_LINK_SIZE + payload.length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const { link, payload } of fitting) {
    writeU32(bytes, at, CAUSAL_LINK_SIZE + payload.length);
    writeCausalLink(bytes, at + LENGTH_SIZE, link);
    bytes.set(payload, at + LENGTH_SIZE + CAUSAL_LINK_SIZE);
    at += LENGTH_SIZE + CAUSAL_LINK_SIZE + payload.length;
  }
  return { bytes, written: fitting.length, skipped: events.length - fitting.length };
}

/**
 * The events of a framed batch: at most `maxEvents`, those before the first malformed record. Payloads are views
 * of `bytes`; all events get the same `receivedAt`.
 */
export function decodeCausalEvents(bytes: Uint8Array, maxEvents: number, receivedAt: bigint): CausalEvent[] {
  const events: CausalEvent[] = [];
  let at = 0;
  while (events.length < maxEvents && bytes.length - at >= LENGTH_SIZE) {
    const length = readU32(bytes, at);
    at += LENGTH_SIZE;
    if (length > bytes.length - at) break;
    const link = length < CAUSAL_LINK_SIZE ? undefined : decodeCausalLink(bytes, at);
    if (link === undefined) break;
    events.push({ link, payload: bytes.subarray(at + CAUSAL_LINK_SIZE, at + length), receivedAt });
    at += length;
  }
  return events;
}
