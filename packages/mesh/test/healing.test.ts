import { describe, expect, it } from "vitest";
import { createTestNetwork, type TestNetwork, type TestNode, type TestNodeOptions } from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, range, Sending, until, withSeeds } from "./traffic.ts";

/** Two nodes that reach each other over either of two relays, connected over the first. */
function twoWays(options: TestNodeOptions, seed: number): {
  network: TestNetwork;
  a: TestNode;
  b: TestNode;
  relays: TestNode[];
} {
  const network = createTestNetwork(4, { seed, node: options, conditions: { delayMs: 1, jitterMs: 1 } });
  const [a, b, ...relays] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
  for (const relay of relays) {
    a.connect(relay);
    b.connect(relay);
  }
  a.connect(b, relays[0]);
  network.advance(12_000);
  return { network, a, b, relays };
}

function pathOf(node: TestNode, to: TestNode): string | undefined {
  return node.core.peer(to.nodeId)?.session?.path.address.key;
}

/** Kills the relay in use again and again, a new one in its place, and measures how long nothing arrives. */
function killAgainAndAgain(options: TestNodeOptions, kills: number, limitMs: number, seed: number): number[] {
  const { network, a, b, relays } = twoWays(options, seed);
  const to = new Receiving(b, a, 7n, RELIABLE);
  const from = new Sending(a, b, 7n, RELIABLE);
  let written = 0;
  const write = () => {
    from.write(...numbered(1, 200, written++));
    network.clock.after(5, write);
  };
  write();
  const outages: number[] = [];
  for (let i = 0; i < kills; i++) {
    network.advance(1_000 + network.random.below(1_000));
    const index = relays.findIndex((relay) => relay.transport.localAddress.key === pathOf(a, b));
    const killed = relays[index] as TestNode;
    killed.kill();
    const killedMs = network.clock.now();
    // What was written before the kill may still be on its way.
    const writtenThen = written;
    until(network, () => to.events.length > writtenThen, 30_000);
    outages.push(network.clock.now() - killedMs);
    expect(outages.at(-1)).toBeLessThan(limitMs);
    const fresh = network.add();
    relays[index] = fresh;
    a.connect(fresh);
    b.connect(fresh);
  }
  network.advance(2_000);
  expect(from.failure).toBeUndefined();
  expect(to.numbers).toEqual(range(to.numbers.length));
  expect(written - to.numbers.length).toBeLessThan(5);
  return outages;
}

describe("a killed relay", () => {
  it("is replaced within 150 ms when heartbeats come every 50 ms", () => {
    withSeeds([1,2,3,4], (seed) => {
      const o = killAgainAndAgain({ heartbeatMs: 50, sessionTimeoutMs: 5_000 }, 50, 1500, seed);
      console.log(Math.max(...o), o.sort((x,y)=>y-x).slice(0,6).join(' '));
    });
  });
  it("is replaced within a second at default settings", () => {
    withSeeds([1,2,3,4], (seed) => {
      const o = killAgainAndAgain({}, 50, 10_000, seed);
      console.log(Math.max(...o), o.sort((x,y)=>y-x).slice(0,6).join(' '));
    });
  });
});
