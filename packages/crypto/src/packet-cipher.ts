import {
  AAD_SIZE,
  copyBytes,
  HEADER_SIZE,
  HeaderOffset,
  PACKET_OVERHEAD,
  readU32,
  TAG_SIZE,
  writeAad,
  writeU32,
} from "@netmesh/wire";
import { aeadProvider } from "./aead/choice.ts";
import { AEAD_NONCE_SIZE, type AeadKey, type AeadProvider } from "./aead/provider.ts";
import { CryptoError } from "./errors.ts";
import { noncePrefix, sessionIdHex } from "./key-schedule.ts";
import { type PublicView, REDACTED, Redacted } from "./redaction.ts";

const MAX_U32 = 0xffff_ffff;

/**
 * Seals or opens the packets of one session in one direction (spec crypto.md §5).
 *
 * Nonces are the caller's duty: a counter must never be sealed twice under one key, so the transmit counter
 * of a session has exactly one owner. The cipher keeps scratch space and is not for use from two threads.
 */
export class PacketCipher extends Redacted {
  /** Names the session; decides the nonce prefix. */
  readonly sessionId: bigint;
  readonly #key: AeadKey;
  /** Prefix in bytes 0..4 for good, counter in 4..12 for each packet. */
  readonly #nonce: Uint8Array = new Uint8Array(AEAD_NONCE_SIZE);
  readonly #aad: Uint8Array = new Uint8Array(AAD_SIZE);

  /** `key` has 32 bytes and is copied. Throws `invalid-length`. */
  constructor(key: Uint8Array, sessionId: bigint, provider: AeadProvider = aeadProvider()) {
    super();
    this.sessionId = sessionId;
    this.#key = provider.create(key);
    writeU32(this.#nonce, 0, noncePrefix(sessionId));
  }

  /**
   * Seals a packet in place. `buffer` holds at `offset` a complete header of 68 bytes, behind it
   * `payloadLength` bytes of plaintext, behind them 16 free bytes for the tag. Writes nonce prefix and
   * counter into the header and returns the length of the packet. Throws `invalid-length`,
   * `counter-exhausted` or `destroyed`, and then has changed nothing.
   */
  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    counterLo: number,
    counterHi: number,
  ): number {
    const length = PACKET_OVERHEAD + payloadLength;
    if (offset + length > buffer.length) {
      throw new CryptoError("invalid-length", `a packet of ${length} bytes does not fit`, length);
    }
    this.#setSealCounter(counterLo, counterHi);
    writeAad(this.#aad, 0, buffer, offset);
    this.#key.seal(this.#nonce, this.#aad, buffer, offset + HEADER_SIZE, payloadLength);
    // The nonce is no part of the associated data (spec wire.md §3.2).
    writeU32(buffer, offset + HeaderOffset.NONCE_PREFIX, readU32(this.#nonce, 0));
    writeU32(buffer, offset + HeaderOffset.COUNTER, counterLo);
    writeU32(buffer, offset + HeaderOffset.COUNTER + 4, counterHi);
    return length;
  }

  /**
   * Verifies and opens a packet in place. `length` counts header, ciphertext and tag. Returns the length of
   * the plaintext, which then starts 68 bytes behind `offset`, or -1 if the packet is too short or its tag is
   * wrong; no plaintext is left in the buffer then. The counter is header bytes 16..24; whether it is fresh
   * is the replay window's question. The nonce prefix comes from the session id, the copy in the packet is
   * ignored. Throws `destroyed`.
   */
  openPacket(buffer: Uint8Array, offset: number, length: number): number {
    if (length < PACKET_OVERHEAD || offset + length > buffer.length) return -1;
    this.#setCounter(
      readU32(buffer, offset + HeaderOffset.COUNTER),
      readU32(buffer, offset + HeaderOffset.COUNTER + 4),
    );
    writeAad(this.#aad, 0, buffer, offset);
    const sealed = length - HEADER_SIZE;
    return this.#key.open(this.#nonce, this.#aad, buffer, offset + HEADER_SIZE, sealed)
      ? sealed - TAG_SIZE
      : -1;
  }

  /** Ciphertext and tag of `plaintext` in a new array; the input stays as it is. Throws as `sealPacket`. */
  seal(counterLo: number, counterHi: number, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    this.#setSealCounter(counterLo, counterHi);
    const sealed = new Uint8Array(plaintext.length + TAG_SIZE);
    sealed.set(plaintext);
    this.#key.seal(this.#nonce, aad, sealed, 0, plaintext.length);
    return sealed;
  }

  /** Plaintext of `sealed` (ciphertext and tag) in a new array, or undefined; the input stays as it is. */
  open(counterLo: number, counterHi: number, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    this.#setCounter(counterLo, counterHi);
    const opened = copyBytes(sealed);
    return this.#key.open(this.#nonce, aad, opened, 0, opened.length)
      ? opened.subarray(0, opened.length - TAG_SIZE)
      : undefined;
  }

  /** Wipes the key. Idempotent; sealing and opening throw `destroyed` afterwards. */
  destroy(): void {
    this.#key.destroy();
  }

  /** Shows the session id, never the key. */
  override toJSON(): PublicView {
    return { sessionId: sessionIdHex(this.sessionId), key: REDACTED };
  }

  /** Refuses 2^64 - 1, which no receiver accepts (spec crypto.md §5). */
  #setSealCounter(lo: number, hi: number): void {
    if (lo === MAX_U32 && hi === MAX_U32) {
      throw new CryptoError("counter-exhausted", "the transmit counter is used up");
    }
    this.#setCounter(lo, hi);
  }

  #setCounter(lo: number, hi: number): void {
    writeU32(this.#nonce, 4, lo);
    writeU32(this.#nonce, 8, hi);
  }
}
