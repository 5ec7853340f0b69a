import type { DaemonTime } from "@netmesh/compute";
import type { PublishedPosition } from "@netmesh/mesh";

/** Packets that are remembered while the publisher is asked; with more, the position is not found. */
const MAX_LOG = 16_384;

/** A packet that came while the publisher was asked. */
interface LoggedPacket {
  readonly sequence: number;
  /** Messages that had come before it. */
  readonly before: number;
}

/** A question under way. */
interface Search {
  readonly log: LoggedPacket[];
  answer: PublishedPosition | undefined;
  /** Whether all packets before the answer's sequence have come, so that only the rest of their messages is waited for. */
  isEnding: boolean;
  readonly end: () => void;
}

/**
 * Numbers the messages of one subscription as their publisher counts them (docs/protocol/channels.md). What is lost, or may have been, makes
 * the numbers unknown until they are found again; reliable publications lose nothing as long as the subscription is active.
 */
export class ChannelCursor {
  /** Messages that have come; the next one has this index. */
  arrived = 0;
  /** Sequence of the last packet that has come. */
  #sequence = -1;
  /** Position of the message with index 0. */
  #base: bigint | undefined;
  #search: Search | undefined;

  /** A message of the packet with that sequence has come. */
  arrive(sequence: number): void {
    if (sequence !== this.#sequence) this.#beginPacket(sequence);
    this.arrived++;
  }

  /** Something is missing, or may be. Ends the search, too. */
  lose(): void {
    this.#base = undefined;
    const search = this.#search;
    this.#search = undefined;
    search?.end();
  }

  /** Position of the message with that index, also of one to come; undefined when it is not known. */
  positionOf(index: number): bigint | undefined {
    return this.#base === undefined ? undefined : this.#base + BigInt(index);
  }

  /** Index of the message at that position, 0 for all before the first; undefined when it is not known. */
  indexOf(position: bigint): number | undefined {
    if (this.#base === undefined) return undefined;
    return position <= this.#base ? 0 : Number(position - this.#base);
  }

  /** Asks for the positions. Resolves when they are known, or not to be found within `limitMs`; never rejects, as `ask` must not. */
  locate(
    ask: () => Promise<PublishedPosition | undefined>,
    limitMs: number,
    time: DaemonTime,
  ): Promise<void> {
    this.lose();
    return new Promise((resolve) => {
      const timer = time.after(limitMs, () => {
        if (this.#search === search) this.lose();
      });
      const search: Search = {
        log: [],
        answer: undefined,
        isEnding: false,
        end: () => {
          time.cancel(timer);
          resolve();
        },
      };
      this.#search = search;
      void ask().then((answer) => {
        if (this.#search !== search) return;
        search.answer = answer;
        if (answer === undefined) this.lose();
        else if (Math.max(answer.arrivedThrough, this.#sequence + 1) >= answer.sequence)
          this.#conclude(search, answer);
      });
    });
  }

  #beginPacket(sequence: number): void {
    if (this.#base !== undefined && sequence !== this.#sequence + 1) this.lose();
    this.#sequence = sequence;
    const search = this.#search;
    if (search === undefined) return;
    if (search.log.length === MAX_LOG) {
      this.lose();
      return;
    }
    search.log.push({ sequence, before: this.arrived });
    const { answer } = search;
    if (answer === undefined || sequence + 1 < answer.sequence || search.isEnding) return;
    search.isEnding = true;
    // Its other messages come in the same turn.
    void Promise.resolve().then(() => {
      if (this.#search === search) this.#conclude(search, answer);
    });
  }

  /** Everything before the answer's sequence has come, and nothing of the rest before the question. */
  #conclude({ log, end }: Search, { sequence, position }: PublishedPosition): void {
    this.#search = undefined;
    const later = log.filter((packet) => packet.sequence >= sequence);
    if (later.every((packet, index) => packet.sequence === sequence + index)) {
      this.#base = position - BigInt(later[0]?.before ?? this.arrived);
      this.#sequence = sequence + later.length - 1;
    }
    end();
  }
}
