import { copyBytes, TAG_SIZE } from "@netmesh/wire";
import { type Curve, defaultCurve, X25519_KEY_SIZE, type X25519KeyPair } from "./curve.ts";
import { HandshakeError, requireLength } from "./errors.ts";
import { SymmetricState } from "./noise-symmetric-state.ts";
import type { RandomSource } from "./random.ts";
import { type PublicView, REDACTED, Redacted } from "./redaction.ts";

/** The full name, mixed into every handshake. */
export const NOISE_PROTOCOL_NAME = "Noise_NKpsk0_25519_ChaChaPoly_BLAKE2s";
/** Bytes of the pre-shared key. */
export const PSK_SIZE = 32;
/** Bytes that a Noise message adds to its payload: an ephemeral public key and a tag. */
export const NOISE_OVERHEAD: number = X25519_KEY_SIZE + TAG_SIZE;
/** Bytes of the longest Noise message (Noise specification §3). */
export const MAX_NOISE_MESSAGE_SIZE = 65_535;

const NOTHING: Uint8Array = new Uint8Array();

/** What both sides of a handshake are given. */
export interface NoiseOptions {
  /** Pre-shared key of the mesh, 32 bytes; not kept. */
  readonly psk: Uint8Array;
  /** Bytes that both sides must agree on; `handshakePrologue` for mesh nodes. */
  readonly prologue: Uint8Array;
  /** Private ephemeral key, 32 bytes, copied. For test vectors only: it must never be used twice. */
  readonly ephemeral?: Uint8Array;
  /** Source of the ephemeral key; the platform's by default. */
  readonly random?: RandomSource;
  /** X25519 implementation; the platform's by default. */
  readonly curve?: Curve;
}

/** What the initiator is given. */
export interface NoiseInitiatorOptions extends NoiseOptions {
  /** The responder's static public key, 32 bytes. */
  readonly responderPublicKey: Uint8Array;
}

/** What the responder is given. */
export interface NoiseResponderOptions extends NoiseOptions {
  /** The responder's static pair. Stays the caller's; used until message 1 is read. */
  readonly staticKeyPair: X25519KeyPair;
}

/** The outcome of a handshake. Both keys are equal on both sides; the arrays are the caller's. */
export class NoiseResult extends Redacted {
  /**
   * What the other side sent along. Bytes that a reader does not know are to be ignored (spec crypto.md §3).
   */
  readonly payload: Uint8Array;
  readonly #handshakeHash: Uint8Array;
  readonly #chainingKey: Uint8Array;

  /** Takes over the three arrays. */
  constructor(payload: Uint8Array, handshakeHash: Uint8Array, chainingKey: Uint8Array) {
    super();
    this.payload = payload;
    this.#handshakeHash = handshakeHash;
    this.#chainingKey = chainingKey;
  }

  /** h after message 2, 32 bytes. Key-derivation input: never log it (spec crypto.md §12 W14). */
  get handshakeHash(): Uint8Array {
    return this.#handshakeHash;
  }

  /** ck after message 2, 32 bytes. Secret: unlike h it depends on the Diffie-Hellman results. */
  get chainingKey(): Uint8Array {
    return this.#chainingKey;
  }

  /** Wipes both keys. Idempotent. */
  destroy(): void {
    this.#handshakeHash.fill(0);
    this.#chainingKey.fill(0);
  }

  /** Shows the size of the payload, never a key. */
  override toJSON(): PublicView {
    return { payloadLength: this.payload.length, keys: REDACTED };
  }
}

/** Where a handshake stands. A failed read changes nothing. */
type Step = "start" | "message 1" | "done" | "destroyed";

/** Everything up to and including the psk token, the same for every message 1. */
function beforeMessage1(options: NoiseOptions, responderPublicKey: Uint8Array): SymmetricState {
  requireLength(options.psk, PSK_SIZE, "a PSK");
  requireLength(responderPublicKey, X25519_KEY_SIZE, "a static public key");
  const state = SymmetricState.initialize(NOISE_PROTOCOL_NAME);
  state.mixHash(options.prologue);
  state.mixHash(responderPublicKey); // pre-message <- s
  state.mixKeyAndHash(options.psk);
  return state;
}

/** The `e` token; in psk patterns e is mixed into the key as well (Noise §9.2). */
function mixEphemeral(state: SymmetricState, publicKey: Uint8Array): void {
  state.mixHash(publicKey);
  state.mixKey(publicKey);
}

/** `es`, `ee`. Throws `handshake-failed` if the public key has small order. */
function mixSharedSecret(
  state: SymmetricState,
  curve: Curve,
  privateKey: Uint8Array,
  publicKey: Uint8Array,
): void {
  let secret: Uint8Array;
  try {
    secret = curve.sharedSecret(privateKey, publicKey);
  } catch {
    throw new HandshakeError("the other side's public key has small order");
  }
  state.mixKey(secret);
  secret.fill(0);
}

interface ReadMessage {
  /** The state after the message; `start` is untouched. */
  readonly state: SymmetricState;
  readonly ephemeral: Uint8Array;
  readonly payload: Uint8Array;
}

/** `e` and one Diffie-Hellman token, read: both messages have this form. Works on a copy of `start`. */
function read(start: SymmetricState, curve: Curve, privateKey: Uint8Array, bytes: Uint8Array): ReadMessage {
  if (bytes.length < NOISE_OVERHEAD || bytes.length > MAX_NOISE_MESSAGE_SIZE) {
    throw new HandshakeError(`no message has ${bytes.length} bytes`);
  }
  const state = start.clone();
  const ephemeral = copyBytes(bytes, 0, X25519_KEY_SIZE);
  try {
    mixEphemeral(state, ephemeral);
    mixSharedSecret(state, curve, privateKey, ephemeral);
    return { state, ephemeral, payload: state.decryptAndHash(bytes.subarray(X25519_KEY_SIZE)) };
  } catch {
    state.destroy();
    throw new HandshakeError("the message does not verify");
  }
}

/** The counterpart of `read`: works on `state` itself. */
function write(
  state: SymmetricState,
  curve: Curve,
  pair: X25519KeyPair,
  publicKey: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  mixEphemeral(state, pair.publicKey);
  mixSharedSecret(state, curve, pair.privateKey, publicKey);
  const ciphertext = state.encryptAndHash(payload);
  const message = new Uint8Array(X25519_KEY_SIZE + ciphertext.length);
  message.set(pair.publicKey);
  message.set(ciphertext, X25519_KEY_SIZE);
  return message;
}

function freshEphemeral(options: NoiseOptions, curve: Curve): X25519KeyPair {
  if (options.ephemeral === undefined) return curve.generateKeyPair(options.random);
  const privateKey = copyBytes(options.ephemeral);
  return { publicKey: curve.publicKey(privateKey), privateKey };
}

function wipe(curve: Curve, pair: X25519KeyPair): void {
  curve.forget(pair.privateKey);
  pair.privateKey.fill(0);
}

function requirePayload(payload: Uint8Array): void {
  if (payload.length > MAX_NOISE_MESSAGE_SIZE - NOISE_OVERHEAD) {
    throw new HandshakeError(`a payload of ${payload.length} bytes exceeds a Noise message`);
  }
}

function requireStep(step: Step, expected: Step, what: string): void {
  if (step !== expected) throw new HandshakeError(`${what}: out of order (${step})`);
}

/**
 * The side that dials, of one attempt: `writeMessage1`, then `readMessage2` until one succeeds (spec
 * crypto.md §3). A message that fails leaves the state as it was, so a forged message 2 cannot spoil the
 * attempt (§12 W4).
 */
export class NoiseInitiator extends Redacted {
  readonly #curve: Curve;
  readonly #responderPublicKey: Uint8Array;
  readonly #ephemeral: X25519KeyPair;
  #state: SymmetricState;
  #result: NoiseResult | undefined;
  #step: Step = "start";

  /** Throws `invalid-length` for keys of the wrong size. */
  constructor(options: NoiseInitiatorOptions) {
    super();
    this.#curve = options.curve ?? defaultCurve;
    this.#responderPublicKey = copyBytes(options.responderPublicKey);
    this.#state = beforeMessage1(options, this.#responderPublicKey);
    this.#ephemeral = freshEphemeral(options, this.#curve);
  }

  /** A copy of the initiator's ephemeral public key: the first 32 bytes of message 1. */
  get initiatorEphemeral(): Uint8Array {
    return copyBytes(this.#ephemeral.publicKey);
  }

  /**
   * Message 1, 48 bytes + payload. Throws `handshake-failed` out of order or for a responder key of small
   * order.
   */
  writeMessage1(payload: Uint8Array = NOTHING): Uint8Array {
    requireStep(this.#step, "start", "writing message 1");
    requirePayload(payload);
    const state = this.#state.clone();
    const bytes = write(state, this.#curve, this.#ephemeral, this.#responderPublicKey, payload);
    this.#state.destroy();
    this.#state = state;
    this.#step = "message 1";
    return bytes;
  }

  /** Reads message 2. Throws `handshake-failed` if it does not verify; another one may then be tried. */
  readMessage2(bytes: Uint8Array): NoiseResult {
    requireStep(this.#step, "message 1", "reading message 2");
    const { state, payload } = read(this.#state, this.#curve, this.#ephemeral.privateKey, bytes);
    this.#result = new NoiseResult(payload, state.handshakeHash, state.chainingKey);
    this.#step = "done";
    wipe(this.#curve, this.#ephemeral);
    this.#state.destroy();
    state.destroy();
    return this.#result;
  }

  /** The outcome. Throws `handshake-failed` before message 2 was read. */
  get result(): NoiseResult {
    return resultOf(this.#step, this.#result);
  }

  /** Wipes every secret. Idempotent; nothing works afterwards. */
  destroy(): void {
    this.#step = "destroyed";
    wipe(this.#curve, this.#ephemeral);
    this.#state.destroy();
    this.#result?.destroy();
  }

  /** Shows the step, never a key. */
  override toJSON(): PublicView {
    return { step: this.#step, state: REDACTED };
  }
}

/**
 * The side that answers, of one attempt: `readMessage1` until one succeeds, then `writeMessage2` (spec
 * crypto.md §3). The initiator stays anonymous: all it proves is that it knows the PSK.
 */
export class NoiseResponder extends Redacted {
  readonly #options: NoiseResponderOptions;
  readonly #curve: Curve;
  readonly #start: SymmetricState;
  #message1: ReadMessage | undefined;
  #result: NoiseResult | undefined;
  #step: Step = "start";

  /** Throws `invalid-length` for keys of the wrong size. */
  constructor(options: NoiseResponderOptions) {
    super();
    this.#curve = options.curve ?? defaultCurve;
    this.#start = beforeMessage1(options, options.staticKeyPair.publicKey);
    // Without the PSK, which has done its work.
    const { psk: _, ...kept } = options;
    this.#options = { ...kept, psk: NOTHING };
  }

  /** A copy of the initiator's ephemeral public key. Throws `handshake-failed` before message 1 was read. */
  get initiatorEphemeral(): Uint8Array {
    if (this.#message1 === undefined) throw new HandshakeError("message 1 was not read");
    return this.#message1.ephemeral.slice();
  }

  /**
   * Reads message 1 and returns its payload. Throws `handshake-failed` if it does not verify (wrong PSK,
   * static key or prologue, or altered bytes); another one may then be tried.
   */
  readMessage1(bytes: Uint8Array): Uint8Array {
    requireStep(this.#step, "start", "reading message 1");
    const message = read(this.#start, this.#curve, this.#options.staticKeyPair.privateKey, bytes);
    this.#message1 = message;
    this.#step = "message 1";
    this.#start.destroy();
    return message.payload;
  }

  /**
   * Message 2, 48 bytes + payload; the handshake is then complete. Throws `handshake-failed` out of order.
   */
  writeMessage2(payload: Uint8Array = NOTHING): Uint8Array {
    requireStep(this.#step, "message 1", "writing message 2");
    requirePayload(payload);
    const { state, ephemeral, payload: received } = this.#message1 as ReadMessage;
    const pair = freshEphemeral(this.#options, this.#curve);
    const bytes = write(state, this.#curve, pair, ephemeral, payload);
    wipe(this.#curve, pair);
    this.#result = new NoiseResult(received, state.handshakeHash, state.chainingKey);
    this.#step = "done";
    state.destroy();
    return bytes;
  }

  /** The outcome. Throws `handshake-failed` before message 2 was written. */
  get result(): NoiseResult {
    return resultOf(this.#step, this.#result);
  }

  /** Wipes every secret of this attempt, not the static pair. Idempotent; nothing works afterwards. */
  destroy(): void {
    this.#step = "destroyed";
    this.#start.destroy();
    this.#message1?.state.destroy();
    this.#result?.destroy();
  }

  /** Shows the step, never a key. */
  override toJSON(): PublicView {
    return { step: this.#step, state: REDACTED };
  }
}

function resultOf(step: Step, result: NoiseResult | undefined): NoiseResult {
  if (step !== "done") throw new HandshakeError(`no result yet (${step})`);
  return result as NoiseResult;
}
