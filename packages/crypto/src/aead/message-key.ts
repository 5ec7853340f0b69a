import { AAD_SIZE, HEADER_SIZE, HeaderOffset, readU32, TAG_SIZE, writeAad, writeU32 } from "@netmesh/wire";
import { Redacted } from "../redaction.ts";
import { AEAD_NONCE_SIZE, type AeadKey, requirePacket } from "./provider.ts";

/** A key of an implementation that knows messages but no packets: puts nonce and associated data together for it. */
export abstract class MessageKey extends Redacted implements AeadKey {
  readonly #nonce = new Uint8Array(AEAD_NONCE_SIZE);
  readonly #aad = new Uint8Array(AAD_SIZE);

  abstract seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void;

  abstract open(
    nonce: Uint8Array,
    aad: Uint8Array,
    buffer: Uint8Array,
    offset: number,
    length: number,
  ): boolean;

  abstract requireAlive(): void;

  abstract destroy(): void;

  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    requirePacket(buffer, offset, payloadLength);
    this.#gather(buffer, offset, noncePrefix, counterLo, counterHi);
    this.seal(this.#nonce, this.#aad, buffer, offset + HEADER_SIZE, payloadLength);
    writeU32(buffer, offset + HeaderOffset.NONCE_PREFIX, noncePrefix);
    writeU32(buffer, offset + HeaderOffset.COUNTER, counterLo);
    writeU32(buffer, offset + HeaderOffset.COUNTER + 4, counterHi);
  }

  openPacket(buffer: Uint8Array, offset: number, payloadLength: number, noncePrefix: number): boolean {
    requirePacket(buffer, offset, payloadLength);
    const counterLo = readU32(buffer, offset + HeaderOffset.COUNTER);
    const counterHi = readU32(buffer, offset + HeaderOffset.COUNTER + 4);
    this.#gather(buffer, offset, noncePrefix, counterLo, counterHi);
    return this.open(this.#nonce, this.#aad, buffer, offset + HEADER_SIZE, payloadLength + TAG_SIZE);
  }

  #gather(
    buffer: Uint8Array,
    offset: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    writeU32(this.#nonce, 0, noncePrefix);
    writeU32(this.#nonce, 4, counterLo);
    writeU32(this.#nonce, 8, counterHi);
    writeAad(this.#aad, 0, buffer, offset);
  }
}
