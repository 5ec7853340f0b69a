/** Whose rule judges an epoch. */
export type EpochRule = "nat-pmp" | "pcp";

/** Follows the "seconds since start" in a gateway's answers, and tells when it must have lost its mappings. */
export class GatewayEpoch {
  /** The last answer: its epoch in seconds, and when it came in ours. */
  #last: { readonly epoch: number; readonly at: number } | undefined;

  /** Takes note of an answer; false when its epoch does not follow from the one before. The first one is always right. */
  follows(rule: EpochRule, epochSeconds: number, nowMs: number): boolean {
    const last = this.#last;
    const at = nowMs / 1000;
    this.#last = { epoch: epochSeconds, at };
    if (last === undefined) return true;
    const local = at - last.at;
    // RFC 6886 §3.6: it may run slower by an eighth, and be off by two seconds.
    if (rule === "nat-pmp") return epochSeconds >= last.epoch + (local * 7) / 8 - 2;
    // RFC 6887 §8.5: one second back at most, and within a sixteenth and two seconds of our own clock.
    const remote = epochSeconds - last.epoch;
    return remote >= -1 && local + 2 >= remote - remote / 16 && remote + 2 >= local - local / 16;
  }
}
