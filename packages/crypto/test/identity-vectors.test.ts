import { low32, writeU64, xxh3 } from "@netmesh/wire";
import { describe, expect, test } from "vitest";
import {
  bytesToHex,
  delegateToken,
  Identity,
  isIdentityEnvelope,
  issueToken,
  keyedBlake2s,
  openIdentity,
  type RandomSource,
  RevocationFloors,
  StaticKeyPair,
  sealIdentity,
  TOKEN_SIGNED_SIZE,
  Token,
  TokenCache,
  TokenChain,
} from "../src/index.ts";
import { curves, schemes } from "./support/implementations.ts";
import { person } from "./support/people.ts";
import { codeOf } from "./support/refusal.ts";
import { identityGolden as golden, hex } from "./support/vectors.ts";

/** The reference's error names as this package spells them. */
function spelled(variant: string): string {
  return variant === "ok" ? "ok" : variant.replace(/(?<=[a-z])(?=[A-Z])/g, "-").toLowerCase();
}

/** Delivers the 8 bytes of one nonce. */
function scripted(nonce: string): RandomSource {
  return { fill: (bytes) => writeU64(bytes, 0, BigInt(nonce)) };
}

describe.each(schemes)("with %s signatures", (_, scheme) => {
  test("tokens are signed, encoded and read as by the reference", () => {
    for (const vector of golden.permission_token) {
      const { token: fields } = vector;
      const issuer = Identity.fromSeed(hex(vector.issuer_seed), scheme);
      const token = Token.sign(issuer, {
        subject: hex(fields.subject),
        scope: fields.scope,
        channel: BigInt(fields.channel_hash),
        generation: fields.issuer_generation,
        notBefore: BigInt(fields.not_before),
        notAfter: BigInt(fields.not_after),
        delegationDepth: fields.delegation_depth,
        nonce: BigInt(fields.nonce),
      });
      expect(bytesToHex(token.toBytes())).toBe(vector.bytes);
      expect(bytesToHex(token.toBytes().subarray(0, TOKEN_SIGNED_SIZE))).toBe(vector.signed_payload);
      const parsed = Token.parse(hex(vector.bytes));
      expect(parsed.toJSON()).toEqual({
        issuer: fields.issuer,
        subject: fields.subject,
        scope: fields.scope,
        channel: fields.channel_hash,
        generation: fields.issuer_generation,
        notBefore: fields.not_before,
        notAfter: fields.not_after,
        delegationDepth: fields.delegation_depth,
        nonce: fields.nonce,
      });
      expect(parsed.verify(scheme)).toBe(vector.verify === "ok");
    }
  });

  test.each(golden.permission_token_decode)("a token is parsed and verified as there: $name", (vector) => {
    const parse = () => Token.parse(hex(vector.bytes));
    if (vector.decoded) expect(parse().verify(scheme)).toBe(vector.verify === "ok");
    else expect(codeOf(parse)).toBe("invalid-format");
  });

  test.each(golden.token_validity)(
    "at $now_secs with skew $skew_secs a token is $is_valid_with_skew",
    (vector) => {
      const token = Token.parse(hex(vector.token));
      const [now, skew] = [BigInt(vector.now_secs), BigInt(vector.skew_secs)];
      const verdict = spelled(vector.is_valid_with_skew);
      expect(codeOf(() => token.assertValid(now, skew, scheme))).toBe(verdict);
      expect(token.isCurrent(now, skew)).toBe(verdict === "ok");
      expect(token.isExpired(now)).toBe(vector.is_expired);
    },
  );

  test.each(golden.token_delegate)("tokens are passed on as there: $name", (vector) => {
    const signer = [1, 2, 3, 4]
      .map((byte) => Identity.fromSeed(new Uint8Array(32).fill(byte), scheme))
      .find((identity) => bytesToHex(identity.entityId) === vector.signer_entity) as Identity;
    const delegate = () =>
      delegateToken(
        Token.parse(hex(vector.parent)),
        signer,
        { subject: hex(vector.subject), scope: vector.restricted_scope },
        BigInt(vector.now_secs),
        scripted(vector.scripted_nonce),
        scheme,
      );
    expect(codeOf(delegate)).toBe(spelled(vector.result));
    if (vector.child !== null) expect(bytesToHex(delegate().toBytes())).toBe(vector.child);
  });

  test.each(golden.token_chain)("chains are judged as there: $name", (vector) => {
    const chain = TokenChain.parse(hex(vector.chain));
    expect(bytesToHex(chain.toBytes())).toBe(vector.chain);
    const revocations = new RevocationFloors();
    if (vector.revocation_floor !== null) {
      revocations.raise(hex(vector.revocation_floor.issuer), vector.revocation_floor.generation);
    }
    const request = {
      action: vector.action,
      channel: BigInt(vector.channel),
      presenter: hex(vector.presenter),
      roots: vector.roots.map(hex),
      revocations,
      now: BigInt(vector.now_secs),
      skew: BigInt(vector.skew_secs),
    };
    expect(codeOf(() => chain.authorize(request, scheme))).toBe(spelled(vector.verify));
    expect(codeOf(() => chain.authorizePresigned(request))).toBe(spelled(vector.verify_presigned));
  });
});

test("a token allows what it allows in the reference", () => {
  for (const vector of golden.token_authorizes) {
    const token = Token.sign(person(1), {
      subject: person(2).entityId,
      scope: vector.scope,
      channel: BigInt(vector.token_channel),
      generation: 0,
      notBefore: 0n,
      notAfter: 1n,
      delegationDepth: 0,
      nonce: 0n,
    });
    expect(token.covers(vector.action, BigInt(vector.query_channel))).toBe(vector.authorizes);
  }
});

test.each(golden.token_issue)("a token for $duration_secs s is issued as there", (vector) => {
  // The subject, scope, channel and depth of all cases are those of the ones that succeed.
  const sample = Token.parse(hex(golden.token_issue[0]?.token as string));
  const issue = () =>
    issueToken(
      Identity.fromSeed(hex(vector.issuer_seed)),
      {
        subject: sample.subject,
        scope: sample.scope,
        channel: sample.channel,
        ttl: BigInt(vector.duration_secs),
        delegationDepth: sample.delegationDepth,
      },
      BigInt(vector.now_secs),
      scripted(vector.scripted_nonce),
    );
  expect(codeOf(issue)).toBe(spelled(vector.result));
  if (vector.token !== null) expect(bytesToHex(issue().toBytes())).toBe(vector.token);
});

test.each(golden.token_chain_decode)("a chain is parsed as there: $name", (vector) => {
  const parse = () => TokenChain.parse(hex(vector.bytes));
  expect(hex(vector.bytes)).toHaveLength(vector.bytes_len);
  expect(codeOf(parse)).toBe(spelled(vector.result));
  if (vector.token_count !== null) expect(parse().links).toHaveLength(vector.token_count);
});

test("a cache finds, after each step, what the reference's finds", () => {
  const now = 1_700_000_050n; // inside the lifetime of the tokens that count
  const revocations = new RevocationFloors();
  const cache = new TokenCache({ revocations });
  const issuer = person(1).entityId;
  for (const { op, len, checks } of golden.token_cache) {
    if (op === "evict_expired") cache.evictExpired(now);
    else if (typeof op === "object" && "revoke_below" in op)
      revocations.raise(issuer, op.revoke_below as number);
    else if (typeof op === "object" && "insert bad signature" in op) {
      const bytes = Token.sign(person(1), {
        subject: person(2).entityId,
        scope: 4,
        channel: 0n,
        generation: 0,
        notBefore: 0n,
        notAfter: 1n,
        delegationDepth: 0,
        nonce: 0n,
      }).toBytes();
      bytes[70] = 1;
      expect(codeOf(() => cache.insert(Token.parse(bytes)))).toBe(spelled(Object.values(op)[0] as string));
    } else if (typeof op === "object") {
      expect(cache.insert(Token.parse(hex(Object.values(op)[0] as string)))).toBe(true);
    }
    expect(cache.size).toBe(len);
    for (const check of checks) {
      const found = cache.findForAction(hex(check.subject), check.action, BigInt(check.channel), now);
      expect(found === undefined ? "NotAuthorized" : "ok").toBe(check.result);
    }
  }
});

describe.each(curves)("with the %s curve", (_, curve) => {
  test("identity envelopes are sealed and opened as by the reference", () => {
    for (const vector of golden.identity_envelope) {
      const source = Identity.fromSeed(hex(vector.source_seed));
      const target = StaticKeyPair.fromPrivateKey(hex(vector.target_static_private), curve);
      expect(bytesToHex(target.publicKey)).toBe(vector.target_static_public);
      const link = hex(vector.chain_link);
      const shared = curve.sharedSecret(hex(vector.ephemeral_private), target.publicKey);
      expect(bytesToHex(keyedBlake2s("net-identity-envelope", shared))).toBe(vector.seal_key);
      const random = { fill: (bytes: Uint8Array) => bytes.set(hex(vector.ephemeral_private)) };
      const sealed = sealIdentity(source, { targetPublicKey: target.publicKey, link, random, curve });
      expect(bytesToHex(sealed)).toBe(vector.bytes);
      expect(vector.attestation_transcript).toBe(vector.target_static_public + vector.chain_link);

      const flip = (offset: number, bytes = sealed) => {
        const changed = bytes.slice();
        changed[offset] = (changed[offset] as number) ^ 1;
        return changed;
      };
      const expectedSigner = source.entityId;
      // The y-coordinate 2 belongs to no point of the curve.
      const noPoint = sealed.slice().fill(0, 113, 145).fill(2, 113, 114);
      const other = StaticKeyPair.fromPrivateKey(hex(vector.ephemeral_private), curve);
      const verdicts = {
        ok: () => openIdentity(sealed, { target, link, expectedSigner, curve }),
        no_expected_signer: () => openIdentity(sealed, { target, link, curve }),
        wrong_link: () => openIdentity(sealed, { target, link: flip(0, link), curve }),
        wrong_target_key: () => openIdentity(sealed, { target: other, link, curve }),
        tampered_ciphertext: () => openIdentity(flip(70), { target, link, curve }),
        tampered_signature: () => openIdentity(flip(145), { target, link, curve }),
        bad_signer_pub: () => openIdentity(noPoint, { target, link, curve }),
        unexpected_signer: () =>
          openIdentity(sealed, { target, link, expectedSigner: person(9).entityId, curve }),
      };
      for (const [name, verdict] of Object.entries(vector.open)) {
        expect(codeOf(verdicts[name as keyof typeof verdicts]), name).toBe(spelled(verdict));
      }
      expect(verdicts.ok().toBytes()).toEqual(hex(vector.source_seed));
    }
  });
});

test("what is an envelope at all is decided as there", () => {
  for (const vector of golden.identity_envelope_decode) {
    const bytes = new Uint8Array(vector.len);
    if (vector.len > 0) bytes[0] = "version" in vector ? (vector.version as number) : 1;
    expect(isIdentityEnvelope(bytes)).toBe(vector.accepted);
  }
});

test("replica identities follow from their group's seed as in the reference", () => {
  for (const vector of golden.replica_keypair) {
    const seed = hex(vector.group_seed);
    const derived = keyedBlake2s("net-replica-v1", Uint8Array.of(...seed, vector.index));
    expect(bytesToHex(derived)).toBe(vector.derived_seed);
    const identity = Identity.fromSeed(derived);
    expect(bytesToHex(identity.entityId)).toBe(vector.entity_id);
    expect(identity.originHash).toBe(BigInt(vector.origin_hash));
    expect(low32(xxh3(seed))).toBe(vector.group_id);
  }
});
