/** Room of a staging buffer at least: an Ethernet datagram. */
const MIN_STAGING_BYTES = 2048;
/** Buffers kept when a burst is over. */
const KEPT_WHEN_IDLE = 64;

/**
 * Copies of datagrams on their way into the kernel. The bytes of a send belong to the caller again
 * when the call returns, but Node may still be holding them in its queue.
 *
 * While nothing is queued the same buffer serves every send; while something is, each send takes the
 * next one. Sends leave in order, so a ring one longer than the queue's bound never overwrites bytes
 * still queued. Buffers are made when first needed.
 */
export class StagingRing {
  readonly #size: number;
  readonly #buffers: Uint8Array[] = [];
  #next = 0;

  constructor(maxQueued: number) {
    this.#size = maxQueued + 1;
  }

  /** A buffer that begins with a copy of `bytes`; valid until the ring comes round. */
  stage(bytes: Uint8Array, queued: number): Uint8Array {
    if (queued === 0) {
      this.#next = 0;
      if (this.#buffers.length > KEPT_WHEN_IDLE) this.#buffers.length = KEPT_WHEN_IDLE;
    }
    const index = this.#next;
    this.#next = index + 1 === this.#size ? 0 : index + 1;
    let buffer = this.#buffers[index];
    if (buffer === undefined || buffer.length < bytes.length) {
      buffer = new Uint8Array(Math.max(MIN_STAGING_BYTES, bytes.length));
      this.#buffers[index] = buffer;
    }
    buffer.set(bytes);
    return buffer;
  }
}
