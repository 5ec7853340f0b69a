import { checkSuccessor } from "./causal-chain.ts";
import type { CausalEvent } from "./causal-event.ts";
import { type CausalLink, genesisLink, isGenesis, parentHash } from "./causal-link.ts";
import type { EntityLog } from "./entity-log.ts";
import type { StateSnapshot } from "./snapshot.ts";

/** What can be said about the chain in a log (§7). */
export type Continuity =
  /** Unbroken from its anchor on; `genesisHash` is that of the first event held. All 0 for an empty log. */
  | {
      readonly kind: "continuous";
      readonly genesisHash: bigint;
      readonly headSeq: bigint;
      readonly headHash: bigint;
    }
  /** The event at `forkPoint` carries `forkHash` where its predecessor's is `originalHash`. */
  | {
      readonly kind: "forked";
      readonly forkPoint: bigint;
      readonly originalHash: bigint;
      readonly forkHash: bigint;
    }
  /** Nothing here tells whether the events from `gapStart` on belong to what came before. */
  | { readonly kind: "unverifiable"; readonly lastVerifiedSeq: bigint; readonly gapStart: bigint };

/**
 * Judges the events of a log (§7). Their first one has to follow the genesis, or the snapshot, whose head hash must be known: one
 * that came over the wire has none.
 */
export function assessContinuity(log: EntityLog, snapshot?: StateSnapshot): Continuity {
  const [first] = log.events;
  if (first === undefined) return { kind: "continuous", genesisHash: 0n, headSeq: 0n, headHash: 0n };
  const anchor = anchorOf(first.link, snapshot);
  if (anchor === undefined) return { kind: "unverifiable", lastVerifiedSeq: 0n, gapStart: 0n };
  let { link, hash } = anchor;
  for (const event of log.events) {
    if (!isGenesis(event.link)) {
      const fault = checkSuccessor(event.link, link, hash);
      if (fault?.code === "parent-hash-mismatch") {
        const { expected: originalHash, got: forkHash } = fault;
        return { kind: "forked", forkPoint: event.link.sequence, originalHash, forkHash };
      }
      if (fault !== undefined) {
        return { kind: "unverifiable", lastVerifiedSeq: link.sequence, gapStart: link.sequence + 1n };
      }
    }
    link = event.link;
    hash = hashOf(event);
  }
  return { kind: "continuous", genesisHash: hashOf(first), headSeq: link.sequence, headHash: hash };
}

/** What the first event has to follow: a link and its hash. */
function anchorOf(
  first: CausalLink,
  snapshot: StateSnapshot | undefined,
): { link: CausalLink; hash: bigint } | undefined {
  if (first.sequence <= 1n) {
    const link = genesisLink(first.originHash);
    return { link, hash: parentHash(link, new Uint8Array(0)) };
  }
  if (snapshot?.headHash === undefined || first.sequence !== snapshot.throughSeq + 1n) return undefined;
  return { link: snapshot.chainLink, hash: snapshot.headHash };
}

function hashOf(event: CausalEvent): bigint {
  return parentHash(event.link, event.payload);
}
