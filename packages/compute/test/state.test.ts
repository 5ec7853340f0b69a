import { CryptoError, EnvelopeError, Identity, type RandomSource, StaticKeyPair } from "@netmesh/crypto";
import { writeU32, xxh3 } from "@netmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assessContinuity,
  CausalChain,
  type CausalEvent,
  checkSuccessor,
  decodeCausalEvents,
  decodeCausalLink,
  decodeContinuityProof,
  decodeForkRecord,
  decodeSnapshot,
  EntityLog,
  encodeCausalEvents,
  encodeCausalLink,
  encodeForkRecord,
  encodeSnapshot,
  equalLinks,
  forkRecord,
  genesisLink,
  horizonBits,
  isGenesis,
  mightContain,
  NewestSnapshots,
  nextLink,
  ObservedHorizon,
  openSnapshotIdentity,
  parentHash,
  proveContinuity,
  type StateSnapshot,
  SubscriptionLedger,
  sealSnapshot,
  snapshotSize,
  verifyContinuity,
} from "../src/index.ts";
import { bytes } from "./support/daemons.ts";
import { hex, link, pattern, toHex } from "./support/vectors.ts";

const KEY = Identity.fromSeed(new Uint8Array(32).fill(0x42));
const OTHER = Identity.fromSeed(new Uint8Array(32).fill(0x43));
const E2 = "e43dbea60dc862c101000000000000000200000000000000254b8d3062bc171e";
const SIGNATURE =
  "f4cd6463ce53bb7983791cb069a0390d5698d36c8117b0bafb24933f7e79e22879c821d2d859de4cc4368d43259ac17708fbbc0c6c5fb7593c418f04b00a4708";
const NONE = new Uint8Array(0);
const MAX = 0xffff_ffff_ffff_ffffn;

function chainOf(count: number): CausalEvent[] {
  const chain = CausalChain.genesis(KEY.originHash);
  return Array.from({ length: count }, (_, i) => chain.append(pattern(i % 9, i), BigInt(i), 0n));
}

function logOf(events: readonly CausalEvent[], maxEvents?: number): EntityLog {
  const log = new EntityLog(KEY.originHash, undefined, maxEvents);
  for (const event of events) expect(log.append(event)).toBeUndefined();
  return log;
}

function snapshotWith(fields: Partial<StateSnapshot> = {}): StateSnapshot {
  return {
    entityId: KEY.entityId,
    throughSeq: 2n,
    chainLink: link(E2),
    createdAt: 0x0011223344556677n,
    state: hex("0500000000000000"),
    bindings: NONE,
    ...fields,
  };
}

describe("chains", () => {
  it("the first events of the specified key have the specified bytes", () => {
    expect(KEY.originHash).toBe(0xc162c80da6be3de4n);
    const chain = CausalChain.genesis(KEY.originHash);
    expect(toHex(encodeCausalLink(chain.head))).toBe(`e43dbea60dc862c1${"00".repeat(24)}`);
    expect(chain.headHash).toBe(0x9b453fa3a542cf74n);
    expect(toHex(encodeCausalLink(chain.append(bytes("hello"), 0n, 0n).link))).toBe(
      "e43dbea60dc862c10000000000000000010000000000000074cf42a5a33f459b",
    );
    const { link: second } = chain.append(bytes("world"), 1n, 0n);
    expect(toHex(encodeCausalLink(second))).toBe(E2);
    expect(chain.headHash).toBe(0x200caf59f28692a9n);
    expect(equalLinks(second, link(E2))).toBe(true);
    expect(equalLinks(second, { ...second, parentHash: 0n })).toBe(false);
  });

  it("the last sequence has no successor, and nothing changes", () => {
    const last = { ...genesisLink(1n), sequence: MAX };
    expect(nextLink(last, 0n, 0n)).toBeUndefined();
    const chain = CausalChain.resume(last);
    expect(() => chain.append(NONE, 0n, 0n)).toThrow("sequence overflow");
    expect(chain.head).toBe(last);
    const gap = { code: "sequence-gap", expected: MAX, got: MAX };
    expect(checkSuccessor(last, last, 0n)).toEqual(gap);
  });

  it("a wrong origin is reported before a gap, and a gap before a wrong hash", () => {
    const head = genesisLink(1n);
    const wrong = { originHash: 2n, horizon: 0n, sequence: 9n, parentHash: 9n };
    expect(checkSuccessor(wrong, head, 5n)).toEqual({ code: "origin-mismatch", expected: 1n, got: 2n });
    const gap = { ...wrong, originHash: 1n };
    expect(checkSuccessor(gap, head, 5n)).toEqual({ code: "sequence-gap", expected: 1n, got: 9n });
    const broken = { ...gap, sequence: 1n };
    expect(checkSuccessor(broken, head, 5n)).toEqual({ code: "parent-hash-mismatch", expected: 5n, got: 9n });
  });

  it("a fork's first link is no genesis", () => {
    expect(isGenesis(forkRecord(1n, 2n, 3n).forkGenesis)).toBe(false);
  });

  it("long payloads are hashed like short ones", () => {
    const first = genesisLink(7n);
    for (const size of [4095, 4096, 4097, 70_000]) {
      const whole = new Uint8Array(32 + size);
      whole.set(encodeCausalLink(first));
      whole.set(pattern(size, 3), 32);
      expect(parentHash(first, pattern(size, 3))).toBe(xxh3(whole));
    }
  });

  it("any framed batch is read back, and any cut of it in part", () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 });
    fc.assert(
      fc.property(payloads, fc.nat(), (given, cut) => {
        const chain = CausalChain.genesis(3n);
        const events = given.map((payload) => chain.append(payload, 0n, 5n));
        const framed = encodeCausalEvents(events);
        expect(framed.written).toBe(events.length);
        expect(decodeCausalEvents(framed.bytes, 100, 5n)).toEqual(events);
        const part = decodeCausalEvents(framed.bytes.subarray(0, cut % (framed.bytes.length + 1)), 100, 5n);
        expect(part).toEqual(events.slice(0, part.length));
      }),
    );
  });

  it("any 32 bytes are a link", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (given) => {
        expect(encodeCausalLink(decodeCausalLink(given) as never)).toEqual(given);
      }),
    );
  });
});

describe("horizons", () => {
  it("an origin always has three bits, and is never denied", () => {
    expect(horizonBits(0xbbbbn)).toBe(0x8001000000004000n);
    const origins = fc.array(fc.bigInt({ min: 0n, max: MAX }), { maxLength: 40 });
    fc.assert(
      fc.property(origins, (given) => {
        const horizon = new ObservedHorizon();
        for (const origin of given) horizon.observe(origin, 1n);
        for (const origin of given) {
          expect(mightContain(horizon.encoded, origin)).toBe(true);
          expect(horizonBits(origin).toString(2).replaceAll("0", "")).toHaveLength(3);
        }
      }),
    );
  });

  it("of more origins than allowed the first seen is forgotten, but not denied", () => {
    const horizon = new ObservedHorizon(2);
    for (const origin of [1n, 2n, 1n, 3n]) horizon.observe(origin, 9n);
    expect(horizon.size).toBe(2);
    expect([1n, 2n, 3n].map((origin) => horizon.containsOrigin(origin))).toEqual([false, true, true]);
    expect(horizon.hasObserved(1n, 1n)).toBe(false);
    expect(mightContain(horizon.encoded, 1n)).toBe(true);
    horizon.observe(1n, 4n);
    expect(horizon.hasObserved(1n, 4n)).toBe(true);
  });

  it("an origin that was just forgotten is not taken for a known one", () => {
    const horizon = new ObservedHorizon(1);
    horizon.observe(1n, 5n);
    const other = new ObservedHorizon(2);
    other.observe(2n, 7n);
    horizon.merge(other);
    horizon.observe(1n, 3n);
    expect([...horizon.entries()]).toEqual([[1n, 3n]]);
  });

  it("a copy goes its own way", () => {
    const horizon = new ObservedHorizon();
    horizon.observe(1n, 1n);
    const copy = horizon.copy();
    copy.observe(1n, 2n);
    copy.observe(2n, 2n);
    expect([...horizon.entries()]).toEqual([[1n, 1n]]);
    expect(copy.logicalTime).toBe(3);
  });
});

describe("logs", () => {
  it("an event of another origin, a gap, a repetition and a wrong parent are refused", () => {
    const events = chainOf(4) as [CausalEvent, CausalEvent, CausalEvent, CausalEvent];
    const log = logOf(events.slice(0, 2));
    const third = events[2];
    const with_ = (fields: object): CausalEvent => ({ ...third, link: { ...third.link, ...fields } });
    expect(log.append(with_({ originHash: 1n }))?.code).toBe("origin-mismatch");
    expect(log.append(events[3])?.code).toBe("sequence-gap");
    expect(log.append(events[0])).toEqual({ code: "duplicate", sequence: 1n });
    expect(log.append(with_({ parentHash: 1n }))?.code).toBe("parent-hash-mismatch");
    expect(log.append(third)).toBeUndefined();
  });

  it("a range has both its ends, and what comes after does not", () => {
    const log = logOf(chainOf(5));
    const sequences = (events: readonly CausalEvent[]): bigint[] =>
      events.map((event) => event.link.sequence);
    expect(sequences(log.range(2n, 4n))).toEqual([2n, 3n, 4n]);
    expect(sequences(log.range(0n, MAX))).toEqual([1n, 2n, 3n, 4n, 5n]);
    expect(log.range(6n, 9n)).toEqual([]);
    expect(sequences(log.after(3n))).toEqual([4n, 5n]);
    expect(log.get(3n)?.link.sequence).toBe(3n);
    expect([log.get(0n), log.get(6n), new EntityLog(1n).get(1n)]).toEqual([undefined, undefined, undefined]);
  });

  it("a log goes on after all of it was pruned", () => {
    const events = chainOf(4);
    const log = logOf(events.slice(0, 3));
    expect(log.pruneThrough(9n)).toBe(3);
    expect(log.pruneThrough(9n)).toBe(0);
    expect(log.base).toBe(events[2]?.link);
    expect(log.append(events[3] as CausalEvent)).toBeUndefined();
    expect(log.events.map(({ link: { sequence } }) => sequence)).toEqual([4n]);
  });

  it("a full log forgets its oldest events and still validates", () => {
    const log = logOf(chainOf(100), 16);
    expect(log.length).toBeLessThanOrEqual(16);
    expect(log.length).toBeGreaterThan(12);
    expect(log.head.sequence).toBe(100n);
    expect(log.snapshotSeq).toBe(log.base.sequence);
    expect(logOf(chainOf(5), 1).length).toBe(1);
  });
});

describe("proofs", () => {
  it("what a log proves, it verifies", () => {
    const log = logOf(chainOf(20));
    const proof = proveContinuity(log, 3n, 17n);
    expect(proof && verifyContinuity(proof, log)).toBeUndefined();
    expect(proveContinuity(log, 17n, 3n)).toBeUndefined();
    expect(proveContinuity(log, 1n, 21n)).toBeUndefined();
    expect(proveContinuity(log, 0n, 3n)).toBeUndefined();
  });

  it("a payload that was tampered with in between is found", () => {
    const log = logOf(chainOf(20));
    const proof = proveContinuity(log, 3n, 17n);
    const tampered = log.get(11n)?.payload as Uint8Array;
    tampered[0] = (tampered[0] as number) ^ 1;
    expect(proof && verifyContinuity(proof, log)).toEqual({ code: "broken-chain", sequence: 12n });
    expect(assessContinuity(log)).toMatchObject({ kind: "forked", forkPoint: 12n });
  });

  it("a span of 99 999 is looked at, and one of 100 000 is not", () => {
    const log = logOf(chainOf(3));
    const proof = { originHash: KEY.originHash, fromSeq: 1n, toSeq: 100_000n, fromHash: 0n, toHash: 0n };
    expect(verifyContinuity(proof, log)?.code).toBe("missing-event");
    expect(verifyContinuity({ ...proof, toSeq: 100_001n }, log)?.code).toBe("span-too-large");
    expect(verifyContinuity({ ...proof, toSeq: MAX }, log)?.code).toBe("span-too-large");
  });

  it("other lengths than 40 are no proof", () => {
    expect(decodeContinuityProof(new Uint8Array(39))).toBeUndefined();
    expect(decodeContinuityProof(new Uint8Array(41))).toBeUndefined();
  });

  it("a log that begins with the genesis itself is continuous", () => {
    const log = new EntityLog(KEY.originHash);
    expect(log.append({ link: genesisLink(KEY.originHash), payload: NONE, receivedAt: 0n })).toBeUndefined();
    for (const event of chainOf(2)) expect(log.append(event)).toBeUndefined();
    expect(assessContinuity(log)).toMatchObject({ kind: "continuous", headSeq: 2n });
  });

  it("a snapshot from elsewhere in the chain anchors nothing", () => {
    const events = chainOf(6);
    const log = logOf(events);
    log.pruneThrough(3n);
    const head = events[1] as CausalEvent;
    const snapshot = snapshotWith({ throughSeq: 2n, chainLink: head.link, headHash: 1n });
    expect(assessContinuity(log, snapshot).kind).toBe("unverifiable");
  });

  it("any 65 bytes that are a fork record are exactly that one", () => {
    const valid = encodeForkRecord(forkRecord(1n, 2n, 3n, 4n));
    expect(decodeForkRecord(valid)).toEqual(forkRecord(1n, 2n, 3n, 4n));
    expect(decodeForkRecord(valid.subarray(0, 64))).toBeUndefined();
    const flagged = valid.slice();
    flagged[56] = 2;
    expect(decodeForkRecord(flagged)).toBeUndefined();
  });
});

describe("snapshots", () => {
  it("the specified snapshot has the specified bytes", () => {
    const encoded = encodeSnapshot(snapshotWith());
    expect(encoded).toHaveLength(102);
    expect(toHex(encoded)).toBe(
      [
        "43445331022152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        "0200000000000000",
        E2,
        "776655443322110008000000050000000000000000000000",
        "00",
      ].join(""),
    );
  });

  it("horizon and head stay behind", () => {
    const snapshot = snapshotWith({ horizon: new ObservedHorizon(), headHash: 5n });
    const decoded = decodeSnapshot(encodeSnapshot(snapshot));
    expect(decoded).toEqual(snapshotWith());
    expect(decoded && "horizon" in decoded).toBe(false);
  });

  it("every cut of a snapshot is refused, and every byte too many", () => {
    const sealed = sealSnapshot(snapshotWith({ bindings: bytes("binding") }), KEY, {
      targetPublicKey: StaticKeyPair.generate().publicKey,
    });
    const whole = encodeSnapshot(sealed);
    expect(whole).toHaveLength(snapshotSize(sealed));
    expect(decodeSnapshot(whole)).toEqual(sealed);
    for (let length = 0; length < whole.length; length++) {
      expect(decodeSnapshot(whole.subarray(0, length))).toBeUndefined();
    }
    const longer = new Uint8Array(whole.length + 1);
    longer.set(whole);
    expect(decodeSnapshot(longer)).toBeUndefined();
  });

  it.each([
    ["state", 85],
    ["bindings", 97],
  ])("a length of %s beyond the end is refused", (_, at) => {
    const encoded = encodeSnapshot(snapshotWith());
    for (const length of [0xffff_ffff, 0x8000_0000, 1000]) {
      const hostile = encoded.slice();
      writeU32(hostile, at, length);
      expect(decodeSnapshot(hostile)).toBeUndefined();
    }
  });

  it("arbitrary bytes never make decoding throw", () => {
    const encoded = encodeSnapshot(snapshotWith());
    fc.assert(
      fc.property(fc.nat(101), fc.nat(255), (at, value) => {
        const mutated = encoded.slice();
        mutated[at] = value;
        const decoded = decodeSnapshot(mutated);
        if (decoded !== undefined) expect(encodeSnapshot(decoded)).toEqual(mutated);
      }),
    );
  });

  it("what nobody could decode is not encoded", () => {
    const huge = { length: 2 ** 32 } as Uint8Array;
    expect(() => encodeSnapshot(snapshotWith({ state: huge }))).toThrow(/4294967296.*4294967295/);
    expect(() => encodeSnapshot(snapshotWith({ bindings: huge }))).toThrow(/4294967296/);
    const foreign = snapshotWith({ entityId: OTHER.entityId });
    expect(() => encodeSnapshot(foreign)).toThrow(
      expect.objectContaining({ code: "foreign-chain", value: KEY.originHash }),
    );
  });
});

describe("envelopes in snapshots", () => {
  const target = StaticKeyPair.fromPrivateKey(new Uint8Array(32).fill(7));
  const nine: RandomSource = { fill: (given) => void given.fill(9) };
  const sealed = sealSnapshot(snapshotWith(), KEY, { targetPublicKey: target.publicKey, random: nine });

  function codeOpening(fields: Partial<StateSnapshot>, key: StaticKeyPair = target): string {
    try {
      openSnapshotIdentity({ ...sealed, ...fields }, { target: key });
      return "opened";
    } catch (error) {
      expect(error).toBeInstanceOf(EnvelopeError);
      return (error as EnvelopeError).code;
    }
  }

  function damaged(at: number): Uint8Array {
    const copy = (sealed.envelope as Uint8Array).slice();
    copy[at] = (copy[at] as number) ^ 1;
    return copy;
  }

  it("the specified envelope has the specified parts, and opens", () => {
    const envelope = toHex(sealed.envelope as Uint8Array);
    expect(envelope).toContain(
      "e7adf001028b81eb4c706865ca68daa838cb9047792c4760a2533c62da9ab1028be57c351631f1ccbabc21250aaebd54",
    );
    expect(envelope.endsWith(SIGNATURE)).toBe(true);
    const opened = openSnapshotIdentity(decodeSnapshot(encodeSnapshot(sealed)) as StateSnapshot, { target });
    expect(opened?.toBytes()).toEqual(KEY.toBytes());
    expect(openSnapshotIdentity(snapshotWith(), { target })).toBeUndefined();
  });

  it.each([
    ["another node", {}, "seal-open-failed"],
    ["another entity", { entityId: OTHER.entityId }, "invalid-signer-key"],
    ["another link", { chainLink: genesisLink(KEY.originHash) }, "invalid-attestation"],
    ["a damaged seed", { envelope: damaged(70) }, "seal-open-failed"],
    ["a damaged signature", { envelope: damaged(150) }, "invalid-attestation"],
    ["another version", { envelope: damaged(0) }, "invalid-format"],
    ["208 bytes", { envelope: damaged(208).subarray(0, 208) }, "invalid-format"],
    ["210 bytes", { envelope: new Uint8Array([...damaged(208), 0]) }, "invalid-format"],
  ])("an envelope for %s does not open", (name, fields, code) => {
    const key = name === "another node" ? StaticKeyPair.generate() : target;
    expect(codeOpening(fields, key)).toBe(code);
  });

  it("a key without its secret half cannot travel", () => {
    const publicOnly = Identity.publicOnly(KEY.entityId);
    const options = { targetPublicKey: target.publicKey };
    expect(() => sealSnapshot(snapshotWith(), publicOnly, options)).toThrow(CryptoError);
  });
});

describe("newest snapshots", () => {
  it("after forgetting an entity any snapshot of it is welcome", () => {
    const store = new NewestSnapshots();
    expect(store.store(snapshotWith({ throughSeq: 9n }))).toBe(true);
    expect(store.remove(KEY.entityId)?.throughSeq).toBe(9n);
    expect(store.remove(KEY.entityId)).toBeUndefined();
    expect(store.store(snapshotWith({ throughSeq: 9n }))).toBe(false);
    store.forget(KEY.entityId);
    expect(store.store(snapshotWith({ throughSeq: 1n }))).toBe(true);
    expect(store.size).toBe(1);
  });

  it("a full store drops what has no snapshot, and otherwise refuses the new", () => {
    const store = new NewestSnapshots(2);
    const third = Identity.fromSeed(new Uint8Array(32));
    store.store(snapshotWith());
    store.store(snapshotWith({ entityId: OTHER.entityId }));
    expect(store.store(snapshotWith({ entityId: third.entityId }))).toBe(false);
    store.remove(KEY.entityId);
    expect(store.store(snapshotWith({ entityId: third.entityId }))).toBe(true);
    expect(store.get(OTHER.entityId)).toBeDefined();
    expect(store.size).toBe(2);
  });
});

describe("subscription ledgers", () => {
  it("the specified ledger has the specified bytes", () => {
    const ledger = new SubscriptionLedger();
    ledger.record({ publisher: 0xaaaabbbbccccddddn, channel: "sensors/lidar" });
    ledger.record({ publisher: 1n, channel: "control/estop", token: hex("dead") });
    expect(toHex(ledger.encode())).toBe(
      "02000000ddddccccbbbbaaaa0d0073656e736f72732f6c696461720001000000000000000d00636f6e74726f6c2f6573746f70010200dead",
    );
    expect(SubscriptionLedger.decode(ledger.encode())?.subscriptions()).toEqual(ledger.subscriptions());
    for (let length = 1; length < 56; length++) {
      expect(SubscriptionLedger.decode(ledger.encode().subarray(0, length))).toBeUndefined();
    }
  });

  it("recording again replaces the token, forgetting empties it", () => {
    const ledger = new SubscriptionLedger();
    ledger.record({ publisher: 1n, channel: "a" });
    ledger.record({ publisher: 1n, channel: "a", token: bytes("t") });
    expect(ledger.subscriptions()).toEqual([{ publisher: 1n, channel: "a", token: bytes("t") }]);
    expect(ledger.forget(1n, "a")).toBe(true);
    expect(ledger.forget(1n, "a")).toBe(false);
    expect(ledger.encode()).toHaveLength(0);
  });

  it("hostile bytes are refused without being believed", () => {
    const ledger = new SubscriptionLedger();
    ledger.record({ publisher: 1n, channel: "ab", token: bytes("t") });
    const encoded = ledger.encode();
    const withByte = (at: number, value: number): Uint8Array => {
      const copy = encoded.slice();
      copy[at] = value;
      return copy;
    };
    for (const hostile of [
      withByte(3, 0xff),
      withByte(14, 0x20),
      withByte(16, 2),
      withByte(17, 9),
      withByte(13, 1),
      new Uint8Array([...encoded, 0]),
    ]) {
      expect(SubscriptionLedger.decode(hostile)).toBeUndefined();
    }
  });

  it("a ledger is bounded, also one from elsewhere", () => {
    const ledger = new SubscriptionLedger();
    for (let i = 0; i < 1000; i++) ledger.record({ publisher: BigInt(i), channel: "a" });
    expect(() => ledger.record({ publisher: 1000n, channel: "a" })).toThrow(
      expect.objectContaining({ code: "ledger-full" }),
    );
    ledger.record({ publisher: 0n, channel: "a", token: bytes("t") });
    expect(ledger.size).toBe(1000);
    const record = ledger.encode().subarray(4 + 12 + 3);
    const longer = new Uint8Array([...ledger.encode(), ...record.subarray(0, 12)]);
    writeU32(longer, 0, 1001);
    expect(SubscriptionLedger.decode(longer)).toBeUndefined();
  });
});
