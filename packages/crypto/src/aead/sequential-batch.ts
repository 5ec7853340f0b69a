import { CryptoError } from "../errors.ts";
import { AEAD_BATCH_SIZE, type AeadBatch, type AeadKey, requirePacket } from "./provider.ts";

/** One packet of a {@link SequentialBatch}. */
interface Entry {
  key: AeadKey | undefined;
  buffer: Uint8Array;
  offset: number;
  payloadLength: number;
  noncePrefix: number;
  counterLo: number;
  counterHi: number;
}

const NOTHING = new Uint8Array(0);

/** A batch for providers that process one packet at a time. */
export class SequentialBatch implements AeadBatch {
  count = 0;
  readonly #entries: Entry[] = [];
  readonly #opened = new Uint8Array(AEAD_BATCH_SIZE);

  add(
    key: AeadKey,
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    if (this.count === AEAD_BATCH_SIZE)
      throw new CryptoError("invalid-length", "the batch is full", this.count);
    requirePacket(buffer, offset, payloadLength);
    key.requireAlive();
    let entry = this.#entries[this.count];
    if (entry === undefined) {
      entry = { key, buffer, offset, payloadLength, noncePrefix, counterLo, counterHi };
      this.#entries.push(entry);
    } else {
      entry.key = key;
      entry.buffer = buffer;
      entry.offset = offset;
      entry.payloadLength = payloadLength;
      entry.noncePrefix = noncePrefix;
      entry.counterLo = counterLo;
      entry.counterHi = counterHi;
    }
    this.count++;
  }

  seal(): void {
    try {
      this.#requireAlive();
      for (let i = 0; i < this.count; i++) {
        const { key, buffer, offset, payloadLength, noncePrefix, counterLo, counterHi } = this.#entries[
          i
        ] as Entry;
        key?.sealPacket(buffer, offset, payloadLength, noncePrefix, counterLo, counterHi);
      }
    } finally {
      this.#clear();
    }
  }

  open(): void {
    try {
      this.#requireAlive();
      this.#opened.fill(0);
      for (let i = 0; i < this.count; i++) {
        const { key, buffer, offset, payloadLength, noncePrefix } = this.#entries[i] as Entry;
        this.#opened[i] = key?.openPacket(buffer, offset, payloadLength, noncePrefix) === true ? 1 : 0;
      }
    } finally {
      this.#clear();
    }
  }

  opened(index: number): boolean {
    return this.#opened[index] === 1;
  }

  #requireAlive(): void {
    for (let i = 0; i < this.count; i++) (this.#entries[i] as Entry).key?.requireAlive();
  }

  #clear(): void {
    for (let i = 0; i < this.count; i++) {
      const entry = this.#entries[i] as Entry;
      entry.key = undefined;
      entry.buffer = NOTHING;
    }
    this.count = 0;
  }
}
