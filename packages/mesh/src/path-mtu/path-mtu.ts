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

/** The size that is asked about at the moment. */
interface Question {
  readonly size: number;
  /** Whether the size is in use already and has to prove itself again. */
  readonly isConfirmation: boolean;
  /** Ids of its first and its last probe, companions included. */
  readonly firstId: number;
  lastId: number;
  /** Id of the last probe of that size, and when it was sent. */
  sizedId: number;
  sentAtMs: number;
  dueAtMs: number;
  probes: number;
  losses: number;
  /** The last probe's companion of base size: whether it was answered, undefined when there is none. */
  isCompanionAnswered: boolean | undefined;
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
  /** The one question in flight. */
  #question: Question | undefined;
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
    if (this.#question !== undefined) return this.#question.dueAtMs;
    if (this.#phase === "searching") return Number.NEGATIVE_INFINITY;
    return Math.min(this.#searchAtMs, this.#confirmAtMs);
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
   * Datagrams larger than the base are lost in a row: their size has to prove itself at once. True when that has moved
   * {@link deadline}.
   */
  suspect(nowMs: number): boolean {
    if (!this.#isAboveBase || this.#question?.isConfirmation === true) return false;
    if (nowMs - this.#confirmedMs < SUSPICION_PAUSE_MS || this.#confirmAtMs <= nowMs) return false;
    this.#confirmAtMs = nowMs;
    // The search can wait; what it asked is asked again.
    this.#question = undefined;
    this.#companion = undefined;
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
    if (this.#question !== undefined) {
      if (nowMs < this.#question.dueAtMs) return undefined;
      this.#expire(this.#question, nowMs);
    }
    this.#question ??= this.#ask(nowMs);
    return this.#question === undefined ? undefined : this.#order(this.#question, nowMs);
  }

  #ask(nowMs: number): Question | undefined {
    if (nowMs >= this.#confirmAtMs) return this.#newQuestion(this.datagramBytes, true);
    if (this.#phase !== "searching") {
      if (nowMs < this.#searchAtMs) return undefined;
      this.#phase = "searching";
      this.#searchAtMs = Number.POSITIVE_INFINITY;
      this.#tooLarge = Number.POSITIVE_INFINITY;
    }
    const size = nextSearchSize(this.datagramBytes, this.#tooLarge, this.#most);
    if (size !== undefined) return this.#newQuestion(size, false);
    this.#phase = "search-complete";
    if (this.datagramBytes < this.#most) this.#searchAtMs = nowMs + RAISE_TIMER_MS;
    return undefined;
  }

  #newQuestion(size: number, isConfirmation: boolean): Question {
    return {
      size,
      isConfirmation,
      firstId: this.#lastId + 1,
      lastId: this.#lastId,
      sizedId: 0,
      sentAtMs: 0,
      dueAtMs: 0,
      probes: 0,
      losses: 0,
      isCompanionAnswered: undefined,
    };
  }

  #order(question: Question, nowMs: number): ProbeOrder {
    question.probes++;
    question.sizedId = this.#newId(question);
    question.sentAtMs = nowMs;
    question.dueAtMs = nowMs + this.#timeoutMs(question);
    // From the second probe on there is one that passes anyhow, or a path that is out is taken for one that is narrow.
    if (question.isConfirmation || question.probes > 1) {
      question.isCompanionAnswered = false;
      this.#companion = { id: this.#newId(question), size: BASE_DATAGRAM_BYTES };
    }
    return { id: question.sizedId, size: question.size };
  }

  #newId(question: Question): number {
    // A session does not live long enough to use up 2^32 of them: its key would be used up before.
    question.lastId = ++this.#lastId;
    return this.#lastId;
  }

  #timeoutMs({ isConfirmation }: Question): number {
    const { smoothedMs, timeoutMs, backoff } = this.#roundTrip;
    if (isConfirmation && smoothedMs !== undefined) return Math.max(LEAST_CONFIRMATION_MS, timeoutMs);
    return Math.max(PROBE_TIMER_MS, PROBE_ROUND_TRIPS * (smoothedMs ?? 0)) * 2 ** Math.min(backoff, 2);
  }

  /** The last probe was not answered in time. */
  #expire(question: Question, nowMs: number): void {
    this.#counters.pathProbesLost++;
    if (question.isCompanionAnswered === false) this.#roundTrip.backoff++;
    else {
      this.#roundTrip.backoff = 0;
      question.losses++;
    }
    if (question.losses < PROBE_COUNT && question.probes < MOST_PROBES) return;
    this.#question = undefined;
    if (question.isConfirmation) this.#fallBack(nowMs);
    else this.#tooLarge = question.size;
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
    const question = this.#question;
    if (question === undefined || id < question.firstId || id > question.lastId) return false;
    if (size === question.size) {
      if (id === question.sizedId) this.#roundTrip.sample(nowMs - question.sentAtMs);
      this.#question = undefined;
      this.#companion = undefined;
      this.#confirmAtMs = Number.POSITIVE_INFINITY;
      this.#confirmedMs = nowMs;
      if (size > this.datagramBytes) {
        this.datagramBytes = size;
        this.#counters.pathMtuRaised++;
      }
      return true;
    }
    if (size !== BASE_DATAGRAM_BYTES || id !== question.lastId || question.isCompanionAnswered !== false) {
      return false;
    }
    question.isCompanionAnswered = true;
    return true;
  }
}
