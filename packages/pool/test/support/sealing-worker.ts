/** Seals packets with a shared counter and posts them back. */
import { SharedCounter, ThreadLocalPool } from "../../src/index.ts";
import { onMessage, post } from "./thread-port.ts";

export interface SealingJob {
  readonly memory: SharedArrayBuffer;
  readonly generation: number;
  readonly block: number;
  readonly key: Uint8Array;
  readonly packets: number;
}

onMessage((message) => {
  const { memory, generation, block, key, packets } = message as SealingJob;
  const pool = new ThreadLocalPool(key, 7n, { counter: new SharedCounter(memory, { generation, block }) });
  const sealed: Uint8Array[] = [];
  for (let i = 0; i < packets; i++) {
    using guard = pool.acquire();
    sealed.push(guard.build(1n, BigInt(i), [Uint8Array.of(i)]));
  }
  post(sealed);
});
