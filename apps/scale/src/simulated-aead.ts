import type { AeadBatch, AeadKey, AeadProvider } from "@netmesh/crypto";
import {
  EVENT_LENGTH_PREFIX,
  HEADER_SIZE,
  HeaderOffset,
  NETMESH_CONTROL,
  PACKET_OVERHEAD,
  PacketFlags,
  readU16,
  readU32,
  Subprotocol,
  TAG_SIZE,
  writeU32,
} from "@netmesh/wire";

/** What a packet is for. */
export type TrafficKind = "heartbeat" | "pingwave" | "announcement" | "lookup" | "other";

/** Bytes of sealed packets by what they are for, of all nodes together. */
export type Traffic = Record<TrafficKind, number>;

const PINGWAVE = 10;
const LOOKUPS: ReadonlySet<number> = new Set([11, 12]);

/**
 * Seals nothing, in the size and with the checks of ChaCha20-Poly1305: a packet opens with the key and the counter that it was
 * sealed with. Thousands of nodes on one core cost a fraction of what encryption would, and every byte is counted by its purpose.
 */
export class SimulatedAead implements AeadProvider {
  readonly name = "simulated";
  /** Bytes sealed so far. */
  readonly traffic: Traffic = { heartbeat: 0, pingwave: 0, announcement: 0, lookup: 0, other: 0 };

  create(key: Uint8Array): AeadKey {
    return new SimulatedKey(key, this.traffic);
  }

  /** Never called: an engine seals one packet at a time. */
  createBatch(): AeadBatch {
    throw new Error("a simulation seals one packet at a time");
  }
}

class SimulatedKey implements AeadKey {
  readonly #lo: number;
  readonly #hi: number;
  readonly #traffic: Traffic;

  constructor(key: Uint8Array, traffic: Traffic) {
    this.#lo = readU32(key, 0);
    this.#hi = readU32(key, 4);
    this.#traffic = traffic;
  }

  seal(nonce: Uint8Array, _aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    this.#writeTag(buffer, offset + length, readU32(nonce, 4), readU32(nonce, 8));
  }

  open(nonce: Uint8Array, _aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    if (length < TAG_SIZE) return false;
    return this.#hasTag(buffer, offset + length - TAG_SIZE, readU32(nonce, 4), readU32(nonce, 8));
  }

  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    writeU32(buffer, offset + HeaderOffset.NONCE_PREFIX, noncePrefix);
    writeU32(buffer, offset + HeaderOffset.COUNTER, counterLo);
    writeU32(buffer, offset + HeaderOffset.COUNTER + 4, counterHi);
    this.#writeTag(buffer, offset + HEADER_SIZE + payloadLength, counterLo, counterHi);
    this.#traffic[kindOf(buffer, offset)] += PACKET_OVERHEAD + payloadLength;
  }

  openPacket(buffer: Uint8Array, offset: number, payloadLength: number): boolean {
    const counterLo = readU32(buffer, offset + HeaderOffset.COUNTER);
    const counterHi = readU32(buffer, offset + HeaderOffset.COUNTER + 4);
    return this.#hasTag(buffer, offset + HEADER_SIZE + payloadLength, counterLo, counterHi);
  }

  requireAlive(): void {}

  destroy(): void {}

  #writeTag(buffer: Uint8Array, at: number, counterLo: number, counterHi: number): void {
    writeU32(buffer, at, this.#lo);
    writeU32(buffer, at + 4, this.#hi);
    writeU32(buffer, at + 8, counterLo);
    writeU32(buffer, at + 12, counterHi);
  }

  #hasTag(buffer: Uint8Array, at: number, counterLo: number, counterHi: number): boolean {
    return (
      readU32(buffer, at) === this.#lo &&
      readU32(buffer, at + 4) === this.#hi &&
      readU32(buffer, at + 8) === counterLo &&
      readU32(buffer, at + 12) === counterHi
    );
  }
}

function kindOf(buffer: Uint8Array, offset: number): TrafficKind {
  if (((buffer[offset + HeaderOffset.FLAGS] as number) & PacketFlags.HEARTBEAT) !== 0) return "heartbeat";
  const id = readU16(buffer, offset + HeaderOffset.SUBPROTOCOL_ID);
  if (id === Subprotocol.CAPABILITY_ANNOUNCEMENT) return "announcement";
  if (id !== NETMESH_CONTROL) return "other";
  const kind = buffer[offset + HEADER_SIZE + EVENT_LENGTH_PREFIX] as number;
  if (kind === PINGWAVE) return "pingwave";
  return LOOKUPS.has(kind) ? "lookup" : "other";
}
