import { describe, expect, it } from "vitest";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, range, Sending, until } from "./traffic.ts";

/** Two nodes with so many relays between them, and a session through all of these. */
function chain(relays: number): { network: TestNetwork; a: TestNode; b: TestNode; between: TestNode[] } {
  const network = createTestNetwork(relays + 2, {
    conditions: { delayMs: 2, jitterMs: 1, loss: 0.01 },
    node: { discoveryHops: 8 },
  });
  const nodes = network.nodes as TestNode[];
  for (let i = 1; i < nodes.length; i++) nodes[i - 1]?.connect(nodes[i] as TestNode);
  network.advance(20_000);
  const a = nodes[0] as TestNode;
  const b = nodes[relays + 1] as TestNode;
  a.connect(b, nodes[1]);
  network.advance(1_000);
  return { network, a, b, between: nodes.slice(1, -1) };
}

describe("a session through several relays", () => {
  it.each(range(6, 2))("carries streams, messages and announcements through %i of them", (relays) => {
    const { network, a, b, between } = chain(relays);
    const there = new Receiving(b, a, 7n, RELIABLE);
    const back = new Receiving(a, b, 8n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(500, 900)).finish();
    new Sending(b, a, 8n, RELIABLE).write(...numbered(500, 900)).finish();
    until(network, () => there.ends + back.ends === 2);
    expect(there.numbers).toEqual(range(500));
    expect(back.numbers).toEqual(range(500));
    // Credit came back, or half a megabyte would not have passed.
    expect(b.core.counters.grantsSent).toBeGreaterThan(0);

    b.call((core) => core.registerSubprotocol(0x4000));
    for (let i = 0; i < 20; i++) a.call((core) => core.sendMessage(b.nodeId, 0x4000, Uint8Array.of(i)));
    network.advance(1_000);
    expect(b.eventsOf("message").length).toBeGreaterThan(10);

    b.call((core) => core.announce({ tags: ["far"], metadata: new Map() }));
    network.advance(30_000);
    expect(a.core.findNodes({ requireTags: ["far"] })).toEqual([b.nodeId]);
    for (const relay of between) {
      expect(relay.eventsOf("data")).toEqual([]);
      expect(relay.core.counters.routedExpired).toBe(0);
    }
  });

  it.each(range(6, 2))("is kept alive by heartbeats through %i of them", (relays) => {
    const { network, a, b } = chain(relays);
    network.advance(600_000);
    for (const node of [a, b]) {
      expect(node.eventsOf("peer-lost")).toEqual([]);
      expect(node.core.counters.pathsFailed).toBe(0);
    }
  });

  it("notices within a second that a relay far away was killed, and loses the peer only much later", () => {
    const { network, a, b, between } = chain(7);
    const from = new Sending(a, b, 7n, RELIABLE);
    from.write(...numbered(10));
    network.advance(1_000);
    between[4]?.kill();
    from.write(...numbered(10));
    network.advance(1_000);
    expect(a.core.peer(b.nodeId)?.session?.watch?.status).toBe("failed");
    expect(a.eventsOf("peer-lost")).toEqual([]);
    network.advance(31_000);
    expect(a.eventsOf("peer-lost").map(({ peer }) => peer.nodeId)).toContain(b.nodeId);
  });
});
