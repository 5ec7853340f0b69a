/** Bounds how often something may happen for each of many keys, which others choose. */
export class RateLimits<K> {
  readonly #count: number;
  readonly #windowMs: number;
  readonly #maxKeys: number;
  /** In the order of their windows' beginnings. */
  readonly #windows = new Map<K, { readonly startMs: number; used: number }>();

  /**
   * @param count - times per window and key
   * @param windowMs - length of a window, in milliseconds
   * @param maxKeys - keys that are remembered; the one whose window began first makes room
   */
  constructor(count: number, windowMs: number, maxKeys: number) {
    this.#count = count;
    this.#windowMs = windowMs;
    this.#maxKeys = maxKeys;
  }

  /** Whether it may happen now; if so, it counts. */
  take(key: K, nowMs: number): boolean {
    let window = this.#windows.get(key);
    if (window === undefined || nowMs - window.startMs >= this.#windowMs) {
      this.#windows.delete(key);
      if (this.#windows.size >= this.#maxKeys) this.#windows.delete(this.#windows.keys().next().value as K);
      window = { startMs: nowMs, used: 0 };
      this.#windows.set(key, window);
    }
    if (window.used >= this.#count) return false;
    window.used++;
    return true;
  }
}
