import { joinU64, low32, writeU64, xxh3 } from "@netmesh/wire";

/** Origins that a horizon remembers exactly unless told otherwise. */
export const DEFAULT_MAX_ORIGINS = 65_536;

/** The three bits of an origin in an encoded horizon (§2.2). */
export function horizonBits(originHash: bigint): bigint {
  writeU64(key, 0, originHash);
  const hash = xxh3(key);
  const step = low32(hash >> 32n) | 1;
  let lo = 0;
  let hi = 0;
  for (let i = 0, at = low32(hash); i < 3; i++, at = (at + step) | 0) {
    if (at & 32) hi |= 1 << at;
    else lo |= 1 << at;
  }
  return joinU64(lo, hi);
}

const key = new Uint8Array(8);

/**
 * Whether an encoded horizon may contain the origin: never a false no, but from about 16 origins on the answer means nothing
 * (§2.2).
 */
export function mightContain(horizon: bigint, originHash: bigint): boolean {
  const bits = horizonBits(originHash);
  return (horizon & bits) === bits;
}

/** Whether neither of two events is known to have seen the other's origin; false may be wrong, true is not (§2.2). */
export function potentiallyConcurrent(
  horizonA: bigint,
  originB: bigint,
  horizonB: bigint,
  originA: bigint,
): boolean {
  return !mightContain(horizonA, originB) && !mightContain(horizonB, originA);
}

interface Seen {
  sequence: bigint;
}

/**
 * What a producer has seen: the highest sequence of each origin (§2.1).
 *
 * At most `maxOrigins` are held; of more, the one that was first seen longest ago is forgotten. Its bits stay in the
 * encoding, which therefore still has no false no.
 */
export class ObservedHorizon {
  /** Origins held at most. */
  readonly maxOrigins: number;
  readonly #seen: Map<bigint, Seen> = new Map();
  /** The origin observed last, and its entry: producers come in runs. */
  #lastOrigin: bigint | undefined;
  #last: Seen | undefined;
  #logicalTime = 0;
  #encoded = 0n;

  constructor(maxOrigins: number = DEFAULT_MAX_ORIGINS) {
    this.maxOrigins = Math.max(1, maxOrigins);
  }

  /** Events that were news, plus one for each merge. */
  get logicalTime(): number {
    return this.#logicalTime;
  }

  /** Origins held. */
  get size(): number {
    return this.#seen.size;
  }

  /** The horizon as one u64, a Bloom filter of its origins; 0 when empty (§2.2). */
  get encoded(): bigint {
    return this.#encoded;
  }

  /** Takes note of an event. Only a sequence above all before it is news. */
  observe(originHash: bigint, sequence: bigint): void {
    const seen = originHash === this.#lastOrigin ? (this.#last as Seen) : this.#entry(originHash);
    if (sequence <= seen.sequence) return;
    seen.sequence = sequence;
    this.#logicalTime++;
  }

  /** Takes over whatever the other has seen beyond this one; always a tick of logical time. */
  merge(other: ObservedHorizon): void {
    for (const [originHash, { sequence }] of other.#seen) {
      const seen = this.#entry(originHash);
      if (sequence > seen.sequence) seen.sequence = sequence;
    }
    this.#encoded |= other.#encoded;
    this.#logicalTime = Math.max(this.#logicalTime, other.#logicalTime) + 1;
  }

  /** Whether the origin was seen at `sequence` or later. */
  hasObserved(originHash: bigint, sequence: bigint): boolean {
    const seen = this.#seen.get(originHash);
    return seen !== undefined && seen.sequence >= sequence;
  }

  /** Whether the origin was seen at all; exact. */
  containsOrigin(originHash: bigint): boolean {
    return this.#seen.has(originHash);
  }

  /** Origins with the highest sequence of each, in the order in which they were first seen. */
  *entries(): IterableIterator<[originHash: bigint, sequence: bigint]> {
    for (const [originHash, { sequence }] of this.#seen) yield [originHash, sequence];
  }

  /** An independent horizon that has seen the same. */
  copy(): ObservedHorizon {
    const copy = new ObservedHorizon(this.maxOrigins);
    for (const [originHash, { sequence }] of this.#seen) copy.#seen.set(originHash, { sequence });
    copy.#encoded = this.#encoded;
    copy.#logicalTime = this.#logicalTime;
    return copy;
  }

  #entry(originHash: bigint): Seen {
    let seen = this.#seen.get(originHash);
    if (seen === undefined) {
      seen = { sequence: 0n };
      this.#seen.set(originHash, seen);
      this.#encoded |= horizonBits(originHash);
      if (this.#seen.size > this.maxOrigins) this.#forgetFirst();
    }
    this.#lastOrigin = originHash;
    this.#last = seen;
    return seen;
  }

  #forgetFirst(): void {
    for (const originHash of this.#seen.keys()) {
      this.#seen.delete(originHash);
      return;
    }
  }
}
