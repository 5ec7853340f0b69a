/**
 * Sizes of the pieces of memory: doubled with each, so that a stream that receives little takes little. The largest holds
 * fourteen of the largest packets, and is still recycled by the system's allocator.
 */
const FIRST_PIECE_BYTES = 1_024;
const LARGEST_PIECE_BYTES = 114_688;

/**
 * Copies of byte strings side by side in larger pieces of memory: memory of its own for each costs twice the copy. A piece is
 * collected when none of its copies is referenced any more.
 */
export class ByteSlab {
  #piece = new Uint8Array(0);
  #next = 0;

  /** A copy of `bytes[start..end]`; neighbours in the same buffer belong to others. */
  copy(bytes: Uint8Array, start: number, end: number): Uint8Array {
    const length = end - start;
    if (this.#next + length > this.#piece.length) this.#grow(length);
    const copy = this.#piece.subarray(this.#next, this.#next + length);
    copy.set(bytes.subarray(start, end));
    this.#next += length;
    return copy;
  }

  #grow(length: number): void {
    const doubled = Math.min(LARGEST_PIECE_BYTES, Math.max(FIRST_PIECE_BYTES, 2 * this.#piece.length));
    this.#piece = new Uint8Array(Math.max(doubled, length));
    this.#next = 0;
  }
}
