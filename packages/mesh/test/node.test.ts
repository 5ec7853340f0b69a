import { Identity, platformRandom, staticKeyPairFromIdentity } from "@netmesh/crypto";
import type { DatagramBatch } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { monotonicClock } from "../src/clock.ts";
import { MeshNode, platformScheduler } from "../src/node.ts";
import {
  createTestNetwork,
  MemoryNetwork,
  type MemoryTransport,
  SeededRandom,
  type TestNode,
  VirtualClock,
} from "../src/testing/index.ts";
import type { TransportListener } from "../src/transport.ts";
import { FIXED, numbered, pair, RELIABLE, Receiving, range, Sending, until } from "./traffic.ts";

/** Makes a transport accept at most `capacity` datagrams until it is released. */
function throttle(node: TestNode, capacity: number): { release: () => void } {
  const { transport } = node;
  const send = transport.send.bind(transport);
  let left = capacity;
  transport.send = (batch: DatagramBatch) => {
    const count = Math.min(left, batch.count);
    left -= count;
    const part = { bytes: batch.bytes, addresses: batch.addresses, count } as DatagramBatch;
    return send(part);
  };
  return {
    release: () => {
      left = Number.POSITIVE_INFINITY;
      node.node.touch();
    },
  };
}

describe("a node whose transport is behind", () => {
  it("keeps what was not accepted and sends it when there is room", () => {
    const { network, a, b } = pair({ node: FIXED });
    const to = new Receiving(b, a, 7n, { windowBytes: 0 });
    const { release } = throttle(a, 3);
    new Sending(a, b, 7n, { windowBytes: 0 }).write(...numbered(100, 1_000));
    network.advance(100);
    expect(to.events.length).toBe(3);
    release();
    network.advance(100);
    expect(to.numbers).toEqual(range(100));
  });

  it("stops building packets when its slots are used up, and counts it", () => {
    const { network, a, b } = pair({ node: FIXED });
    const to = new Receiving(b, a, 7n, { windowBytes: 0 });
    const { release } = throttle(a, 0);
    const from = new Sending(a, b, 7n, { windowBytes: 0 }).write(...numbered(3_000, 1_000));
    network.advance(10);
    expect(a.core.counters.outboxFull).toBeGreaterThan(0);
    expect(from.waiting).toBeGreaterThan(0);
    release();
    until(network, () => to.events.length === 3_000);
    expect(to.numbers).toEqual(range(3_000));
  });

  it("loses no reliable event", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const { release } = throttle(a, 20);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(500, 1_000)).finish();
    network.advance(3_000);
    release();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(500));
  });

  it("keeps datagrams of others until there is room", () => {
    const network = createTestNetwork(3);
    const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(relay);
    b.connect(relay);
    a.connect(b, relay);
    network.advance(100);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const { release } = throttle(relay, 0);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(5, 1_000)).finish();
    network.advance(30);
    release();
    network.advance(1);
    expect(to.numbers).toEqual(range(5));
    expect(relay.core.counters.routedRefused).toBe(0);
  });
});

describe("a node", () => {
  it("hands what its listener throws to onError and goes on", () => {
    const network = createTestNetwork(1);
    const [a] = network.nodes as [TestNode];
    const b = network.add({
      onEvent: () => {
        throw new Error("listener");
      },
    });
    a.connect(b);
    network.advance(100);
    a.call((core) => core.send(b.nodeId, 1n, numbered(1)));
    network.advance(100);
    expect(b.errors.length).toBeGreaterThan(1);
    expect(b.eventsOf("data").length).toBe(1);
  });

  it("does not hang when a listener answers every event for ever", () => {
    const network = createTestNetwork(2, { node: FIXED });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    let count = 0;
    a.listeners.add((event) => {
      if (event.type === "connect-failed") {
        a.core.connect(1_000n + BigInt(count++), new Uint8Array(32), b.transport.localAddress, "routed");
      }
    });
    a.call((core) => core.connect(50n, new Uint8Array(32), b.transport.localAddress, "routed"));
    network.advance(0);
    expect(count).toBeGreaterThan(500);
    expect(count).toBeLessThan(5_000);
  });

  it("closes once, and its transport with it", async () => {
    const { network, a, b } = pair();
    const stream = new Sending(a, b, 7n, RELIABLE);
    await a.node.close();
    await a.node.close();
    expect(stream.failure?.code).toBe("shutdown");
    a.node.touch();
    network.advance(100_000);
    expect(b.eventsOf("peer-lost").length).toBe(1);
    expect(a.node.counters.datagramsSent).toBe(a.core.counters.datagramsSent);
  });

  it("reports when the transport ends by itself", () => {
    const clock = new VirtualClock();
    const random = new SeededRandom(1);
    const bound: MemoryTransport = new MemoryNetwork(clock, random).bind();
    let listener: TransportListener | undefined;
    bound.listen = (given) => {
      listener = given;
    };
    const identity = Identity.generate(random);
    const errors: unknown[] = [];
    const node = new MeshNode({
      nodeId: identity.nodeId,
      staticKeyPair: staticKeyPairFromIdentity(identity),
      psk: new Uint8Array(32),
      clock,
      random,
      scheduler: clock,
      transport: bound,
      onEvent: () => {},
      onError: (error) => errors.push(error),
    });
    listener?.closed?.();
    listener?.writable?.();
    expect(errors).toEqual([]);
    const reason = new Error("gone");
    listener?.closed?.(reason);
    expect(errors).toEqual([reason]);
    expect(node.transport).toBe(bound);
  });

  it("runs on the platform's timers", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork(clock, new SeededRandom(1));
    const make = () => {
      const identity = Identity.generate(platformRandom);
      const keys = staticKeyPairFromIdentity(identity);
      const events: string[] = [];
      const transport = network.bind();
      const node = new MeshNode({
        nodeId: identity.nodeId,
        staticKeyPair: keys,
        psk: new Uint8Array(32).fill(1),
        clock: monotonicClock,
        random: platformRandom,
        transport,
        heartbeatMs: 10,
        sessionTimeoutMs: 1_000,
        onEvent: (event) => events.push(event.type),
        onError: (error) => events.push(String(error)),
      });
      node.core.start();
      return { node, identity, keys, events };
    };
    const [a, b] = [make(), make()];
    a.node.core.connect(b.identity.nodeId, b.keys.publicKey, b.node.transport.localAddress, "routed");
    a.node.touch();
    for (let i = 0; i < 100 && !b.events.includes("peer-connected"); i++) {
      await new Promise<void>((resolve) => platformScheduler.soon(resolve));
      clock.advance(1);
    }
    expect(a.events).toEqual(["peer-connected", "connected"]);
    expect(b.events).toEqual(["peer-connected"]);
    const sent = a.node.counters.datagramsSent;
    for (let i = 0; i < 500 && a.node.counters.datagramsSent < sent + 2; i++) {
      await new Promise<void>((resolve) => {
        platformScheduler.after(1, resolve);
      });
      clock.advance(1);
    }
    expect(a.node.counters.datagramsSent).toBeGreaterThan(sent);
    await a.node.close();
    await b.node.close();
  });
});
