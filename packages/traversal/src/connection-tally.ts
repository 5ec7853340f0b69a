import type { ConnectionPath, ConnectionReason } from "./direct-connector.ts";
import type { NatClass } from "./nat-class.ts";
import type { TraversalErrorKind } from "./traversal-error.ts";

/** What came of one attempt to reach a peer without a relay. */
export interface ConnectionAttempt {
  readonly nodeId: bigint;
  /** Classes of the two NATs when it began, as far as they were known. */
  readonly own: NatClass;
  readonly remote: NatClass;
  /** How the peer is reached now; `none` when not at all. */
  readonly path: ConnectionPath | "none";
  readonly reason: ConnectionReason | TraversalErrorKind;
  readonly durationMs: number;
}

/** How many attempts between two classes ended in the same way. */
export interface ConnectionTally extends Pick<ConnectionAttempt, "own" | "remote" | "path" | "reason"> {
  readonly count: number;
}

/** Counts attempts by pair of classes, path and reason: at most as many tallies as there are such combinations. */
export class ConnectionTallies {
  readonly #tallies = new Map<string, { -readonly [K in keyof ConnectionTally]: ConnectionTally[K] }>();

  /** One more attempt. */
  add({ own, remote, path, reason }: ConnectionAttempt): void {
    const key = `${own} ${remote} ${path} ${reason}`;
    const tally = this.#tallies.get(key);
    if (tally === undefined) this.#tallies.set(key, { own, remote, path, reason, count: 1 });
    else tally.count++;
  }

  /** A copy of all. */
  get all(): ConnectionTally[] {
    return [...this.#tallies.values()].map((tally) => ({ ...tally }));
  }
}
