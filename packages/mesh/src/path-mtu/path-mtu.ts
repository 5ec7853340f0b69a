import type { Counters } from "../core/counters.ts";
import { RoundTrip } from "../stream/round-trip.ts";
import {
  BASE_DATAGRAM_BYTES,
  CONFIRMATION_TIMER_MS,
  COOL_DOWN_MS,
  FORGET_BLACK_HOLES_MS,
  LEAST_CONFIRMATION_MS,
  MOST_COOL_DOWN_MS,
  MOST_PROBES,
  PROBE_COUNT,
  PROBE_ROUND_TRIPS,
  PROBE_TIMER_MS,
  RAISE_TIMER_MS,
  SUSPICION_PAUSE_MS,
} from "./constants.ts";
import { nextSearchSize } from "./search-size.ts";

/**
 * Where the discovery of a path's datagram size stands (RFC 8899 §5.2): not done at all (DISABLED), at the base and waiting
 * to search (BASE), searching upwards (SEARCHING), or done until the raise timer runs out (SEARCH_COMPLETE).
 */
export type PathMtuPhase = "fixed" | "base" | "searching" | "search-complete";

/** A probe to be sent. */
export interface ProbeOrder {
  readonly id: number;
  /** Whole datagram in bytes. */
  readonly size: number;
}

/** A size that is asked about, with as many probes as it takes. */
interface Question {
  readonly size: number;
  /** Ids of its probes are not below. */
  readonly firstId: number;
  /** The last probe: its id and when it was sent, and when it counts as lost. */
  lastId: number;
  sentAtMs: number;
  dueAtMs: number;
  /** The probe of base size behind the last one: its id, and whether it was answered; undefined when there is none. */
  companionId: number | undefined;
  isCompanionAnswered: boolean;
  probes: number;
  losses: number;
}

/**
 * The largest datagram that a session's path carries, found by probes of the packetization layer (RFC 8899,
 * docs/protocol/path-mtu.md). Sends nothing itself: {@link next} says which probes are due.
 */
export class PathMtu {
  /** What datagrams on the path may have, in bytes, routing header included. */
  datagramBytes: number = BASE_DATAGRAM_BYTES;
  #phase: PathMtuPhase = "fixed";
  readonly #counters: Counters;
  /** Of probes; paces those that confirm. */
  readonly #roundTrip = new RoundTrip();
  #most: number = BASE_DATAGRAM_BYTES;
  /** Smallest size that did not pass in this search. */
  #tooLarge: number = Number.POSITIVE_INFINITY;
  /** The size above that is searched for. */
  #question: Question | undefined;
  /** The size in use, which has to prove itself again; the search rests until it has. */
  #confirmation: Question | undefined;
  /** The probe of base size that goes behind the one just ordered. */
  #companion: ProbeOrder | undefined;
  #lastId = 0;
  /** When the next search begins. */
  #searchAtMs: number = Number.POSITIVE_INFINITY;
  /** When the size in use has to prove itself again. */
  #confirmAtMs: number = Number.POSITIVE_INFINITY;
  #confirmedMs: number = Number.NEGATIVE_INFINITY;
  /** Black holes in a row, and when the last one was found. */
  #blackHoles = 0;
  #blackHoleMs: number = Number.NEGATIVE_INFINITY;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** Where discovery stands. */
  get phase(): PathMtuPhase {
    return this.#phase;
  }

  /** When {@link next} has something to do, in milliseconds; `Infinity` for never. */
  get deadline(): number {
    if (this.#confirmation !== undefined) return this.#confirmation.dueAtMs;
    if (this.#phase !== "searching") return Math.min(this.#searchAtMs, this.#confirmAtMs);
    return Math.min(this.#question?.dueAtMs ?? Number.NEGATIVE_INFINITY, this.#confirmAtMs);
  }

  /** The path is a new one, with datagrams of that size; nothing is probed. */
  fix(bytes: number): void {
    this.#restart("fixed", bytes, Number.POSITIVE_INFINITY);
  }

  /** The path is a new one: begins at the base, and searches for up to `most` bytes at once. */
  search(most: number, nowMs: number): void {
    this.#most = most;
    this.#restart("base", BASE_DATAGRAM_BYTES, nowMs);
  }

  #restart(phase: PathMtuPhase, bytes: number, searchAtMs: number): void {
    this.#phase = phase;
    this.datagramBytes = bytes;
    this.#tooLarge = Number.POSITIVE_INFINITY;
    this.#question = undefined;
    this.#confirmation = undefined;
    this.#companion = undefined;
    this.#searchAtMs = searchAtMs;
    this.#confirmAtMs = Number.POSITIVE_INFINITY;
    this.#confirmedMs = Number.NEGATIVE_INFINITY;
  }

  /** A datagram larger than the base was sent. True when that has moved {@link deadline}. */
  used(nowMs: number): boolean {
    if (this.#confirmAtMs !== Number.POSITIVE_INFINITY || !this.#isAboveBase) return false;
    this.#confirmAtMs = nowMs + CONFIRMATION_TIMER_MS;
    return true;
  }

  /**
   * Datagrams larger than the base are lost in a row: their size has to prove itself, at once or as soon as it may again.
   * True when that has moved {@link deadline}.
   */
  suspect(nowMs: number): boolean {
    const confirmAtMs = Math.max(nowMs, this.#confirmedMs + SUSPICION_PAUSE_MS);
    if (!this.#isAboveBase || this.#confirmation !== undefined || this.#confirmAtMs <= confirmAtMs)
      return false;
    this.#confirmAtMs = confirmAtMs;
    return true;
  }

  get #isAboveBase(): boolean {
    return this.#phase !== "fixed" && this.datagramBytes > BASE_DATAGRAM_BYTES;
  }

  /** The next probe that is due, undefined when none is; to be called until then. */
  next(nowMs: number): ProbeOrder | undefined {
    const companion = this.#companion;
    if (companion !== undefined) {
      this.#companion = undefined;
      return companion;
    }
    return this.#confirm(nowMs) ?? this.#searchOn(nowMs);
  }

  #confirm(nowMs: number): ProbeOrder | undefined {
    if (this.#confirmation === undefined) {
      if (nowMs < this.#confirmAtMs) return undefined;
      this.#confirmation = this.#newQuestion(this.datagramBytes);
    } else {
      if (nowMs < this.#confirmation.dueAtMs) return undefined;
      if (this.#isLost(this.#confirmation)) {
        this.#fallBack(nowMs);
        return undefined;
      }
    }
    return this.#order(this.#confirmation, this.#confirmTimeoutMs, true, nowMs);
  }

  #searchOn(nowMs: number): ProbeOrder | undefined {
    if (this.#confirmation !== undefined) return undefined;
    if (this.#question !== undefined) {
      if (nowMs < this.#question.dueAtMs) return undefined;
      if (this.#isLost(this.#question)) {
        this.#tooLarge = this.#question.size;
        this.#question = undefined;
      }
    } else if (this.#phase !== "searching") {
      if (nowMs < this.#searchAtMs) return undefined;
      this.#phase = "searching";
      this.#searchAtMs = Number.POSITIVE_INFINITY;
      this.#tooLarge = Number.POSITIVE_INFINITY;
    }
    if (this.#question === undefined) {
      const size = nextSearchSize(this.datagramBytes, this.#tooLarge, this.#most);
      if (size === undefined) {
        this.#phase = "search-complete";
        if (this.datagramBytes < this.#most) this.#searchAtMs = nowMs + RAISE_TIMER_MS;
        return undefined;
      }
      this.#question = this.#newQuestion(size);
    }
    return this.#order(this.#question, this.#searchTimeoutMs, this.#question.probes > 0, nowMs);
  }

  #newQuestion(size: number): Question {
    return {
      size,
      firstId: this.#lastId + 1,
      lastId: this.#lastId,
      sentAtMs: 0,
      dueAtMs: 0,
      companionId: undefined,
      isCompanionAnswered: false,
      probes: 0,
      losses: 0,
    };
  }

  /** A probe of that size; `isAccompanied` puts one behind it that passes anyhow, unless the path is out altogether. */
  #order(question: Question, timeoutMs: number, isAccompanied: boolean, nowMs: number): ProbeOrder {
    question.probes++;
    // A session does not live long enough to use up 2^32 ids: its key would be used up before.
    question.lastId = ++this.#lastId;
    question.sentAtMs = nowMs;
    question.dueAtMs = nowMs + timeoutMs;
    question.companionId = undefined;
    question.isCompanionAnswered = false;
    if (isAccompanied) {
      question.companionId = ++this.#lastId;
      this.#companion = { id: question.companionId, size: BASE_DATAGRAM_BYTES };
    }
    return { id: question.lastId, size: question.size };
  }

  get #searchTimeoutMs(): number {
    const { smoothedMs, backoff } = this.#roundTrip;
    const timeoutMs = Math.max(PROBE_TIMER_MS, PROBE_ROUND_TRIPS * (smoothedMs ?? 0));
    return timeoutMs * 2 ** Math.min(backoff, 2);
  }

  get #confirmTimeoutMs(): number {
    const { smoothedMs, timeoutMs } = this.#roundTrip;
    return smoothedMs === undefined ? this.#searchTimeoutMs : Math.max(LEAST_CONFIRMATION_MS, timeoutMs);
  }

  /** The last probe was not answered in time. True when the size is given up. */
  #isLost(question: Question): boolean {
    this.#counters.pathProbesLost++;
    // Without an answer to the companion nothing is known of the size: the path may be out, not narrow.
    if (question.companionId !== undefined && !question.isCompanionAnswered) this.#roundTrip.backoff++;
    else {
      this.#roundTrip.backoff = 0;
      question.losses++;
    }
    return question.losses >= PROBE_COUNT || question.probes >= MOST_PROBES;
  }

  /** The path swallows what it has carried before: a black hole (RFC 8899 §4.3). */
  #fallBack(nowMs: number): void {
    this.#counters.pathBlackHoles++;
    if (nowMs - this.#blackHoleMs > FORGET_BLACK_HOLES_MS) this.#blackHoles = 0;
    this.#blackHoleMs = nowMs;
    const pauseMs = Math.min(MOST_COOL_DOWN_MS, COOL_DOWN_MS * 2 ** Math.min(this.#blackHoles++, 10));
    this.#restart("base", BASE_DATAGRAM_BYTES, nowMs + pauseMs);
  }

  /** Takes the answer to a probe; false when it answers nothing that is asked. */
  answered(id: number, size: number, nowMs: number): boolean {
    return (
      this.#answers(this.#confirmation, id, size, nowMs) || this.#answers(this.#question, id, size, nowMs)
    );
  }

  #answers(question: Question | undefined, id: number, size: number, nowMs: number): boolean {
    if (question === undefined) return false;
    if (size === BASE_DATAGRAM_BYTES && id === question.companionId && !question.isCompanionAnswered) {
      question.isCompanionAnswered = true;
      return true;
    }
    // Any probe of the question will do, however late its answer is.
    if (size !== question.size || id < question.firstId || id > question.lastId) return false;
    if (id === question.lastId) this.#roundTrip.sample(nowMs - question.sentAtMs);
    if (size > this.datagramBytes) {
      this.datagramBytes = size;
      this.#counters.pathMtuRaised++;
      this.#question = undefined;
    }
    this.#confirmation = undefined;
    this.#companion = undefined;
    this.#confirmAtMs = Number.POSITIVE_INFINITY;
    this.#confirmedMs = nowMs;
    return true;
  }
}
