import { bytesToHex } from "@netmesh/crypto";
import type { SocketAddress } from "@netmesh/wire";

/** How long an answer is repeated for a repeated first message. */
const REPEAT_FOR_MS = 15_000;
/** How long an ephemeral key is remembered so that a recording of its message stays useless. */
const REMEMBER_FOR_MS = 24 * 3_600_000;
const MAX_REMEMBERED = 16_384;

interface Answer {
  readonly atMs: number;
  readonly reply: Uint8Array | undefined;
  readonly to: SocketAddress;
}

/** What became of a first handshake message that was seen before. */
export type Repetition = { readonly reply: Uint8Array; readonly to: SocketAddress } | "replay";

/**
 * First handshake messages that were answered, by initiator ephemeral: a repetition within seconds gets the same
 * answer, a later one is a replay (spec/crypto.md §12, W3 and W7). Bounded; the oldest entry leaves first.
 */
export class AnsweredHandshakes {
  readonly #answers = new Map<string, Answer>();

  /** @param ephemeral - first 32 bytes of message 1 */
  lookup(ephemeral: Uint8Array, nowMs: number): Repetition | undefined {
    const answer = this.#answers.get(bytesToHex(ephemeral));
    if (answer === undefined || nowMs - answer.atMs > REMEMBER_FOR_MS) return undefined;
    if (answer.reply === undefined || nowMs - answer.atMs > REPEAT_FOR_MS) return "replay";
    return { reply: answer.reply, to: answer.to };
  }

  /** Remembers the complete datagram that answered; it is kept, not copied. */
  remember(ephemeral: Uint8Array, reply: Uint8Array, to: SocketAddress, nowMs: number): void {
    if (this.#answers.size >= MAX_REMEMBERED) {
      for (const oldest of this.#answers.keys()) {
        this.#answers.delete(oldest);
        break;
      }
    }
    this.#answers.set(bytesToHex(ephemeral), { atMs: nowMs, reply, to });
  }
}
