import type { Session } from "../session/session.ts";

/** A request of this node or another one that has passed here. */
export interface PassedLookup {
  readonly originId: bigint;
  readonly targetId: bigint;
  readonly id: number;
  /** Who has brought it; undefined for this node's own. */
  readonly from: Session | undefined;
  /** Hops from the origin to here. */
  readonly hops: number;
  /** The origin's key and signature, not verified before an answer comes. */
  readonly entityId: Uint8Array;
  readonly signature: Uint8Array;
  readonly timeSeconds: number;
  readonly atMs: number;
  /** Neighbours that it was passed on to. */
  readonly asked: Session[];
  /** Hops to the target by the best answer so far. */
  bestHops: number;
  /** Answers that were looked at. */
  answers: number;
}

/** A request is remembered for so long: until its answer has come, and its copies. */
const LIFETIME_MS = 10_000;

/**
 * Lookups that have passed this node: the way back for their answers, and what shows their copies for what they are.
 *
 * Bounds: ten seconds, and `capacity` requests; the oldest makes room.
 */
export class LookupTable {
  readonly #capacity: number;
  /** By origin and id, in the order of their coming. */
  readonly #passed = new Map<string, PassedLookup>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many are remembered. */
  get size(): number {
    return this.#passed.size;
  }

  /** The request of that origin and id. */
  get(originId: bigint, id: number, nowMs: number): PassedLookup | undefined {
    const passed = this.#passed.get(keyOf(originId, id));
    return passed !== undefined && nowMs - passed.atMs < LIFETIME_MS ? passed : undefined;
  }

  /** Remembers a request. */
  add(passed: PassedLookup): void {
    for (const [key, { atMs }] of this.#passed) {
      if (this.#passed.size < this.#capacity && passed.atMs - atMs < LIFETIME_MS) break;
      this.#passed.delete(key);
    }
    this.#passed.set(keyOf(passed.originId, passed.id), passed);
  }
}

function keyOf(originId: bigint, id: number): string {
  return `${originId.toString(36)}.${id.toString(36)}`;
}
