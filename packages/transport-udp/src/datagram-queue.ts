import type { SocketAddress } from "@netmesh/wire";
import { TransportError } from "./transport-error.ts";
import { WaitList } from "./wait-list.ts";

/** Datagrams that wait to be received at most (transport §9.1 rule 5). */
export const MAX_QUEUED_DATAGRAMS = 4096;

/** A datagram and where it came from. */
export interface ReceivedDatagram {
  /** Exactly as long as the datagram; never reused. */
  readonly bytes: Uint8Array;
  readonly source: SocketAddress;
}

/** Bounded queue between events and waiting calls; when it is full the newest datagram is dropped. */
export class DatagramQueue {
  readonly #waiting: WaitList<ReceivedDatagram> = new WaitList();
  #items: ReceivedDatagram[] = [];
  /** Items before it are taken already. */
  #head = 0;
  #isClosed = false;
  #overflow = 0;

  /** Datagrams dropped for want of room. */
  get overflow(): number {
    return this.#overflow;
  }

  push(datagram: ReceivedDatagram): void {
    if (this.#waiting.resolveFirst(datagram)) return;
    if (this.#items.length - this.#head >= MAX_QUEUED_DATAGRAMS) {
      this.#overflow += 1;
      return;
    }
    this.#items.push(datagram);
  }

  tryShift(): ReceivedDatagram | undefined {
    const datagram = this.#items[this.#head];
    if (datagram === undefined) {
      if (this.#isClosed) throw reset();
      return undefined;
    }
    this.#head += 1;
    // Amortised: at most one move per item, and the array never exceeds twice the bound.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return datagram;
  }

  async shift(signal: AbortSignal | undefined): Promise<ReceivedDatagram> {
    signal?.throwIfAborted();
    return this.tryShift() ?? (await this.#waiting.wait(signal));
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.rejectAll(reset());
  }
}

function reset(): TransportError {
  return new TransportError("connection-reset", "the socket was closed");
}
