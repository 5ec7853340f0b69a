import { PACKET_OVERHEAD, TAG_SIZE } from "@netmesh/wire";
import { CryptoError } from "../errors.ts";

/** Bytes of a ChaCha20-Poly1305 key (RFC 8439 §2.8). */
export const AEAD_KEY_SIZE = 32;
/** Bytes of a ChaCha20-Poly1305 nonce. */
export const AEAD_NONCE_SIZE = 12;
/** Bytes that one call seals at most, without the tag: more than the largest Noise message. */
export const AEAD_MAX_LENGTH = 65_536;
/** Bytes of associated data that one call takes at most. */
export const AEAD_MAX_AAD_LENGTH = 4_064;

/** One key of ChaCha20-Poly1305 (RFC 8439), working in place. Never shows the key. Not for use from two threads. */
export interface AeadKey {
  /**
   * Encrypts `length` bytes (at most 65 536) of `buffer` at `offset` in place and writes the 16-byte tag right behind
   * them; the caller provides that room. `nonce` has 12 bytes and must never repeat under one key; `aad` has at most
   * 4064. Throws `destroyed`, `invalid-length`, or `foreign-memory` for bytes of the provider's memory that it keeps for
   * itself, and then has changed nothing.
   */
  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void;
  /**
   * Verifies and decrypts in place. `length` includes the 16-byte tag. False if the tag is wrong or `length`
   * < 16; the buffer then holds no plaintext. What the tag's place holds afterwards is unspecified. Throws as `seal`.
   */
  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean;
  /**
   * Seals a Net packet in place: at `offset` a header of 68 bytes, `payloadLength` bytes of payload, room for the tag.
   * Writes nonce prefix and counter (both u32) into the header; the other fields are the associated data. Throws as
   * `seal`.
   */
  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void;
  /**
   * Opens a Net packet in place; `payloadLength` counts neither header nor tag. The counter is the header's, the prefix
   * is not. False as `open`. Throws as `seal`.
   */
  openPacket(buffer: Uint8Array, offset: number, payloadLength: number, noncePrefix: number): boolean;
  /** Throws `destroyed` when the key was wiped. */
  requireAlive(): void;
  /** Wipes the key. Idempotent; every later call throws `destroyed`. */
  destroy(): void;
}

/**
 * Memory in which a provider seals and opens packets where they lie. All pieces are views of one buffer, in which the
 * provider may keep its keys too: hand on the bytes of a piece, never its `buffer`. Posting a piece to another thread
 * would clone that buffer as a whole; post a copy.
 */
export interface PacketMemory {
  /** `size` bytes, their contents arbitrary; undefined when there is no more. */
  allocate(size: number): Uint8Array<ArrayBuffer> | undefined;
  /** Takes an array of `allocate` back, for the next one of that size. Nobody may use it any longer. */
  release(bytes: Uint8Array<ArrayBuffer>): void;
}

/** Packets that one call may add to a batch before it has to be run. */
export const AEAD_BATCH_SIZE = 64;

/** Packets that are sealed, or opened, by one call. They and their keys belong to one provider. */
export interface AeadBatch {
  /** Packets added since the last run. */
  readonly count: number;
  /**
   * Adds a packet as {@link AeadKey.sealPacket} and {@link AeadKey.openPacket} take it; `open` reads the counter from
   * the header instead. The bytes stay where they are until the run. Throws `invalid-length`, also when there are 64
   * already, `destroyed`, and `foreign-memory` unless they lie in the provider's memory, where it has one.
   */
  add(
    key: AeadKey,
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void;
  /**
   * Seals everything added. Throws `destroyed` when a key was wiped meanwhile, before anything is sealed. The batch is empty
   * afterwards in either case.
   */
  seal(): void;
  /** Opens everything added. Throws as `seal`, and empties the batch as `seal` does. */
  open(): void;
  /** Whether a packet was added as number `index` (from 0) before the last `open` and had a good tag. */
  opened(index: number): boolean;
}

/** An implementation of ChaCha20-Poly1305. All implementations give the same bytes. */
export interface AeadProvider {
  /** How the implementation is chosen by name. */
  readonly name: string;
  /** Where packets should lie; without it any memory is as good. */
  readonly memory?: PacketMemory;
  /** A key object holding its own copy of the 32 bytes `key`. Throws `invalid-length`. */
  create(key: Uint8Array): AeadKey;
  /** An empty batch for keys of this provider. */
  createBatch(): AeadBatch;
}

/** Throws `invalid-length` unless `size` bytes at `offset`, both whole numbers, lie in `buffer`. */
export function requireRoom(buffer: Uint8Array, offset: number, size: number): void {
  const isWhole = Number.isInteger(offset) && Number.isInteger(size);
  if (!(isWhole && offset >= 0 && size >= 0 && offset + size <= buffer.length)) {
    throw new CryptoError(
      "invalid-length",
      `${size} bytes at ${offset} do not lie in ${buffer.length}`,
      size,
    );
  }
}

/** Throws `invalid-length` unless `length` bytes of text and their tag lie in `buffer` at `offset`; returns their size. */
export function requireSealed(buffer: Uint8Array, offset: number, length: number): number {
  const size = length >= 0 ? length + TAG_SIZE : length;
  requireRoom(buffer, offset, size);
  return size;
}

/**
 * Throws `invalid-length` unless header, payload (at most 65 536 bytes) and tag of a packet lie in `buffer`; returns their
 * size.
 */
export function requirePacket(buffer: Uint8Array, offset: number, payloadLength: number): number {
  requireLimits(payloadLength, 0, AEAD_NONCE_SIZE);
  requireRoom(buffer, offset, payloadLength >= 0 ? PACKET_OVERHEAD + payloadLength : payloadLength);
  return PACKET_OVERHEAD + payloadLength;
}

/** Throws `invalid-length` when a call asks for more than every provider can do. */
export function requireLimits(length: number, aadLength: number, nonceLength: number): void {
  if (length > AEAD_MAX_LENGTH || aadLength > AEAD_MAX_AAD_LENGTH) {
    throw new CryptoError("invalid-length", "more than one call takes", Math.max(length, aadLength));
  }
  if (nonceLength !== AEAD_NONCE_SIZE) {
    throw new CryptoError("invalid-length", `a nonce has ${AEAD_NONCE_SIZE} bytes`, nonceLength);
  }
}
