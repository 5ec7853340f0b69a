import { hashU64, readU32 } from "@netmesh/wire";

/** Where a routed datagram names its source. */
const SOURCE_AT = 6;
/** Sources are told apart by a hash of 10 bits; those that share it share its part of the lane. */
const BUCKETS = 1024;

/**
 * Counts what each source holds of a priority lane, which bounds what it may take from the others (routing §11, W14): the flag and
 * the source of a routed datagram are unauthenticated bytes. Of fixed size.
 */
export class PriorityShares {
  readonly #perSource: number;
  readonly #hashSeed: number;
  readonly #held: Uint32Array = new Uint32Array(BUCKETS);

  /**
   * @param perSource packets that a source may have in the lane
   * @param hashSeed 32 random bits, against sources chosen to collide
   */
  constructor(perSource: number, hashSeed: number) {
    this.#perSource = perSource;
    this.#hashSeed = hashSeed;
  }

  /** Whether the source of a routed datagram may have one more packet in the lane. */
  hasRoom(datagram: Uint8Array): boolean {
    return (this.#held[this.#bucketOf(datagram)] as number) < this.#perSource;
  }

  /** A datagram has entered the lane. */
  entered(datagram: Uint8Array): void {
    const bucket = this.#bucketOf(datagram);
    this.#held[bucket] = (this.#held[bucket] as number) + 1;
  }

  /** A datagram that had {@link PriorityShares.entered} has left the lane. */
  left(datagram: Uint8Array): void {
    const bucket = this.#bucketOf(datagram);
    this.#held[bucket] = (this.#held[bucket] as number) - 1;
  }

  #bucketOf(datagram: Uint8Array): number {
    return hashU64(readU32(datagram, SOURCE_AT), 0, this.#hashSeed) % BUCKETS;
  }
}
