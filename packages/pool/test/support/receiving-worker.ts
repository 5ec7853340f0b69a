/** A thread that receives what others seal into a ring: opens, asks the replay window, checks and counts. */
import { ReplayWindow } from "@netmesh/crypto";
import { HeaderOffset, low32, NetHeader, readU32 } from "@netmesh/wire";
import { acceptOpening, commitOpened, type OpeningGrant, type OpeningKey } from "../../src/index.ts";
import { PacketRing, type RingMemory } from "./packet-ring.ts";
import { onMessage, post } from "./thread-port.ts";

export interface ReceivingOrder {
  readonly ring: RingMemory;
  /** Threads that seal. */
  readonly threads: number;
  /** The key of each session, in the order in which the sessions follow each other. */
  readonly grants: readonly OpeningGrant[];
  /** After how many packets of each thread to post that they are flowing. */
  readonly flowingAfter: number;
}

export interface ReceivingReport {
  /** Fresh packets of each session. */
  readonly received: readonly number[];
  /** Packets that did not open. */
  readonly forged: number;
  /** Packets that the replay window refused: seen before, or too old. */
  readonly refused: number;
  /** Packets whose counter was seen before, by a record of all counters. */
  readonly repeated: number;
  /** Packets that were not the next of their thread. */
  readonly misplaced: number;
  /** How far a counter was behind the highest before it, at most. */
  readonly worstReordering: number;
}

/** One session's key, window and record. */
class Session {
  readonly key: OpeningKey;
  readonly #window: ReplayWindow = new ReplayWindow();
  /** One bit a counter, from the first one on; enough for 16 million. */
  readonly #seen: Uint8Array = new Uint8Array(1 << 21);
  #first: bigint | undefined;
  #highest = 0;
  received = 0;
  refused = 0;
  repeated = 0;
  worstReordering = 0;

  constructor(grant: OpeningGrant) {
    this.key = acceptOpening(grant);
  }

  commit(packet: Uint8Array): void {
    if (commitOpened(this.#window, packet, 0)) this.received++;
    else this.refused++;
    const counter = this.#place(
      readU32(packet, HeaderOffset.COUNTER),
      readU32(packet, HeaderOffset.COUNTER + 4),
    );
    const [byte, bit] = [counter >>> 3, 1 << (counter & 7)];
    if (((this.#seen[byte] as number) & bit) !== 0) this.repeated++;
    this.#seen[byte] = (this.#seen[byte] as number) | bit;
    this.#highest = Math.max(this.#highest, counter);
    this.worstReordering = Math.max(this.worstReordering, this.#highest - counter);
  }

  /** The counter's distance from one that lies safely below the first to arrive. */
  #place(lo: number, hi: number): number {
    this.#first ??= (BigInt(hi) << 32n) | BigInt(lo);
    return 4096 + (hi - Number(this.#first >> 32n)) * 2 ** 32 + (lo - Number(this.#first & 0xffff_ffffn));
  }
}

onMessage((message) => {
  const order = message as ReceivingOrder;
  const sessions = order.grants.map((grant) => new Session(grant));
  const ids = sessions.map(({ key }) => low32(key.sessionId));
  const header = new NetHeader();
  const expected = new Uint32Array(order.threads);
  /** The last session each thread was seen in. */
  const latest = new Uint32Array(order.threads);
  let [forged, misplaced, silent] = [0, 0, order.threads];
  new PacketRing(order.ring).read(order.threads, (bytes, length) => {
    const sessionLo = header.wrap(bytes, 0).sessionIdLo;
    const index = ids.indexOf(sessionLo);
    const session = sessions[index] as Session;
    if (session.key.open(bytes, 0, length) < 0) {
      forged++;
      return;
    }
    session.commit(bytes);
    const thread = header.streamIdLo;
    if (header.sequenceLo !== expected[thread] || index < (latest[thread] as number)) misplaced++;
    expected[thread] = (expected[thread] as number) + 1;
    latest[thread] = index;
    if (expected[thread] === order.flowingAfter && --silent === 0) post("flowing");
  });
  post({
    received: sessions.map(({ received }) => received),
    forged,
    misplaced,
    refused: sessions.reduce((sum, { refused }) => sum + refused, 0),
    repeated: sessions.reduce((sum, { repeated }) => sum + repeated, 0),
    worstReordering: Math.max(...sessions.map(({ worstReordering }) => worstReordering)),
  } satisfies ReceivingReport);
});
