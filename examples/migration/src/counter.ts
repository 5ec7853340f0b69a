import type { Daemon, StateDelta } from "@netmesh/sdk";
import { decodeNumber, KIND, type Tally } from "./messages.ts";

const HEADER_BYTES = 16;
const PAGE_BYTES = 64 * 1024;
/** Pages that travel together. */
const PAGES_PER_PART = 4;
/** Pages that events change; the others stay as they are. */
const BUSY_PAGES = 8;
const INDEX_BYTES = 4;

/** Counts its events, which are numbered from 1 on, and what was missing or came twice. Its state is as large as asked for. */
export class Counter implements Daemon {
  readonly name: string = KIND;
  protected state: Uint8Array;

  constructor(stateBytes: number) {
    this.state = new Uint8Array(Math.max(HEADER_BYTES, stateBytes));
  }

  process({ payload }: { readonly payload: Uint8Array }): Uint8Array {
    const state = new DataView(this.state.buffer, this.state.byteOffset);
    const number = decodeNumber(payload);
    // A question, not an event.
    if (number === 0) return this.state.slice(0, HEADER_BYTES);
    const last = state.getUint32(4);
    if (number <= last) state.setUint32(12, state.getUint32(12) + 1);
    else state.setUint32(8, state.getUint32(8) + number - last - 1);
    state.setUint32(0, state.getUint32(0) + 1);
    state.setUint32(4, Math.max(last, number));
    this.onChange(number);
    return payload;
  }

  snapshot(): Uint8Array {
    return this.state;
  }

  restore(state: Uint8Array): void {
    this.state = state;
  }

  /** Told of each event. */
  protected onChange(_number: number): void {}
}

/** A counter that tells which pages of its state have changed, so that the others travel while it runs. */
export class PagedCounter extends Counter {
  /** Pages that were changed after the version last asked for, in the order of their last change, with its version. */
  readonly #changed = new Map<number, bigint>();
  readonly #pages: number;
  #version = 0n;

  constructor(stateBytes: number) {
    super(stateBytes);
    this.#pages = Math.ceil(this.state.length / PAGE_BYTES);
  }

  snapshotDelta(since: bigint | undefined): StateDelta {
    if (since === undefined) for (let page = 0; page < this.#pages; page++) this.#touch(page);
    const parts: Uint8Array[] = [];
    let version = since ?? 0n;
    for (const [page, changed] of this.#changed) {
      if (changed > version) {
        if (parts.length === 2 * PAGES_PER_PART) break;
        const index = new Uint8Array(INDEX_BYTES);
        new DataView(index.buffer).setUint32(0, page);
        parts.push(index, this.state.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
        version = changed;
      }
      // Whoever asks for what came later has it.
      this.#changed.delete(page);
    }
    return { bytes: joined(parts), version, remaining: this.#changed.size * PAGE_BYTES };
  }

  applyDelta(delta: Uint8Array): void {
    for (let at = 0; at < delta.length; at += INDEX_BYTES + PAGE_BYTES) {
      const page = decodeNumber(delta, at);
      this.state.set(delta.subarray(at + INDEX_BYTES, at + INDEX_BYTES + PAGE_BYTES), page * PAGE_BYTES);
    }
  }

  protected override onChange(number: number): void {
    this.#touch(0);
    const page = number % Math.min(BUSY_PAGES, this.#pages);
    // Behind what the first page counts.
    const at = page * PAGE_BYTES + HEADER_BYTES;
    if (at < this.state.length) this.state[at] = number & 0xff;
    this.#touch(page);
  }

  #touch(page: number): void {
    this.#changed.delete(page);
    this.#changed.set(page, ++this.#version);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** What a counter answers to the number 0. */
export function tallyOf(answer: Uint8Array): Tally {
  return { events: decodeNumber(answer), gaps: decodeNumber(answer, 8), repeats: decodeNumber(answer, 12) };
}
