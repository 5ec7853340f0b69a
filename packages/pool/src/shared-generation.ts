import { PoolError } from "./errors.ts";

/** Bytes that a generation takes in shared memory: i32 generation, i32 holders. */
export const SHARED_GENERATION_SIZE = 8;

const GENERATION = 0;
const HOLDERS = 1;

/**
 * How a key that several threads hold ends for all of them at once: two words in shared memory, the present
 * generation and the number of threads that hold its key. Each thread has its own object on them.
 *
 * A thread joins before it looks at the generation, and leaves when it has wiped its key. So once a generation
 * is retired and nobody holds it, no thread uses its key any more or ever will.
 */
export class SharedGeneration {
  /** The generation this object belongs to. */
  readonly generation: number;
  readonly #words: Int32Array;
  #isHolder = false;

  /** On 8 bytes of `memory` at `offset`, a multiple of 4. The present generation by default. */
  constructor(memory: SharedArrayBuffer, offset: number, generation?: number) {
    this.#words = new Int32Array(memory, offset, 2);
    this.generation = generation ?? Atomics.load(this.#words, GENERATION);
  }

  /** Whether the generation has not been retired. */
  get isCurrent(): boolean {
    return Atomics.load(this.#words, GENERATION) === this.generation;
  }

  /** Threads that hold a key of this memory. One that ends without `leave` stays counted. */
  get holders(): number {
    return Atomics.load(this.#words, HOLDERS);
  }

  /** Throws `stale-generation` if the generation has been retired. */
  assertCurrent(): void {
    if (!this.isCurrent) throw new PoolError("stale-generation", "the key of this generation was replaced");
  }

  /** Counts this thread as a holder. Throws `stale-generation`, and then it is none. */
  join(): void {
    if (this.#isHolder) return;
    Atomics.add(this.#words, HOLDERS, 1);
    this.#isHolder = true;
    if (this.isCurrent) return;
    this.leave();
    this.assertCurrent();
  }

  /** Takes this thread off the count; call it after the key was wiped. Idempotent. */
  leave(): void {
    if (!this.#isHolder) return;
    this.#isHolder = false;
    Atomics.sub(this.#words, HOLDERS, 1);
  }

  /** Ends the generation for all threads. Idempotent. */
  retire(): void {
    Atomics.compareExchange(this.#words, GENERATION, this.generation, (this.generation + 1) | 0);
  }
}
