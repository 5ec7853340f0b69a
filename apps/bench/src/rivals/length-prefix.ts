/** Bytes before each event on a byte stream: its length, big-endian. */
export const PREFIX_BYTES = 4;

/** An event with its length before it, in a new buffer. */
export function frame(event: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + event.length);
  framed.writeUInt32BE(event.length);
  framed.set(event, PREFIX_BYTES);
  return framed;
}

/** Cuts a byte stream into events. */
export class FrameReader {
  readonly #onEvent: (event: Uint8Array) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onEvent: (event: Uint8Array) => void) {
    this.#onEvent = onEvent;
  }

  /** Takes the next bytes; the events found are views of them. */
  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    while (bytes.length - start >= PREFIX_BYTES) {
      const end = start + PREFIX_BYTES + bytes.readUInt32BE(start);
      if (end > bytes.length) break;
      this.#onEvent(bytes.subarray(start + PREFIX_BYTES, end));
      start = end;
    }
    this.#rest = bytes.subarray(start);
  }
}
