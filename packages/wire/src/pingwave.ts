import { PINGWAVE_SIZE } from "./constants.ts";
import { copyBytes } from "./copy-bytes.ts";
import { WireError } from "./errors.ts";
import { assertRoom, assertSize, assertU8, assertU32 } from "./integer-range.ts";
import { readU32, readU64, writeU32, writeU64 } from "./little-endian.ts";
import { GRAPH_ID_SIZE } from "./node-id.ts";
import { assertU64, u64ToNumber } from "./u64.ts";

/** Ttl with which a node starts its pingwaves (§11.1). */
export const PINGWAVE_TTL = 3;
/** A pingwave that made this many hops is dropped (§11.1). */
export const MAX_PINGWAVE_HOPS = 16;

/** How well a node says it is (§11.1). */
export const NodeHealth = { HEALTHY: 0, DEGRADED: 1, UNHEALTHY: 2, UNKNOWN: 3 } as const;
/** One of the numbers of {@link NodeHealth}. */
export type NodeHealth = (typeof NodeHealth)[keyof typeof NodeHealth];

const NO_BYTES = new Uint8Array(0);
const SEQUENCE = 32;
const TTL = 40;
const HOP_COUNT = 41;
const TIMESTAMP = 42;
const CAPABILITY_HASH = 50;
const CAPABILITY_VERSION = 58;
const LOAD = 62;
const HEALTH = 63;
const GPU = 64;
const MODEL_SLOTS = 65;
const MEMORY_TIER = 66;
const TOOLS = 67;
const CAPABILITY_FLAGS = 68;

/** Every field of a pingwave (§11.1). */
export interface PingwaveFields {
  /** 32 bytes; see `graphId`. Decoded, it is a copy. */
  readonly originId: Uint8Array;
  /** Counter of the origin, first value 1. */
  readonly sequence: bigint;
  readonly ttl: number;
  readonly hopCount: number;
  /** The origin's clock: microseconds since the Unix epoch. */
  readonly timestampUs: bigint;
  readonly capabilityHash: bigint;
  readonly capabilityVersion: number;
  /** 0..255. */
  readonly load: number;
  readonly health: NodeHealth;
  readonly hasGpu: boolean;
  readonly modelSlots: number;
  /** See {@link memoryTier}. */
  readonly memoryTier: number;
  /** Bitmap. */
  readonly tools: number;
  readonly capabilityFlags: number;
}

/**
 * A window onto the 72 bytes of a pingwave, for the receive path: read what decides, forward in place (§11.1).
 * It borrows the bytes and checks no bounds; ask {@link isPingwave} first.
 */
export class PingwaveView {
  /** The wrapped buffer, borrowed. */
  bytes: Uint8Array = NO_BYTES;
  /** Where the pingwave begins in it. */
  offset = 0;

  /** Points the window at `bytes[offset..offset + 72]`. */
  wrap(bytes: Uint8Array, offset = 0): this {
    this.bytes = bytes;
    this.offset = offset;
    return this;
  }

  /** Low half of the origin's node id. */
  get originLo(): number {
    return readU32(this.bytes, this.offset);
  }

  /** High half of the origin's node id. */
  get originHi(): number {
    return readU32(this.bytes, this.offset + 4);
  }

  /** The origin's node id. Allocates a bigint. */
  get origin(): bigint {
    return readU64(this.bytes, this.offset);
  }

  /** Low half of the sequence. */
  get sequenceLo(): number {
    return readU32(this.bytes, this.offset + SEQUENCE);
  }

  /** High half of the sequence. */
  get sequenceHi(): number {
    return readU32(this.bytes, this.offset + SEQUENCE + 4);
  }

  /** Whether the origin is a node id, bytes 8–31 zero; there are no other graph ids. */
  get hasNodeId(): boolean {
    const { bytes, offset } = this;
    for (let i = 8; i < GRAPH_ID_SIZE; i++) if (bytes[offset + i] !== 0) return false;
    return true;
  }

  /** The origin's clock, in microseconds since the Unix epoch; `Infinity` beyond 2^53. */
  get timestampUs(): number {
    const at = this.offset + TIMESTAMP;
    return u64ToNumber(readU32(this.bytes, at), readU32(this.bytes, at + 4));
  }

  /** Low half of the capability hash. */
  get capabilityHashLo(): number {
    return readU32(this.bytes, this.offset + CAPABILITY_HASH);
  }

  /** High half of the capability hash. */
  get capabilityHashHi(): number {
    return readU32(this.bytes, this.offset + CAPABILITY_HASH + 4);
  }

  get capabilityVersion(): number {
    return readU32(this.bytes, this.offset + CAPABILITY_VERSION);
  }

  /** 0..255. */
  get load(): number {
    return this.bytes[this.offset + LOAD] as number;
  }

  get health(): NodeHealth {
    return this.bytes[this.offset + HEALTH] as NodeHealth;
  }

  get hasGpu(): boolean {
    return this.bytes[this.offset + GPU] !== 0;
  }

  get modelSlots(): number {
    return this.bytes[this.offset + MODEL_SLOTS] as number;
  }

  /** See {@link memoryTier}. */
  get memoryTier(): number {
    return this.bytes[this.offset + MEMORY_TIER] as number;
  }

  /** Bitmap. */
  get tools(): number {
    return this.bytes[this.offset + TOOLS] as number;
  }

  get capabilityFlags(): number {
    return readU32(this.bytes, this.offset + CAPABILITY_FLAGS);
  }

  /** Hops that the pingwave may still make. */
  get ttl(): number {
    return this.bytes[this.offset + TTL] as number;
  }

  /** Hops that it has made. */
  get hopCount(): number {
    return this.bytes[this.offset + HOP_COUNT] as number;
  }

  /** Whether it made so many hops that it must be dropped. */
  get isExhausted(): boolean {
    return this.hopCount >= MAX_PINGWAVE_HOPS;
  }

  /** Metric of the route that it offers. */
  get metric(): number {
    return this.hopCount + 2;
  }

  /** Counts one hop in place: ttl down, hop count up to at most 255. False, and nothing changed, at ttl 0. */
  forward(): boolean {
    const { bytes, offset, ttl, hopCount } = this;
    if (ttl === 0) return false;
    bytes[offset + TTL] = ttl - 1;
    bytes[offset + HOP_COUNT] = Math.min(hopCount + 1, 0xff);
    return true;
  }
}

/** Whether the `length` bytes at `offset` decode as a pingwave: at least 72, health at most 3 (§11.1). */
export function isPingwave(bytes: Uint8Array, offset = 0, length: number = bytes.length - offset): boolean {
  return length >= PINGWAVE_SIZE && (bytes[offset + HEALTH] as number) <= NodeHealth.UNKNOWN;
}

/**
 * Writes a pingwave into the 72 bytes at `offset` (§11.1).
 * @throws {WireError} before writing: `invalid-argument` when a field is out of range, `buffer-too-small`.
 */
export function writePingwave(target: Uint8Array, offset: number, pingwave: PingwaveFields): void {
  assertSize(pingwave.originId, GRAPH_ID_SIZE, "originId");
  assertU64(pingwave.sequence, "sequence");
  assertU8(pingwave.ttl, "ttl");
  assertU8(pingwave.hopCount, "hopCount");
  assertU64(pingwave.timestampUs, "timestampUs");
  assertU64(pingwave.capabilityHash, "capabilityHash");
  assertU32(pingwave.capabilityVersion, "capabilityVersion");
  assertU8(pingwave.load, "load");
  if (!isHealth(pingwave.health)) throw new WireError("invalid-argument", "unknown health", pingwave.health);
  assertU8(pingwave.modelSlots, "modelSlots");
  assertU8(pingwave.memoryTier, "memoryTier");
  assertU8(pingwave.tools, "tools");
  assertU32(pingwave.capabilityFlags, "capabilityFlags");
  assertRoom(target, offset, PINGWAVE_SIZE);
  target.set(pingwave.originId, offset);
  writeU64(target, offset + SEQUENCE, pingwave.sequence);
  target[offset + TTL] = pingwave.ttl;
  target[offset + HOP_COUNT] = pingwave.hopCount;
  writeU64(target, offset + TIMESTAMP, pingwave.timestampUs);
  writeU64(target, offset + CAPABILITY_HASH, pingwave.capabilityHash);
  writeU32(target, offset + CAPABILITY_VERSION, pingwave.capabilityVersion);
  target[offset + LOAD] = pingwave.load;
  target[offset + HEALTH] = pingwave.health;
  target[offset + GPU] = pingwave.hasGpu ? 1 : 0;
  target[offset + MODEL_SLOTS] = pingwave.modelSlots;
  target[offset + MEMORY_TIER] = pingwave.memoryTier;
  target[offset + TOOLS] = pingwave.tools;
  writeU32(target, offset + CAPABILITY_FLAGS, pingwave.capabilityFlags);
}

/**
 * Encodes a pingwave into 72 new bytes (§11.1).
 * @throws {WireError} `invalid-argument` when a field is out of range.
 */
export function encodePingwave(pingwave: PingwaveFields): Uint8Array {
  const bytes = new Uint8Array(PINGWAVE_SIZE);
  writePingwave(bytes, 0, pingwave);
  return bytes;
}

/** Decodes a pingwave; `undefined` below 72 bytes or on an unknown health. Bytes behind are ignored (§11.1). */
export function decodePingwave(bytes: Uint8Array): PingwaveFields | undefined {
  if (!isPingwave(bytes)) return undefined;
  return {
    originId: copyBytes(bytes, 0, GRAPH_ID_SIZE),
    sequence: readU64(bytes, SEQUENCE),
    ttl: bytes[TTL] as number,
    hopCount: bytes[HOP_COUNT] as number,
    timestampUs: readU64(bytes, TIMESTAMP),
    capabilityHash: readU64(bytes, CAPABILITY_HASH),
    capabilityVersion: readU32(bytes, CAPABILITY_VERSION),
    load: bytes[LOAD] as number,
    health: bytes[HEALTH] as NodeHealth,
    hasGpu: bytes[GPU] !== 0,
    modelSlots: bytes[MODEL_SLOTS] as number,
    memoryTier: bytes[MEMORY_TIER] as number,
    tools: bytes[TOOLS] as number,
    capabilityFlags: readU32(bytes, CAPABILITY_FLAGS),
  };
}

/** The memory tier of a size in gigabytes: 0 up to 1, then one more per doubling from 4, 7 above 128 (§11.1). */
export function memoryTier(gigabytes: number): number {
  let tier = gigabytes <= 1 ? 0 : 1;
  for (let limit = 4; tier > 0 && tier < 7 && gigabytes > limit; limit *= 2) tier++;
  return tier;
}

function isHealth(health: number): health is NodeHealth {
  return Number.isInteger(health) && health >= NodeHealth.HEALTHY && health <= NodeHealth.UNKNOWN;
}
