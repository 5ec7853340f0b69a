import type { Koffi, PollEvents } from "./koffi-syscalls.ts";

/** Rings when a descriptor can be read, can be written, or has something to complain of; until it is closed. */
export interface Doorbell {
  /** Starts to watch, or goes on watching for something else; throws when the descriptor cannot be watched. */
  watch(isWriteWanted: boolean): void;
  /** Stops to watch. */
  pause(): void;
  close(): void;
  /** Whether watching keeps the process alive. */
  setRef(isRef: boolean): void;
}

/** What rang: the watching goes on unless `isBroken`. */
export type Ring = (isWritable: boolean, isBroken: boolean) => void;

/** The event loop, as far as the batched socket needs it; tests play it in virtual time. */
export interface EventLoop {
  /** A doorbell for a descriptor, not watching yet. It may ring while whatever else runs: act in `soon`. */
  doorbell(fd: number, ring: Ring): Doorbell;
  /** Runs the callback once, after the events of this turn. */
  soon(callback: () => void): void;
  /** Runs the callback once, after `delayMs`; returns what `cancel` takes. */
  after(delayMs: number, isRef: boolean, callback: () => void): unknown;
  cancel(timer: unknown): void;
}

/** Node's own event loop: it waits for the descriptor together with everything else, without a thread. */
export function platformLoop(koffi: Koffi): EventLoop {
  return {
    doorbell: (fd, ring) => new PollDoorbell(koffi, fd, ring),
    soon: (callback) => {
      setImmediate(callback);
    },
    after(delayMs, isRef, callback) {
      const timer = setTimeout(callback, delayMs);
      return isRef ? timer : timer.unref();
    },
    cancel: (timer) => clearTimeout(timer as NodeJS.Timeout),
  };
}

const READ: PollEvents = { readable: true, writable: false };
const READ_AND_WRITE: PollEvents = { readable: true, writable: true };

class PollDoorbell implements Doorbell {
  readonly #koffi: Koffi;
  readonly #fd: number;
  /** The process dies when a handle is used after its close: it is forgotten then. */
  #handle: ReturnType<NonNullable<Koffi["node"]>["poll"]> | undefined;
  #isRef = true;
  readonly #onPoll: (status: number, events: PollEvents) => void;

  constructor(koffi: Koffi, fd: number, ring: Ring) {
    this.#koffi = koffi;
    this.#fd = fd;
    // libuv stops watching when it reports an error: a queue of ICMP errors is one.
    this.#onPoll = (status, events) => ring(events.writable, status < 0);
  }

  watch(isWriteWanted: boolean): void {
    const events = isWriteWanted ? READ_AND_WRITE : READ;
    if (this.#handle !== undefined) {
      this.#handle.start(events, this.#onPoll);
      return;
    }
    const { node } = this.#koffi;
    if (node === undefined) throw new Error("this version of koffi cannot watch descriptors");
    this.#handle = node.poll(this.#fd, events, this.#onPoll);
    if (!this.#isRef) this.#handle.unref();
  }

  pause(): void {
    this.#handle?.stop();
  }

  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
  }

  setRef(isRef: boolean): void {
    this.#isRef = isRef;
    if (isRef) this.#handle?.ref();
    else this.#handle?.unref();
  }
}
