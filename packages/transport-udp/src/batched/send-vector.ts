import type { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { MAX_DATAGRAM_BYTES } from "../datagram-size.ts";
import {
  CMSGHDR_SIZE,
  IOVEC_SIZE,
  MMSGHDR_SIZE,
  MSG_CONTROL,
  MSG_CONTROL_LENGTH,
  MSG_NAME,
  MSG_NAME_LENGTH,
  MSG_VECTOR,
  MSG_VECTOR_LENGTH,
  SOCKADDR_ROOM,
  SOL_UDP,
  UDP_SEGMENT,
} from "./linux-abi.ts";
import type { SocketNames } from "./socket-name.ts";
import type { Syscalls } from "./syscalls.ts";

/** Messages of one call (transport §6). */
const MESSAGES = 64;
/** Datagrams that the kernel cuts one message into (`UDP_MAX_SEGMENTS` of the oldest that can). */
const MAX_SEGMENTS = 64;
/** Pieces of memory that one call takes at most. */
const VECTORS: number = MESSAGES * MAX_SEGMENTS;
/** A control message with 2 bytes, and to the next boundary of 8. */
const CONTROL_ROOM: number = CMSGHDR_SIZE + 8;
/** Room for copies of datagrams that lie in small buffers. */
const STAGING_BYTES: number = 1 << 20;
/** A buffer of so many bytes is one that packets are kept in, and worth remembering where it is. */
const ARENA_BYTES = 16_384;
/** Positions in a batch of which is remembered where their datagram lies; a power of two. */
const PLACES = 1_024;
/** Datagrams in a row from one arena after which their places are worth remembering. */
const STEADY_DATAGRAMS = 64;

/** Why a datagram can never be sent: too long for UDP, or for an address of which the socket's family knows nothing. */
export type Obstacle = "oversize" | "address";

/**
 * The vector that tells the kernel what to send: everything is made once and encoded in place. Datagrams of one size
 * in a row for one peer become one message, which the kernel cuts again (UDP_SEGMENT); the last of three or more may be
 * shorter. A single one with a shorter one behind it stays alone: it may be a probe of what the path carries, and a router
 * between virtual devices drops a message whole when its datagrams are too large.
 *
 * Datagrams stay where they are when they lie in large buffers, which are remembered by their address; those in small
 * ones are copied, which is cheaper than to ask for the address. To ask a view for its buffer and its offset costs more
 * than all the rest: what is at the same position of batch after batch, as views of a receiving ring are, is asked once.
 */
export class SendVector {
  /** Messages encoded. */
  count = 0;
  /** Why the datagram at which {@link SendVector.encode} stopped cannot be sent; undefined when it can. */
  obstacle: Obstacle | undefined;
  /** Datagrams of each message. */
  readonly datagrams: Uint16Array = new Uint16Array(MESSAGES);
  /** Position in the batch of the first datagram of each message. */
  readonly firsts: Uint32Array = new Uint32Array(MESSAGES);
  /** Bytes of each message. */
  readonly lengths: Uint32Array = new Uint32Array(MESSAGES);
  readonly #sys: Syscalls;
  readonly #names: SocketNames;
  /** Message headers, then names, control messages and vectors. */
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #address: number;
  /** Positions in the words. */
  readonly #namesAt: number;
  readonly #controlAt: number;
  readonly #vectorsAt: number;
  readonly #nameWords: number;
  #vectorCount = 0;
  /** Where the piece of memory of the last vector ends, and in which buffer: undefined is the staging buffer. */
  #pieceEnd = 0;
  #pieceBuffer: ArrayBufferLike | undefined;
  /** Where the length of the last vector is in the words. */
  #pieceLengthAt = 0;
  #lastAddress: SocketAddress | undefined;
  #lastName: Uint32Array | undefined;
  #staging: Uint8Array<ArrayBuffer> | undefined;
  #stagingAddress = 0;
  #staged = 0;
  /** Where large buffers lie; kept for as long as somebody keeps the buffer. */
  readonly #arenas: WeakMap<ArrayBufferLike, number> = new WeakMap();
  #lastArena: ArrayBufferLike | undefined;
  #lastArenaAddress = 0;
  /** Datagrams looked up in the last arena since it became that. */
  #arenaDatagrams = 0;
  /** Views of the last arena by their position in the batch, and their offsets in it. No other buffer is kept alive. */
  readonly #places: (Uint8Array | undefined)[] = new Array(PLACES).fill(undefined);
  readonly #offsets: Float64Array = new Float64Array(PLACES);

  constructor(sys: Syscalls, names: SocketNames) {
    const namesAt = MESSAGES * MMSGHDR_SIZE;
    const controlAt = namesAt + MESSAGES * SOCKADDR_ROOM;
    const vectorsAt = controlAt + MESSAGES * CONTROL_ROOM;
    this.#sys = sys;
    this.#names = names;
    this.#words = new Uint32Array((vectorsAt + VECTORS * IOVEC_SIZE) / 4);
    this.#address = sys.addressOf(new Uint8Array(this.#words.buffer));
    this.#namesAt = namesAt / 4;
    this.#controlAt = controlAt / 4;
    this.#vectorsAt = vectorsAt / 4;
    this.#nameWords = names.size / 4;
    const words = this.#words;
    for (let i = 0; i < MESSAGES; i++) {
      const header = (i * MMSGHDR_SIZE) / 4;
      this.#point(header + MSG_NAME, this.#address + namesAt + i * SOCKADDR_ROOM);
      words[header + MSG_NAME_LENGTH] = names.size;
      this.#point(header + MSG_CONTROL, this.#address + controlAt + i * CONTROL_ROOM);
      const control = (controlAt + i * CONTROL_ROOM) / 4;
      words[control] = CMSGHDR_SIZE + 2;
      words[control + 2] = SOL_UDP;
      words[control + 3] = UDP_SEGMENT;
    }
  }

  /** Where the message of that number is, for the system call. */
  addressOf(message: number): number {
    return this.#address + message * MMSGHDR_SIZE;
  }

  /**
   * Encodes datagrams of the batch from `first` to `end` (exclusive), as many as fit one call; those longer than
   * `maxSegmentBytes` are not joined. Returns where it stopped: at the end, where the vector was full, or at a datagram
   * that {@link SendVector.obstacle} says cannot be sent.
   */
  encode(batch: DatagramBatch, first: number, end: number, maxSegmentBytes: number): number {
    const { bytes, addresses } = batch;
    this.count = 0;
    this.#vectorCount = 0;
    this.#staged = 0;
    this.obstacle = undefined;
    let at = first;
    while (at < end && this.count < MESSAGES) {
      const datagram = bytes[at] as Uint8Array;
      const address = addresses[at] as SocketAddress;
      const { length } = datagram;
      if (length > MAX_DATAGRAM_BYTES) {
        this.obstacle = "oversize";
        break;
      }
      const name = address === this.#lastAddress ? this.#lastName : this.#names.encode(address);
      if (name === undefined) {
        this.obstacle = "address";
        break;
      }
      this.#lastAddress = address;
      this.#lastName = name;
      const vector = this.#vectorCount;
      // Room for one datagram there always is: this ends a vector that has messages.
      if (!this.#append(datagram, at, vector)) break;
      let next = at + 1;
      let total = length;
      if (length > 0 && length <= maxSegmentBytes) {
        const limit = Math.min(end, at + MAX_SEGMENTS);
        const words = this.#words;
        const places = this.#places;
        const offsets = this.#offsets;
        while (next < limit) {
          const segment = bytes[next] as Uint8Array;
          const to = addresses[next] as SocketAddress;
          const size = segment.length;
          if (size > length || size === 0 || total + size > MAX_DATAGRAM_BYTES) break;
          if (size < length && next === at + 1) break;
          if (to !== address && !to.equals(address)) break;
          const place = next & (PLACES - 1);
          if (
            places[place] === segment &&
            offsets[place] === this.#pieceEnd &&
            this.#pieceBuffer === this.#lastArena
          ) {
            // Known, and end to end with the one before.
            words[this.#pieceLengthAt] = (words[this.#pieceLengthAt] as number) + size;
            this.#pieceEnd += size;
          } else if (!this.#append(segment, next, vector)) break;
          total += size;
          next += 1;
          if (size < length) break;
        }
      }
      this.#complete(name, vector, next - at > 1 ? length : 0);
      this.firsts[this.count] = at;
      this.datagrams[this.count] = next - at;
      this.lengths[this.count] = total;
      this.count += 1;
      at = next;
    }
    return at;
  }

  /**
   * Adds the datagram at position `at` to the message that begins at vector number `first`; false when there is no room
   * for a copy.
   */
  #append(datagram: Uint8Array, at: number, first: number): boolean {
    const { length } = datagram;
    const place = at & (PLACES - 1);
    const isPlaced = this.#places[place] === datagram;
    const isInArena = isPlaced || this.#findArena(datagram.buffer);
    let offset: number;
    if (isPlaced) offset = this.#offsets[place] as number;
    else if (isInArena) offset = this.#placeOf(datagram, place);
    else offset = this.#stage(datagram);
    if (offset < 0) return false;
    const words = this.#words;
    // What lies end to end is one piece.
    const home = isInArena ? this.#lastArena : undefined;
    if (offset === this.#pieceEnd && home === this.#pieceBuffer && this.#vectorCount > first) {
      words[this.#pieceLengthAt] = (words[this.#pieceLengthAt] as number) + length;
    } else {
      const vector = this.#vectorsAt + (this.#vectorCount * IOVEC_SIZE) / 4;
      this.#point(vector, offset + (isInArena ? this.#lastArenaAddress : this.#stagingAddress));
      this.#pieceLengthAt = vector + 2;
      words[vector + 2] = length;
      this.#vectorCount += 1;
      this.#pieceBuffer = home;
    }
    this.#pieceEnd = offset + length;
    return true;
  }

  /** Where a view of the last arena begins, for now and the next time. */
  #placeOf(datagram: Uint8Array, place: number): number {
    const { byteOffset } = datagram;
    if (this.#arenaDatagrams < STEADY_DATAGRAMS) {
      this.#arenaDatagrams += 1;
      return byteOffset;
    }
    this.#places[place] = datagram;
    this.#offsets[place] = byteOffset;
    return byteOffset;
  }

  /** Addresses the message whose vectors begin at number `first`; `segmentBytes` is 0 when it is a single datagram. */
  #complete(name: Uint32Array, first: number, segmentBytes: number): void {
    const words = this.#words;
    const header = (this.count * MMSGHDR_SIZE) / 4;
    const nameAt = this.#namesAt + (this.count * SOCKADDR_ROOM) / 4;
    for (let i = 0; i < this.#nameWords; i++) words[nameAt + i] = name[i] as number;
    this.#point(header + MSG_VECTOR, this.#address + this.#vectorsAt * 4 + first * IOVEC_SIZE);
    words[header + MSG_VECTOR_LENGTH] = this.#vectorCount - first;
    words[header + MSG_CONTROL_LENGTH] = segmentBytes > 0 ? CONTROL_ROOM : 0;
    words[this.#controlAt + (this.count * CONTROL_ROOM + CMSGHDR_SIZE) / 4] = segmentBytes;
  }

  /** Whether it is a large buffer whose address is known now; not a small one, nor memory that other threads share. */
  #findArena(buffer: ArrayBufferLike): boolean {
    if (buffer === this.#lastArena) return true;
    if (buffer.byteLength < ARENA_BYTES) return false;
    let address = this.#arenas.get(buffer);
    if (address === undefined) {
      if (!(buffer instanceof ArrayBuffer)) return false;
      address = this.#sys.addressOf(new Uint8Array(buffer));
      this.#arenas.set(buffer, address);
    }
    if (this.#arenaDatagrams === STEADY_DATAGRAMS) this.#places.fill(undefined);
    this.#arenaDatagrams = 0;
    this.#lastArena = buffer;
    this.#lastArenaAddress = address;
    return true;
  }

  /** Copies the datagram; where it is in the staging buffer, or -1 when there is no room. */
  #stage(datagram: Uint8Array): number {
    if (this.#staging === undefined) {
      this.#staging = new Uint8Array(STAGING_BYTES);
      this.#stagingAddress = this.#sys.addressOf(this.#staging);
    }
    const at = this.#staged;
    if (at + datagram.length > STAGING_BYTES) return -1;
    this.#staging.set(datagram, at);
    this.#staged = at + datagram.length;
    return at;
  }

  #point(word: number, address: number): void {
    this.#words[word] = address >>> 0;
    this.#words[word + 1] = Math.floor(address / 0x1_0000_0000);
  }
}
