import { type PublicView, Redacted, sessionIdHex } from "@netmesh/crypto";
import { BuilderGuard } from "./builder-guard.ts";
import { PacketBuilder } from "./packet-builder.ts";
import { requirePoolSize } from "./pool-size.ts";
import { SealingKey, type SealingKeyOptions } from "./sealing-key.ts";

/** What may be chosen about a packet pool. */
export interface PacketPoolOptions extends SealingKeyOptions {
  /** Origin hash of the builders handed out; 0 by default. */
  readonly originHash?: bigint;
}

/**
 * A queue of builders that share one key and one counter, for one session at a time (spec session.md §1.2).
 * It never runs dry: an empty queue makes an extra builder, and a full one drops what comes back.
 */
export class PacketPool extends Redacted {
  /** Builders that the queue holds at most. */
  readonly capacity: number;
  readonly #originHash: bigint;
  #key: SealingKey;
  /** First in, first out. */
  readonly #queue: PacketBuilder[] = [];

  /** `capacity` is 1 to 16,384; `key` has 32 bytes and is copied. Throws `invalid-size`. */
  constructor(capacity: number, key: Uint8Array, sessionId: bigint, options: PacketPoolOptions = {}) {
    super();
    requirePoolSize(capacity);
    this.capacity = capacity;
    this.#originHash = options.originHash ?? 0n;
    this.#key = new SealingKey(key, sessionId, options);
    for (let i = 0; i < capacity; i++) this.#queue.push(this.#create());
  }

  /** Builders in the queue. */
  get available(): number {
    return this.#queue.length;
  }

  /** The session that packets are sealed for. */
  get sessionId(): bigint {
    return this.#key.sessionId;
  }

  /** Borrows a builder with channel hash 0 and the pool's origin hash. */
  get(): BuilderGuard {
    const builder = this.#queue.shift() ?? this.#create();
    return new BuilderGuard(builder, (returned) => this.#release(returned));
  }

  /**
   * Replaces key and session: wipes the old key, starts a new counter and empties the queue; builders are
   * made anew as they are needed. Guards that are out refuse to seal from now on (`stale-generation`), and
   * their builders do not come back, even if the session id is the same (spec session.md §1.4).
   */
  setKey(key: Uint8Array, sessionId: bigint, options?: SealingKeyOptions): void {
    const replacement = new SealingKey(key, sessionId, options);
    this.#key.retire();
    this.#key = replacement;
    this.#queue.length = 0;
  }

  /** Wipes the key. Idempotent; nothing can be sealed afterwards. */
  close(): void {
    this.#key.retire();
    this.#queue.length = 0;
  }

  /** Shows sizes and session, never the key. */
  override toJSON(): PublicView {
    return { capacity: this.capacity, available: this.available, sessionId: sessionIdHex(this.sessionId) };
  }

  #create(): PacketBuilder {
    return new PacketBuilder(this.#key, this.#originHash);
  }

  #release(builder: PacketBuilder): void {
    if (!builder.usesKey(this.#key) || this.#queue.length >= this.capacity) return;
    builder.setOriginHash(this.#originHash);
    builder.setChannelHash(0);
    this.#queue.push(builder);
  }
}
