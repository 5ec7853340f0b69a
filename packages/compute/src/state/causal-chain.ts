import { MAX_U64 } from "@netmesh/wire";
import type { CausalEvent } from "./causal-event.ts";
import { type CausalLink, genesisLink, nextLink, parentHash } from "./causal-link.ts";
import { StateError } from "./state-error.ts";

const NO_PAYLOAD = new Uint8Array(0);

/**
 * The chain that one producer appends to (§1.3). It keeps the hash of its head rather than the head's payload, so
 * that nobody who holds that payload can alter the chain.
 */
export class CausalChain {
  #head: CausalLink;
  /** What the next link carries as its parent hash; undefined until first asked for, for a head without payload. */
  #headHash: bigint | undefined;

  private constructor(head: CausalLink, headHash: bigint | undefined) {
    this.#head = head;
    this.#headHash = headHash;
  }

  /** A chain whose first event will have sequence 1. */
  static genesis(originHash: bigint): CausalChain {
    return new CausalChain(genesisLink(originHash), undefined);
  }

  /**
   * Goes on after `head`. `headHash` is `parentHash` of it and its payload; by default that of an empty payload, as after a
   * fork's first link (§8.3).
   */
  static resume(head: CausalLink, headHash?: bigint): CausalChain {
    return new CausalChain(head, headHash);
  }

  /** The link last appended, or the one it started from. */
  get head(): CausalLink {
    return this.#head;
  }

  /** The parent hash of the next link. */
  get headHash(): bigint {
    this.#headHash ??= parentHash(this.#head, NO_PAYLOAD);
    return this.#headHash;
  }

  /** How many more events fit: less than `count` only near sequence 2^64 − 1. */
  hasRoomFor(count: number): boolean {
    return this.#head.sequence + BigInt(count) <= MAX_U64;
  }

  /**
   * Appends an event, which then shares `payload` with the caller: nobody may change it. Throws `no-successor`.
   */
  append(payload: Uint8Array, horizon: bigint, receivedAt: bigint): CausalEvent {
    const link = nextLink(this.#head, this.headHash, horizon);
    if (link === undefined) {
      throw new StateError("no-successor", "sequence overflow: the chain is at its end", MAX_U64);
    }
    this.#headHash = parentHash(link, payload);
    this.#head = link;
    return { link, payload, receivedAt };
  }
}

/** Why a link does not follow another (§1.4). */
export interface ChainFault {
  /** The first test that failed. */
  readonly code: "origin-mismatch" | "sequence-gap" | "parent-hash-mismatch";
  /** What the field had to be. */
  readonly expected: bigint;
  /** What it is. */
  readonly got: bigint;
}

/**
 * Whether `link` follows `head`, whose `parentHash` is `headHash`: undefined when it does. Origin goes before
 * sequence, sequence before hash; the horizon is not looked at (§1.4).
 */
export function checkSuccessor(link: CausalLink, head: CausalLink, headHash: bigint): ChainFault | undefined {
  if (link.originHash !== head.originHash) {
    return { code: "origin-mismatch", expected: head.originHash, got: link.originHash };
  }
  const isLast = head.sequence === MAX_U64;
  const expected = isLast ? MAX_U64 : head.sequence + 1n;
  if (isLast || link.sequence !== expected) return { code: "sequence-gap", expected, got: link.sequence };
  if (link.parentHash === headHash) return undefined;
  return { code: "parent-hash-mismatch", expected: headHash, got: link.parentHash };
}
