import { readU64, writeU64 } from "@netmesh/wire";
import { checkSuccessor } from "./causal-chain.ts";
import type { CausalEvent } from "./causal-event.ts";
import { parentHash } from "./causal-link.ts";
import type { EntityLog } from "./entity-log.ts";

/** Bytes of a continuity proof (§7). */
export const CONTINUITY_PROOF_SIZE = 40;
/** A proof spans fewer steps than this. */
export const MAX_PROOF_SPAN = 100_000;

/** The claim that an unbroken run of a chain leads from one event to another (§7). All are u64. */
export interface ContinuityProof {
  /** Whose chain it is. */
  readonly originHash: bigint;
  /** Sequence of the first event. */
  readonly fromSeq: bigint;
  /** Sequence of the last event. */
  readonly toSeq: bigint;
  /** `parentHash` of the first event: what its successor carries. */
  readonly fromHash: bigint;
  /** `parentHash` of the last event. */
  readonly toHash: bigint;
}

/** The 40 bytes of a proof. */
export function encodeContinuityProof(proof: ContinuityProof): Uint8Array {
  const bytes = new Uint8Array(CONTINUITY_PROOF_SIZE);
  writeU64(bytes, 0, proof.originHash);
  writeU64(bytes, 8, proof.fromSeq);
  writeU64(bytes, 16, proof.toSeq);
  writeU64(bytes, 24, proof.fromHash);
  writeU64(bytes, 32, proof.toHash);
  return bytes;
}

/** The proof in exactly 40 bytes; undefined for any other length. */
export function decodeContinuityProof(bytes: Uint8Array): ContinuityProof | undefined {
  if (bytes.length !== CONTINUITY_PROOF_SIZE) return undefined;
  return {
    originHash: readU64(bytes, 0),
    fromSeq: readU64(bytes, 8),
    toSeq: readU64(bytes, 16),
    fromHash: readU64(bytes, 24),
    toHash: readU64(bytes, 32),
  };
}

/** Why a log does not bear out a proof; the first test that failed. */
export type ProofFault =
  | { readonly code: "origin-mismatch"; readonly expected: bigint; readonly got: bigint }
  | { readonly code: "invalid-range"; readonly fromSeq: bigint; readonly toSeq: bigint }
  | { readonly code: "span-too-large"; readonly fromSeq: bigint; readonly toSeq: bigint }
  | { readonly code: "missing-event"; readonly sequence: bigint }
  /** `expected` by the proof, `got` from the log. */
  | {
      readonly code: "hash-mismatch";
      readonly sequence: bigint;
      readonly expected: bigint;
      readonly got: bigint;
    }
  | { readonly code: "broken-chain"; readonly sequence: bigint };

/** The proof of what a log holds between two sequences; undefined unless it holds both. */
export function proveContinuity(log: EntityLog, fromSeq: bigint, toSeq: bigint): ContinuityProof | undefined {
  const from = log.get(fromSeq);
  const to = log.get(toSeq);
  if (from === undefined || to === undefined || fromSeq > toSeq) return undefined;
  return { originHash: log.originHash, fromSeq, toSeq, fromHash: hashOf(from), toHash: hashOf(to) };
}

/** Checks a proof against a log, every step of it by its bytes; undefined when it holds (§7). */
export function verifyContinuity(proof: ContinuityProof, log: EntityLog): ProofFault | undefined {
  const { fromSeq, toSeq } = proof;
  if (proof.originHash !== log.originHash) {
    return { code: "origin-mismatch", expected: log.originHash, got: proof.originHash };
  }
  if (fromSeq > toSeq) return { code: "invalid-range", fromSeq, toSeq };
  if (toSeq - fromSeq >= MAX_PROOF_SPAN) return { code: "span-too-large", fromSeq, toSeq };
  const from = log.get(fromSeq);
  if (from === undefined) return { code: "missing-event", sequence: fromSeq };
  const to = log.get(toSeq);
  if (to === undefined) return { code: "missing-event", sequence: toSeq };
  const fault = checkHash(from, proof.fromHash) ?? checkHash(to, proof.toHash);
  return fault ?? findBreak(log.range(fromSeq, toSeq));
}

function checkHash(event: CausalEvent, expected: bigint): ProofFault | undefined {
  const got = hashOf(event);
  return got === expected
    ? undefined
    : { code: "hash-mismatch", sequence: event.link.sequence, expected, got };
}

/** The first event that does not follow the one before it. */
export function findBreak(
  events: readonly CausalEvent[],
): { readonly code: "broken-chain"; readonly sequence: bigint } | undefined {
  for (let i = 1; i < events.length; i++) {
    const head = events[i - 1] as CausalEvent;
    const { link } = events[i] as CausalEvent;
    if (checkSuccessor(link, head.link, hashOf(head)) !== undefined) {
      return { code: "broken-chain", sequence: link.sequence };
    }
  }
  return undefined;
}

function hashOf(event: CausalEvent): bigint {
  return parentHash(event.link, event.payload);
}
