/** Views kept; a power of two. Each costs about 150 bytes. */
const ENTRIES = 4_096;

/**
 * Views of parts of one array, kept for the next time that the same part is wanted: a view is as dear to make as a
 * packet is to receive, and traffic consists of a few sizes at the same places.
 *
 * Bounded: a part has one entry where its view can be, and a newer part takes it.
 */
export class ViewCache {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #places: number;
  readonly #views: (Uint8Array<ArrayBuffer> | undefined)[] = new Array(ENTRIES).fill(undefined);

  /** @param places - how many places there are, a power of two; parts of one length at different places never compete. */
  constructor(bytes: Uint8Array<ArrayBuffer>, places: number) {
    this.#bytes = bytes;
    this.#places = places;
  }

  /** `length` bytes at `at`, which is the place of number `place`. */
  view(place: number, at: number, length: number): Uint8Array<ArrayBuffer> {
    const offset = this.#bytes.byteOffset + at;
    const way = Math.imul(length, 0x9e3779b1) >>> 20;
    const index = (place + way * this.#places) & (ENTRIES - 1);
    const known = this.#views[index];
    if (known !== undefined && known.byteOffset === offset && known.length === length) return known;
    const view = new Uint8Array(this.#bytes.buffer, offset, length);
    this.#views[index] = view;
    return view;
  }
}
