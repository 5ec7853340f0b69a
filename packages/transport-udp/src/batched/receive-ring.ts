import type { DatagramBatch, SocketAddress } from "@netmesh/wire";
import {
  CMSGHDR_SIZE,
  IOVEC_SIZE,
  MMSGHDR_SIZE,
  MSG_CONTROL,
  MSG_CONTROL_LENGTH,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_FLAGS,
  MSG_LENGTH,
  MSG_NAME,
  MSG_NAME_LENGTH,
  MSG_TRUNC,
  MSG_VECTOR,
  MSG_VECTOR_LENGTH,
  SOCKADDR_ROOM,
  SOL_UDP,
  UDP_GRO,
} from "./linux-abi.ts";
import type { SocketNames } from "./socket-name.ts";
import type { Syscalls } from "./syscalls.ts";
import { ViewCache } from "./view-cache.ts";

/** Memory in which received datagrams are put; fits the memory of an AEAD provider. */
export interface ReceiveMemory {
  /** `size` bytes, their contents arbitrary; undefined when there is no more. */
  allocate(size: number): Uint8Array<ArrayBuffer> | undefined;
  /** Takes an array of `allocate` back. */
  release(bytes: Uint8Array<ArrayBuffer>): void;
}

/** Room of a slot: any datagram, or as many as the kernel joins. */
export const SLOT_BYTES = 65_536;
/** From slot to slot: not a multiple of a page, so that their beginnings do not compete for the same lines of a cache. */
const SLOT_STRIDE: number = SLOT_BYTES + 17 * 64;
/** Slots of a ring whose datagrams come joined, up to 64 in each. */
const JOINED_SLOTS = 16;
/** Slots of a ring whose datagrams come one by one. */
const SINGLE_SLOTS = 32;
/** Room for two control messages with a number each. */
const CONTROL_ROOM = 48;

/**
 * The slots into which the kernel writes, and the vector that tells it of them: everything is made once and encoded in
 * place. What was received is valid until the next call.
 */
export class ReceiveRing {
  /** Messages that one call takes. */
  readonly slots: number;
  /** Datagrams that were cut, and joined ones that came without the size by which to part them. */
  truncated = 0;
  /** Datagrams from senders whose address is none that this socket could know. */
  strangers = 0;
  readonly #sys: Syscalls;
  readonly #names: SocketNames;
  readonly #memory: ReceiveMemory | undefined;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #isBorrowed: boolean;
  readonly #views: ViewCache;
  /** Message headers, then vectors, names and control messages. */
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #address: number;
  readonly #namesAt: number;
  readonly #controlAt: number;
  readonly #controlLength: number;
  #isReleased = false;

  /** @param isJoined - whether the kernel was told to join datagrams of one sender (UDP_GRO). */
  constructor(sys: Syscalls, names: SocketNames, isJoined: boolean, memory?: ReceiveMemory) {
    const slots = isJoined ? JOINED_SLOTS : SINGLE_SLOTS;
    const borrowed = memory?.allocate(slots * SLOT_STRIDE);
    this.slots = slots;
    this.#sys = sys;
    this.#names = names;
    this.#memory = memory;
    this.#isBorrowed = borrowed !== undefined;
    this.#bytes = borrowed ?? new Uint8Array(slots * SLOT_STRIDE);
    this.#views = new ViewCache(this.#bytes, slots, SLOT_STRIDE);
    const vectorsAt = slots * MMSGHDR_SIZE;
    const namesAt = vectorsAt + slots * IOVEC_SIZE;
    const controlAt = namesAt + slots * SOCKADDR_ROOM;
    this.#words = new Uint32Array((controlAt + slots * CONTROL_ROOM) / 4);
    this.#namesAt = namesAt / 4;
    this.#controlAt = controlAt / 4;
    this.#controlLength = isJoined ? CONTROL_ROOM : 0;
    this.#address = sys.addressOf(new Uint8Array(this.#words.buffer));
    const slotsAddress = sys.addressOf(this.#bytes);
    for (let i = 0; i < slots; i++) {
      const header = (i * MMSGHDR_SIZE) / 4;
      const vector = (vectorsAt + i * IOVEC_SIZE) / 4;
      this.#point(header + MSG_NAME, this.#address + namesAt + i * SOCKADDR_ROOM);
      this.#point(header + MSG_VECTOR, this.#address + vectorsAt + i * IOVEC_SIZE);
      this.#words[header + MSG_VECTOR_LENGTH] = 1;
      this.#point(header + MSG_CONTROL, this.#address + controlAt + i * CONTROL_ROOM);
      this.#point(vector, slotsAddress + i * SLOT_STRIDE);
      this.#words[vector + 2] = SLOT_BYTES;
    }
  }

  /** One call for at most `slots` messages, by default as many as there are: how many came, or a negated error number. */
  receive(fd: number, slots: number = this.slots): number {
    const words = this.#words;
    for (let i = 0, header = 0; i < slots; i++, header += MMSGHDR_SIZE / 4) {
      // The kernel overwrites both with what it used.
      words[header + MSG_NAME_LENGTH] = SOCKADDR_ROOM;
      words[header + MSG_CONTROL_LENGTH] = this.#controlLength;
    }
    return this.#sys.recvmmsg(fd, this.#address, slots, MSG_DONTWAIT);
  }

  /** Appends the datagrams of the first `count` messages, in arrival order, as views of their slots; their bytes. */
  takeInto(batch: DatagramBatch, count: number): number {
    const words = this.#words;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const header = (i * MMSGHDR_SIZE) / 4;
      const length = words[header + MSG_LENGTH] as number;
      const flags = words[header + MSG_FLAGS] as number;
      const source = this.#names.decode(words, this.#namesAt + (i * SOCKADDR_ROOM) / 4);
      if (source === undefined) {
        this.strangers += 1;
        continue;
      }
      const segment = this.#segmentOf(i, header);
      if (segment > 0 && segment < length) {
        bytes += this.#part(batch, i, length, segment, flags, source);
      } else if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
        this.truncated += 1;
      } else {
        batch.push(this.#views.view(i, 0, length), source);
        bytes += length;
      }
    }
    return bytes;
  }

  /** Gives borrowed memory back. Nobody may use what was received any longer. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#isBorrowed) this.#memory?.release(this.#bytes);
  }

  /** Parts joined datagrams; all are as long as the first but for the last, which may be shorter. */
  #part(
    batch: DatagramBatch,
    slot: number,
    length: number,
    segment: number,
    flags: number,
    source: SocketAddress,
  ): number {
    const count = Math.floor(length / segment);
    const views = this.#views.segments(slot, segment, count);
    for (let i = 0; i < count; i++) batch.push(views[i] as Uint8Array, source);
    const whole = count * segment;
    if ((flags & MSG_TRUNC) !== 0) {
      this.truncated += 1;
      return whole;
    }
    if (whole < length) batch.push(this.#views.view(slot, whole, length - whole), source);
    return length;
  }

  /** The size by which the kernel joined the message; 0 when it is a single datagram. */
  #segmentOf(slot: number, header: number): number {
    const words = this.#words;
    const end = Math.min(words[header + MSG_CONTROL_LENGTH] as number, this.#controlLength);
    const control = this.#controlAt + (slot * CONTROL_ROOM) / 4;
    for (let at = 0; at + CMSGHDR_SIZE <= end; ) {
      const place = control + at / 4;
      const length = words[place] as number;
      if (length < CMSGHDR_SIZE || length > end - at) return 0;
      if (
        words[place + 2] === SOL_UDP &&
        words[place + 3] === UDP_GRO &&
        length >= CMSGHDR_SIZE + 4 &&
        (words[place + 4] as number) <= SLOT_BYTES
      ) {
        return words[place + 4] as number;
      }
      at += (length + 7) & ~7;
    }
    return 0;
  }

  #point(word: number, address: number): void {
    this.#words[word] = address >>> 0;
    this.#words[word + 1] = Math.floor(address / 0x1_0000_0000);
  }
}
