import { defaultCurve, type PublicView, REDACTED, Redacted, type X25519KeyPair } from "@netmesh/crypto";
import type { SealingKey } from "@netmesh/pool";
import { copyBytes, type RekeyKind } from "@netmesh/wire";
import { OperationBudget } from "./operation-budget.ts";
import type { RekeyLimits } from "./rekey-limits.ts";

/** Key agreements and generated keys that one session may cost a second. */
const OPERATIONS_PER_SECOND = 4;
/** First pause before an unanswered message is sent again; doubles. */
const FIRST_REPEAT_MS = 250;
const LONGEST_REPEAT_MS = 4_000;

/** A message that is repeated until it is answered: the initiator's proposal, the responder's request. */
export interface Unanswered {
  readonly kind: typeof RekeyKind.PROPOSE | typeof RekeyKind.REQUEST;
  readonly epoch: number;
  readonly message: Uint8Array;
}

/** A proposal that the responder has agreed to, and what it answers when the proposal is repeated. */
export interface Answered {
  readonly epoch: number;
  readonly initiatorEphemeral: Uint8Array;
  readonly message: Uint8Array;
}

/** Where a session stands with the renewal of its keys, and how much was done with the present ones. */
export class RekeyState extends Redacted {
  /** Epoch of the key that this side seals with. */
  epoch = 0;
  /** When this side began to seal with it. */
  sinceMs: number;
  /** A limit was reached, here or at the peer; renewal is under way or waits for its time. */
  isDue = false;
  /** What is repeated at the moment. */
  unanswered: Unanswered | undefined;
  /** When {@link unanswered} is sent next. */
  repeatAtMs: number = Number.POSITIVE_INFINITY;
  /** The last proposal that this side has agreed to. */
  answered: Answered | undefined;
  /** The responder's key of the next epoch, in use from the first packet opened under its counterpart. */
  pendingKey: SealingKey | undefined;
  readonly #budget = new OperationBudget(OPERATIONS_PER_SECOND);
  readonly #limits: RekeyLimits;
  /** What the keys of the next epoch are derived from, 32 bytes. */
  readonly #chainSecret: Uint8Array;
  /** This side's half of the agreement that it has proposed; wiped when that is complete. */
  #pair: X25519KeyPair | undefined;
  #sends = 0;
  #sealedPackets = 0;
  #sealedBytes = 0;
  #openedPackets = 0;
  #openedBytes = 0;

  /** Copies the chain secret of the handshake. */
  constructor(chainSecret: Uint8Array, limits: RekeyLimits, nowMs: number) {
    super();
    this.#chainSecret = copyBytes(chainSecret);
    this.#limits = limits;
    this.sinceMs = nowMs;
  }

  /** What the keys of the next epoch are derived from. Not a copy. */
  get chainSecret(): Uint8Array {
    return this.#chainSecret;
  }

  /** Overwrites the chain secret with the one of a newer epoch, which is copied. */
  advanceChain(chainSecret: Uint8Array): void {
    this.#chainSecret.set(chainSecret);
  }

  /** Counts a sealed packet; true when that has reached a limit. */
  countSealed(bytes: number): boolean {
    this.#sealedPackets++;
    this.#sealedBytes += bytes;
    return this.#reaches(this.#sealedPackets, this.#sealedBytes);
  }

  /** Counts an opened packet; true when that has reached a limit. */
  countOpened(bytes: number): boolean {
    this.#openedPackets++;
    this.#openedBytes += bytes;
    return this.#reaches(this.#openedPackets, this.#openedBytes);
  }

  #reaches(packets: number, bytes: number): boolean {
    if (this.isDue || (packets < this.#limits.packets && bytes < this.#limits.bytes)) return false;
    this.isDue = true;
    return true;
  }

  /** When the age of the keys alone asks for others. */
  get expiresAtMs(): number {
    return this.sinceMs + this.#limits.intervalMs;
  }

  /** This side's half of the agreement that it has proposed. */
  get pair(): X25519KeyPair | undefined {
    return this.#pair;
  }

  /** Whether one more key operation fits into this second. */
  hasBudget(nowMs: number): boolean {
    return this.#budget.has(nowMs);
  }

  /** Counts a key operation. */
  spendBudget(nowMs: number): void {
    this.#budget.spend(nowMs);
  }

  /** Begins to send a message until it is answered; takes the pair of a proposal over. */
  await(unanswered: Unanswered, pair?: X25519KeyPair): void {
    this.unanswered = unanswered;
    this.#pair = pair;
    this.#sends = 0;
    this.repeatAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Sets the time of the next repetition. */
  backOff(nowMs: number): void {
    this.repeatAtMs = nowMs + Math.min(LONGEST_REPEAT_MS, FIRST_REPEAT_MS * 2 ** this.#sends++);
  }

  /** Ends the repetition and wipes this side's half. */
  settle(): void {
    if (this.#pair !== undefined) {
      defaultCurve.forget(this.#pair.privateKey);
      this.#pair.privateKey.fill(0);
      this.#pair = undefined;
    }
    this.unanswered = undefined;
    this.repeatAtMs = Number.POSITIVE_INFINITY;
  }

  /** This side seals with the key of the next epoch from now on. */
  begin(epoch: number, nowMs: number): void {
    this.epoch = epoch;
    this.sinceMs = nowMs;
    this.isDue = false;
    this.#sealedPackets = 0;
    this.#sealedBytes = 0;
    this.#openedPackets = 0;
    this.#openedBytes = 0;
  }

  /** Wipes every secret. */
  destroy(): void {
    this.settle();
    this.pendingKey?.retire();
    this.#chainSecret.fill(0);
  }

  /** Shows the epoch, never a key. */
  override toJSON(): PublicView {
    return { epoch: this.epoch, isDue: this.isDue, keys: REDACTED };
  }
}
