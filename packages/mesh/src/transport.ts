import type { DatagramBatch, SocketAddress } from "@netmesh/wire";

/** What a {@link Transport} tells its owner. All calls come from the transport's own event-loop turn. */
export interface TransportListener {
  /**
   * Datagrams that arrived, in arrival order. The bytes are the listener's to read and overwrite during the call
   * only; the transport reuses them afterwards.
   */
  receive(batch: DatagramBatch): void;
  /** After a `send` that accepted less than it was given: there is room again. */
  writable?(): void;
  /** The transport has ended; `error` is set when nobody asked it to. */
  closed?(error?: Error): void;
}

/**
 * A way to move datagrams: UDP, an in-memory network, a WebSocket leg. Datagrams may be lost, duplicated or
 * reordered; they are never changed, cut or joined.
 */
export interface Transport {
  /** The address that peers on the same network can send to. */
  readonly localAddress: SocketAddress;
  /**
   * Whether the system may cut datagrams into IP fragments: false where "don't fragment" is set, so that one which is too
   * large for its path does not arrive. Default true.
   */
  readonly fragments?: boolean;
  /**
   * Sends the batch front to back and returns how many datagrams were accepted. The bytes are only borrowed: the
   * transport has copied or sent what it accepted when the call returns.
   */
  send(batch: DatagramBatch): number;
  /** Installs the one listener. */
  listen(listener: TransportListener): void;
  /** Releases the socket; idempotent. */
  close(): Promise<void>;
  /**
   * Opens another socket at the same host, with a port of its own, which only looks for the way past a NAT; the caller closes it.
   * Absent where that cannot be. Rejects when the system refuses.
   */
  openBeside?(): Promise<Transport>;
}
