import { type ChainFault, checkSuccessor } from "./causal-chain.ts";
import type { CausalEvent } from "./causal-event.ts";
import { type CausalLink, genesisLink, isGenesis, parentHash } from "./causal-link.ts";

/** Events that a log holds unless told otherwise (§10, `maxLogEntries`). */
export const DEFAULT_MAX_LOG_EVENTS = 10_000;

/** Why an event does not belong at the end of a log (§3). */
export type LogFault = ChainFault | { readonly code: "duplicate"; readonly sequence: bigint };

/** What a log starts after, other than a genesis. */
export interface LogBase {
  /** The link before the first event, such as that of a snapshot. */
  readonly link: CausalLink;
  /** `parentHash` of it and its payload. */
  readonly hash: bigint;
}

/**
 * A validated run of one origin's events (§3). Every event held follows the one before by sequence and hash.
 *
 * At most `maxEvents` are held; of more, the oldest eighth is dropped as by `pruneThrough`.
 */
export class EntityLog {
  /** Whose events these are. */
  readonly originHash: bigint;
  readonly #maxEvents: number;
  #events: CausalEvent[] = [];
  #base: CausalLink;
  /** What the successor of `#head` carries. */
  #headHash: bigint;
  #snapshotSeq: bigint;

  constructor(originHash: bigint, base?: LogBase, maxEvents: number = DEFAULT_MAX_LOG_EVENTS) {
    this.originHash = originHash;
    this.#maxEvents = Math.max(1, maxEvents);
    this.#base = base?.link ?? genesisLink(originHash);
    this.#headHash = base?.hash ?? parentHash(this.#base, new Uint8Array(0));
    this.#snapshotSeq = this.#base.sequence;
  }

  /** Events held. */
  get length(): number {
    return this.#events.length;
  }

  /** The link before the first event held. */
  get base(): CausalLink {
    return this.#base;
  }

  /** The link of the last event, or the base when there is none. */
  get head(): CausalLink {
    return this.#events.at(-1)?.link ?? this.#base;
  }

  /** The parent hash of the next event. */
  get headHash(): bigint {
    return this.#headHash;
  }

  /** Through which sequence events were pruned; they live on in a snapshot if anywhere. */
  get snapshotSeq(): bigint {
    return this.#snapshotSeq;
  }

  /** The events in order; the log's own, valid until it next changes. */
  get events(): readonly CausalEvent[] {
    return this.#events;
  }

  /** Appends the event unless it does not follow the head; undefined when it does. */
  append(event: CausalEvent): LogFault | undefined {
    const { head } = this;
    const fault = this.#check(event, head);
    if (fault !== undefined) return fault;
    this.#events.push(event);
    this.#headHash = parentHash(event.link, event.payload);
    if (this.#events.length > this.#maxEvents) {
      const lastOfEighth = this.#events[this.#maxEvents >> 3] as CausalEvent;
      this.pruneThrough(lastOfEighth.link.sequence);
    }
    return undefined;
  }

  #check({ link, payload }: CausalEvent, head: CausalLink): LogFault | undefined {
    if (link.originHash !== this.originHash) {
      return { code: "origin-mismatch", expected: this.originHash, got: link.originHash };
    }
    if (this.#events.length > 0) {
      if (link.sequence <= head.sequence) return { code: "duplicate", sequence: link.sequence };
    } else if (isGenesis(head) && isGenesis(link)) {
      // The genesis itself as an event: it binds no payload, so it may not carry one.
      return payload.length === 0 ? undefined : { code: "parent-hash-mismatch", expected: 0n, got: 0n };
    }
    return checkSuccessor(link, head, this.#headHash);
  }

  /** The event with that sequence, if held. */
  get(sequence: bigint): CausalEvent | undefined {
    const first = this.#events[0];
    if (first === undefined || sequence < first.link.sequence || sequence > this.head.sequence)
      return undefined;
    return this.#events[Number(sequence - first.link.sequence)];
  }

  /** The events from one sequence to another, both included. */
  range(from: bigint, to: bigint): CausalEvent[] {
    return this.#events.slice(this.#indexFrom(from), this.#indexFrom(to + 1n));
  }

  /** The events after a sequence. */
  after(sequence: bigint): CausalEvent[] {
    return this.#events.slice(this.#indexFrom(sequence + 1n));
  }

  /** Index of the first event at or after a sequence. */
  #indexFrom(sequence: bigint): number {
    const first = this.#events[0];
    if (first === undefined || sequence <= first.link.sequence) return 0;
    const distance = sequence - first.link.sequence;
    return distance >= BigInt(this.#events.length) ? this.#events.length : Number(distance);
  }

  /** Drops the events up to a sequence, which then is the base of the rest; returns how many those were. */
  pruneThrough(sequence: bigint): number {
    const count = this.#indexFrom(sequence + 1n);
    const last = this.#events[count - 1];
    if (last === undefined) return 0;
    this.#base = last.link;
    if (sequence > this.#snapshotSeq) this.#snapshotSeq = sequence;
    this.#events = this.#events.slice(count);
    return count;
  }
}
