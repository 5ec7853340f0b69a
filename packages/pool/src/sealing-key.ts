import {
  type AeadProvider,
  PacketCipher,
  type PublicView,
  REDACTED,
  Redacted,
  sessionIdHex,
} from "@netmesh/crypto";
import { PoolError } from "./errors.ts";
import { LocalCounter, type NonceCounter } from "./nonce-counter.ts";

/** What may be chosen about a sealing key. */
export interface SealingKeyOptions {
  /** Where the nonces come from; a private counter at 0 by default. */
  readonly counter?: NonceCounter;
  /** The AEAD implementation; the best one here by default. */
  readonly provider?: AeadProvider;
}

/**
 * A tx key bound to its one counter: the only way to seal. Neither can be had out of it, so no second counter
 * can be put on the key (spec crypto.md §5). Builders of one session share one sealing key.
 */
export class SealingKey extends Redacted {
  /** Names the session in every header. */
  readonly sessionId: bigint;
  readonly #cipher: PacketCipher;
  readonly #counter: NonceCounter;
  #isRetired = false;
  /** The value that `advance` took, low half: the counter may have gone on for another key since. */
  #counterLo = 0;
  /** High half. */
  #counterHi = 0;
  /** Whether that value has not been sealed with yet. */
  #isFresh = false;

  /** `key` has 32 bytes and is copied; wipe yours. */
  constructor(key: Uint8Array, sessionId: bigint, options: SealingKeyOptions = {}) {
    super();
    this.sessionId = sessionId;
    this.#cipher = new PacketCipher(key, sessionId, options.provider);
    this.#counter = options.counter ?? new LocalCounter();
  }

  /** Whether `retire` was called. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /**
   * Takes the next counter; `seal` uses it. Two steps, so that a refusal comes before the packet is written.
   * Throws `stale-generation` or `counter-exhausted`. A key whose generation has ended is wiped on the spot.
   */
  advance(): void {
    if (this.#isRetired) throw new PoolError("stale-generation", "this key was replaced or its pool closed");
    try {
      this.#counter.next();
    } catch (error) {
      if (error instanceof PoolError && error.code === "stale-generation") this.retire();
      throw error;
    }
    this.#counterLo = this.#counter.lo;
    this.#counterHi = this.#counter.hi;
    this.#isFresh = true;
  }

  /**
   * Seals a written packet in place with the counter of the last `advance`, which it uses up; returns the
   * length in bytes. Throws `stale-generation` without an `advance` before it.
   */
  seal(buffer: Uint8Array, offset: number, payloadLength: number): number {
    if (!this.#isFresh) throw new PoolError("stale-generation", "this counter value was used");
    this.#isFresh = false;
    return this.#cipher.sealPacket(buffer, offset, payloadLength, this.#counterLo, this.#counterHi);
  }

  /** Wipes the key. Idempotent; sealing throws `stale-generation` afterwards. */
  retire(): void {
    this.#isRetired = true;
    this.#isFresh = false;
    this.#cipher.destroy();
    this.#counter.release?.();
  }

  /** Shows the session id, never the key. */
  override toJSON(): PublicView {
    return { sessionId: sessionIdHex(this.sessionId), key: REDACTED };
  }
}
