import { type PacketCipher, ReplayWindow } from "@netmesh/crypto";

/** How long packets of the epoch before may still arrive; its key is wiped then. */
export const PREVIOUS_EPOCH_MS = 3_000;

/** What opens the packets of one key epoch, and which of them were opened. */
export class ReceiveEpoch {
  /** High half of the counters of its packets; 0 from the handshake on. */
  readonly number: number;
  readonly cipher: PacketCipher;
  readonly replay: ReplayWindow = new ReplayWindow();

  /** Takes the cipher over. */
  constructor(number: number, cipher: PacketCipher) {
    this.number = number;
    this.cipher = cipher;
  }
}

/**
 * The receive keys of a session: of the epoch in use, of the one before for packets that were overtaken, and of the one
 * after once it was agreed on. Never more than these three.
 */
export class ReceiveEpochs {
  /** Whether counters say their epoch; otherwise all 64 bits count packets under one key, as in Net. */
  readonly #isNumbered: boolean;
  /** The highest epoch of which a packet was opened; that of the handshake at first. */
  #current: ReceiveEpoch;
  #previous: ReceiveEpoch | undefined;
  #next: ReceiveEpoch | undefined;
  /** When the previous epoch is wiped, in milliseconds of the core's clock. */
  #previousUntilMs = Number.POSITIVE_INFINITY;

  /** Begins with epoch 0; takes the cipher over. */
  constructor(cipher: PacketCipher, isNumbered: boolean) {
    this.#current = new ReceiveEpoch(0, cipher);
    this.#isNumbered = isNumbered;
  }

  /** The highest epoch of which a packet was opened. */
  get current(): ReceiveEpoch {
    return this.#current;
  }

  /** Whether overtaken packets of the epoch before are still taken. */
  get hasPrevious(): boolean {
    return this.#previous !== undefined;
  }

  /** All keys held, at most three. */
  *[Symbol.iterator](): IterableIterator<ReceiveEpoch> {
    for (const epoch of [this.#previous, this.#current, this.#next]) if (epoch !== undefined) yield epoch;
  }

  /** The epoch of a packet with that high half of the counter; undefined when its key is not held. */
  select(counterHi: number): ReceiveEpoch | undefined {
    const current = this.#current;
    return counterHi === current.number || !this.#isNumbered ? current : this.#other(counterHi);
  }

  #other(number: number): ReceiveEpoch | undefined {
    if (this.#next?.number === number) return this.#next;
    return this.#previous?.number === number ? this.#previous : undefined;
  }

  /** Whether no packet with a higher counter was opened, of any epoch. */
  isNewest(counterLo: number, counterHi: number): boolean {
    return this.#current.replay.isNewest(counterLo, counterHi);
  }

  /**
   * Gets ready for packets of the epoch after the current one; takes the cipher over. Not to be called again before
   * `promote`.
   */
  install(cipher: PacketCipher): void {
    this.#next = new ReceiveEpoch(this.#current.number + 1, cipher);
  }

  /**
   * Makes the next epoch the current one: its first packet was opened, so the peer seals nothing with the old key any
   * more. Returns when the old key is to be wiped by `expire`.
   */
  promote(next: ReceiveEpoch, nowMs: number): number {
    this.#previous?.cipher.destroy();
    this.#previous = this.#current;
    this.#current = next;
    this.#next = undefined;
    this.#previousUntilMs = nowMs + PREVIOUS_EPOCH_MS;
    return this.#previousUntilMs;
  }

  /** Wipes the previous epoch once its time is over; returns when that will be, `Infinity` without one. */
  expire(nowMs: number): number {
    if (nowMs < this.#previousUntilMs) return this.#previousUntilMs;
    this.#previous?.cipher.destroy();
    this.#previous = undefined;
    this.#previousUntilMs = Number.POSITIVE_INFINITY;
    return Number.POSITIVE_INFINITY;
  }

  /** Wipes all keys. */
  destroy(): void {
    for (const { cipher } of this) cipher.destroy();
  }
}
