import { copyBytes, PACKET_OVERHEAD, TAG_SIZE, writeU32 } from "@netmesh/wire";
import { aeadProvider } from "./aead/choice.ts";
import { AEAD_NONCE_SIZE, type AeadBatch, type AeadKey, type AeadProvider } from "./aead/provider.ts";
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
  readonly #noncePrefix: number;
  /** For the forms that take a whole message: prefix in bytes 0..4 for good, counter in 4..12. */
  readonly #nonce: Uint8Array = new Uint8Array(AEAD_NONCE_SIZE);

  /** `key` has 32 bytes and is copied. Throws `invalid-length`. */
  constructor(key: Uint8Array, sessionId: bigint, provider: AeadProvider = aeadProvider()) {
    super();
    this.sessionId = sessionId;
    this.#key = provider.create(key);
    this.#noncePrefix = noncePrefix(sessionId);
    writeU32(this.#nonce, 0, this.#noncePrefix);
  }

  /**
   * Seals a packet in place. `buffer` holds at `offset` a complete header of 68 bytes, behind it
   * `payloadLength` bytes of plaintext, behind them 16 free bytes for the tag. Writes nonce prefix and
   * counter into the header and returns the length of the packet. Throws `invalid-length`, `invalid-argument` for
   * halves that are no u32, `counter-exhausted` or `destroyed`, and then has changed nothing.
   */
  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    counterLo: number,
    counterHi: number,
  ): number {
    requireCounter(counterLo, counterHi);
    this.#key.sealPacket(buffer, offset, payloadLength, this.#noncePrefix, counterLo, counterHi);
    return PACKET_OVERHEAD + payloadLength;
  }

  /**
   * Verifies and opens a packet in place. `length` counts header, ciphertext and tag. Returns the length of
   * the plaintext, which then starts 68 bytes behind `offset`, or -1 if the packet is too short or its tag is
   * wrong; no plaintext is left in the buffer then. The counter is header bytes 16..24; whether it is fresh
   * is the replay window's question. The nonce prefix comes from the session id, the copy in the packet is
   * ignored. Throws `destroyed`, and `invalid-length` for an offset or length that is no whole number.
   */
  openPacket(buffer: Uint8Array, offset: number, length: number): number {
    if (length < PACKET_OVERHEAD || offset + length > buffer.length) return -1;
    const payloadLength = length - PACKET_OVERHEAD;
    return this.#key.openPacket(buffer, offset, payloadLength, this.#noncePrefix) ? payloadLength : -1;
  }

  /**
   * Adds a packet to a batch of this cipher's provider: to be sealed with that counter, or to be opened, in which case the
   * header's counter counts. Throws `counter-exhausted`, `invalid-argument`, and what {@link AeadBatch.add} throws.
   */
  addTo(
    batch: AeadBatch,
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    counterLo: number,
    counterHi: number,
  ): void {
    requireCounter(counterLo, counterHi);
    batch.add(this.#key, buffer, offset, payloadLength, this.#noncePrefix, counterLo, counterHi);
  }

  /** Ciphertext and tag of `plaintext` in a new array; the input stays as it is. Throws as `sealPacket`. */
  seal(counterLo: number, counterHi: number, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    requireCounter(counterLo, counterHi);
    this.#setCounter(counterLo, counterHi);
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

  #setCounter(lo: number, hi: number): void {
    writeU32(this.#nonce, 4, lo);
    writeU32(this.#nonce, 8, hi);
  }
}

/**
 * Refuses 2^64 - 1, which no receiver accepts (spec crypto.md §5), and halves that are no u32: cut to 32 bits they would be
 * the counter of another packet.
 */
function requireCounter(counterLo: number, counterHi: number): void {
  if (counterLo >>> 0 !== counterLo || counterHi >>> 0 !== counterHi) {
    throw new CryptoError("invalid-argument", "a counter is two u32", counterLo);
  }
  if (counterLo === MAX_U32 && counterHi === MAX_U32) {
    throw new CryptoError("counter-exhausted", "the transmit counter is used up");
  }
}
