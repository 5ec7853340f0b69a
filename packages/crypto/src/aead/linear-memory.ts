import { CryptoError } from "../errors.ts";
import type { PacketMemory } from "./provider.ts";

/** Every piece starts on a cache line. */
const ALIGNMENT = 64;

/**
 * Hands out pieces of one fixed range of memory. A piece that comes back serves the next request of its size; pieces are
 * neither split nor joined, which suits rings of packet slots, all of one size.
 */
export class LinearMemory implements PacketMemory {
  readonly #buffer: ArrayBuffer;
  readonly #end: number;
  #next: number;
  /** Pieces in use, by address, with their sizes. */
  readonly #inUse = new Map<number, number>();
  /** Addresses of free pieces, by size. */
  readonly #free = new Map<number, number[]>();

  /** Hands out `buffer` from `start` to `end` (exclusive). */
  constructor(buffer: ArrayBuffer, start: number, end: number) {
    this.#buffer = buffer;
    this.#next = start;
    this.#end = end;
  }

  allocate(size: number): Uint8Array<ArrayBuffer> | undefined {
    const room = Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    if (!(room > 0)) return undefined;
    let at = this.#free.get(room)?.pop();
    if (at === undefined) {
      if (this.#next + room > this.#end) return undefined;
      at = this.#next;
      this.#next += room;
    }
    this.#inUse.set(at, room);
    return new Uint8Array(this.#buffer, at, size);
  }

  release(bytes: Uint8Array<ArrayBuffer>): void {
    const at = bytes.byteOffset;
    const room = bytes.buffer === this.#buffer ? this.#inUse.get(at) : undefined;
    if (room === undefined) throw new CryptoError("foreign-memory", "not a piece of this memory in use");
    this.#inUse.delete(at);
    const free = this.#free.get(room);
    if (free === undefined) this.#free.set(room, [at]);
    else free.push(at);
  }
}
