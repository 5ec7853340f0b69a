import { encodePathPing, NETMESH_CONTROL, PathPingKind, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { createTestNetwork, type TestNode, type TestNodeOptions } from "../src/testing/index.ts";
import { numbered, pair, RELIABLE, Receiving, range, relayed, Sending, until, withSeeds } from "./traffic.ts";

const FAST: TestNodeOptions = { heartbeatMs: 50, sessionTimeoutMs: 5_000 };

function watchOf(node: TestNode, to: TestNode) {
  const watch = node.core.peer(to.nodeId)?.session?.watch;
  if (watch === undefined) throw new Error("not watched");
  return watch;
}

describe("a path", () => {
  it("in use fails within a second of the peer's death at default settings", () => {
    withSeeds(range(20, 1), (seed) => {
      const { network, a, b } = pair({ seed, conditions: { delayMs: 5 } });
      network.advance(10_000 + 300 * seed);
      const from = new Sending(a, b, 7n, RELIABLE);
      b.kill();
      const killedMs = network.clock.now();
      from.write(...numbered(5));
      until(network, () => watchOf(a, b).status === "failed");
      expect(network.clock.now() - killedMs).toBeLessThanOrEqual(1_000);
      expect(from.failure).toBeUndefined();
    });
  });

  it("that nobody uses fails within 150 ms with heartbeats every 50 ms", () => {
    withSeeds(range(20, 1), (seed) => {
      const { network, a, b } = pair({ seed, node: FAST, conditions: { delayMs: 5 } });
      network.advance(2_000 + 7 * seed);
      expect(a.core.counters.pathsSuspected).toBe(0);
      b.kill();
      const killedMs = network.clock.now();
      until(network, () => watchOf(a, b).status === "failed");
      expect(network.clock.now() - killedMs).toBeLessThanOrEqual(150);
    });
  });

  it("that nobody uses fails within three heartbeats at default settings", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    network.advance(60_000);
    b.kill();
    network.advance(15_000);
    expect(watchOf(a, b).status).toBe("failed");
    expect(a.eventsOf("peer-lost")).toEqual([]);
    network.advance(16_000);
    expect(a.eventsOf("peer-lost").length).toBe(1);
  });

  it("is well again with the first packet of a partition's end, and streams go on at once", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(1));
    network.advance(1_000);
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    from.write(...numbered(10, 100, 1));
    network.advance(8_000);
    expect(watchOf(a, b).status).toBe("failed");
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    const healedMs = network.clock.now();
    until(network, () => to.events.length === 11);
    // Pings come faster than repairs that were backed off by then.
    expect(network.clock.now() - healedMs).toBeLessThan(2_500);
    expect(watchOf(a, b).status).toBe("healthy");
    expect(to.numbers).toEqual(range(11));
  });

  it("is pinged while it is in use and the peer says nothing, and not when it rests", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    // Whose messages are not answered.
    b.call((core) => core.registerSubprotocol(0x4000));
    network.advance(10_000);
    const before = a.core.counters.pathPingsSent;
    for (let i = 0; i < 20; i++) {
      a.call((core) => core.sendMessage(b.nodeId, 0x4000, Uint8Array.of(1)));
      network.advance(500);
    }
    const during = a.core.counters.pathPingsSent;
    // One every 300 ms, over 10 s.
    expect(during - before).toBeGreaterThan(25);
    expect(during - before).toBeLessThan(45);
    network.advance(3_000);
    const after = a.core.counters.pathPingsSent;
    network.advance(60_000);
    expect(a.core.counters.pathPingsSent).toBe(after);
  });

  it("is not pinged while the peer answers anyway", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    network.advance(3_000);
    const before = a.core.counters.pathPingsSent;
    for (let i = 0; i < 100; i++) {
      from.write(...numbered(1));
      network.advance(100);
    }
    expect(a.core.counters.pathPingsSent - before).toBeLessThan(3);
  });

  it("of a slow peer, with a round trip of most of a second, is not in doubt", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 400, jitterMs: 20 } });
    network.advance(5_000);
    for (let i = 0; i < 100; i++) {
      a.call((core) => core.send(b.nodeId, 0n, numbered(1)));
      network.advance(200);
    }
    expect(a.core.counters.pathsSuspected).toBe(0);
  });
});

describe("ten minutes of saturation", () => {
  it("over a link that is full, with event loops that stall, raise no alarm", () => {
    const network = createTestNetwork(3, {
      conditions: { delayMs: 10, jitterMs: 5, bytesPerSecond: 100_000, queueBytes: 32 * 1024 },
    });
    const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(relay);
    b.connect(relay);
    a.connect(b, relay);
    network.advance(1_000);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    let written = 0;
    const refill = () => {
      if (from.waiting < 50) {
        from.write(...numbered(100, 1_000, written));
        written += 100;
      }
      network.clock.after(100, refill);
    };
    refill();
    // Every node stops for up to 400 ms every now and then: what arrives meanwhile waits, and so do its timers.
    for (const { node, transport } of network.nodes) {
      let stalledUntil = 0;
      const stall = () => {
        stalledUntil = network.clock.now() + 100 + network.random.below(300);
        network.clock.after(700 + network.random.below(2_000), stall);
      };
      stall();
      const deliver = transport.deliver.bind(transport);
      let readyMs = 0;
      transport.deliver = (bytes, source) => {
        // In order, also what arrives just after the stall.
        readyMs = Math.max(readyMs, stalledUntil, network.clock.now());
        if (readyMs <= network.clock.now()) deliver(bytes, source);
        else network.clock.after(readyMs - network.clock.now(), () => deliver(bytes, source));
      };
      const { core } = node;
      const wake = core.wake.bind(core);
      core.wake = () => {
        if (stalledUntil <= network.clock.now()) wake();
      };
      const drain = core.drain.bind(core);
      core.drain = (sink) => Math.max(drain(sink), stalledUntil);
    }
    network.advance(600_000);
    for (const { core, events } of network.nodes) {
      expect(core.counters.pathsFailed).toBe(0);
      expect(events.filter(({ type }) => type === "peer-lost" || type === "path-changed")).toEqual([]);
    }
    expect(from.failure).toBeUndefined();
    // It was saturated indeed.
    expect(to.events.length).toBeGreaterThan(25_000);
    expect(to.numbers).toEqual(range(to.numbers.length));
    expect(network.net.stats.overflowed).toBeGreaterThan(10);
  }, 120_000);
});

describe("a ping", () => {
  it("is answered over the path on which it came, whatever path the session takes", () => {
    const { network, a, b, relay } = relayed();
    const session = a.core.peer(b.nodeId)?.session;
    const ping = encodePathPing({ kind: PathPingKind.PING, id: 9, moves: false, failed: false });
    const bytes = new Uint8Array(200);
    const fields = { streamIdLo: 0xffffffff, streamIdHi: 0xffffffff, subprotocolId: NETMESH_CONTROL };
    const length = session?.builder.buildInto(
      bytes,
      0,
      {
        sequenceLo: 0,
        sequenceHi: 0,
        flags: 0,
        channelHash: 0,
        originHashLo: 0,
        originHashHi: 0,
        ...fields,
      } as never,
      [ping],
      0,
      1,
    );
    const answers: string[] = [];
    network.net.tap = (_, from, to) => {
      if (from.equals(b.transport.localAddress)) answers.push(to.key);
      return true;
    };
    const elsewhere = SocketAddress.parse("10.9.9.9:99");
    network.net.inject(bytes.subarray(0, length), elsewhere, b.transport.localAddress);
    network.advance(1);
    expect(answers).toContain(elsewhere.key);
    expect(b.core.peer(a.nodeId)?.session?.path.address.key).toBe(relay.transport.localAddress.key);
  });

  it("that asks the peer to follow, repeated by somebody from another address, moves nobody", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const recorded: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      if (from.equals(a.transport.localAddress)) recorded.push(bytes.slice());
      return true;
    };
    for (let i = 0; i < 10; i++) {
      a.call((core) => core.send(b.nodeId, 0n, numbered(1)));
      network.advance(500);
    }
    network.net.tap = undefined;
    for (const bytes of recorded) {
      network.net.inject(bytes, SocketAddress.parse("10.9.9.9:99"), b.transport.localAddress);
    }
    network.advance(100);
    expect(b.core.peer(a.nodeId)?.session?.path.address.key).toBe(a.transport.localAddress.key);
  });

  it("that asks the peer to follow is not obeyed before the peer has answered where it seems to have gone", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const home = a.transport.localAddress;
    const elsewhere = SocketAddress.parse("10.9.9.9:99");
    const sentThere: number[] = [];
    // Somebody on the way sends what the peer has sealed from another address, before it arrives.
    network.net.tap = (bytes, from, to) => {
      if (to.equals(elsewhere)) sentThere.push(bytes.length);
      if (!from.equals(home)) return true;
      network.net.inject(bytes, elsewhere, to);
      return false;
    };
    const watch = watchOf(a, b);
    watch.isMoving = true;
    watch.used(network.clock.now());
    a.call((core) => core.send(b.nodeId, 0n, numbered(1)));
    network.advance(1_000);
    network.net.tap = undefined;
    network.advance(3_000);
    const { counters } = b.core;
    expect(sentThere.length).toBeGreaterThan(0);
    expect([counters.addressMigrations, counters.pathsFollowed]).toEqual([0, 0]);
    expect(counters.pathsNotFollowed).toBeGreaterThan(0);
    expect(b.core.peer(a.nodeId)?.session?.path.address.key).toBe(home.key);
  });

  it("that asks the peer to follow is obeyed once the peer has answered from there", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const home = a.transport.localAddress;
    const moved = SocketAddress.parse("10.99.0.1:5000");
    let isThrough = false;
    const pass = (run: () => void): boolean => {
      isThrough = true;
      run();
      isThrough = false;
      return false;
    };
    network.net.tap = (bytes, from, to) => {
      if (isThrough) return true;
      if (from.equals(home)) return pass(() => network.net.inject(bytes, moved, to));
      return to.equals(moved) ? pass(() => network.net.inject(bytes, from, home)) : false;
    };
    const watch = watchOf(a, b);
    watch.isMoving = true;
    watch.used(network.clock.now());
    a.call((core) => core.send(b.nodeId, 0n, numbered(1)));
    network.advance(1_000);
    expect(b.core.counters.pathsFollowed).toBe(1);
    expect(b.core.peer(a.nodeId)?.session?.path.address.key).toBe(moved.key);
  });
});
