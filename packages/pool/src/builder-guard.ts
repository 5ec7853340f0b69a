import { PoolError } from "./errors.ts";
import type { PacketBuilder, PacketFields } from "./packet-builder.ts";

/**
 * A builder borrowed from a pool: `using guard = pool.acquire()`. It goes back when the guard is disposed;
 * every method throws `released` afterwards.
 */
export class BuilderGuard {
  #builder: PacketBuilder | undefined;
  readonly #giveBack: (builder: PacketBuilder) => void;

  /** Made by the pools. */
  constructor(builder: PacketBuilder, giveBack: (builder: PacketBuilder) => void) {
    this.#builder = builder;
    this.#giveBack = giveBack;
  }

  /** The session that packets are sealed for. */
  get sessionId(): bigint {
    return this.#held().sessionId;
  }

  /** See `PacketBuilder.buildInto`. */
  buildInto(
    target: Uint8Array,
    offset: number,
    fields: PacketFields,
    events: readonly Uint8Array[],
    from: number,
    to: number,
  ): number {
    return this.#held().buildInto(target, offset, fields, events, from, to);
  }

  /** See `PacketBuilder.heartbeatInto`. */
  heartbeatInto(target: Uint8Array, offset: number): number {
    return this.#held().heartbeatInto(target, offset);
  }

  /** See `PacketBuilder.build`. */
  build(streamId: bigint, sequence: bigint, events: readonly Uint8Array[], flags = 0): Uint8Array {
    return this.#held().build(streamId, sequence, events, flags);
  }

  /** See `PacketBuilder.buildSubprotocol`. */
  buildSubprotocol(
    streamId: bigint,
    sequence: bigint,
    events: readonly Uint8Array[],
    flags: number,
    subprotocolId: number,
  ): Uint8Array {
    return this.#held().buildSubprotocol(streamId, sequence, events, flags, subprotocolId);
  }

  /** See `PacketBuilder.buildHandshake`. */
  buildHandshake(message: Uint8Array): Uint8Array {
    return this.#held().buildHandshake(message);
  }

  /** See `PacketBuilder.buildHeartbeat`. */
  buildHeartbeat(): Uint8Array {
    return this.#held().buildHeartbeat();
  }

  /** See `PacketBuilder.wouldFit`. */
  wouldFit(events: readonly Uint8Array[]): boolean {
    return this.#held().wouldFit(events);
  }

  /** The channel hash of the packets built through this guard, 0 at first. */
  setChannelHash(channelHash: number): void {
    this.#held().setChannelHash(channelHash);
  }

  /** The origin hash of the packets built through this guard, the pool's at first. */
  setOriginHash(originHash: bigint): void {
    this.#held().setOriginHash(originHash);
  }

  /** Gives the builder back. Idempotent. */
  release(): void {
    const builder = this.#builder;
    if (builder === undefined) return;
    this.#builder = undefined;
    this.#giveBack(builder);
  }

  /** Gives the builder back. Idempotent. */
  [Symbol.dispose](): void {
    this.release();
  }

  #held(): PacketBuilder {
    if (this.#builder === undefined) throw new PoolError("released", "this builder went back to its pool");
    return this.#builder;
  }
}
