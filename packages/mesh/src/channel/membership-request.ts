import { type MembershipAck, readU64, Subprotocol } from "@netmesh/wire";
import type { Alarm, CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";

/** Pause before a request is sent again, the first time and from then on; never less than two round trips. */
const FIRST_REPEAT_MS = 250;
const REPEAT_MS = 500;

/** What became of a request: the publisher's answer, or none in time. */
export type MembershipOutcome<Answer = MembershipAck> = Answer | "timeout";

/** A nonce that nobody can guess. */
export function membershipNonce(state: CoreState): bigint {
  const bytes = new Uint8Array(8);
  state.config.random.fill(bytes);
  return readU64(bytes, 0);
}

/**
 * A request to a publisher under way: a single packet that may be lost, so it is sent again with the same nonce until it is
 * answered or the time is up.
 */
export class MembershipRequest<Answer = MembershipAck> implements Alarm {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly publisher: bigint;
  readonly nonce: bigint;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #message: Uint8Array;
  readonly #giveUpAtMs: number;
  readonly #onDone: (request: MembershipRequest<Answer>, outcome: MembershipOutcome<Answer>) => void;
  readonly #patienceMs: number;
  #pauseMs: number;

  /** @param onDone - called once, unless the request is withdrawn */
  constructor(
    state: CoreState,
    writer: PacketWriter,
    publisher: bigint,
    nonce: bigint,
    message: Uint8Array,
    onDone: (request: MembershipRequest<Answer>, outcome: MembershipOutcome<Answer>) => void,
  ) {
    this.#state = state;
    this.#writer = writer;
    this.publisher = publisher;
    this.nonce = nonce;
    this.#message = message;
    this.#onDone = onDone;
    this.#giveUpAtMs = state.nowMs + state.config.channels.ackTimeoutMs;
    this.#patienceMs = 2 * (state.peers.getId(publisher)?.session?.roundTripMs ?? 0);
    this.#pauseMs = Math.max(FIRST_REPEAT_MS, this.#patienceMs);
  }

  /** Sends it, again too, and sets when to do so next. */
  send(): void {
    const { nowMs, alarms, peers } = this.#state;
    const session = peers.getId(this.publisher)?.session;
    if (session !== undefined) {
      this.#writer.sendMessage(session, Subprotocol.CHANNEL_MEMBERSHIP, this.#message);
    }
    alarms.schedule(this, Math.min(nowMs + this.#pauseMs, this.#giveUpAtMs));
    this.#pauseMs = Math.max(REPEAT_MS, this.#patienceMs);
  }

  ring(): void {
    if (this.#state.nowMs >= this.#giveUpAtMs) this.settle("timeout");
    else {
      this.#state.counters.membershipResent++;
      this.send();
    }
  }

  /** Ends it with what became of it. */
  settle(outcome: MembershipOutcome<Answer>): void {
    this.withdraw();
    this.#onDone(this, outcome);
  }

  /** Ends it, whatever becomes of it. */
  withdraw(): void {
    this.#state.alarms.remove(this);
  }
}
