import type { Daemon, StateDelta } from "@netmesh/sdk";
import { decodeNumber, KIND, type Tally } from "./messages.ts";

const HEADER_BYTES = 16;
const PAGE_BYTES = 256 * 1024;
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
  /** The version at which each page was last changed; in the order of these versions. */
  readonly #versions = new Map<number, bigint>();
  #version = 0n;

  constructor(stateBytes: number) {
    super(stateBytes);
    const pages = Math.ceil(this.state.length / PAGE_BYTES);
    for (let page = 0; page < pages; page++) this.#touch(page);
  }

  snapshotDelta(since = 0n): StateDelta {
    for (const [page, version] of this.#versions) {
      if (version <= since) continue;
      const from = page * PAGE_BYTES;
      const content = this.state.subarray(from, from + PAGE_BYTES);
      const bytes = new Uint8Array(INDEX_BYTES + content.length);
      new DataView(bytes.buffer).setUint32(0, page);
      bytes.set(content, INDEX_BYTES);
      return { bytes, version, hasMore: version < this.#version };
    }
    return { bytes: new Uint8Array(0), version: this.#version, hasMore: false };
  }

  applyDelta(delta: Uint8Array): void {
    if (delta.length === 0) return;
    const page = decodeNumber(delta);
    this.state.set(delta.subarray(INDEX_BYTES), page * PAGE_BYTES);
    this.#touch(page);
  }

  protected override onChange(number: number): void {
    this.#touch(0);
    const page = number % Math.min(BUSY_PAGES, this.#versions.size);
    // Behind what the first page counts.
    const at = page * PAGE_BYTES + HEADER_BYTES;
    if (at < this.state.length) this.state[at] = number & 0xff;
    this.#touch(page);
  }

  #touch(page: number): void {
    this.#versions.delete(page);
    this.#versions.set(page, ++this.#version);
  }
}

/** What a counter answers to the number 0. */
export function tallyOf(answer: Uint8Array): Tally {
  return { events: decodeNumber(answer), gaps: decodeNumber(answer, 8), repeats: decodeNumber(answer, 12) };
}
