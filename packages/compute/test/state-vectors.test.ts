import { Identity } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import {
  assessContinuity,
  CausalChain,
  type CausalEvent,
  type CausalLink,
  checkSuccessor,
  couldHaveInfluenced,
  decodeCausalEvents,
  decodeCausalLink,
  decodeContinuityProof,
  decodeForkRecord,
  decodeSnapshot,
  EntityLog,
  encodeCausalEvents,
  encodeCausalLink,
  encodeContinuityProof,
  encodeForkRecord,
  encodeSnapshot,
  encodeSubscriptions,
  forkRecord,
  forkSentinel,
  genesisLink,
  horizonBits,
  isConsistentFork,
  isGenesis,
  type LogFault,
  mightContain,
  NewestSnapshots,
  nextLink,
  ObservedHorizon,
  type ProofFault,
  parentHash,
  potentiallyConcurrent,
  type StateSnapshot,
  SubscriptionLedger,
  verifyContinuity,
} from "../src/index.ts";
import { compute, event, hex, link, pattern, state, toHex } from "./support/vectors.ts";

const NONE = new Uint8Array(0);
/** The horizon of every successor in the vectors. */
const NEXT_HORIZON = 77n;

/** A fault as the vectors write it. */
function faultText(fault: LogFault | undefined): string {
  if (fault === undefined) return "ok";
  if (fault.code === "duplicate") return `Duplicate(${fault.sequence})`;
  const name = {
    "origin-mismatch": "OriginMismatch",
    "sequence-gap": "SequenceGap",
    "parent-hash-mismatch": "ParentHashMismatch",
  }[fault.code];
  return `${name} { expected: ${fault.expected}, got: ${fault.got} }`;
}

function linkOf(fields: {
  origin_hash: string;
  horizon_encoded: string;
  sequence: string;
  parent_hash: string;
}): CausalLink {
  return {
    originHash: BigInt(fields.origin_hash),
    horizon: BigInt(fields.horizon_encoded),
    sequence: BigInt(fields.sequence),
    parentHash: BigInt(fields.parent_hash),
  };
}

describe("links and chains", () => {
  it.each(state.causal_link)(
    "a link has the bytes, hash and successor of the reference ($bytes)",
    (vector) => {
      const ours = linkOf(vector.link);
      const payload = hex(vector.payload);
      expect(toHex(encodeCausalLink(ours))).toBe(vector.bytes);
      expect(decodeCausalLink(hex(vector.bytes))).toEqual(ours);
      expect(isGenesis(ours)).toBe(vector.is_genesis);
      const hash = parentHash(ours, payload);
      expect(hash).toBe(BigInt(vector.compute_parent_hash));
      const next = nextLink(ours, hash, NEXT_HORIZON);
      expect(next === undefined ? null : toHex(encodeCausalLink(next))).toBe(vector.next);
    },
  );

  it.each(state.causal_link_decode)("decoding $bytes needs 32 bytes and no more", ({ bytes, parsed }) => {
    expect(decodeCausalLink(hex(bytes))).toEqual(parsed === null ? undefined : linkOf(parsed));
  });

  it.each(state.chain_builder)("a chain of origin $origin_hash grows as in the reference", (vector) => {
    const chain = CausalChain.genesis(BigInt(vector.origin_hash));
    expect(toHex(encodeCausalLink(chain.head))).toBe(vector.genesis_link);
    for (const step of vector.steps) {
      const appended = chain.append(hex(step.payload), BigInt(step.horizon), 0n);
      expect(toHex(encodeCausalLink(appended.link))).toBe(step.link);
      expect(appended.link.parentHash).toBe(BigInt(step.parent_hash));
    }
    expect(toHex(encodeCausalLink(chain.head))).toBe(vector.head);
    expect(chain.head.sequence).toBe(BigInt(vector.sequence));
  });

  it.each(state.validate_chain_link)("a successor with $name is judged as in the reference", (vector) => {
    const prev = link(vector.prev);
    const fault = checkSuccessor(link(vector.new), prev, parentHash(prev, hex(vector.prev_payload)));
    expect(faultText(fault)).toBe(vector.result);
  });

  it.each(state.causal_events_write)("$events_written events are framed as in the reference", (vector) => {
    const framed = encodeCausalEvents(vector.events.map(event));
    expect(toHex(framed.bytes)).toBe(vector.bytes);
    expect(framed.bytes.length).toBe(vector.bytes_written);
    expect(framed.written).toBe(vector.events_written);
    expect(framed.skipped).toBe(vector.events_skipped);
  });

  it.each(state.causal_events_read)("reading stops where the reference stops: $name", (vector) => {
    const read = decodeCausalEvents(hex(vector.bytes), vector.count, 0n);
    expect(
      read.map((each) => ({ link: toHex(encodeCausalLink(each.link)), payload: toHex(each.payload) })),
    ).toEqual(vector.events);
  });
});

describe("horizons", () => {
  it.each(state.horizon)("a horizon of $entity_count origins encodes as in the reference", (vector) => {
    const horizon = new ObservedHorizon();
    for (const [origin, sequence] of vector.observe)
      horizon.observe(BigInt(origin as string), BigInt(sequence as string));
    expect(horizon.logicalTime).toBe(Number(vector.logical_time));
    expect(horizon.size).toBe(vector.entity_count);
    expect(horizon.encoded).toBe(BigInt(vector.encoded));
    for (const query of vector.queries) {
      expect(mightContain(horizon.encoded, BigInt(query.origin))).toBe(query.might_contain);
    }
  });

  it.each(state.horizon_bloom_bits)("origin $origin_hash has the bits of the reference", (vector) => {
    expect(horizonBits(BigInt(vector.origin_hash))).toBe(BigInt(vector.bloom_bits));
  });

  it("time passes with news and merges, as in the reference", () => {
    const a = new ObservedHorizon();
    const b = new ObservedHorizon();
    b.observe(1n, 9n);
    b.observe(3n, 4n);
    const steps: ((horizon: ObservedHorizon) => void)[] = [
      (horizon) => horizon.observe(1n, 0n),
      (horizon) => horizon.observe(1n, 5n),
      (horizon) => horizon.observe(1n, 3n),
      (horizon) => horizon.observe(2n, 1n),
      () => undefined,
      (horizon) => horizon.merge(b),
      (horizon) => horizon.merge(b),
    ];
    for (const [i, vector] of state.horizon_sequence.entries()) {
      const horizon = vector.op.startsWith("b:") ? b : a;
      steps[i]?.(horizon);
      expect([...horizon.entries()].sort().map(String), vector.op).toEqual(vector.entries.map(String));
      expect(horizon.logicalTime, vector.op).toBe(Number(vector.logical_time));
      expect(horizon.encoded, vector.op).toBe(BigInt(vector.encoded));
    }
  });

  it.each(state.potentially_concurrent)(
    "concurrency of $origin_a and $origin_b is judged alike",
    (vector) => {
      const { horizon_a, origin_b, horizon_b, origin_a } = vector;
      expect(
        potentiallyConcurrent(BigInt(horizon_a), BigInt(origin_b), BigInt(horizon_b), BigInt(origin_a)),
      ).toBe(vector.potentially_concurrent);
    },
  );

  it.each(state.causal_cone)("influence of $query by $cone is judged alike", (vector) => {
    const horizon = new ObservedHorizon();
    for (const [origin, sequence] of vector.horizon)
      horizon.observe(BigInt(origin as string), BigInt(sequence as string));
    const [origin, sequence] = vector.query as [string, string];
    const exact = vector.cone === "exact horizon" ? horizon : undefined;
    const verdict = couldHaveInfluenced(link(vector.link), BigInt(origin), BigInt(sequence), exact);
    expect(verdict).toBe(
      { Definite: "definite", Possible: "possible", No: "none" }[vector.could_have_influenced],
    );
  });
});

describe("snapshots", () => {
  it.each(state.state_snapshot)("a snapshot with $name has the bytes of the reference", (vector) => {
    const snapshot: StateSnapshot = {
      entityId: hex(vector.entity_id),
      throughSeq: BigInt(vector.through_seq),
      chainLink: link(vector.chain_link),
      createdAt: BigInt(vector.created_at),
      state: hex(vector.state),
      bindings: hex(vector.bindings_bytes),
      ...(vector.identity_envelope === null ? {} : { envelope: hex(vector.identity_envelope) }),
    };
    expect(toHex(encodeSnapshot(snapshot))).toBe(vector.bytes);
    expect(decodeSnapshot(hex(vector.bytes))).toEqual(snapshot);
  });

  it.each(state.state_snapshot_decode)("a snapshot is accepted or refused alike: $name", (vector) => {
    expect(decodeSnapshot(hex(vector.bytes)) !== undefined).toBe(vector.accepted);
  });

  it("a store takes only what is newer than all before, also after a removal", () => {
    const store = new NewestSnapshots();
    const { entityId } = Identity.fromSeed(new Uint8Array(32));
    for (const [i, vector] of state.snapshot_store.entries()) {
      if (i > 0 && state.snapshot_store[i - 1]?.current !== null && vector.current === null)
        store.remove(entityId);
      const snapshot = {
        entityId,
        throughSeq: BigInt(vector.through_seq),
        chainLink: genesisLink(0n),
        createdAt: 0n,
        state: NONE,
        bindings: NONE,
      };
      expect(store.store(snapshot)).toBe(vector.stored);
      expect(store.get(entityId)?.throughSeq).toBe(
        vector.current === null ? undefined : BigInt(vector.current),
      );
    }
  });

  it.each(compute.daemon_bindings)(
    "a ledger has the bytes of the reference ($bytes)",
    ({ subscriptions, bytes }) => {
      const ledger = new SubscriptionLedger();
      for (const { publisher, channel, token } of subscriptions) {
        const base = { publisher: BigInt(publisher), channel };
        ledger.record(token === null ? base : { ...base, token: hex(token) });
      }
      expect(toHex(encodeSubscriptions(ledger.subscriptions()))).toBe(bytes);
      expect(SubscriptionLedger.decode(hex(bytes))?.subscriptions()).toEqual(ledger.subscriptions());
    },
  );

  it.each(compute.daemon_bindings_decode)("a ledger is accepted or refused alike: $name", (vector) => {
    expect(SubscriptionLedger.decode(hex(vector.bytes))?.size ?? null).toBe(vector.subscriptions);
  });
});

describe("logs and proofs", () => {
  it("a log takes and refuses events as the reference does", () => {
    let log: EntityLog | undefined;
    for (const vector of state.entity_log) {
      const entry = event(vector.event);
      if (vector.op !== "append") {
        const empty = new EntityLog(entry.link.originHash);
        const fault = faultText(empty.append(entry));
        expect(fault === "ok" ? null : `Chain(${fault})`).toBe(vector.result);
        if (vector.len !== undefined) expect(empty.length).toBe(vector.len);
        continue;
      }
      log ??= new EntityLog(entry.link.originHash);
      const through = /prune_through\((\d+)\)/.exec(vector.name as string)?.[1];
      if (through !== undefined) log.pruneThrough(BigInt(through));
      expect(faultText(log.append(entry)), vector.name).toBe(vector.result?.replace(/^Chain\((.*)\)$/, "$1"));
      expect(log.head.sequence).toBe(BigInt(vector.head_seq as string));
      expect(log.length).toBe(vector.len);
      expect(log.snapshotSeq).toBe(BigInt(vector.snapshot_seq as string));
    }
  });

  it.each(state.continuity_proof)("a proof is verified alike: $name", (vector) => {
    const proof = {
      originHash: BigInt(vector.proof.origin_hash),
      fromSeq: BigInt(vector.proof.from_seq),
      toSeq: BigInt(vector.proof.to_seq),
      fromHash: BigInt(vector.proof.from_hash),
      toHash: BigInt(vector.proof.to_hash),
    };
    expect(toHex(encodeContinuityProof(proof))).toBe(vector.bytes);
    expect(decodeContinuityProof(hex(vector.bytes))).toEqual(proof);
    const log = new EntityLog(Identity.publicOnly(hex(vector.log_entity_id)).originHash);
    for (const entry of vector.log_events) expect(log.append(event(entry))).toBeUndefined();
    expect(proofFaultText(verifyContinuity(proof, log))).toBe(vector.verify);
  });

  it.each(state.fork_record)("a fork record is encoded and judged alike ($bytes)", (vector) => {
    const snapshotSeq = vector.from_snapshot_seq === null ? undefined : BigInt(vector.from_snapshot_seq);
    const original = BigInt(vector.original_origin);
    const consistent = forkRecord(
      original,
      BigInt(vector.forked_origin),
      BigInt(vector.fork_seq),
      snapshotSeq,
    );
    expect(forkSentinel(original, BigInt(vector.fork_seq))).toBe(BigInt(vector.fork_sentinel));
    const { forkGenesis } = consistent;
    const tweaked = [
      forkGenesis,
      { ...forkGenesis, parentHash: forkGenesis.parentHash ^ 1n },
      { ...forkGenesis, sequence: 1n },
      { ...forkGenesis, originHash: forkGenesis.originHash ^ 1n },
    ];
    const record = { ...consistent, forkGenesis: tweaked[vector.tweak] as CausalLink };
    expect(toHex(encodeForkRecord(record))).toBe(vector.bytes);
    expect(isConsistentFork(record)).toBe(vector.verify);
    expect(decodeForkRecord(hex(vector.bytes))).toEqual(vector.from_bytes_accepts ? record : undefined);
  });

  it.each(state.assess_continuity)("continuity of a log is assessed alike: $name", (vector) => {
    const chain = CausalChain.genesis(18060667571474476875n);
    const events: CausalEvent[] = [];
    for (let i = 0; i < 5; i++) events.push(chain.append(pattern(i, i), 0n, 0n));
    const held = { empty: [0, 0], "four from genesis": [0, 4] }[vector.name] ?? [3, 5];
    const before = events[2] as CausalEvent;
    const base = { link: before.link, hash: parentHash(before.link, before.payload) };
    const log = new EntityLog(chain.head.originHash, held[0] === 3 ? base : undefined);
    for (const entry of events.slice(held[0], held[1])) expect(log.append(entry)).toBeUndefined();
    const snapshot = {
      entityId: NONE,
      throughSeq: 3n,
      chainLink: before.link,
      createdAt: 0n,
      state: NONE,
      bindings: NONE,
    };
    const wrong = new TextEncoder().encode("zz");
    const headHash = vector.name.includes("with head_payload")
      ? base.hash
      : vector.name.includes("wrong")
        ? parentHash(before.link, wrong)
        : undefined;
    const given = vector.name.startsWith("after") && !vector.name.includes("no snapshot given");
    const verdict = assessContinuity(
      log,
      given ? { ...snapshot, ...(headHash === undefined ? {} : { headHash }) } : undefined,
    );
    expect(continuityText(verdict)).toBe(vector.status);
  });
});

function proofFaultText(fault: ProofFault | undefined): string {
  switch (fault?.code) {
    case undefined:
      return "ok";
    case "origin-mismatch":
      return "OriginMismatch";
    case "hash-mismatch":
      return `HashMismatch { seq: ${fault.sequence}, expected: ${fault.expected}, got: ${fault.got} }`;
    case "missing-event":
      return `MissingEvent(${fault.sequence})`;
    case "invalid-range":
      return `InvalidRange { from_seq: ${fault.fromSeq}, to_seq: ${fault.toSeq} }`;
    case "span-too-large":
      return `SpanTooLarge { from_seq: ${fault.fromSeq}, to_seq: ${fault.toSeq}, cap: 100000 }`;
    case "broken-chain":
      return "BrokenChain";
  }
}

function continuityText(verdict: ReturnType<typeof assessContinuity>): string {
  switch (verdict.kind) {
    case "continuous":
      return `Continuous { genesis_hash: ${verdict.genesisHash}, head_seq: ${verdict.headSeq}, head_hash: ${verdict.headHash} }`;
    case "forked":
      return `Forked { fork_point: ${verdict.forkPoint}, original_hash: ${verdict.originalHash}, fork_hash: ${verdict.forkHash} }`;
    case "unverifiable":
      return `Unverifiable { last_verified_seq: ${verdict.lastVerifiedSeq}, gap_start: ${verdict.gapStart} }`;
  }
}
