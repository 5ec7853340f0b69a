import type { Identity } from "@netmesh/crypto";
import { SnapshotStoreError, type SnapshotStoreErrorCode, type StateSnapshot } from "../../src/index.ts";

/** A snapshot of an entity after so many outputs, whose state is those bytes. */
export function snapshotOf(
  entity: Identity,
  throughSeq: number,
  state: Uint8Array,
  createdAt: bigint = 0n,
): StateSnapshot {
  const sequence = BigInt(throughSeq);
  return {
    entityId: entity.entityId,
    throughSeq: sequence,
    chainLink: { originHash: entity.originHash, horizon: 0n, sequence, parentHash: 0n },
    createdAt,
    state,
    bindings: new Uint8Array(0),
    headHash: sequence + 7n,
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
