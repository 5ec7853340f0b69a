/**
 * A thread that seals packets into a ring until it has sealed enough or is refused. The packets are empty; their
 * stream is the thread's number, their sequence counts the thread's packets.
 */
import { acceptSealing, PacketBuilder, PoolError, packetFields, type SealingGrant } from "../../src/index.ts";
import { PacketRing, type RingMemory } from "./packet-ring.ts";
import { onMessage, post } from "./thread-port.ts";

/** What to do. Each thread gets one order after the other. */
export interface SealingOrder {
  readonly grant: SealingGrant;
  readonly ring: RingMemory;
  readonly thread: number;
  /** One word that counts the threads which are ready; sealing starts when all are. */
  readonly gate: SharedArrayBuffer;
  readonly threads: number;
  /** Packets to seal at most. */
  readonly packets: number;
  /** Whether the thread's packets end with this order. */
  readonly isLast: boolean;
  /** One word that becomes 1 when nobody may seal with this grant any more. */
  readonly deadline: SharedArrayBuffer;
}

/** What became of it. */
export interface SealingReport {
  readonly sealed: number;
  /** Packets that were sealed after the deadline. */
  readonly late: number;
  /** The code of the refusal, or "done". */
  readonly outcome: string;
  /** Whether the key that came with the grant was wiped. */
  readonly isGrantWiped: boolean;
}

let sealedBefore = 0;

/** Waits until every thread has come here. */
function passGate({ gate, threads }: SealingOrder): void {
  const ready = new Int32Array(gate);
  Atomics.add(ready, 0, 1);
  Atomics.notify(ready, 0);
  for (let count = Atomics.load(ready, 0); count < threads; count = Atomics.load(ready, 0)) {
    Atomics.wait(ready, 0, count);
  }
}

onMessage((message) => {
  const order = message as SealingOrder;
  const ring = new PacketRing(order.ring);
  const deadline = new Int32Array(order.deadline);
  let [sealed, late, outcome] = [0, 0, "done"];
  try {
    const key = acceptSealing(order.grant);
    passGate(order);
    const builder = new PacketBuilder(key);
    const fields = packetFields();
    fields.streamIdLo = order.thread;
    while (sealed < order.packets) {
      fields.sequenceLo = sealedBefore + sealed;
      const place = ring.reserve();
      let length = 0;
      try {
        length = builder.buildInto(ring.bytesOf(place), 0, fields, [], 0, 0);
      } finally {
        ring.publish(place, length);
      }
      sealed++;
      if (Atomics.load(deadline, 0) === 1) late++;
    }
    key.retire();
  } catch (error) {
    if (!(error instanceof PoolError)) throw error;
    outcome = error.code;
  }
  sealedBefore += sealed;
  if (order.isLast) ring.end();
  const isGrantWiped = order.grant.key.every((byte) => byte === 0);
  post({ sealed, late, outcome, isGrantWiped } satisfies SealingReport);
});
