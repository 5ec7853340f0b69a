/** A thread that opens batches of packets of one size and hands them back. */
import { acceptOpening, type OpeningGrant, type OpeningKey } from "../../src/index.ts";
import { onMessage, post } from "./thread-port.ts";

/** Packets back to back, `size` bytes each. */
export interface Batch {
  readonly packets: Uint8Array<ArrayBuffer>;
  readonly size: number;
}

/** The same packets, those opened whose length of payload is not -1. */
export interface OpenedBatch extends Batch {
  readonly lengths: readonly number[];
}

let key: OpeningKey | undefined;

onMessage((message) => {
  if (key === undefined) {
    key = acceptOpening(message as OpeningGrant);
    return;
  }
  const { packets, size } = message as Batch;
  const lengths: number[] = [];
  for (let offset = 0; offset < packets.length; offset += size) lengths.push(key.open(packets, offset, size));
  post({ packets, size, lengths } satisfies OpenedBatch, [packets.buffer]);
});
