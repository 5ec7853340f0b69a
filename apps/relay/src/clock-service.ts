import type { Mesh, Subprotocol } from "@netmesh/sdk";

/** Subprotocol by which nodes ask each other for the time. */
const CLOCK = 0x6e74;
/** A question is any u32; its answer repeats it and adds the Unix time in milliseconds as an f64, both little-endian. */
const QUESTION_BYTES = 4;
const ANSWER_BYTES = 12;
/** Answers in a second, to all peers together. */
const ANSWERS_PER_SECOND = 64;

/** Tells peers the time of this host, as long as the mesh is open. */
export function answerClock(mesh: Mesh): void {
  let second = 0;
  let answers = 0;
  const subprotocol = mesh.subprotocol(CLOCK, {
    onMessage({ peer, data }) {
      if (data.length !== QUESTION_BYTES) return;
      const nowMs = Date.now();
      const present = Math.floor(nowMs / 1_000);
      answers = present === second ? answers + 1 : 1;
      second = present;
      if (answers > ANSWERS_PER_SECOND) return;
      const answer = new Uint8Array(ANSWER_BYTES);
      answer.set(data);
      new DataView(answer.buffer).setFloat64(QUESTION_BYTES, nowMs, true);
      // An answer that cannot be sent is one that is lost.
      subprotocol.send(peer, answer).catch(() => {});
    },
  });
}

/** What a peer's clock shows. */
export interface ClockReading {
  /** How far the peer's clock is ahead of this host's, in milliseconds; negative when it is behind. */
  readonly offsetMs: number;
  /** The reading is off by half of it at most. */
  readonly roundTripMs: number;
}

/** Asks peers for the time. */
export class ClockReader {
  readonly #subprotocol: Subprotocol;
  /** By id, with the peer that was asked. */
  readonly #waiting = new Map<number, { readonly peer: bigint; take(unixMs: number): void }>();
  #asked = 0;

  constructor(mesh: Mesh) {
    this.#subprotocol = mesh.subprotocol(CLOCK, {
      onMessage: ({ peer, data }) => {
        if (data.length !== ANSWER_BYTES) return;
        const view = new DataView(data.buffer, data.byteOffset);
        const waiting = this.#waiting.get(view.getUint32(0, true));
        if (waiting?.peer === peer) waiting.take(view.getFloat64(QUESTION_BYTES, true));
      },
    });
  }

  /** The best of three readings; undefined when the peer does not answer within `patienceMs`. */
  async read(peer: bigint, patienceMs = 1_000): Promise<ClockReading | undefined> {
    let best: ClockReading | undefined;
    for (let turn = 0; turn < 3; turn++) {
      const reading = await this.#readOnce(peer, patienceMs);
      if (reading === undefined) continue;
      if (best === undefined || reading.roundTripMs < best.roundTripMs) best = reading;
    }
    return best;
  }

  #readOnce(peer: bigint, patienceMs: number): Promise<ClockReading | undefined> {
    const id = ++this.#asked;
    const question = new Uint8Array(QUESTION_BYTES);
    new DataView(question.buffer).setUint32(0, id, true);
    const startMs = performance.now();
    return new Promise((resolve) => {
      const end = (reading: ClockReading | undefined) => {
        clearTimeout(handle);
        this.#waiting.delete(id);
        resolve(reading);
      };
      const handle = setTimeout(() => end(undefined), patienceMs);
      const take = (unixMs: number) => {
        const roundTripMs = performance.now() - startMs;
        end({ offsetMs: unixMs + roundTripMs / 2 - Date.now(), roundTripMs });
      };
      this.#waiting.set(id, { peer, take });
      this.#subprotocol.send(peer, question).catch(() => {});
    });
  }
}
