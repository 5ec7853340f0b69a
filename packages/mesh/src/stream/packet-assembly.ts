import {
  HEADER_SIZE,
  NetHeader,
  PACKET_PART_DATA_SIZE,
  type PacketPart,
  packetPartCount,
} from "@netmesh/wire";

/** Incomplete packets that a session keeps; the one that has waited longest for a part leaves first. */
const MAX_INCOMPLETE = 32;
/** Parts that arrive so far apart belong to different tries, or to different packets of a forgotten stream. */
const LIFETIME_MS = 10_000;

interface Incomplete {
  readonly streamIdLo: number;
  readonly streamIdHi: number;
  readonly eventCount: number;
  readonly flags: number;
  /** Header and plain text. */
  readonly bytes: Uint8Array;
  /** Bit i: part i has not arrived. */
  missing: number;
  lastPartMs: number;
}

/** Puts the packets of a session together that arrive in parts (docs/protocol/path-mtu.md). */
export class PacketAssembly {
  /** By stream id and sequence, in the order of their last parts. */
  readonly #incomplete = new Map<string, Incomplete>();
  readonly #header = new NetHeader();

  /** Packets that are not complete. */
  get size(): number {
    return this.#incomplete.size;
  }

  /** Takes a part, copying it. Returns the packet when it is complete: header and plain text, unsealed. */
  take(part: PacketPart, nowMs: number): Uint8Array | undefined {
    const key = `${part.streamIdHi}:${part.streamIdLo}:${part.sequenceHi}:${part.sequenceLo}`;
    let packet = this.#incomplete.get(key);
    if (packet !== undefined) this.#incomplete.delete(key);
    if (packet === undefined || !isOf(packet, part) || nowMs - packet.lastPartMs > LIFETIME_MS) {
      packet = begin(part);
    }
    packet.bytes.set(part.data, HEADER_SIZE + part.index * PACKET_PART_DATA_SIZE);
    packet.missing &= ~(1 << part.index);
    packet.lastPartMs = nowMs;
    if (packet.missing === 0) return this.#complete(packet, part);
    this.#incomplete.set(key, packet);
    if (this.#incomplete.size > MAX_INCOMPLETE) {
      const [longest] = this.#incomplete.keys();
      this.#incomplete.delete(longest as string);
    }
    return undefined;
  }

  #complete({ bytes }: Incomplete, part: PacketPart): Uint8Array {
    const header = this.#header.wrap(bytes, 0).clear();
    header.flags = part.flags;
    header.eventCount = part.eventCount;
    header.payloadLength = part.length;
    header.streamIdLo = part.streamIdLo;
    header.streamIdHi = part.streamIdHi;
    header.sequenceLo = part.sequenceLo;
    header.sequenceHi = part.sequenceHi;
    return bytes;
  }

  /** Drops what there is of a stream's packets: another use of its id may begin. */
  forget(streamIdLo: number, streamIdHi: number): void {
    for (const [key, packet] of this.#incomplete) {
      if (packet.streamIdLo === streamIdLo && packet.streamIdHi === streamIdHi) this.#incomplete.delete(key);
    }
  }
}

function begin({ streamIdLo, streamIdHi, eventCount, flags, length }: PacketPart): Incomplete {
  return {
    streamIdLo,
    streamIdHi,
    eventCount,
    flags,
    bytes: new Uint8Array(HEADER_SIZE + length),
    missing: (1 << packetPartCount(length)) - 1,
    lastPartMs: 0,
  };
}

function isOf(packet: Incomplete, part: PacketPart): boolean {
  return (
    packet.bytes.length === HEADER_SIZE + part.length &&
    packet.eventCount === part.eventCount &&
    packet.flags === part.flags
  );
}
