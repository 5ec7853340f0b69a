/** A version counts as seen for so long. */
const LIFETIME_MS = 600_000;

interface Seen {
  direct: bigint;
  forwarded: bigint;
  seenMs: number;
}

/**
 * The newest version of every node's announcements, separately of what came from the node itself and of what was passed on:
 * a copy that overtakes the original does not hide it. Bounded; the node that was heard longest ago leaves first.
 */
export class SeenVersions {
  readonly #capacity: number;
  readonly #nodes = new Map<bigint, Seen>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Nodes that are remembered. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Whether that version of the node, or a newer one, has come the same way. */
  has(nodeId: bigint, version: bigint, isDirect: boolean, nowMs: number): boolean {
    const seen = this.#nodes.get(nodeId);
    if (seen === undefined || nowMs - seen.seenMs > LIFETIME_MS) return false;
    return version <= (isDirect ? seen.direct : seen.forwarded);
  }

  /** Remembers that it has come. */
  add(nodeId: bigint, version: bigint, isDirect: boolean, nowMs: number): void {
    const known = this.#nodes.get(nodeId);
    const isCurrent = known !== undefined && nowMs - known.seenMs <= LIFETIME_MS;
    const seen = isCurrent ? known : { direct: -1n, forwarded: -1n, seenMs: nowMs };
    this.#nodes.delete(nodeId);
    if (isDirect) seen.direct = version;
    else seen.forwarded = version;
    seen.seenMs = nowMs;
    if (this.#nodes.size >= this.#capacity) {
      const [oldest] = this.#nodes.keys();
      this.#nodes.delete(oldest as bigint);
    }
    this.#nodes.set(nodeId, seen);
  }

  /** Forgets a node, which may count from the beginning again. */
  forget(nodeId: bigint): void {
    this.#nodes.delete(nodeId);
  }
}
