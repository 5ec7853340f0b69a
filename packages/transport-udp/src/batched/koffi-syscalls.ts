import { createRequire } from "node:module";
import type { Syscalls } from "./syscalls.ts";

/** What is used of a handle by which koffi watches a descriptor in the event loop. */
export interface PollHandle {
  start(events: PollEvents, callback: (status: number, events: PollEvents) => void): void;
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
}

/** What a descriptor is watched for, or what has happened to it. */
export interface PollEvents {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** What is used of the package koffi. */
export interface Koffi {
  load(library: null): { func(name: string, result: string, parameters: readonly string[]): NativeFunction };
  errno(): number;
  address(bytes: Uint8Array): bigint;
  readonly node?: {
    poll(fd: number, events: PollEvents, callback: (status: number, events: PollEvents) => void): PollHandle;
  };
}

type NativeFunction = (...parameters: unknown[]) => number;

/** The package koffi, which is optional. Undefined when it is not installed or does not run here. */
export function loadKoffi(): Koffi | undefined {
  try {
    return createRequire(import.meta.url)("koffi") as Koffi;
  } catch {
    return undefined;
  }
}

/** The C library of this process. Throws when it lacks one of the functions. */
export function koffiSyscalls(koffi: Koffi): Syscalls {
  const library = koffi.load(null);
  const bind = (name: string, result: string, ...parameters: string[]): NativeFunction =>
    library.func(name, result, parameters);
  const socket = bind("socket", "int", "int", "int", "int");
  const bindName = bind("bind", "int", "int", "void *", "uint32_t");
  const getsockname = bind("getsockname", "int", "int", "void *", "void *");
  const close = bind("close", "int", "int");
  const setsockopt = bind("setsockopt", "int", "int", "int", "int", "void *", "uint32_t");
  const getsockopt = bind("getsockopt", "int", "int", "int", "int", "void *", "void *");
  const recvmmsg = bind("recvmmsg", "int", "int", "uintptr_t", "uint32_t", "int", "uintptr_t");
  const sendmmsg = bind("sendmmsg", "int", "int", "uintptr_t", "uint32_t", "int");
  const nametoindex = bind("if_nametoindex", "uint32_t", "str");
  const indextoname = bind("if_indextoname", "void *", "uint32_t", "void *");
  // Nothing may come between a call and this: errno is the thread's, and the next call overwrites it.
  const done = (result: number): number => (result < 0 ? -koffi.errno() : result);
  const value = new Int32Array(1);
  const length = new Uint32Array(1);
  const text = new Uint8Array(16);
  return {
    socket: (family, type, protocol) => done(socket(family, type, protocol)),
    bind: (fd, name, size) => done(bindName(fd, name, size)),
    getsockname(fd, name) {
      length[0] = name.length;
      return done(getsockname(fd, name, length));
    },
    close: (fd) => done(close(fd)),
    setOption(fd, level, option, wanted) {
      value[0] = wanted;
      return done(setsockopt(fd, level, option, value, 4));
    },
    getOption(fd, level, option, found) {
      length[0] = found.byteLength;
      return done(getsockopt(fd, level, option, found, length));
    },
    recvmmsg: (fd, vector, count, flags) => done(recvmmsg(fd, vector, count, flags, 0)),
    sendmmsg: (fd, vector, count, flags) => done(sendmmsg(fd, vector, count, flags)),
    interfaceIndex: (name) => nametoindex(name),
    interfaceName(index) {
      if (!(indextoname(index, text) as unknown)) return undefined;
      return String.fromCharCode(...text.subarray(0, text.indexOf(0)));
    },
    addressOf: (bytes) => Number(koffi.address(bytes)),
  };
}
