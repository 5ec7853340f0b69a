import { MAX_U64, readU64, writeU64, xxh3 } from "@netmesh/wire";

/** Bytes of a causal link (spec compute.md §1). */
export const CAUSAL_LINK_SIZE = 32;

const ORIGIN = 0;
const HORIZON = 8;
const SEQUENCE = 16;
const PARENT = 24;

/** One step of a chain: who produced it, what the producer had seen, and what it follows (§1). All are u64. */
export interface CausalLink {
  /** Producer of the chain: the origin hash of its identity. */
  readonly originHash: bigint;
  /** What the producer had seen: the encoding of an `ObservedHorizon`. Nobody checks it. */
  readonly horizon: bigint;
  /** Position in the chain; 0 is the genesis. */
  readonly sequence: bigint;
  /** `parentHash` of the link before and its payload; 0 in a genesis. */
  readonly parentHash: bigint;
}

/** The first link of an origin's chain (§1.2). */
export function genesisLink(originHash: bigint, horizon = 0n): CausalLink {
  return { originHash, horizon, sequence: 0n, parentHash: 0n };
}

/** Whether sequence and parent hash both are 0; those of a fork's first link are not (§1.2). */
export function isGenesis(link: CausalLink): boolean {
  return link.sequence === 0n && link.parentHash === 0n;
}

/**
 * The link after one whose `parentHash` is `headHash`; undefined after sequence 2^64 − 1, which has no
 * successor (§1.2).
 */
export function nextLink(head: CausalLink, headHash: bigint, horizon: bigint): CausalLink | undefined {
  if (head.sequence === MAX_U64) return undefined;
  return {
    originHash: head.originHash,
    horizon,
    sequence: head.sequence + 1n,
    parentHash: headHash,
  };
}

/** Whether both have the same four fields. */
export function equalLinks(a: CausalLink, b: CausalLink): boolean {
  return (
    a.originHash === b.originHash &&
    a.horizon === b.horizon &&
    a.sequence === b.sequence &&
    a.parentHash === b.parentHash
  );
}

/** Writes the 32 bytes of `link` at `offset`; the caller has made room. */
export function writeCausalLink(bytes: Uint8Array, offset: number, link: CausalLink): void {
  writeU64(bytes, offset + ORIGIN, link.originHash);
  writeU64(bytes, offset + HORIZON, link.horizon);
  writeU64(bytes, offset + SEQUENCE, link.sequence);
  writeU64(bytes, offset + PARENT, link.parentHash);
}

/** The 32 bytes of `link`. */
export function encodeCausalLink(link: CausalLink): Uint8Array {
  const bytes = new Uint8Array(CAUSAL_LINK_SIZE);
  writeCausalLink(bytes, 0, link);
  return bytes;
}

/** The link at `offset`; undefined with fewer than 32 bytes left. Validates nothing (§1). */
export function decodeCausalLink(bytes: Uint8Array, offset = 0): CausalLink | undefined {
  if (bytes.length - offset < CAUSAL_LINK_SIZE) return undefined;
  return {
    originHash: readU64(bytes, offset + ORIGIN),
    horizon: readU64(bytes, offset + HORIZON),
    sequence: readU64(bytes, offset + SEQUENCE),
    parentHash: readU64(bytes, offset + PARENT),
  };
}

/** Payloads up to this are hashed in one reused buffer. */
const SCRATCH_PAYLOAD = 4096;
const scratch = new Uint8Array(CAUSAL_LINK_SIZE + SCRATCH_PAYLOAD);
const scratchView = new DataView(scratch.buffer);

/**
 * What the successor of this link carries: XXH3 of link and payload (§1.1). It finds accidents. Whoever chooses
 * payloads can forge it, so it authenticates nothing.
 */
export function parentHash(link: CausalLink, payload: Uint8Array): bigint {
  scratchView.setBigUint64(ORIGIN, link.originHash, true);
  scratchView.setBigUint64(HORIZON, link.horizon, true);
  scratchView.setBigUint64(SEQUENCE, link.sequence, true);
  scratchView.setBigUint64(PARENT, link.parentHash, true);
  const size = CAUSAL_LINK_SIZE + payload.length;
  let input = scratch;
  if (size > scratch.length) {
    input = new Uint8Array(size);
    input.set(scratch.subarray(0, CAUSAL_LINK_SIZE));
  }
  input.set(payload, CAUSAL_LINK_SIZE);
  return xxh3(input.subarray(0, size));
}
