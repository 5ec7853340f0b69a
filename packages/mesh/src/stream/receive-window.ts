/** What {@link ReceiveWindow.receive} says of a sequence number. */
export const ReceiveVerdict = {
  /** New, and counted: it moves the acknowledgement or is remembered behind a gap. */
  ACCEPTED: 0,
  /** Seen before. */
  DUPLICATE: 1,
  /** Too far ahead of the first gap to be remembered. */
  TOO_FAR: 2,
} as const;

/** One of {@link ReceiveVerdict}. */
export type ReceiveVerdict = (typeof ReceiveVerdict)[keyof typeof ReceiveVerdict];

/** How many sequences ahead of the first gap the reference remembers. */
export const REFERENCE_SPAN = 64;

/** How many sequences ahead of the first gap netmesh remembers. */
export const DEFAULT_SPAN = 16_384;

/**
 * Which sequences of a reliable stream have arrived: everything below `next`, and a bitmap of what lies ahead
 * (spec/session.md §6.2). The bitmap is allocated with the first gap.
 */
export class ReceiveWindow {
  /** Lowest sequence that has not arrived; also the value to acknowledge. */
  next = 0;
  /** One more than the highest sequence that was accepted. */
  end = 0;
  /** How many sequences ahead of `next` are remembered; a power of two, at least 64. */
  readonly span: number;
  #bits: Uint32Array | undefined;

  constructor(span: number = DEFAULT_SPAN) {
    this.span = span;
  }

  /** Whether something ahead of a missing sequence has arrived. */
  get hasGap(): boolean {
    return this.end > this.next;
  }

  /** Records a sequence. */
  receive(sequence: number): ReceiveVerdict {
    if (sequence < this.next) return ReceiveVerdict.DUPLICATE;
    if (sequence === this.next) {
      this.next++;
      if (this.end < this.next) this.end = this.next;
      else this.#advance();
      return ReceiveVerdict.ACCEPTED;
    }
    if (sequence - this.next > this.span) return ReceiveVerdict.TOO_FAR;
    if (this.#has(sequence)) return ReceiveVerdict.DUPLICATE;
    this.#set(sequence);
    if (sequence >= this.end) this.end = sequence + 1;
    return ReceiveVerdict.ACCEPTED;
  }

  /** Whether the sequence has arrived. */
  has(sequence: number): boolean {
    // The bit of `next` belongs to `next + span`.
    return sequence < this.next || (sequence > this.next && sequence < this.end && this.#has(sequence));
  }

  /** First missing sequence at or after `from`, or `end` when there is none. */
  firstMissing(from: number): number {
    let sequence = Math.max(from, this.next);
    while (sequence < this.end && sequence !== this.next && this.#has(sequence)) sequence++;
    return Math.min(sequence, this.end);
  }

  /**
   * Bit i tells that `base + 1 + i` is missing while something later has arrived; `base` itself is taken as
   * missing. 64 bits.
   */
  missingAfter(base: number): bigint {
    let bitmap = 0n;
    const last = Math.min(base + 64, this.end - 1);
    for (let sequence = last; sequence > base; sequence--) {
      bitmap = (bitmap << 1n) | (this.has(sequence) ? 0n : 1n);
    }
    return bitmap;
  }

  /** Gives the missing sequences before the next arrived one up, and moves past what follows them. */
  skipGap(): void {
    if (!this.hasGap) return;
    do this.next++;
    while (this.next < this.end && !this.#has(this.next));
    this.#advance();
  }

  /** Takes everything below `sequence` as arrived, and moves past what follows it. */
  skipTo(sequence: number): void {
    for (; this.next < Math.min(sequence, this.end); this.next++) this.#take(this.next);
    this.next = Math.max(this.next, sequence);
    this.end = Math.max(this.end, this.next);
    this.#advance();
  }

  #advance(): void {
    while (this.next < this.end && this.#take(this.next)) this.next++;
  }

  #has(sequence: number): boolean {
    if (this.#bits === undefined) return false;
    const index = sequence % this.span;
    return ((this.#bits[index >>> 5] as number) & (1 << (index & 31))) !== 0;
  }

  #take(sequence: number): boolean {
    if (!this.#has(sequence)) return false;
    const index = sequence % this.span;
    const bits = this.#bits as Uint32Array;
    bits[index >>> 5] = (bits[index >>> 5] as number) & ~(1 << (index & 31));
    return true;
  }

  #set(sequence: number): void {
    this.#bits ??= new Uint32Array(this.span >>> 5);
    const index = sequence % this.span;
    this.#bits[index >>> 5] = (this.#bits[index >>> 5] as number) | (1 << (index & 31));
  }
}
