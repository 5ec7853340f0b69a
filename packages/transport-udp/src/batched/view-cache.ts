/** Views of single parts that are kept; a power of two. Each costs about 150 bytes. */
const SINGLE_VIEWS = 1_024;
/** Segment sizes of which a slot keeps the views; a power of two. */
const WAYS = 4;
/** Views of one size that a slot keeps at most: no kernel joins more datagrams. */
const MAX_SEGMENTS = 128;

/** Views of equal parts of a slot, side by side from its beginning. */
interface SegmentViews {
  size: number;
  readonly views: Uint8Array<ArrayBuffer>[];
}

/**
 * Views of parts of received memory, kept for the next time that the same part is wanted: a view is as dear to make as
 * a datagram is to receive, and traffic consists of a few sizes at the same places.
 *
 * Bounded: every size has one place where its views can be, and a newer size takes it.
 */
export class ViewCache {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #stride: number;
  readonly #singles: (Uint8Array<ArrayBuffer> | undefined)[] = new Array(SINGLE_VIEWS).fill(undefined);
  readonly #segments: SegmentViews[];

  /** @param stride - bytes from slot to slot. */
  constructor(bytes: Uint8Array<ArrayBuffer>, slots: number, stride: number) {
    this.#bytes = bytes;
    this.#stride = stride;
    this.#segments = Array.from({ length: slots * WAYS }, () => ({ size: 0, views: [] }));
  }

  /** `length` bytes of the slot at `at`. */
  view(slot: number, at: number, length: number): Uint8Array<ArrayBuffer> {
    const offset = this.#bytes.byteOffset + slot * this.#stride + at;
    const index = (slot + (Math.imul(length, 0x9e3779b1) >>> 16)) & (SINGLE_VIEWS - 1);
    const known = this.#singles[index];
    if (known !== undefined && known.byteOffset === offset && known.length === length) return known;
    const view = new Uint8Array(this.#bytes.buffer, offset, length);
    this.#singles[index] = view;
    return view;
  }

  /** At least `count` views of `size` bytes each, one behind the other from the beginning of the slot. */
  segments(slot: number, size: number, count: number): readonly Uint8Array<ArrayBuffer>[] {
    const way = Math.imul(size, 0x9e3779b1) >>> 30;
    const known = this.#segments[slot * WAYS + way] as SegmentViews;
    const { views } = known;
    if (known.size !== size || views.length > MAX_SEGMENTS) {
      known.size = size;
      views.length = 0;
    }
    const offset = this.#bytes.byteOffset + slot * this.#stride;
    for (let i = views.length; i < count; i++) {
      views.push(new Uint8Array(this.#bytes.buffer, offset + i * size, size));
    }
    return views;
  }
}
