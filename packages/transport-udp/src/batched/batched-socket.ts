import { DatagramBatch, type SocketAddress } from "@netmesh/wire";
import { MAX_DATAGRAM_BYTES } from "../datagram-size.ts";
import { ReceiveHistogram } from "../receive-histogram.ts";
import type { SocketBuffers } from "../socket-buffers.ts";
import { toTransportError } from "../transport-error.ts";
import type {
  TransportListener,
  TransportOptions,
  TransportSocket,
  TransportStats,
} from "../transport-socket.ts";
import { ErrorQueue } from "./error-queue.ts";
import type { Doorbell, EventLoop } from "./event-loop.ts";
import {
  EACCES,
  EAGAIN,
  EBADF,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EINTR,
  EIO,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENOBUFS,
  ENOMEM,
  ENONET,
  ENOPROTOOPT,
  ENOTSOCK,
  EOPNOTSUPP,
  EPROTO,
  MEMINFO_DROPS,
  MEMINFO_WORDS,
  MSG_DONTWAIT,
  SO_MEMINFO,
  SOL_SOCKET,
} from "./linux-abi.ts";
import { type OpenDescriptor, openDescriptor } from "./open-descriptor.ts";
import { ReceiveRing } from "./receive-ring.ts";
import { SendVector } from "./send-vector.ts";
import { errorName, type Syscalls, systemError } from "./syscalls.ts";

/** Receiving calls of one turn of the event loop: then timers and other sockets have theirs. */
const CALLS_PER_TURN = 16;
/** Datagrams after which a turn ends, for the same reason. */
const DATAGRAMS_PER_TURN = 1_024;
/** Bytes after which a turn ends: whoever reads them goes on, and lets the sender go on, before more are taken. */
const BYTES_PER_TURN = 262_144;
/** Messages of at least so many bytes on average are taken a few at a time, for the same reason as the bytes of a turn. */
const BULK_MESSAGE_BYTES = 16_384;
const BULK_SLOTS = 4;
/** Pauses after errors that may pass (transport §1): 1, 2, 4 … 100 ms. */
const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 100;
/** How often a socket is looked at that the event loop cannot watch. */
const POLL_MS = 1;
/** Interruptions and reports of earlier datagrams that one call survives before its datagram is given up. */
const MAX_RETRIES = 4;

/** What a sending or receiving call fails with when ICMP has reported on an earlier datagram. */
const REPORTS: ReadonlySet<number> = new Set([
  EACCES,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENONET,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
]);

/**
 * A UDP socket of its own, on Linux: many datagrams per system call, and joined ones where the kernel can (transport
 * §5, §6). The event loop watches it; there is no thread.
 *
 * What is received lies in a ring that the next call overwrites, so a slow listener costs drops in the kernel's buffer,
 * which it counts, and never memory. What is sent has been copied by the kernel when the call returns.
 */
export class BatchedSocket implements TransportSocket {
  listener: TransportListener | undefined;
  readonly localAddress: SocketAddress;
  readonly buffers: SocketBuffers;
  readonly fragments: boolean;
  readonly #sys: Syscalls;
  readonly #loop: EventLoop;
  readonly #fd: number;
  readonly #doorbell: Doorbell;
  readonly #ring: ReceiveRing;
  readonly #vector: SendVector;
  readonly #errors: ErrorQueue;
  readonly #batch: DatagramBatch = new DatagramBatch();
  readonly #histogram: ReceiveHistogram | undefined;
  readonly #isJoining: boolean;
  /** Datagrams of at most so many bytes are joined; 0 when none are. */
  #segmentLimit: number;
  #isRef = true;
  /** A turn of receiving is due. */
  #isScheduled = false;
  /** The doorbell reported an error, after which it has to be set anew. */
  #isBroken = false;
  /** The event loop cannot watch the socket; a timer looks at it. */
  #isPolled = false;
  /** A send was refused; `writable` is owed. */
  #isFull = false;
  /** The doorbell said that there is room to send. */
  #isWritable = false;
  #pauseMs = FIRST_PAUSE_MS;
  #pause: unknown;
  #sendPauseMs = FIRST_PAUSE_MS;
  #sendPause: unknown;
  #pollTimer: unknown;
  /** The error for which joined datagrams were not taken. */
  #refusal = 0;
  /** Bytes of the largest message taken since the last refusal of joined datagrams. */
  #largestTaken = 0;
  /** Set once the descriptor is no longer this socket's. */
  #isClosed = false;
  #closing: Promise<void> | undefined;
  /** The last call has found large messages. */
  #isBulk = false;
  #received = 0;
  #receivedBytes = 0;
  #receiveErrors = 0;
  #sent = 0;
  #sentBytes = 0;
  readonly #sendErrors: Record<string, number> = {};
  #refused = 0;
  #oversize = 0;
  #timerPolls = 0;
  readonly #memoryInfo: Uint32Array = new Uint32Array(MEMINFO_WORDS);
  #kernelDrops = 0;

  private constructor(sys: Syscalls, loop: EventLoop, open: OpenDescriptor, options: TransportOptions) {
    this.#sys = sys;
    this.#loop = loop;
    this.#fd = open.fd;
    this.localAddress = open.localAddress;
    this.buffers = open.buffers;
    this.fragments = open.fragments;
    this.#isJoining = open.isJoining;
    this.#segmentLimit = open.canSegment ? MAX_DATAGRAM_BYTES : 0;
    this.#ring = new ReceiveRing(sys, open.names, open.isJoining, options.memory);
    this.#vector = new SendVector(sys, open.names);
    this.#errors = new ErrorQueue(sys);
    this.#histogram = options.measureBatches === true ? new ReceiveHistogram() : undefined;
    this.#doorbell = loop.doorbell(open.fd, this.#onRing);
    this.#watch();
  }

  /** @throws TransportError as {@link openDescriptor} */
  static bind(
    sys: Syscalls,
    loop: EventLoop,
    address: SocketAddress,
    options: TransportOptions,
  ): BatchedSocket {
    const open = openDescriptor(sys, address, options, options.offload !== false);
    try {
      return new BatchedSocket(sys, loop, open, options);
    } catch (error) {
      sys.close(open.fd);
      throw error;
    }
  }

  send(batch: DatagramBatch): number {
    const vector = this.#vector;
    const { count } = batch;
    // The datagrams before it go one by one: joined, they were refused.
    let apartUntil = 0;
    let refusal = 0;
    let refusedBytes = 0;
    let at = 0;
    while (at < count) {
      if (this.#isClosed) return at;
      if (this.#isFull) {
        this.#refused += 1;
        return at;
      }
      const isApart = at < apartUntil;
      const end = vector.encode(batch, at, isApart ? apartUntil : count, isApart ? 0 : this.#segmentLimit);
      const done = this.#transmit();
      if (done < vector.count) {
        at = vector.firsts[done] as number;
        if (this.#refusal === 0) continue;
        apartUntil = at + (vector.datagrams[done] as number);
        refusal = this.#refusal;
        refusedBytes = (batch.bytes[at] as Uint8Array).length;
        this.#largestTaken = 0;
        continue;
      }
      // A shorter one at the end of the run proves nothing: the others may be too large for the device, joined or not.
      if (isApart && end === apartUntil && this.#largestTaken === refusedBytes) {
        this.#distrust(refusal, refusedBytes);
      }
      at = end;
      if (vector.obstacle === undefined) continue;
      if (vector.obstacle === "oversize") this.#oversize += 1;
      else this.#countSendError("EINVAL");
      at += 1;
    }
    return count;
  }

  stats(): TransportStats {
    return {
      mode: "batched",
      fallback: undefined,
      segmentsSends: this.#segmentLimit > 0,
      joinsReceives: this.#isJoining,
      received: this.#received,
      receivedBytes: this.#receivedBytes,
      sent: this.#sent,
      sentBytes: this.#sentBytes,
      sendErrors: { ...this.#sendErrors },
      refused: this.#refused,
      oversize: this.#oversize,
      receiveErrors: this.#receiveErrors + this.#ring.strangers,
      kernelDrops: this.#readDrops(),
      truncated: this.#ring.truncated,
      networkErrors: { ...this.#errors.counts },
      timerPolls: this.#timerPolls,
      receiveBatches: this.#histogram?.snapshot(),
    };
  }

  ref(): void {
    this.#setRef(true);
  }

  unref(): void {
    this.#setRef(false);
  }

  close(): Promise<void> {
    return this.#end(undefined);
  }

  /**
   * Hands the encoded messages to the kernel. Returns the number of the first that it did not take: all of them, or one
   * before which the socket is full or closed, or one of joined datagrams with the error in `#refusal`. Single
   * datagrams that it refuses are counted and passed over.
   */
  #transmit(): number {
    const vector = this.#vector;
    this.#refusal = 0;
    let retries = 0;
    let done = 0;
    while (done < vector.count) {
      const result = this.#sys.sendmmsg(this.#fd, vector.addressOf(done), vector.count - done, MSG_DONTWAIT);
      if (result > 0) {
        for (const taken = done + result; done < taken; done++) {
          this.#sent += vector.datagrams[done] as number;
          const length = vector.lengths[done] as number;
          this.#sentBytes += length;
          if (length > this.#largestTaken) this.#largestTaken = length;
        }
        retries = 0;
        this.#sendPauseMs = FIRST_PAUSE_MS;
        continue;
      }
      const error = -result;
      if (error === EBADF || error === ENOTSOCK) {
        void this.#end(result);
        return done;
      }
      if (error === ENOBUFS || error === ENOMEM) {
        this.#countSendError(errorName(result));
        this.#isFull = true;
        this.#pauseSending();
        return done;
      }
      if ((error === EINTR || REPORTS.has(error)) && retries < MAX_RETRIES) {
        retries += 1;
        continue;
      }
      if (error === EAGAIN || error === EINTR || error === 0) {
        this.#isFull = true;
        this.#watch();
        return done;
      }
      if ((vector.datagrams[done] as number) > 1) {
        this.#refusal = error;
        return done;
      }
      this.#countSendError(errorName(result));
      done += 1;
      retries = 0;
    }
    return done;
  }

  /** Joined, datagrams of that size were refused, and one by one they were taken. */
  #distrust(refusal: number, bytes: number): void {
    // EIO is a device that cannot do it at all; otherwise the size is meant, which does not fit the device.
    const limit = refusal === EIO ? 0 : bytes - 1;
    this.#segmentLimit = Math.min(this.#segmentLimit, limit);
  }

  /** Act later: koffi's callback is outside of what runs promises and reports exceptions. */
  readonly #onRing = (isWritable: boolean, isBroken: boolean): void => {
    if (isWritable) this.#isWritable = true;
    if (isBroken) this.#isBroken = true;
    this.#schedule();
  };

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#loop.soon(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    const isBroken = this.#isBroken;
    this.#isBroken = false;
    if (isBroken) this.#errors.drain(this.#fd);
    try {
      this.#receive();
    } finally {
      // Also when the listener throws.
      if (isBroken && this.#pause === undefined) this.#watch();
    }
    if (!this.#isWritable) return;
    this.#isWritable = false;
    if (this.#sendPause === undefined) this.#resumeSending();
  };

  /** Takes what is there, up to the bounds of a turn. */
  #receive(): void {
    if (this.#pause !== undefined) return;
    const ring = this.#ring;
    let datagrams = 0;
    let bytes = 0;
    for (
      let call = 0;
      call < CALLS_PER_TURN && datagrams < DATAGRAMS_PER_TURN && bytes < BYTES_PER_TURN;
      call++
    ) {
      const slots = this.#isBulk ? BULK_SLOTS : ring.slots;
      const count = ring.receive(this.#fd, slots);
      if (count < 0) {
        if (this.#goesOnAfter(count)) continue;
        return;
      }
      this.#pauseMs = FIRST_PAUSE_MS;
      const batch = this.#batch;
      batch.clear();
      const taken = ring.takeInto(batch, count);
      this.#isBulk = taken >= count * BULK_MESSAGE_BYTES;
      this.#receivedBytes += taken;
      bytes += taken;
      this.#received += batch.count;
      datagrams += batch.count;
      this.#histogram?.record(batch.count);
      if (batch.count > 0) this.listener?.receive(batch);
      // The listener may have closed the socket. And with slots left over there was no more.
      if (this.#isClosed || count < slots) return;
    }
    this.#schedule();
  }

  /** Whether receiving goes on after a failed call (transport §5.3). */
  #goesOnAfter(result: number): boolean {
    switch (-result) {
      case EINTR:
        return true;
      case EAGAIN:
        this.#pauseMs = FIRST_PAUSE_MS;
        return false;
    }
    this.#receiveErrors += 1;
    if (REPORTS.has(-result)) {
      this.#errors.drain(this.#fd);
      return true;
    }
    if (-result === EBADF || -result === ENOTSOCK) void this.#end(result);
    else this.#pauseReceiving();
    return false;
  }

  #pauseReceiving(): void {
    this.#doorbell.pause();
    this.#pause = this.#loop.after(this.#pauseMs, this.#isRef, () => {
      this.#pause = undefined;
      this.#watch();
      this.#schedule();
    });
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }

  /** The kernel has no memory: it says so as long as there is room in the socket's own buffer, so time has to pass. */
  #pauseSending(): void {
    if (this.#sendPause !== undefined) return;
    this.#sendPause = this.#loop.after(this.#sendPauseMs, this.#isRef, () => {
      this.#sendPause = undefined;
      this.#resumeSending();
    });
    this.#sendPauseMs = Math.min(2 * this.#sendPauseMs, LONGEST_PAUSE_MS);
  }

  #resumeSending(): void {
    if (!this.#isFull || this.#isClosed) return;
    this.#isFull = false;
    this.#watch();
    this.listener?.writable?.();
  }

  /** Has the event loop watch the socket for what is of interest now. */
  #watch(): void {
    if (this.#isPolled || this.#isClosed || this.#pause !== undefined) return;
    try {
      this.#doorbell.watch(this.#isFull && this.#sendPause === undefined);
    } catch {
      this.#isPolled = true;
      this.#poll();
    }
  }

  #poll(): void {
    this.#pollTimer = this.#loop.after(POLL_MS, this.#isRef, () => {
      this.#timerPolls += 1;
      this.#poll();
      // Nobody says whether there is something to read, or room to write: trying tells.
      this.#isWritable = true;
      this.#isBroken = true;
      this.#schedule();
    });
  }

  #setRef(isRef: boolean): void {
    this.#isRef = isRef;
    if (!this.#isClosed) this.#doorbell.setRef(isRef);
  }

  #countSendError(code: string): void {
    this.#sendErrors[code] = (this.#sendErrors[code] ?? 0) + 1;
  }

  /** Drops of the receive buffer; the last figure once the socket is closed. */
  #readDrops(): number {
    if (this.#isClosed) return this.#kernelDrops;
    const info = this.#memoryInfo;
    if (this.#sys.getOption(this.#fd, SOL_SOCKET, SO_MEMINFO, info) >= 0) {
      this.#kernelDrops = info[MEMINFO_DROPS] as number;
    }
    return this.#kernelDrops;
  }

  /** Closes, once; `result` is the error by which the descriptor was lost. */
  #end(result: number | undefined): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const isLost = result !== undefined;
      if (!isLost) this.#readDrops();
      this.#isClosed = true;
      this.#doorbell.close();
      for (const timer of [this.#pause, this.#sendPause, this.#pollTimer]) {
        if (timer !== undefined) this.#loop.cancel(timer);
      }
      // A descriptor that was lost is nobody's, or somebody else's.
      if (!isLost) this.#sys.close(this.#fd);
      // Not at once: a listener may be reading the ring.
      this.#loop.soon(() => {
        this.#ring.release();
        const error = isLost
          ? toTransportError(systemError(result, "recvmmsg"), "the socket was lost")
          : undefined;
        this.listener?.closed?.(error);
        resolve();
      });
    });
    return this.#closing;
  }
}
