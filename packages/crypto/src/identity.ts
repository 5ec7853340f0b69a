import { copyBytes, MAGIC, readU64 } from "@netmesh/wire";
import { equalBytes } from "./constant-time.ts";
import { CryptoError, requireLength } from "./errors.ts";
import { bytesToHex } from "./hex.ts";
import { keyedBlake2s } from "./keyed-hash.ts";
import { platformRandom, type RandomSource, randomBytes } from "./random.ts";
import { type PublicView, REDACTED, Redacted } from "./redaction.ts";
import {
  defaultSignatures,
  ED25519_PUBLIC_KEY_SIZE,
  ED25519_SEED_SIZE,
  type SignatureScheme,
} from "./signature.ts";

/** The low half of a node id that makes its pingwaves look like packets (spec wire.md W2). */
const PACKET_MAGIC = BigInt(MAGIC);

/** KB(label, entityId), first 8 bytes as u64. */
function idOf(label: string, entityId: Uint8Array): bigint {
  return readU64(keyedBlake2s(label, entityId), 0);
}

/**
 * Whether other nodes can see a node of this id: 0 means "unknown", and ids ending in 0x4E45 are mistaken for
 * packets.
 */
export function isUsableNodeId(nodeId: bigint): boolean {
  return nodeId !== 0n && (nodeId & 0xffffn) !== PACKET_MAGIC;
}

/**
 * An Ed25519 identity (spec crypto.md §7): the entity id is the public key, all other ids follow from it. It
 * may be public-only, without the secret seed; `zeroize` makes it so.
 */
export class Identity extends Redacted {
  /** Public key, 32 bytes; handed out as copies. */
  readonly #entityId: Uint8Array;
  /** Secret seed, 32 bytes; absent in a public-only identity. */
  #seed: Uint8Array | undefined;
  readonly #signatures: SignatureScheme;

  /** Identifies the origin of events: u64 of KB("net-origin-v1", entity id). */
  readonly originHash: bigint;
  /** Identifies the node in the mesh: u64 of KB("net-node-id-v1", entity id). */
  readonly nodeId: bigint;

  private constructor(entityId: Uint8Array, seed: Uint8Array | undefined, signatures: SignatureScheme) {
    super();
    this.#entityId = entityId;
    this.#seed = seed;
    this.#signatures = signatures;
    this.originHash = idOf("net-origin-v1", entityId);
    this.nodeId = idOf("net-node-id-v1", entityId);
  }

  /** A fresh identity whose node id is usable. Throws `random-failed`. */
  static generate(
    random: RandomSource = platformRandom,
    signatures: SignatureScheme = defaultSignatures,
  ): Identity {
    for (;;) {
      const identity = Identity.fromSeed(randomBytes(ED25519_SEED_SIZE, random), signatures);
      if (isUsableNodeId(identity.nodeId)) return identity;
      identity.zeroize();
    }
  }

  /** The identity of a 32-byte seed, which is copied. Throws `invalid-length`. */
  static fromSeed(seed: Uint8Array, signatures: SignatureScheme = defaultSignatures): Identity {
    requireLength(seed, ED25519_SEED_SIZE, "an identity seed");
    const own = copyBytes(seed);
    return new Identity(signatures.publicKey(own), own, signatures);
  }

  /** An identity that cannot sign, of 32 bytes entity id, which are copied. Throws `invalid-length`. */
  static publicOnly(entityId: Uint8Array, signatures: SignatureScheme = defaultSignatures): Identity {
    requireLength(entityId, ED25519_PUBLIC_KEY_SIZE, "an entity id");
    return new Identity(copyBytes(entityId), undefined, signatures);
  }

  /**
   * Whether `signature` (64 bytes) of `message` was made by the owner of `entityId`. Strict; never throws.
   */
  static verify(
    entityId: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
    signatures: SignatureScheme = defaultSignatures,
  ): boolean {
    return signatures.verify(entityId, message, signature);
  }

  /** A copy of the 32-byte public key. */
  get entityId(): Uint8Array {
    return this.#entityId.slice();
  }

  /** Whether the seed is absent. */
  get isPublicOnly(): boolean {
    return this.#seed === undefined;
  }

  /** The deterministic 64-byte signature of `message`. Throws `read-only`. */
  sign(message: Uint8Array): Uint8Array {
    const signature = this.trySign(message);
    if (signature === undefined) throw readOnly();
    return signature;
  }

  /** As `sign`, but undefined for a public-only identity. */
  trySign(message: Uint8Array): Uint8Array | undefined {
    return this.#seed === undefined ? undefined : this.#signatures.sign(this.#seed, message);
  }

  /** A copy of the 32-byte seed: what to store to come back as the same node. Secret. Throws `read-only`. */
  toBytes(): Uint8Array {
    if (this.#seed === undefined) throw readOnly();
    return copyBytes(this.#seed);
  }

  /** Wipes the seed and leaves a public-only identity. Idempotent; copies keep theirs. */
  zeroize(): void {
    if (this.#seed === undefined) return;
    this.#signatures.forget(this.#seed);
    this.#seed.fill(0);
    this.#seed = undefined;
  }

  /** An independent identity of the same kind. */
  copy(): Identity {
    return new Identity(this.#entityId.slice(), this.#seed?.slice(), this.#signatures);
  }

  /** Whether both have the same entity id. */
  equals(other: Identity): boolean {
    return equalBytes(this.#entityId, other.#entityId);
  }

  /** The first 8 bytes of the entity id in hex, then `...`. */
  override toString(): string {
    return `${bytesToHex(this.#entityId.subarray(0, 8))}...`;
  }

  /** Shows the entity id, never the seed. */
  override toJSON(): PublicView {
    return {
      entityId: bytesToHex(this.#entityId),
      seed: this.#seed === undefined ? "none" : REDACTED,
    };
  }
}

function readOnly(): CryptoError {
  return new CryptoError("read-only", "this identity has no secret half");
}
