import { describe, expect, it } from "vitest";
import { createTestNetwork, SeededRandom, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, Sending, UNORDERED, withSeeds } from "./traffic.ts";

interface Transfer {
  readonly from: Sending;
  readonly to: Receiving;
  readonly isOrdered: boolean;
  readonly firstNumber: number;
  written: number;
}

const NODES = 4;

/** One run of connects, writes, partitions, kills, restarts and narrow paths, checked after each step. */
class Scenario {
  readonly network: TestNetwork;
  readonly nodes: TestNode[];
  readonly random: SeededRandom;
  readonly transfers: Transfer[] = [];
  #nextNumber = 1;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.network = createTestNetwork(NODES, {
      seed,
      conditions: {
        delayMs: this.random.below(40),
        jitterMs: this.random.below(10),
        loss: this.random.chance(0.5) ? 0.1 : 0,
        duplication: this.random.chance(0.3) ? 0.1 : 0,
        reordering: this.random.chance(0.3) ? 0.1 : 0,
      },
      node: {
        heartbeatMs: 500,
        sessionTimeoutMs: 2_000,
        handshakeTimeoutMs: 500,
        repairBudgetMs: 1_500,
        maxStreams: 16,
        rekey: { packets: 30, intervalMs: 2_000 },
        features: [0, 7, 15, 31, 63, 63, 63][this.random.below(7)] as number,
      },
    });
    this.nodes = [...this.network.nodes];
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.#step();
      this.network.advance(this.random.chance(0.1) ? 3_000 : this.random.below(200));
      this.check();
    }
    this.network.advance(5_000);
    this.check();
  }

  #node(): TestNode {
    return this.nodes[this.random.below(NODES)] as TestNode;
  }

  #step(): void {
    const a = this.#node();
    const b = this.#node();
    if (a === b) return;
    const choice = this.random.below(22);
    if (choice < 7) this.#connect(a, b);
    else if (choice < 15) this.#write(a, b);
    else if (choice === 15) this.network.net.partition(a.transport.localAddress, b.transport.localAddress);
    else if (choice < 18) this.network.net.heal(a.transport.localAddress, b.transport.localAddress);
    else if (choice === 18) this.#restart(a);
    else if (choice < 21) this.#narrow();
    else this.#close();
  }

  #narrow(): void {
    const { net } = this.network;
    net.conditions = { ...net.conditions, mtuBytes: 1_218 + this.random.below(3_000) };
  }

  #connect(a: TestNode, b: TestNode): void {
    const via = (this.random.chance(0.3) ? this.#node() : b).transport.localAddress;
    try {
      a.call((core) => core.connect(b.nodeId, b.keys.publicKey, via, "routed"));
    } catch (error) {
      expect(error).toMatchObject({ code: "handshake-in-flight" });
    }
  }

  #write(a: TestNode, b: TestNode): void {
    if (a.core.peer(b.nodeId)?.session === undefined || b.core.peer(a.nodeId)?.session === undefined) return;
    const open = this.transfers.find(
      ({ from, to }) =>
        from.node === a && to.node === b && from.stream.ended === undefined && to.stream.ended === undefined,
    );
    const count = 1 + this.random.below(30);
    if (open !== undefined && this.random.chance(0.7)) {
      open.from.write(...numbered(count, 50 + this.random.below(1_000), open.firstNumber + open.written));
      open.written += count;
      return;
    }
    const isOrdered = this.random.chance(0.7);
    const streamId = BigInt(this.#nextNumber);
    const options = isOrdered ? RELIABLE : UNORDERED;
    try {
      const to = new Receiving(b, a, streamId, options);
      const from = new Sending(a, b, streamId, options);
      const firstNumber = 10_000 * this.#nextNumber++;
      from.write(...numbered(count, 300, firstNumber));
      this.transfers.push({ from, to, isOrdered, firstNumber, written: count });
    } catch (error) {
      expect(error).toMatchObject({ code: "too-many-streams" });
    }
  }

  #close(): void {
    const transfer = this.transfers[this.random.below(this.transfers.length)];
    if (transfer === undefined) return;
    const { from, to } = transfer;
    const one = this.random.chance(0.5) ? from : to;
    one.node.call((core) => core.closeStream(one.session, one.stream, this.random.chance(0.5)));
  }

  #restart(node: TestNode): void {
    node.kill();
    const index = this.nodes.indexOf(node);
    const { identity, transport } = node;
    this.nodes[index] = this.network.add({ identity, address: transport.localAddress });
  }

  check(): void {
    for (const node of this.network.nodes) {
      expect(node.errors).toEqual([]);
      expect(node.core.peerCount).toBeLessThan(NODES);
      for (const peer of node.core.peers) {
        for (const session of [peer.session, peer.candidate]) {
          if (session === undefined) continue;
          expect(session.streams.size).toBeLessThanOrEqual(16);
          expect(session.bufferedBytes).toBeGreaterThanOrEqual(0);
          let held = 0;
          for (const stream of session.streams) {
            held += stream.unreadBytes + stream.heldBytes;
            expect(stream.credit.remaining).toBeGreaterThanOrEqual(0);
            expect(stream.sendWindow?.inFlight ?? 0).toBeLessThanOrEqual(stream.sendWindow?.maxPending ?? 0);
          }
          expect(session.bufferedBytes).toBe(held);
        }
      }
    }
    for (const { to, isOrdered, firstNumber, written } of this.transfers) {
      const { numbers } = to;
      if (isOrdered) {
        for (let i = 0; i < numbers.length; i++) expect(numbers[i]).toBe(firstNumber + i);
      } else {
        expect(new Set(numbers).size).toBe(numbers.length);
        for (const number of numbers) expect(number).toBeGreaterThanOrEqual(firstNumber);
      }
      expect(numbers.length).toBeLessThanOrEqual(written);
    }
  }
}

describe("whatever happens to four nodes", () => {
  const BLOCKS = 5;
  const SEEDS_PER_BLOCK = 25;
  it.each(Array.from({ length: BLOCKS }, (_, i) => i * SEEDS_PER_BLOCK + 1))(
    "streams deliver a prefix of what was written, and nothing grows (25 seeds from %i)",
    (first) => {
      let delivered = 0;
      withSeeds(
        Array.from({ length: SEEDS_PER_BLOCK }, (_, i) => first + i),
        (seed) => {
          const scenario = new Scenario(seed);
          scenario.run(30);
          for (const { to } of scenario.transfers) delivered += to.events.length;
        },
      );
      expect(delivered).toBeGreaterThan(500);
    },
    30_000,
  );
});
