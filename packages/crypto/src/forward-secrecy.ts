import { readU64, writeU32 } from "@netmesh/wire";
import { X25519_KEY_SIZE } from "./curve.ts";
import { requireLength } from "./errors.ts";
import { SessionKeys, type SessionRole } from "./key-schedule.ts";
import { KEYED_HASH_SIZE, keyedBlake2s } from "./keyed-hash.ts";

// The key schedule of two netmesh nodes that have both announced forward secrecy; Net 0.27 knows nothing like it. The
// document that other implementations follow is docs/protocol/forward-secrecy.md.

const SESSION_LABEL = new TextEncoder().encode("netmesh-fs-v1");
const REKEY_LABEL = new TextEncoder().encode("netmesh-rekey-v1");

/** What a handshake leaves for the forward-secret schedule, both 32 bytes; `NoiseResult` fits. */
export interface HandshakeSecrets {
  /** h after message 2. */
  readonly handshakeHash: Uint8Array;
  /** ck after message 2, which every Diffie-Hellman result of the handshake has entered. */
  readonly chainingKey: Uint8Array;
}

/**
 * Session id, keys and chain secret of a forward-secret session for one side of the handshake. Unlike those of
 * `deriveSessionKeys` they cannot be computed from the PSK and what was on the wire. The inputs stay the caller's:
 * wipe them. Throws `invalid-length`.
 */
export function deriveForwardSecretKeys(secrets: HandshakeSecrets, role: SessionRole): SessionKeys {
  const { handshakeHash, chainingKey } = secrets;
  requireLength(handshakeHash, KEYED_HASH_SIZE, "a handshake hash");
  requireLength(chainingKey, KEYED_HASH_SIZE, "a chaining key");
  const prk = keyedBlake2s(chainingKey, concat(SESSION_LABEL, handshakeHash));
  return expand(prk, readU64(keyedBlake2s(prk, "session-id"), 0), role);
}

/** What both sides put into the keys of another epoch. */
export interface RekeyInputs {
  /** The session, which stays what it is. */
  readonly sessionId: bigint;
  /** Number of the epoch that the keys are for, u32, at least 1. */
  readonly epoch: number;
  /** The chain secret of the epoch before, 32 bytes. */
  readonly chainSecret: Uint8Array;
  /** Ephemeral X25519 public key of the session's initiator, 32 bytes. */
  readonly initiatorEphemeral: Uint8Array;
  /** That of the responder. */
  readonly responderEphemeral: Uint8Array;
  /** Their X25519 shared secret, 32 bytes. */
  readonly sharedSecret: Uint8Array;
}

/**
 * Keys and chain secret of the next epoch. Who knows those of the epoch before but none of the two private keys cannot
 * compute them. The inputs stay the caller's: wipe them. Throws `invalid-length`.
 */
export function deriveRekeyedKeys(inputs: RekeyInputs, role: SessionRole): SessionKeys {
  const { chainSecret, initiatorEphemeral, responderEphemeral, sharedSecret } = inputs;
  requireLength(chainSecret, KEYED_HASH_SIZE, "a chain secret");
  for (const key of [initiatorEphemeral, responderEphemeral, sharedSecret]) {
    requireLength(key, X25519_KEY_SIZE, "an X25519 key");
  }
  const epoch = new Uint8Array(4);
  writeU32(epoch, 0, inputs.epoch);
  const transcript = concat(REKEY_LABEL, epoch, initiatorEphemeral, responderEphemeral, sharedSecret);
  const prk = keyedBlake2s(chainSecret, transcript);
  transcript.fill(0);
  return expand(prk, inputs.sessionId, role);
}

/** Both keys and the next chain secret; wipes `prk`. */
function expand(prk: Uint8Array, sessionId: bigint, role: SessionRole): SessionKeys {
  const toResponder = keyedBlake2s(prk, "initiator-to-responder");
  const toInitiator = keyedBlake2s(prk, "responder-to-initiator");
  const chainSecret = keyedBlake2s(prk, "rekey-chain");
  prk.fill(0);
  return role === "initiator"
    ? new SessionKeys(sessionId, toResponder, toInitiator, chainSecret)
    : new SessionKeys(sessionId, toInitiator, toResponder, chainSecret);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
