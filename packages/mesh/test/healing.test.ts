import { PeerFeature } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { OWN_FEATURES } from "../src/core/config.ts";
import {
  createTestNetwork,
  type TestNetwork,
  type TestNode,
  type TestNodeOptions,
} from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, range, Sending, until, withSeeds } from "./traffic.ts";

const FAST: TestNodeOptions = { heartbeatMs: 50, sessionTimeoutMs: 5_000 };

interface TwoWays {
  readonly network: TestNetwork;
  readonly a: TestNode;
  readonly b: TestNode;
  /** Both lead from one to the other; the session began over the first. */
  readonly relays: TestNode[];
}

function twoWays(options: TestNodeOptions = {}, seed = 1, features?: number): TwoWays {
  const network = createTestNetwork(2, {
    seed,
    node: options,
    conditions: { delayMs: 1, jitterMs: 1 },
  });
  const [a, b] = network.nodes as [TestNode, TestNode];
  const relays = [0, 1].map(() => network.add(features === undefined ? {} : { features }));
  for (const relay of relays) {
    a.connect(relay);
    b.connect(relay);
  }
  a.connect(b, relays[0]);
  // Two pingwaves of everybody.
  network.advance(2 * (options.heartbeatMs ?? 5_000));
  return { network, a, b, relays };
}

function sessionOf(node: TestNode, to: TestNode) {
  const session = node.core.peer(to.nodeId)?.session;
  if (session === undefined) throw new Error("no session");
  return session;
}

/** The relay that packets take, undefined when they take none. */
function relayOf(node: TestNode, to: TestNode, relays: readonly TestNode[]): TestNode | undefined {
  const { path } = sessionOf(node, to);
  if (!path.routed) return undefined;
  return relays.find((relay) => relay.transport.localAddress.equals(path.address));
}

function cut(network: TestNetwork, a: TestNode, b: TestNode): void {
  network.net.partition(a.transport.localAddress, b.transport.localAddress);
}

function mend(network: TestNetwork, a: TestNode, b: TestNode): void {
  network.net.heal(a.transport.localAddress, b.transport.localAddress);
}

/** A reliable stream that an event is written to every five milliseconds. */
class Flow {
  readonly network: TestNetwork;
  readonly from: Sending;
  readonly to: Receiving;
  written = 0;
  #isRunning = true;

  constructor(network: TestNetwork, a: TestNode, b: TestNode, streamId = 7n) {
    this.network = network;
    this.to = new Receiving(b, a, streamId, RELIABLE);
    this.from = new Sending(a, b, streamId, RELIABLE);
    this.#write();
  }

  #write(): void {
    if (!this.#isRunning) return;
    this.from.write(...numbered(1, 200, this.written++));
    this.network.clock.after(5, () => this.#write());
  }

  /** How long nothing of what is written from now on arrives, in milliseconds. */
  outage(limitMs = 30_000): number {
    const since = this.network.clock.now();
    const writtenBefore = this.written;
    until(this.network, () => this.to.events.length > writtenBefore, limitMs);
    return this.network.clock.now() - since;
  }

  /** Everything has arrived, once and in order. */
  expectWhole(): void {
    this.#isRunning = false;
    until(this.network, () => this.to.events.length === this.written, 20_000);
    expect(this.from.failure).toBeUndefined();
    expect(this.to.numbers).toEqual(range(this.written));
  }
}

/** Kills the relay in use again and again, a new one in its place; returns the outages. */
function killAgainAndAgain(options: TestNodeOptions, pauseMs: number, kills: number, seed: number): number[] {
  const { network, a, b, relays } = twoWays(options, seed);
  const { handshakesCompleted } = b.core.counters;
  const flow = new Flow(network, a, b);
  const outages: number[] = [];
  for (let i = 0; i < kills; i++) {
    network.advance(pauseMs + network.random.below(pauseMs));
    const inUse = relayOf(a, b, relays) as TestNode;
    inUse.kill();
    outages.push(flow.outage());
    const fresh = network.add();
    relays[relays.indexOf(inUse)] = fresh;
    a.connect(fresh);
    b.connect(fresh);
  }
  flow.expectWhole();
  // None with each other.
  expect(b.core.counters.handshakesCompleted).toBe(handshakesCompleted + kills);
  return outages;
}

describe("a relay in use that is killed", () => {
  const BLOCKS = Array.from({ length: 8 }, (_, i) => i + 1);

  it.each(BLOCKS)("is replaced within a second at default settings, 25 times (seed %i)", (seed) => {
    withSeeds([seed], () => {
      const outages = killAgainAndAgain({}, 1_000, 25, seed);
      expect(Math.max(...outages)).toBeLessThanOrEqual(1_000);
    });
  });

  it.each(BLOCKS)("is replaced within 150 ms with heartbeats every 50 ms, 25 times (seed %i)", (seed) => {
    withSeeds([seed], () => {
      const outages = killAgainAndAgain(FAST, 300, 25, seed);
      expect(Math.max(...outages)).toBeLessThanOrEqual(150);
    });
  });

  it("is replaced for both directions, with one change of path on either side", () => {
    const { network, a, b, relays } = twoWays();
    const there = new Flow(network, a, b, 7n);
    const back = new Flow(network, b, a, 8n);
    network.advance(2_000);
    relays[0]?.kill();
    network.advance(5_000);
    there.expectWhole();
    back.expectWhole();
    for (const node of [a, b]) {
      expect(node.eventsOf("path-changed").length).toBe(1);
      expect(node.eventsOf("stream-failed")).toEqual([]);
      expect(node.eventsOf("peer-lost")).toEqual([]);
    }
    expect(relayOf(a, b, relays)).toBe(relays[1]);
    expect(relayOf(b, a, relays)).toBe(relays[1]);
  });

  it("is replaced by one of which nobody has told yet", () => {
    const { network, a, b, relays } = twoWays();
    const other = network.add();
    a.connect(other);
    b.connect(other);
    const flow = new Flow(network, a, b);
    network.advance(500);
    for (const relay of relays) relay.kill();
    expect(flow.outage()).toBeLessThanOrEqual(1_000);
    flow.expectWhole();
    expect(relayOf(a, b, [other])).toBe(other);
  });

  it("is replaced also where relays are nodes of the reference", () => {
    const { network, a, b, relays } = twoWays({}, 1, 0);
    const flow = new Flow(network, a, b);
    network.advance(2_000);
    relays[0]?.kill();
    expect(flow.outage()).toBeLessThanOrEqual(1_000);
    flow.expectWhole();
  });

  it("is replaced while nothing is sent, before anything is", () => {
    const { network, a, b, relays } = twoWays();
    network.advance(20_000);
    relays[0]?.kill();
    network.advance(20_000);
    expect(relayOf(a, b, relays)).toBe(relays[1]);
    expect(relayOf(b, a, relays)).toBe(relays[1]);
    const flow = new Flow(network, a, b);
    expect(flow.outage()).toBeLessThan(50);
    flow.expectWhole();
  });

  it("leaves a session without another way alone until the peer is lost", () => {
    const { network, a, b, relays } = twoWays();
    const flow = new Flow(network, a, b);
    network.advance(2_000);
    for (const relay of relays) relay.kill();
    network.advance(9_000);
    expect(flow.from.failure).toBeUndefined();
    expect(a.eventsOf("peer-lost")).toEqual([]);
    network.advance(22_000);
    expect(a.eventsOf("peer-lost").length).toBe(3);
  });
});

describe("a relay in the middle that is killed", () => {
  /** a - first - one of two - last - b. */
  function diamond(options: TestNodeOptions, seed: number) {
    const network = createTestNetwork(4, { seed, node: options, conditions: { delayMs: 1, jitterMs: 1 } });
    const [a, b, first, last] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
    const middle = [network.add(), network.add()];
    a.connect(first);
    b.connect(last);
    for (const relay of middle) {
      first.connect(relay);
      last.connect(relay);
    }
    network.advance(3 * (options.heartbeatMs ?? 5_000));
    a.connect(b, first);
    network.advance(100);
    return { network, a, b, first, last, middle };
  }

  function kill(options: TestNodeOptions, seed: number): number {
    const { network, a, b, first, middle } = diamond(options, seed);
    const flow = new Flow(network, a, b);
    network.advance(1_000 + network.random.below(1_000));
    const next = first.core.route(b.nodeId);
    const inUse = middle.find((relay) => next?.equals(relay.transport.localAddress) === true);
    inUse?.kill();
    const outage = flow.outage();
    flow.expectWhole();
    expect(a.eventsOf("path-changed")).toEqual([]);
    expect(first.core.reroutes.rerouteCount).toBe(1);
    return outage;
  }

  it("is gone around by its neighbours within a second at default settings", () => {
    withSeeds(range(25, 1), (seed) => {
      expect(kill({}, seed)).toBeLessThanOrEqual(1_000);
    });
  });

  it("is gone around by its neighbours within 150 ms with heartbeats every 50 ms", () => {
    withSeeds(range(25, 1), (seed) => {
      expect(kill(FAST, seed)).toBeLessThanOrEqual(150);
    });
  });

  it("carries again what it carried when it is back", () => {
    const { network, a, b, first, middle } = diamond({}, 1);
    const next = first.core.route(b.nodeId);
    const inUse = middle.find((relay) => next?.equals(relay.transport.localAddress) === true) as TestNode;
    const flow = new Flow(network, a, b);
    network.advance(1_000);
    cut(network, first, inUse);
    network.advance(2_000);
    expect(first.core.route(b.nodeId)?.equals(inUse.transport.localAddress)).toBe(false);
    mend(network, first, inUse);
    network.advance(10_000);
    expect(first.core.route(b.nodeId)?.equals(inUse.transport.localAddress)).toBe(true);
    expect(first.core.reroutes).toEqual({ activeReroutes: 0, rerouteCount: 1, recoveryCount: 1 });
    flow.expectWhole();
  });
});

describe("a node that begins anew under another id, at the same address", () => {
  it("is reached there by its relays, also when they find that the one before is silent", () => {
    const { network, a, b, relays } = twoWays();
    const [first, second] = relays as [TestNode, TestNode];
    first.connect(second);
    b.kill();
    const anew = network.add({ address: b.transport.localAddress });
    for (const relay of relays) anew.connect(relay);
    network.advance(5_000);
    a.connect(anew, first);
    for (let passed = 0; passed < 60_000; passed += 1_000) {
      network.advance(1_000);
      for (const relay of relays) {
        expect(relay.core.route(anew.nodeId)?.key).toBe(anew.transport.localAddress.key);
      }
    }
    expect(first.core.reroutes.rerouteCount).toBe(0);
  });
});

describe("a direct path that fails", () => {
  function triangle(options: TestNodeOptions = {}) {
    const network = createTestNetwork(3, { node: options, conditions: { delayMs: 1 } });
    const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(b);
    a.connect(relay);
    b.connect(relay);
    network.advance(10_000);
    return { network, a, b, relay };
  }

  it("is replaced by a relay, and taken again when it is back", () => {
    const { network, a, b, relay } = triangle();
    const there = new Flow(network, a, b, 7n);
    const back = new Flow(network, b, a, 8n);
    network.advance(1_000);
    cut(network, a, b);
    expect(there.outage()).toBeLessThanOrEqual(1_000);
    expect(relayOf(a, b, [relay])).toBe(relay);
    expect(relayOf(b, a, [relay])).toBe(relay);
    mend(network, a, b);
    network.advance(6_000);
    expect(sessionOf(a, b).path.routed).toBe(false);
    expect(sessionOf(b, a).path.routed).toBe(false);
    there.expectWhole();
    back.expectWhole();
    for (const node of [a, b]) {
      expect(node.eventsOf("path-changed").length).toBe(2);
      expect(node.eventsOf("peer-lost")).toEqual([]);
      expect(node.core.counters.pathsImproved + node.core.counters.pathsHealed).toBeLessThanOrEqual(2);
    }
  });

  it("in one direction only is left by both", () => {
    const { network, a, b, relay } = triangle();
    const flow = new Flow(network, a, b);
    network.advance(1_000);
    network.net.tap = (_, from, to) =>
      !(from.equals(a.transport.localAddress) && to.equals(b.transport.localAddress));
    expect(flow.outage()).toBeLessThanOrEqual(1_000);
    flow.expectWhole();
    expect(relayOf(a, b, [relay])).toBe(relay);
    expect(relayOf(b, a, [relay])).toBe(relay);
  });

  it("and comes back every few seconds is not returned to for ever", () => {
    const { network, a, b } = triangle();
    const flow = new Flow(network, a, b);
    for (let i = 0; i < 60; i++) {
      cut(network, a, b);
      network.advance(2_000);
      mend(network, a, b);
      network.advance(8_000);
    }
    // Three failures in a row, then one trial every thirty seconds.
    expect(a.eventsOf("path-changed").length).toBeLessThan(2 * 3 + 2 * 22);
    flow.expectWhole();
  });

  it("is kept as the only one of a peer that is no netmesh node", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 1 } });
    const [a, relay] = network.nodes as [TestNode, TestNode];
    const b = network.add({ features: 0 });
    a.connect(b);
    a.connect(relay);
    b.connect(relay);
    network.advance(10_000);
    cut(network, a, b);
    network.advance(25_000);
    expect(sessionOf(a, b).path.routed).toBe(false);
    mend(network, a, b);
    network.advance(10_000);
    expect(a.eventsOf("peer-lost")).toEqual([]);
    new Flow(network, a, b).expectWhole();
  });
});

describe("two ends that leave a relay at the same time", () => {
  it("end up on the same path, or on two that both carry, and stay there", () => {
    withSeeds([1, 2, 3, 4], (seed) => {
      const { network, a, b, relays } = twoWays({}, seed);
      for (let i = 0; i < 3; i++) {
        const relay = network.add();
        relays.push(relay);
        a.connect(relay);
        b.connect(relay);
      }
      network.advance(10_000);
      const there = new Flow(network, a, b, 7n);
      const back = new Flow(network, b, a, 8n);
      network.advance(2_000);
      relayOf(a, b, relays)?.kill();
      network.advance(3_000);
      const changes = a.eventsOf("path-changed").length + b.eventsOf("path-changed").length;
      network.advance(60_000);
      expect(a.eventsOf("path-changed").length + b.eventsOf("path-changed").length).toBe(changes);
      there.expectWhole();
      back.expectWhole();
    });
  });
});

describe("a session of a node of the reference behind a relay", () => {
  it("goes over another relay when the neighbour on its way has failed", () => {
    const network = createTestNetwork(3, { conditions: { delayMs: 1 } });
    const [a, one, two] = network.nodes as [TestNode, TestNode, TestNode];
    const b = network.add({ features: OWN_FEATURES & ~PeerFeature.LIVENESS & ~PeerFeature.ROUTED_HEARTBEAT });
    for (const relay of [one, two]) {
      a.connect(relay);
      b.connect(relay);
    }
    a.connect(b, one);
    network.advance(10_000);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    from.write(...numbered(10));
    network.advance(1_000);
    one.kill();
    from.write(...numbered(10, 100, 10));
    until(network, () => to.events.length === 20, 10_000);
    expect(to.numbers).toEqual(range(20));
    expect(relayOf(a, b, [one, two])).toBe(two);
  });
});
