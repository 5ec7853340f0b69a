import { copyBytes, readU32, type SocketAddress, U64Map } from "@netmesh/wire";

/** How long an answer is repeated for a repeated first message. */
const REPEAT_FOR_MS = 15_000;
/** And how often at most. An initiator of ours waits 300 ms and longer. */
const REPEAT_PAUSE_MS = 100;
/** Repeated answers per second, over all handshakes. */
const REPEATS_PER_SECOND = 256;
/** How long an ephemeral key is remembered so that a recording of its message stays useless. */
const REMEMBER_FOR_MS = 24 * 3_600_000;
const MAX_REMEMBERED = 16_384;
const EPHEMERAL_SIZE = 32;

/** An answered first message. */
export interface AnsweredHandshake {
  /** Its first 32 bytes. */
  readonly ephemeral: Uint8Array;
  readonly atMs: number;
  /** When the answer was last sent. */
  repeatedAtMs: number;
  /** The complete datagram that answered. */
  readonly reply: Uint8Array;
  /**
   * Where it went and goes again, wherever the repetition comes from: otherwise a recorded message would make this node
   * send its answer to any address that the repetition is made to come from.
   */
  readonly to: SocketAddress;
}

/** What to do with a first message that was answered before. */
export type Repetition = "answer again" | "too soon" | "replay";

/**
 * First handshake messages that were answered, by initiator ephemeral: a repetition within seconds gets the same
 * answer, a later one is a replay (spec/crypto.md §12, W3 and W7). Bounded; the oldest entry leaves first.
 */
export class AnsweredHandshakes {
  /**
   * By the first 8 bytes of the ephemeral. Another key with the same ones would have to be found by trying 2^64, as its
   * author needs its private half to be answered.
   */
  readonly #answers: U64Map<AnsweredHandshake>;
  /** The same in order of their age, a ring once it is full. */
  readonly #byAge: AnsweredHandshake[] = [];
  #oldest = 0;
  #repeats = 0;
  #repeatsSinceMs = Number.NEGATIVE_INFINITY;

  /** @param hashSeed - 32 secret random bits */
  constructor(hashSeed: number) {
    this.#answers = new U64Map(hashSeed);
  }

  /** The answer to the message at `offset`, if it had one within a day. Allocates nothing. */
  lookup(bytes: Uint8Array, offset: number, nowMs: number): AnsweredHandshake | undefined {
    const answer = this.#answers.get(readU32(bytes, offset), readU32(bytes, offset + 4));
    if (answer === undefined || nowMs - answer.atMs > REMEMBER_FOR_MS) return undefined;
    for (let i = 0; i < EPHEMERAL_SIZE; i++) {
      if (answer.ephemeral[i] !== bytes[offset + i]) return undefined;
    }
    return answer;
  }

  /** What to do with a repetition of the message; takes note of an answer that is sent again. */
  repeat(answer: AnsweredHandshake, nowMs: number): Repetition {
    if (nowMs - answer.atMs > REPEAT_FOR_MS) return "replay";
    if (nowMs - answer.repeatedAtMs < REPEAT_PAUSE_MS) return "too soon";
    if (nowMs - this.#repeatsSinceMs >= 1_000) {
      this.#repeatsSinceMs = nowMs;
      this.#repeats = 0;
    }
    if (this.#repeats >= REPEATS_PER_SECOND) return "too soon";
    this.#repeats++;
    answer.repeatedAtMs = nowMs;
    return "answer again";
  }

  /** Remembers the complete datagram that answered the message; it is kept, not copied. */
  remember(message: Uint8Array, reply: Uint8Array, to: SocketAddress, nowMs: number): void {
    const ephemeral = copyBytes(message, 0, EPHEMERAL_SIZE);
    const answer = { ephemeral, atMs: nowMs, repeatedAtMs: nowMs, reply, to };
    if (this.#byAge.length < MAX_REMEMBERED) this.#byAge.push(answer);
    else {
      const { ephemeral: old } = this.#byAge[this.#oldest] as AnsweredHandshake;
      this.#answers.delete(readU32(old, 0), readU32(old, 4));
      this.#byAge[this.#oldest] = answer;
      this.#oldest = (this.#oldest + 1) % MAX_REMEMBERED;
    }
    this.#answers.set(readU32(ephemeral, 0), readU32(ephemeral, 4), answer);
  }
}
