/** Sizes of the pieces of memory: doubled with each, so that a stream that sends little takes little. */
const FIRST_PIECE_BYTES = 1_024;
const LARGEST_PIECE_BYTES = 65_536;

/**
 * Copies of small byte strings side by side in larger pieces of memory: an allocation of its own for each would cost more
 * than the copy. A piece is collected when none of its copies is referenced any more, so copies that are kept for
 * different times should not share a slab.
 */
export class ByteSlab {
  #piece = new Uint8Array(0);
  #next = 0;

  /** A copy of the bytes; neighbours in the same buffer belong to others. */
  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (this.#next + length > this.#piece.length) this.#grow(length);
    const copy = new Uint8Array(this.#piece.buffer, this.#next, length);
    copy.set(bytes);
    this.#next += length;
    return copy;
  }

  #grow(length: number): void {
    const doubled = Math.min(LARGEST_PIECE_BYTES, Math.max(FIRST_PIECE_BYTES, 2 * this.#piece.length));
    this.#piece = new Uint8Array(Math.max(doubled, length));
    this.#next = 0;
  }
}
