import type { Identity } from "@netmesh/crypto";
import {
  CausalChain,
  SnapshotStoreError,
  type SnapshotStoreErrorCode,
  type StateSnapshot,
} from "../../src/index.ts";

/** A snapshot of an entity after so many outputs, whose state is those bytes. */
export function snapshotOf(
  entity: Identity,
  throughSeq: number,
  state: Uint8Array,
  createdAt: bigint = 0n,
): StateSnapshot {
  const chain = CausalChain.genesis(entity.originHash);
  for (let i = 0; i < throughSeq; i++) chain.append(state, 0n, 0n);
  const { head, headHash } = chain;
  return {
    entityId: entity.entityId,
    throughSeq: head.sequence,
    chainLink: head,
    createdAt,
    state,
    bindings: new Uint8Array(0),
    headHash,
  };
}

/** The code that a store's operation rejects with. */
export async function storeCodeOf(operation: () => Promise<unknown>): Promise<SnapshotStoreErrorCode> {
  try {
    await operation();
  } catch (error) {
    if (error instanceof SnapshotStoreError) return error.code;
    throw error;
  }
  throw new Error("it did not fail");
}
