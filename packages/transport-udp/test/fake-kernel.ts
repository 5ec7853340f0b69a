import { SocketAddress } from "@netmesh/wire";
import {
  AF_INET,
  MSG_ERRQUEUE,
  ORIGIN_ICMP,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from "../src/batched/linux-abi.ts";
import type { Syscalls } from "../src/batched/syscalls.ts";

/** A message that the fake kernel hands to a receiving call. */
export interface Incoming {
  readonly bytes: Uint8Array;
  /** Default `10.0.0.9:9`. */
  readonly from?: string;
  /** The size by which it is joined, as the kernel tells it. */
  readonly segment?: number;
  /** Control bytes instead of those that tell the segment. */
  readonly control?: Uint8Array;
  readonly flags?: number;
  /** The address family to claim. */
  readonly family?: number;
}

/** A message that a sending call handed to the fake kernel. */
export interface Outgoing {
  readonly to: string;
  readonly bytes: Uint8Array;
  /** 0 when it is a single datagram. */
  readonly segment: number;
}

/** What a receiving call finds: messages, or the error number it fails with. */
export type ReceiveOutcome = readonly Incoming[] | number;

/**
 * A kernel that does what the test says. It reads and writes the same vectors as the real one, at addresses of its own
 * invention, and fails on any that it has not given out.
 */
export class FakeKernel implements Syscalls {
  /** What receiving calls find, in order; nothing when it is empty. */
  readonly receives: ReceiveOutcome[] = [];
  /** Error numbers in the error queue, as ICMP reported them. */
  readonly reports: number[] = [];
  /** What sending calls return, in order: how many messages at most, or a negated error number; then all are taken. */
  readonly sends: ((messages: readonly Outgoing[]) => number)[] = [];
  readonly sent: Outgoing[] = [];
  readonly closed: number[] = [];
  /** Options that were set, by `level:option`. */
  readonly options: Map<string, number> = new Map();
  /** What setting an option returns. */
  refuseOption: (level: number, option: number, value: number) => number = () => 0;
  receiveCalls = 0;
  drops = 0;
  bindResult = 0;
  /** Family of the address that the socket is bound to. */
  family: number = AF_INET;
  readonly #memory: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  #next = 0x7f12_ffff_0000;

  /** Everything sent, with joined messages cut again. */
  get datagrams(): { to: string; bytes: Uint8Array }[] {
    return this.sent.flatMap(({ to, bytes, segment }) => {
      const size = segment === 0 ? Math.max(1, bytes.length) : segment;
      const count = Math.max(1, Math.ceil(bytes.length / size));
      return Array.from({ length: count }, (_, i) => ({
        to,
        bytes: bytes.subarray(i * size, (i + 1) * size),
      }));
    });
  }

  socket(): number {
    return 7;
  }

  bind(): number {
    return this.bindResult;
  }

  getsockname(_fd: number, name: Uint8Array): number {
    const view = new DataView(name.buffer, name.byteOffset);
    if (this.family === AF_INET) writeName(view, "10.0.0.1:7000", AF_INET);
    else view.setUint16(0, this.family, true);
    return 0;
  }

  close(fd: number): number {
    this.closed.push(fd);
    return 0;
  }

  setOption(_fd: number, level: number, option: number, value: number): number {
    const result = this.refuseOption(level, option, value);
    if (result >= 0) this.options.set(`${level}:${option}`, value);
    return result;
  }

  getOption(_fd: number, _level: number, option: number, value: Uint32Array): number {
    if (option === SO_MEMINFO) value[8] = this.drops;
    if (option === SO_RCVBUF || option === SO_SNDBUF) value[0] = this.options.get(`1:${option}`) ?? 0;
    return 0;
  }

  recvmmsg(_fd: number, vector: number, count: number, flags: number): number {
    if ((flags & MSG_ERRQUEUE) !== 0) return this.#report(vector, count);
    this.receiveCalls += 1;
    const outcome = this.receives.shift();
    if (outcome === undefined) return -11;
    if (typeof outcome === "number") return -outcome;
    if (outcome.length > count) throw new Error(`${outcome.length} messages for ${count} slots`);
    for (const [i, message] of outcome.entries()) this.#deliver(vector + i * 64, message);
    return outcome.length;
  }

  sendmmsg(_fd: number, vector: number, count: number): number {
    const messages = Array.from({ length: count }, (_, i) => this.#readMessage(vector + i * 64));
    const result = this.sends.shift()?.(messages) ?? count;
    if (result > 0) this.sent.push(...messages.slice(0, result));
    return result;
  }

  interfaceIndex(name: string): number {
    return name === "eth7" ? 7 : 0;
  }

  interfaceName(index: number): string | undefined {
    return index === 7 ? "eth7" : undefined;
  }

  addressOf(bytes: Uint8Array): number {
    const at = this.#next;
    this.#next += Math.ceil(bytes.length / 4_096) * 4_096 + 4_096;
    this.#memory.push({ at, bytes });
    return at;
  }

  #at(address: number, length: number): DataView {
    for (const { at, bytes } of this.#memory) {
      const offset = address - at;
      if (offset >= 0 && offset + length <= bytes.length) {
        return new DataView(bytes.buffer, bytes.byteOffset + offset, length);
      }
    }
    throw new Error(`${length} bytes at ${address.toString(16)} are nobody's`);
  }

  #pointer(address: number): number {
    return Number(this.#at(address, 8).getBigUint64(0, true));
  }

  #deliver(
    header: number,
    { bytes, from = "10.0.0.9:9", flags = 0, family = AF_INET, ...rest }: Incoming,
  ): void {
    const message = this.#at(header, 64);
    const nameRoom = message.getUint32(8, true);
    writeName(this.#at(this.#pointer(header), nameRoom), from, family);
    message.setUint32(8, 16, true);
    const vector = this.#pointer(header + 16);
    const room = Number(this.#at(vector, 16).getBigUint64(8, true));
    const slot = this.#at(this.#pointer(vector), room);
    const taken = Math.min(room, bytes.length);
    new Uint8Array(slot.buffer, slot.byteOffset, taken).set(bytes.subarray(0, taken));
    const control =
      rest.control ?? (rest.segment === undefined ? new Uint8Array() : segmentControl(rest.segment));
    const controlRoom = message.getUint32(40, true);
    const place = this.#at(this.#pointer(header + 32), controlRoom);
    new Uint8Array(place.buffer, place.byteOffset, controlRoom).set(control.subarray(0, controlRoom));
    message.setUint32(40, Math.min(control.length, controlRoom), true);
    message.setUint32(48, flags, true);
    message.setUint32(56, taken, true);
  }

  #report(vector: number, count: number): number {
    const errors = this.reports.splice(0, count);
    for (const [i, error] of errors.entries()) {
      const header = vector + i * 64;
      const message = this.#at(header, 64);
      const control = this.#at(this.#pointer(header + 32), message.getUint32(40, true));
      control.setUint32(0, 48, true);
      control.setUint32(8, 0, true);
      control.setUint32(12, 11, true);
      control.setUint32(16, error, true);
      control.setUint32(20, ORIGIN_ICMP, true);
      message.setUint32(40, 48, true);
    }
    return errors.length === 0 ? -11 : errors.length;
  }

  #readMessage(header: number): Outgoing {
    const message = this.#at(header, 64);
    const nameLength = message.getUint32(8, true);
    const to = readName(this.#at(this.#pointer(header), nameLength));
    const vector = this.#pointer(header + 16);
    const count = message.getUint32(24, true);
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const length = this.#at(vector + i * 16, 16).getUint32(8, true);
      const piece = this.#at(this.#pointer(vector + i * 16), length);
      pieces.push(new Uint8Array(piece.buffer, piece.byteOffset, length).slice());
    }
    let segment = 0;
    if (message.getUint32(40, true) > 0) {
      const control = this.#at(this.#pointer(header + 32), 24);
      if (control.getUint32(8, true) !== SOL_UDP || control.getUint32(12, true) !== UDP_SEGMENT) {
        throw new Error("not the control message of a segment size");
      }
      segment = control.getUint16(16, true);
    }
    return { to, bytes: Uint8Array.from(Buffer.concat(pieces)), segment };
  }
}

/** The control message by which the kernel tells the size of joined datagrams. */
export function segmentControl(segment: number, level: number = SOL_UDP, type: number = UDP_GRO): Uint8Array {
  const control = new DataView(new ArrayBuffer(24));
  control.setUint32(0, 20, true);
  control.setUint32(8, level, true);
  control.setUint32(12, type, true);
  control.setUint32(16, segment, true);
  return new Uint8Array(control.buffer);
}

function writeName(name: DataView, address: string, family: number): void {
  const { host, port } = SocketAddress.parse(address);
  name.setUint16(0, family, true);
  name.setUint16(2, port);
  for (const [i, octet] of host.split(".").entries()) name.setUint8(4 + i, Number(octet));
}

function readName(name: DataView): string {
  const octets = [4, 5, 6, 7].map((at) => name.getUint8(at));
  return `${octets.join(".")}:${name.getUint16(2)}`;
}
