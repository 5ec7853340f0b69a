import { KERNEL } from "./kernel-binary.ts";

// The one WebAssembly instance of this thread, with the linear memory in which it works (assembly/memory-map.ts). The
// memory has its full size from the start, as growing would detach every packet slot in it; the system only provides
// the pages that are touched.

interface Address {
  readonly value: number;
}

/** The functions of assembly/chacha20-poly1305.ts; every argument is a u32. */
interface KernelFunctions {
  initialize(): void;
  wipe(): void;
  seal(key: number, nonce: number, aad: number, aadLength: number, text: number, length: number): void;
  open(key: number, nonce: number, aad: number, aadLength: number, text: number, length: number): number;
  sealPacket(key: number, prefix: number, lo: number, hi: number, packet: number, length: number): void;
  openPacket(key: number, prefix: number, packet: number, length: number): number;
  sealPackets(count: number): void;
  openPackets(count: number): void;
}

type KernelExports = KernelFunctions & {
  readonly [name in
    | "NONCE"
    | "TEXT_AAD"
    | "TEXT"
    | "TEXT_LIMIT"
    | "BATCH"
    | "KEYS"
    | "KEY_LIMIT"
    | "HEAP"]: Address;
};

// The part of the WebAssembly interface in use: no library of types that all runtimes share declares it.
interface WebAssemblyInterface {
  Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

/** Keys and scratch space take 2 MiB; the rest holds four outboxes of 1024 datagrams. */
const MEMORY_PAGES = 640;
/** The kernel reads and writes whole vectors: up to 15 bytes behind a packet. */
const GUARD_BYTES = 64;

/** The kernel, and what lies where in its memory. */
export interface Kernel extends KernelFunctions {
  /** The linear memory; never detached. */
  readonly buffer: ArrayBuffer;
  /** All of it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same as little-endian words. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly nonceAt: number;
  readonly aadAt: number;
  readonly textAt: number;
  /** Room at `textAt` for a text and its tag. */
  readonly textLimit: number;
  readonly batchAt: number;
  readonly keysAt: number;
  readonly keyLimit: number;
  readonly heapAt: number;
  readonly heapEnd: number;
}

let loaded: Kernel | undefined;
let wasTried = false;

/**
 * The kernel of this thread; undefined where WebAssembly, its SIMD instructions or compiling at run time are not
 * available (an old runtime, a content security policy without `wasm-unsafe-eval`).
 */
export function kernel(): Kernel | undefined {
  if (!wasTried) {
    wasTried = true;
    try {
      loaded = load();
    } catch {
      loaded = undefined;
    }
  }
  return loaded;
}

function load(): Kernel {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyInterface };
  const module = new WebAssembly.Module(decodeBase64(KERNEL));
  const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as KernelExports;
  exports.initialize();
  return {
    initialize: exports.initialize,
    wipe: exports.wipe,
    seal: exports.seal,
    open: exports.open,
    sealPacket: exports.sealPacket,
    openPacket: exports.openPacket,
    sealPackets: exports.sealPackets,
    openPackets: exports.openPackets,
    buffer: memory.buffer,
    bytes: new Uint8Array(memory.buffer),
    words: new Uint32Array(memory.buffer),
    nonceAt: exports.NONCE.value,
    aadAt: exports.TEXT_AAD.value,
    textAt: exports.TEXT.value,
    textLimit: exports.TEXT_LIMIT.value,
    batchAt: exports.BATCH.value,
    keysAt: exports.KEYS.value,
    keyLimit: exports.KEY_LIMIT.value,
    heapAt: exports.HEAP.value,
    heapEnd: memory.buffer.byteLength - GUARD_BYTES,
  };
}

function decodeBase64(text: string): Uint8Array {
  const { atob } = globalThis as unknown as { atob(text: string): string };
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}
