import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytesToHex,
  type Curve,
  ENVELOPE_LINK_SIZE,
  EnvelopeError,
  hexToBytes,
  IDENTITY_ENVELOPE_SIZE,
  Identity,
  nobleCurve,
  type OpenIdentityOptions,
  openIdentity,
  StaticKeyPair,
  sealIdentity,
} from "../src/index.ts";
import { curves } from "./support/implementations.ts";
import { person } from "./support/people.ts";
import { codeOf } from "./support/refusal.ts";
import { pattern } from "./support/vectors.ts";

const source = person(1);
const target = StaticKeyPair.fromPrivateKey(new Uint8Array(32).fill(0x33));
const other = StaticKeyPair.fromPrivateKey(new Uint8Array(32).fill(0x34));
/** Origin 0xDEADBEEF, horizon 0, sequence 7, parent 0. */
const link = hexToBytes(`efbeadde${"00".repeat(12)}07${"00".repeat(15)}`);
const random = { fill: (bytes: Uint8Array) => bytes.fill(0x55) };

/** Test vector C5 of the spec. */
const C5 =
  "017b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b1438ab664bd86f77d7e66bdd9ae0792913a94fd8b33a" +
  "1260027e4b46c1f4884c67a9dadf9b2eea2ba9d8cb8a908797eb0248c7732fdd8c7415be622ea16ffd812b064bc1f251aa6e157f8f39" +
  "19de205fa58a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c7543b5bce9239d2d86cdbc0db88eec35c4" +
  "61c400a577a28aa39054e412cbd25f1221c250cdde22c01d73b6756164be97832c648d2d5f3a78c2d0828a2339bb0b";
const envelope = hexToBytes(C5);

function open(bytes: Uint8Array, changes: Partial<OpenIdentityOptions> = {}): Identity {
  return openIdentity(bytes, { target, link, ...changes });
}

function flipped(bytes: Uint8Array, offset: number, bit = 0): Uint8Array {
  const changed = bytes.slice();
  changed[offset] = (changed[offset] as number) ^ (1 << bit);
  return changed;
}

describe.each(curves)("with the %s curve", (_, curve) => {
  test("the envelope of the spec's table is sealed and opened", () => {
    expect(bytesToHex(sealIdentity(source, { targetPublicKey: target.publicKey, link, random, curve }))).toBe(
      C5,
    );
    const opened = open(envelope, { curve, expectedSigner: source.entityId });
    expect(opened.toBytes()).toEqual(source.toBytes());
  });

  test("an ephemeral key of small order is refused although its envelope is signed", () => {
    const zero = new Uint8Array(32);
    const bytes = envelope.slice();
    bytes.set(zero, 33);
    expect(codeOf(() => open(bytes, { curve }))).toBe("seal-open-failed");
    expect(codeOf(() => sealIdentity(source, { targetPublicKey: zero, link, curve }))).toBe("invalid-key");
  });
});

test("what comes out signs as what went in", () => {
  const opened = open(sealIdentity(source, { targetPublicKey: target.publicKey, link }));
  const message = pattern(20, 1);
  expect(opened.nodeId).toBe(source.nodeId);
  expect(Identity.verify(source.entityId, message, opened.sign(message))).toBe(true);
});

test("two envelopes of the same identity for the same node have nothing secret in common", () => {
  const [a, b] = [0, 1].map(() => sealIdentity(source, { targetPublicKey: target.publicKey, link }));
  expect(a?.subarray(33, 113)).not.toEqual(b?.subarray(33, 113));
});

test("a public-only identity has nothing to seal", () => {
  const known = Identity.publicOnly(source.entityId);
  expect(() => sealIdentity(known, { targetPublicKey: target.publicKey, link })).toThrow(EnvelopeError);
  expect(codeOf(() => sealIdentity(known, { targetPublicKey: target.publicKey, link }))).toBe("read-only");
});

test("an envelope has 209 bytes and version 1", () => {
  expect(IDENTITY_ENVELOPE_SIZE).toBe(209);
  for (const bytes of [
    new Uint8Array(),
    envelope.subarray(0, 208),
    Uint8Array.of(...envelope, 0),
    ...[0, 2, 255].map((version) => Uint8Array.of(version, ...envelope.subarray(1))),
  ]) {
    expect(codeOf(() => open(bytes))).toBe("invalid-format");
  }
});

test("an envelope opens for its node, its link and its signer only", () => {
  expect(codeOf(() => open(envelope, { target: other }))).toBe("seal-open-failed");
  expect(codeOf(() => open(envelope, { link: flipped(link, 31) }))).toBe("invalid-attestation");
  expect(codeOf(() => open(envelope, { expectedSigner: person(2).entityId }))).toBe("invalid-signer-key");
  expect(codeOf(() => open(envelope, { expectedSigner: new Uint8Array() }))).toBe("invalid-signer-key");
});

test("redirecting an envelope to another node breaks its attestation", () => {
  const bytes = envelope.slice();
  bytes.set(other.publicKey, 1);
  expect(codeOf(() => open(bytes, { target: other }))).toBe("invalid-attestation");
});

test("a substituted signer is refused, expected or not", () => {
  const thief = person(7);
  const bytes = envelope.slice();
  bytes.set(thief.entityId, 113);
  bytes.set(thief.sign(Uint8Array.of(...target.publicKey, ...link)), 145);
  expect(codeOf(() => open(bytes))).toBe("invalid-attestation");
  expect(codeOf(() => open(bytes, { expectedSigner: source.entityId }))).toBe("invalid-signer-key");
});

test("a signer that is no point, or one of small order, is refused", () => {
  const noPoint = envelope.slice().fill(0, 113, 145).fill(2, 113, 114);
  expect(codeOf(() => open(noPoint))).toBe("invalid-signer-key");
  const smallOrder = envelope.slice().fill(0, 113, 145).fill(1, 113, 114);
  expect(codeOf(() => open(smallOrder))).toBe("invalid-attestation");
});

test("an envelope with any bit changed does not open", () => {
  fc.assert(
    fc.property(fc.nat(IDENTITY_ENVELOPE_SIZE - 1), fc.nat(7), (offset, bit) => {
      expect(() => open(flipped(envelope, offset, bit))).toThrow(EnvelopeError);
    }),
    { seed: 41, numRuns: 150 },
  );
});

test("any bytes at all are refused by the typed error", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ minLength: 208, maxLength: 208 }).map((rest) => Uint8Array.of(1, ...rest)),
  );
  fc.assert(
    fc.property(bytes, (hostile) => {
      expect(() => open(hostile)).toThrow(EnvelopeError);
    }),
    { seed: 42 },
  );
});

test("options of the wrong size are the caller's mistake", () => {
  const short = new Uint8Array(31);
  expect(ENVELOPE_LINK_SIZE).toBe(32);
  expect(codeOf(() => open(envelope, { link: short }))).toBe("invalid-length");
  expect(codeOf(() => open(envelope, { target: { publicKey: short, privateKey: short } }))).toBe(
    "invalid-length",
  );
  const halfPair = { publicKey: target.publicKey, privateKey: short };
  expect(codeOf(() => open(envelope, { target: halfPair }))).toBe("invalid-length");
  expect(codeOf(() => sealIdentity(source, { targetPublicKey: short, link }))).toBe("invalid-length");
  expect(codeOf(() => sealIdentity(source, { targetPublicKey: target.publicKey, link: short }))).toBe(
    "invalid-length",
  );
});

test("ephemeral and shared secrets are wiped, whether sealing and opening succeed or fail", () => {
  const secrets: Uint8Array[] = [];
  const watching: Curve = {
    ...nobleCurve,
    generateKeyPair(source) {
      const pair = nobleCurve.generateKeyPair(source);
      secrets.push(pair.privateKey);
      return pair;
    },
    sharedSecret(privateKey, publicKey) {
      const secret = nobleCurve.sharedSecret(privateKey, publicKey);
      secrets.push(secret);
      return secret;
    },
  };
  const sealed = sealIdentity(source, { targetPublicKey: target.publicKey, link, curve: watching });
  open(sealed, { curve: watching });
  expect(codeOf(() => open(flipped(sealed, 70), { curve: watching }))).toBe("seal-open-failed");
  const zero = new Uint8Array(32);
  expect(codeOf(() => sealIdentity(source, { targetPublicKey: zero, link, curve: watching }))).toBe(
    "invalid-key",
  );
  expect(secrets).toHaveLength(5);
  for (const secret of secrets) expect(secret).toEqual(zero);
});
