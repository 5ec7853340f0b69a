/** How many requests, and how many bytes of them and their answers, are under way at once: who wants to begin another waits. */
export class RequestWindow {
  readonly #maxRequests: number;
  readonly #maxBytes: number;
  #requests = 0;
  #bytes = 0;
  /** Continues whoever waits: there is one reader. */
  #wake: () => void = () => {};

  /** A single request may exceed `maxBytes`. */
  constructor(maxRequests: number, maxBytes: number) {
    this.#maxRequests = maxRequests;
    this.#maxBytes = maxBytes;
  }

  /** Begins a request of that many bytes; resolves when there is room for it. One call at a time. */
  async enter(size: number): Promise<void> {
    while (this.#requests >= this.#maxRequests || (this.#requests > 0 && this.#bytes >= this.#maxBytes)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#requests++;
    this.#bytes += size;
  }

  /** An answer of that many bytes waits to be written. */
  answer(size: number): void {
    this.#bytes += size;
  }

  /** A request and its answer are over, which had that many bytes together. */
  leave(size: number): void {
    this.#requests--;
    this.#bytes -= size;
    this.#wake();
  }
}
