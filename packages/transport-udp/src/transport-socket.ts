import type { DatagramBatch, SocketAddress } from "@netmesh/wire";
import type { ReceiveMemory } from "./batched/receive-ring.ts";
import type { SocketOptions, SocketStats } from "./bound-socket.ts";
import type { ReceiveBatches } from "./receive-histogram.ts";
import type { SocketBuffers } from "./socket-buffers.ts";

/** What moves the datagrams: one system call for many of them (Linux), or `node:dgram`. */
export type SocketMode = "batched" | "portable";

/** How to bind a transport. */
export interface TransportOptions extends SocketOptions {
  /** `"auto"` (default) is `"batched"` where that runs and `"portable"` elsewhere. */
  readonly mode?: SocketMode | "auto";
  /** Whether the kernel may join and cut runs of datagrams (UDP_SEGMENT, UDP_GRO) where it can; default true. */
  readonly offload?: boolean;
  /**
   * Whether the system may cut datagrams that are too large for their path into IP fragments; default false: they are
   * lost, which is what the search for the size of a path needs. The portable socket cannot forbid it.
   */
  readonly fragments?: boolean;
  /**
   * Where received datagrams are put by the batched socket, such as the memory in which an AEAD provider opens them;
   * given back at the close. About 1 MiB, or 2 MiB without offload; plain memory when there is not as much.
   */
  readonly memory?: ReceiveMemory;
  /** Whether receiving calls are counted by what they brought; default false. */
  readonly measureBatches?: boolean;
}

/** Why `"auto"` came to be `"portable"`. */
export interface Fallback {
  readonly code: FallbackCode;
  /** For people. */
  readonly reason: string;
}

/** Stable, to branch on. */
export type FallbackCode =
  /** Not Linux on x64 or arm64. */
  | "platform"
  /** The optional package koffi is not installed, or too old, or does not run here. */
  | "no-koffi"
  /** The system refuses one of the calls: an old kernel, a sandbox. */
  | "refused";

/** Plain counters of a transport since it was bound. */
export interface TransportStats extends SocketStats {
  readonly mode: SocketMode;
  /** Why the batched socket is not used though it was not forbidden. */
  readonly fallback: Fallback | undefined;
  /** Whether runs of datagrams are cut by the kernel. */
  readonly segmentsSends: boolean;
  /** Whether datagrams are joined by the kernel. */
  readonly joinsReceives: boolean;
  /**
   * What the kernel dropped because its receive buffer was full, joined datagrams as one; 0 where it does not tell.
   */
  readonly kernelDrops: number;
  /** Datagrams that arrived cut, or joined without the size by which to part them. */
  readonly truncated: number;
  /** What ICMP reported of datagrams sent, by the system's code; nothing where the system does not tell. */
  readonly networkErrors: Readonly<Record<string, number>>;
  /** Times that the socket was looked at every millisecond because the event loop could not watch it. */
  readonly timerPolls: number;
  /** With `measureBatches`; all zero with the portable socket. */
  readonly receiveBatches: ReceiveBatches | undefined;
}

/** What a transport reports. */
export interface TransportListener {
  /**
   * Datagrams in arrival order, 1..1024 of them; the portable socket gives one at a time. Batch and bytes are the
   * transport's and reused: the bytes may be overwritten during the call, and what is needed later has to be copied.
   */
  receive(batch: DatagramBatch): void;
  /** There is room again after `send` accepted less than it was given. */
  writable?(): void;
  /** The transport is closed; nothing follows. With an error when it ended by itself. */
  closed?(error?: Error): void;
}

/** The two kinds of socket under a transport. */
export interface TransportSocket {
  readonly localAddress: SocketAddress;
  readonly buffers: SocketBuffers;
  /** Whether the system may cut datagrams into IP fragments. */
  readonly fragments: boolean;
  listener: TransportListener | undefined;
  send(batch: DatagramBatch): number;
  stats(): TransportStats;
  ref(): void;
  unref(): void;
  close(): Promise<void>;
}
