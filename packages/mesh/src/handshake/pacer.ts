const WINDOW_MS = 1_000;
const MAX_SOURCES = 4_096;

/**
 * Limits how many handshake messages are looked at, each of which costs public-key operations: per source address
 * and in total, in windows of one second (spec/crypto.md §4.6, weakness W6). Holds at most 4096 sources; when more
 * show up within a second only the total counts for them.
 */
export class HandshakePacer {
  readonly #perSource: number;
  readonly #total: number;
  readonly #sources = new Map<string, number>();
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** @param perSource - messages per second and source address; `total` - messages per second in all */
  constructor(perSource: number, total: number) {
    this.#perSource = perSource;
    this.#total = total;
  }

  /** Sources remembered at the moment. */
  get size(): number {
    return this.#sources.size;
  }

  /** Whether one more message from that source may be processed; counts it when so. */
  admit(source: string, nowMs: number): boolean {
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#sources.clear();
      this.#count = 0;
    }
    if (this.#count >= this.#total) return false;
    const seen = this.#sources.get(source);
    if (seen !== undefined && seen >= this.#perSource) return false;
    if (seen !== undefined || this.#sources.size < MAX_SOURCES) this.#sources.set(source, (seen ?? 0) + 1);
    this.#count++;
    return true;
  }
}
