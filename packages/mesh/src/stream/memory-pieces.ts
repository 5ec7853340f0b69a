/** Size of the pieces that are recycled; also the largest but for a packet that is larger. */
export const PIECE_BYTES = 65_536;
/** The first piece of a stream; each further one is twice as large, so that a stream that sends little takes little. */
const FIRST_PIECE_BYTES = 1_024;
/** Free pieces that are kept for the next stream that needs one: two windows of 1 MiB. The others are left to the collector. */
const MAX_FREE = 32;

/** Memory in which packets lie side by side. */
export class MemoryPiece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where free room begins. */
  used = 0;
  /** Packets that lie here. */
  packets = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }
}

/** The memory for what a node has written and not been acknowledged, recycled among its streams. */
export class MemoryPieces {
  readonly #free: MemoryPiece[] = [];

  /** Pieces that wait for a stream. */
  get free(): number {
    return this.#free.length;
  }

  /** An empty piece with room for `size` bytes, for a stream whose piece before had `before` bytes; 0 for none. */
  take(size: number, before: number): MemoryPiece {
    const wanted = Math.max(size, Math.min(PIECE_BYTES, Math.max(FIRST_PIECE_BYTES, 2 * before)));
    const recycled = wanted === PIECE_BYTES ? this.#free.pop() : undefined;
    return recycled ?? new MemoryPiece(wanted);
  }

  /** Takes a piece back in which no packet lies any more. */
  give(piece: MemoryPiece): void {
    if (piece.bytes.length !== PIECE_BYTES || this.#free.length >= MAX_FREE) return;
    piece.used = 0;
    this.#free.push(piece);
  }
}
