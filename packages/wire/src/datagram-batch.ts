import type { SocketAddress } from "./socket-address.ts";

/**
 * Datagrams on their way between a transport and an engine: two parallel arrays and a count, made once
 * and reused, so that a batch costs no allocation.
 *
 * The byte arrays are views owned by whoever hands the batch over, valid only during that call; a
 * receiver that needs them later copies them. An address is the source of a received datagram, the
 * destination of one to send.
 */
export class DatagramBatch {
  /** Datagrams; entries from `count` on are left-overs to ignore. */
  readonly bytes: Uint8Array[] = [];
  /** Peer of the datagram at the same index. */
  readonly addresses: SocketAddress[] = [];
  /** Datagrams in the batch. */
  count = 0;

  /** Appends a datagram without copying it. */
  push(bytes: Uint8Array, address: SocketAddress): void {
    this.bytes[this.count] = bytes;
    this.addresses[this.count] = address;
    this.count += 1;
  }

  /** Empties the batch. The arrays keep their capacity, and old views until they are overwritten. */
  clear(): void {
    this.count = 0;
  }
}
