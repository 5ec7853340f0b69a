import { high32, low32, readU64, writeU64 } from "@netmesh/wire";
import { requireLength } from "./errors.ts";
import { KEYED_HASH_SIZE, keyedBlake2s } from "./keyed-hash.ts";
import { type PublicView, REDACTED, Redacted } from "./redaction.ts";

const PROLOGUE_LABEL = new TextEncoder().encode("net-handshake-v1");
const ROUTING_ID_MASK = 0xffff_ffffn;

/** Bytes of a mesh handshake's prologue. */
export const HANDSHAKE_PROLOGUE_SIZE: number = PROLOGUE_LABEL.length + 16;

/** Which end of a session one is: it decides which derived key sends. */
export type SessionRole = "initiator" | "responder";

/**
 * The 32 bytes that bind a handshake to its two nodes (spec crypto.md §3.1): label, then the routing ids (the
 * low 32 bits of the node ids) of initiator and responder as u64. Point-to-point sessions use an empty
 * prologue instead.
 */
export function handshakePrologue(initiatorNodeId: bigint, responderNodeId: bigint): Uint8Array {
  return rawHandshakePrologue(initiatorNodeId & ROUTING_ID_MASK, responderNodeId & ROUTING_ID_MASK);
}

/** The same layout with both ids as they are. No mesh node uses it for ids above 32 bits. */
export function rawHandshakePrologue(initiatorId: bigint, responderId: bigint): Uint8Array {
  const prologue = new Uint8Array(HANDSHAKE_PROLOGUE_SIZE);
  prologue.set(PROLOGUE_LABEL);
  writeU64(prologue, PROLOGUE_LABEL.length, initiatorId);
  writeU64(prologue, PROLOGUE_LABEL.length + 8, responderId);
  return prologue;
}

/**
 * The session id: first 8 bytes of the handshake hash as u64 (spec crypto.md §5). Throws `invalid-length`.
 */
export function sessionIdOf(handshakeHash: Uint8Array): bigint {
  requireLength(handshakeHash, KEYED_HASH_SIZE, "a handshake hash");
  return readU64(handshakeHash, 0);
}

/** K(info) = KB(KB(ikm, "net-kdf-v1"), info), 32 fresh bytes (spec crypto.md §5). `ikm` has 1 to 32 bytes. */
export function deriveKey(ikm: Uint8Array, info: string): Uint8Array {
  const prk = keyedBlake2s(ikm, "net-kdf-v1");
  const key = keyedBlake2s(prk, info);
  prk.fill(0);
  return key;
}

/**
 * First 4 bytes of every nonce of a session: low half XOR high half of the session id, to be written as u32.
 */
export function noncePrefix(sessionId: bigint): number {
  return (low32(sessionId) ^ high32(sessionId)) >>> 0;
}

/** What both sides derive from a handshake. Hand the keys to the ciphers, then `destroy`. */
export class SessionKeys extends Redacted {
  /** Names the session on the wire. */
  readonly sessionId: bigint;
  readonly #txKey: Uint8Array;
  readonly #rxKey: Uint8Array;
  readonly #chainSecret: Uint8Array | undefined;

  /** Takes over the 32-byte arrays; the chain secret is there in forward-secret sessions. */
  constructor(sessionId: bigint, txKey: Uint8Array, rxKey: Uint8Array, chainSecret?: Uint8Array) {
    super();
    this.sessionId = sessionId;
    this.#txKey = txKey;
    this.#rxKey = rxKey;
    this.#chainSecret = chainSecret;
  }

  /** Seals what we send; to be used with one counter only, ever. */
  get txKey(): Uint8Array {
    return this.#txKey;
  }

  /** Opens what we receive. */
  get rxKey(): Uint8Array {
    return this.#rxKey;
  }

  /** What the keys of the next epoch are derived from; undefined with Net 0.27's schedule. */
  get chainSecret(): Uint8Array | undefined {
    return this.#chainSecret;
  }

  /** Wipes all of them. Idempotent. */
  destroy(): void {
    this.#txKey.fill(0);
    this.#rxKey.fill(0);
    this.#chainSecret?.fill(0);
  }

  /** Shows the session id, never a key. */
  override toJSON(): PublicView {
    const shown = { sessionId: sessionIdHex(this.sessionId), txKey: REDACTED, rxKey: REDACTED };
    return this.#chainSecret === undefined ? shown : { ...shown, chainSecret: REDACTED };
  }
}

/** A session id as inspection shows it: 16 lower-case hex digits. */
export function sessionIdHex(sessionId: bigint): string {
  return sessionId.toString(16).padStart(16, "0");
}

/** Session id and keys of Net 0.27's schedule for one side of the handshake. Throws `invalid-length`. */
export function deriveSessionKeys(handshakeHash: Uint8Array, role: SessionRole): SessionKeys {
  const sessionId = sessionIdOf(handshakeHash);
  const toResponder = deriveKey(handshakeHash, "initiator-tx");
  const toInitiator = deriveKey(handshakeHash, "initiator-rx");
  return role === "initiator"
    ? new SessionKeys(sessionId, toResponder, toInitiator)
    : new SessionKeys(sessionId, toInitiator, toResponder);
}
