import { readU64, writeU64, xxh3 } from "@netmesh/wire";
import { CAUSAL_LINK_SIZE, type CausalLink, decodeCausalLink, writeCausalLink } from "./causal-link.ts";

/** Bytes of a fork record (§8.2). */
export const FORK_RECORD_SIZE = 65;

const FORKED = 8;
const SEQUENCE = 16;
const GENESIS = 24;
const FLAG = GENESIS + CAUSAL_LINK_SIZE;
const SNAPSHOT = FLAG + 1;
const LABEL = new TextEncoder().encode("fork");

/** Where a chain branched off another (§8.2). It is not signed: it proves arithmetic, not lineage. */
export interface ForkRecord {
  /** Origin hash of the parent's chain. */
  readonly originalOrigin: bigint;
  /** Origin hash of the fork's chain. */
  readonly forkedOrigin: bigint;
  /** Sequence of the parent's chain at which it branched off. */
  readonly forkSeq: bigint;
  /** The first link of the fork: sequence 0, the sentinel as parent hash. */
  readonly forkGenesis: CausalLink;
  /** Sequence of the snapshot that the fork started from, if any. */
  readonly fromSnapshotSeq?: bigint;
}

/** What a fork's first link carries as its parent hash (§8.1). */
export function forkSentinel(originalOrigin: bigint, forkSeq: bigint): bigint {
  const bytes = new Uint8Array(16 + LABEL.length);
  writeU64(bytes, 0, originalOrigin);
  writeU64(bytes, 8, forkSeq);
  bytes.set(LABEL, 16);
  return xxh3(bytes);
}

/** The record of a fork with a horizon of 0. */
export function forkRecord(
  originalOrigin: bigint,
  forkedOrigin: bigint,
  forkSeq: bigint,
  fromSnapshotSeq?: bigint,
): ForkRecord {
  const forkGenesis: CausalLink = {
    originHash: forkedOrigin,
    horizon: 0n,
    sequence: 0n,
    parentHash: forkSentinel(originalOrigin, forkSeq),
  };
  const record = { originalOrigin, forkedOrigin, forkSeq, forkGenesis };
  return fromSnapshotSeq === undefined ? record : { ...record, fromSnapshotSeq };
}

/** Whether the fork's first link is what follows from the other fields, and the fork is not its own parent (§8.2). */
export function isConsistentFork(record: ForkRecord): boolean {
  const { originalOrigin, forkedOrigin, forkSeq, forkGenesis } = record;
  return (
    originalOrigin !== forkedOrigin &&
    forkGenesis.originHash === forkedOrigin &&
    forkGenesis.sequence === 0n &&
    forkGenesis.parentHash === forkSentinel(originalOrigin, forkSeq)
  );
}

/** The 65 bytes of a record. */
export function encodeForkRecord(record: ForkRecord): Uint8Array {
  const bytes = new Uint8Array(FORK_RECORD_SIZE);
  writeU64(bytes, 0, record.originalOrigin);
  writeU64(bytes, FORKED, record.forkedOrigin);
  writeU64(bytes, SEQUENCE, record.forkSeq);
  writeCausalLink(bytes, GENESIS, record.forkGenesis);
  if (record.fromSnapshotSeq !== undefined) {
    bytes[FLAG] = 1;
    writeU64(bytes, SNAPSHOT, record.fromSnapshotSeq);
  }
  return bytes;
}

/** The record in exactly 65 bytes; undefined for anything else, or one that is not consistent. */
export function decodeForkRecord(bytes: Uint8Array): ForkRecord | undefined {
  const flag = bytes[FLAG];
  if (bytes.length !== FORK_RECORD_SIZE || (flag !== 0 && flag !== 1)) return undefined;
  const record: ForkRecord = {
    originalOrigin: readU64(bytes, 0),
    forkedOrigin: readU64(bytes, FORKED),
    forkSeq: readU64(bytes, SEQUENCE),
    forkGenesis: decodeCausalLink(bytes, GENESIS) as CausalLink,
  };
  if (!isConsistentFork(record)) return undefined;
  return flag === 1 ? { ...record, fromSnapshotSeq: readU64(bytes, SNAPSHOT) } : record;
}
