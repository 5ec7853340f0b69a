import {
  CMSGHDR_SIZE,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVERR,
  MMSGHDR_SIZE,
  MSG_CONTROL,
  MSG_CONTROL_LENGTH,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  ORIGIN_ICMP,
  ORIGIN_ICMP6,
} from "./linux-abi.ts";
import { errorName, type Syscalls } from "./syscalls.ts";

/** Errors that one call takes. */
const SLOTS = 16;
/** An extended error with the address of whoever reported it is below half of this. */
const CONTROL_ROOM = 128;
/** Calls per turn: a flood of ICMP gets no more of the event loop than this. */
const MAX_CALLS = 4;
const CONTROL_AT: number = (SLOTS * MMSGHDR_SIZE) / 4;

/** Reads what ICMP said of datagrams sent (IP_RECVERR), which the kernel queues apart from what is received. */
export class ErrorQueue {
  /** Reports by the error that the kernel makes of them, such as `ECONNREFUSED` for a port where nobody is. */
  readonly counts: Record<string, number> = {};
  readonly #sys: Syscalls;
  readonly #words: Uint32Array<ArrayBuffer> = new Uint32Array(CONTROL_AT + (SLOTS * CONTROL_ROOM) / 4);
  readonly #address: number;

  constructor(sys: Syscalls) {
    this.#sys = sys;
    this.#address = sys.addressOf(new Uint8Array(this.#words.buffer));
    for (let i = 0; i < SLOTS; i++) {
      const control = this.#address + CONTROL_AT * 4 + i * CONTROL_ROOM;
      const header = (i * MMSGHDR_SIZE) / 4;
      this.#words[header + MSG_CONTROL] = control >>> 0;
      this.#words[header + MSG_CONTROL + 1] = Math.floor(control / 0x1_0000_0000);
    }
  }

  /** Empties the queue, or a good part of it, and counts. */
  drain(fd: number): void {
    for (let call = 0; call < MAX_CALLS; call++) {
      for (let i = 0; i < SLOTS; i++) {
        this.#words[(i * MMSGHDR_SIZE) / 4 + MSG_CONTROL_LENGTH] = CONTROL_ROOM;
      }
      const count = this.#sys.recvmmsg(fd, this.#address, SLOTS, MSG_DONTWAIT | MSG_ERRQUEUE);
      for (let i = 0; i < count; i++) this.#count(i);
      if (count < SLOTS) return;
    }
  }

  #count(slot: number): void {
    const words = this.#words;
    const length = words[(slot * MMSGHDR_SIZE) / 4 + MSG_CONTROL_LENGTH] as number;
    const end = Math.min(length, CONTROL_ROOM);
    const control = CONTROL_AT + (slot * CONTROL_ROOM) / 4;
    for (let at = 0; at + CMSGHDR_SIZE + 8 <= end; ) {
      const place = control + at / 4;
      const size = words[place] as number;
      if (size < CMSGHDR_SIZE + 8 || size > end - at) return;
      const [level, type] = [words[place + 2], words[place + 3]];
      if (
        (level === IPPROTO_IP && type === IP_RECVERR) ||
        (level === IPPROTO_IPV6 && type === IPV6_RECVERR)
      ) {
        // `struct sock_extended_err`: the error number, then its origin. What the host itself found out while sending
        // was told to the sending call.
        const origin = (words[place + 5] as number) & 0xff;
        if (origin === ORIGIN_ICMP || origin === ORIGIN_ICMP6) {
          const name = errorName(-(words[place + 4] as number));
          this.counts[name] = (this.counts[name] ?? 0) + 1;
        }
        return;
      }
      at += (size + 7) & ~7;
    }
  }
}
