import { Identity } from "@netmesh/crypto";
import {
  type CausalEvent,
  CoreDaemonError,
  type CoreErrorReason,
  type Daemon,
  DaemonError,
  type DaemonErrorCode,
  type DaemonOutput,
} from "../../src/index.ts";

/** Says back what it is told. */
export class EchoDaemon implements Daemon {
  readonly name: string = "echo";

  process(event: CausalEvent): DaemonOutput {
    return event.payload;
  }
}

/** Counts events; its state and its outputs are the count as u64. */
export class CounterDaemon implements Daemon {
  readonly name: string = "counter";
  count = 0n;
  readonly calls: string[] = [];

  process(): DaemonOutput {
    this.count++;
    return u64(this.count);
  }

  snapshot(): Uint8Array {
    return u64(this.count);
  }

  restore(state: Uint8Array): void {
    this.calls.push("restore");
    if (state.length !== 8) throw new Error(`counter state must be 8 bytes, got ${state.length}`);
    this.count = fromU64(state);
  }
}

/** A promise, and what settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Processes each event when it is told to. */
export class SlowDaemon implements Daemon {
  readonly name: string = "slow";
  readonly calls: Deferred<DaemonOutput>[] = [];
  readonly seen: string[] = [];
  interrupts = 0;
  disposals = 0;

  process(event: CausalEvent): Promise<DaemonOutput> {
    this.seen.push(text(event.payload));
    const call = deferred<DaemonOutput>();
    this.calls.push(call);
    return call.promise;
  }

  interrupt(): void {
    this.interrupts++;
  }

  dispose(): void {
    this.disposals++;
  }
}

export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

export function fromU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

export function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}

/** An input of an origin. */
export function input(originHash: bigint, sequence: bigint, payload: string): CausalEvent {
  return {
    link: { originHash, horizon: 0n, sequence, parentHash: 0n },
    payload: bytes(payload),
    receivedAt: 0n,
  };
}

/** The identity whose seed is that number and zeros. */
export function identity(seed: number): Identity {
  const bytesOfSeed = new Uint8Array(32);
  bytesOfSeed.set(u64(BigInt(seed)));
  return Identity.fromSeed(bytesOfSeed);
}

/** The error that `action` throws or rejects with. */
export async function failure(action: () => unknown): Promise<DaemonError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof DaemonError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** The code that `action` fails with. */
export async function codeOf(action: () => unknown): Promise<DaemonErrorCode> {
  return (await failure(action)).code;
}

/** The reason of the core error that `action` fails with. */
export async function reasonOf(action: () => unknown): Promise<CoreErrorReason> {
  const error = await failure(action);
  if (error instanceof CoreDaemonError) return error.reason;
  throw error;
}
