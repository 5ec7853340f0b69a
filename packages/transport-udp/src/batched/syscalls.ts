import { getSystemErrorName } from "node:util";

/**
 * The operating system, as far as the batched socket needs it: the one boundary behind which native code runs. Every
 * call returns at once. A negative result is an error number of Linux, negated.
 */
export interface Syscalls {
  socket(family: number, type: number, protocol: number): number;
  /** `name` is a `sockaddr` of `length` bytes. */
  bind(fd: number, name: Uint8Array, length: number): number;
  getsockname(fd: number, name: Uint8Array): number;
  close(fd: number): number;
  setOption(fd: number, level: number, option: number, value: number): number;
  /** Reads an option of as many bytes as `value` has. */
  getOption(fd: number, level: number, option: number, value: Uint32Array): number;
  /** Receives up to `count` messages; `vector` is the address of as many `mmsghdr`. The number received. */
  recvmmsg(fd: number, vector: number, count: number, flags: number): number;
  /** Sends up to `count` messages; `vector` is the address of as many `mmsghdr`. The number sent. */
  sendmmsg(fd: number, vector: number, count: number, flags: number): number;
  /** Number of a network interface; 0 when there is none of that name. */
  interfaceIndex(name: string): number;
  /** Name of a network interface. */
  interfaceName(index: number): string | undefined;
  /** Where the bytes lie. It holds as long as the caller keeps the array's buffer alive and does not detach it. */
  addressOf(bytes: Uint8Array): number;
}

/** The name of a negated error number, such as `EAGAIN`. */
export function errorName(result: number): string {
  try {
    return getSystemErrorName(result);
  } catch {
    return "UNKNOWN";
  }
}

/** An error of the kind that Node makes for a failed system call. */
export function systemError(result: number, call: string): Error {
  const code = errorName(result);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: result, syscall: call });
}
