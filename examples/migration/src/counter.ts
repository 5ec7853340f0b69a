import type { Daemon } from "@netmesh/sdk";
import { decodeNumber, KIND, type Tally } from "./messages.ts";

const HEADER_BYTES = 16;

/** Counts its events, which are numbered from 1 on, and what was missing or came twice. Its state is as large as asked for. */
export class Counter implements Daemon {
  readonly name: string = KIND;
  #state: Uint8Array;

  constructor(stateBytes: number) {
    this.#state = new Uint8Array(Math.max(HEADER_BYTES, stateBytes));
  }

  process({ payload }: { readonly payload: Uint8Array }): Uint8Array {
    const state = new DataView(this.#state.buffer, this.#state.byteOffset);
    const number = decodeNumber(payload);
    // A question, not an event.
    if (number === 0) return this.#state.slice(0, HEADER_BYTES);
    const last = state.getUint32(4);
    if (number <= last) state.setUint32(12, state.getUint32(12) + 1);
    else state.setUint32(8, state.getUint32(8) + number - last - 1);
    state.setUint32(0, state.getUint32(0) + 1);
    state.setUint32(4, Math.max(last, number));
    return payload;
  }

  snapshot(): Uint8Array {
    return this.#state;
  }

  restore(state: Uint8Array): void {
    this.#state = state;
  }
}

/** What a counter answers to the number 0. */
export function tallyOf(answer: Uint8Array): Tally {
  return { events: decodeNumber(answer), gaps: decodeNumber(answer, 8), repeats: decodeNumber(answer, 12) };
}
