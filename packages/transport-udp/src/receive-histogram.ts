/** What the calls that received something brought (transport §7). */
export interface ReceiveBatches {
  /** Calls that brought datagrams. */
  readonly calls: number;
  /** Datagrams they brought. */
  readonly datagrams: number;
  /** The most that one brought. */
  readonly largest: number;
  /** Bucket `i` counts calls that brought at least `2^i` and less than `2^(i+1)`; the last one all from 64 on. */
  readonly histogram: readonly number[];
}

const BUCKETS = 7;

/** The bucket of a call that brought `datagrams`, at least 1. */
export function bucketOf(datagrams: number): number {
  return Math.min(BUCKETS - 1, 31 - Math.clz32(datagrams));
}

/** Counts calls by how many datagrams they brought. */
export class ReceiveHistogram {
  readonly #histogram: number[] = new Array(BUCKETS).fill(0);
  #calls = 0;
  #datagrams = 0;
  #largest = 0;

  record(datagrams: number): void {
    if (datagrams <= 0) return;
    const bucket = bucketOf(datagrams);
    this.#histogram[bucket] = (this.#histogram[bucket] as number) + 1;
    this.#calls += 1;
    this.#datagrams += datagrams;
    if (datagrams > this.#largest) this.#largest = datagrams;
  }

  snapshot(): ReceiveBatches {
    return {
      calls: this.#calls,
      datagrams: this.#datagrams,
      largest: this.#largest,
      histogram: [...this.#histogram],
    };
  }
}
