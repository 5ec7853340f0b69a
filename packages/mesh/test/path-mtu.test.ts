import {
  encodePathProbe,
  encodePathProbeAnswer,
  NETMESH_CONTROL,
  PeerFeature,
  SocketAddress,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { OWN_FEATURES } from "../src/core/config.ts";
import type { Session } from "../src/session/session.ts";
import { createTestNetwork, SeededRandom, type TestNode } from "../src/testing/index.ts";
import {
  codeOf,
  numbered,
  pair,
  RELIABLE,
  Receiving,
  range,
  Sending,
  UNORDERED,
  until,
  withSeeds,
} from "./traffic.ts";

/** What an Ethernet link carries in one datagram. */
const ETHERNET = 1_472;
/** Header and tag, and the length in front of an event. */
const OVERHEAD = 84 + 4;

function sessionOf(node: TestNode, peer: TestNode): Session {
  const session = node.core.peer(peer.nodeId)?.session;
  if (session === undefined) throw new Error("no session");
  return session;
}

const sizeOf = (node: TestNode, peer: TestNode) => sessionOf(node, peer).pathMtu.datagramBytes;
const phaseOf = (node: TestNode, peer: TestNode) => sessionOf(node, peer).pathMtu.phase;

/** Seals control events of `from` for `to`, and puts them in front of it. */
function forge(from: TestNode, to: TestNode, ...events: Uint8Array[]): void {
  const session = sessionOf(from, to);
  const bytes = new Uint8Array(9_000);
  const length = session.builder.buildInto(
    bytes,
    0,
    {
      streamIdLo: 0xffff_ffff,
      streamIdHi: 0xffff_ffff,
      sequenceLo: 0,
      sequenceHi: 0,
      flags: 0,
      subprotocolId: NETMESH_CONTROL,
      channelHash: 0,
      originHashLo: 0,
      originHashHi: 0,
    },
    events,
    0,
    events.length,
  );
  to.transport.deliver(bytes.slice(0, length), from.transport.localAddress);
}

describe("the datagrams of a path", () => {
  it("have 1200 bytes at first, and within a few round trips what Ethernet carries", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 20, mtuBytes: ETHERNET } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    expect(sizeOf(a, b)).toBe(1_200);
    network.advance(250);
    expect([sizeOf(a, b), sizeOf(b, a)]).toEqual([ETHERNET, ETHERNET]);
    network.advance(60_000);
    expect([phaseOf(a, b), phaseOf(b, a)]).toEqual(["search-complete", "search-complete"]);
    expect([sizeOf(a, b), sizeOf(b, a)]).toEqual([ETHERNET, ETHERNET]);
  });

  it("grow to 8192 bytes where nothing is in the way", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 20 } });
    expect([sizeOf(a, b), sizeOf(b, a)]).toEqual([8_192, 8_192]);
    expect([phaseOf(a, b), phaseOf(b, a)]).toEqual(["search-complete", "search-complete"]);
    const sent = a.core.counters.pathProbesSent;
    network.advance(3_600_000);
    expect(a.core.counters.pathProbesSent).toBe(sent);
  });

  it("come within 32 bytes of any path, and never exceed it", () => {
    withSeeds(range(40, 1), (seed) => {
      const mtuBytes = 1_200 + new SeededRandom(seed).below(7_000);
      const { network, a, b } = pair({ seed, conditions: { delayMs: 10, mtuBytes } });
      let largest = 0;
      for (let i = 0; i < 60; i++) {
        network.advance(1_000);
        largest = Math.max(largest, sizeOf(a, b));
      }
      expect(largest).toBe(sizeOf(a, b));
      expect(largest).toBeLessThanOrEqual(mtuBytes);
      expect(largest).toBeGreaterThan(mtuBytes - 32);
    });
  });

  it("are filled with events, in as few packets", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(800, 96)).finish();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(800));
    // 81 events each, and the end.
    expect(from.stream.sendWindow?.next).toBe(Math.ceil(800 / 81) + 1);
  });

  it("stay within what Ethernet carries where the system would cut larger ones into fragments", () => {
    const network = createTestNetwork(2, {
      conditions: { delayMs: 10, mtuBytes: ETHERNET },
      node: { fragments: true },
    });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    network.advance(1_000);
    expect(sizeOf(a, b)).toBe(ETHERNET);
    from.write(...numbered(100, ETHERNET - OVERHEAD)).finish();
    until(network, () => to.ends > 0);
    network.advance(3_600_000);
    expect(network.net.stats.fragmented).toBe(0);
  });

  it("stay within what Ethernet carries under IPv6 there, too", () => {
    const network = createTestNetwork(0, { node: { fragments: true } });
    const a = network.add({ address: SocketAddress.parse("[2001:db8::1]:7000") });
    const b = network.add({ address: SocketAddress.parse("[2001:db8::2]:7000") });
    a.connect(b);
    network.advance(1_000);
    expect(sizeOf(a, b)).toBe(1_452);
  });

  it("have a size of their own in each direction", () => {
    const network = createTestNetwork(0, { conditions: { delayMs: 10 } });
    const a = network.add({ fragments: true });
    const b = network.add();
    a.connect(b);
    network.advance(1_000);
    expect([sizeOf(a, b), sizeOf(b, a)]).toEqual([ETHERNET, 8_192]);
    const atB = new Receiving(b, a, 7n, RELIABLE);
    const atA = new Receiving(a, b, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(200, 1_000)).finish();
    new Sending(b, a, 7n, RELIABLE).write(...numbered(200, 4_000)).finish();
    until(network, () => atA.ends + atB.ends === 2);
    expect(atB.numbers).toEqual(range(200));
    expect(atA.numbers).toEqual(range(200));
  });

  it("keep to 1200 bytes towards nodes of the reference, which are sent no probe", () => {
    const network = createTestNetwork(0, { conditions: { delayMs: 10 } });
    const a = network.add();
    const b = network.add({ features: 0 });
    a.connect(b);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(50, 1_000));
    network.advance(3_600_000);
    expect(to.numbers).toEqual(range(50));
    expect([sizeOf(a, b), sizeOf(b, a)]).toEqual([1_200, 1_200]);
    expect(a.core.maxEventBytes(from.session, from.stream)).toBe(1_200 - OVERHEAD);
    expect(a.core.counters.pathProbesSent + b.core.counters.pathProbesSent).toBe(0);
  });

  it("are searched for with peers that renew no keys", () => {
    const features = OWN_FEATURES & ~PeerFeature.REKEY;
    const { a, b } = pair({ node: { features } });
    expect(sizeOf(a, b)).toBe(8_192);
  });

  it("have the size that was configured, at once, and nothing is probed", () => {
    const { network, a, b } = pair({ node: { datagramBytes: 3_000 } });
    const from = new Sending(a, b, 7n, RELIABLE);
    const to = new Receiving(b, a, 7n, RELIABLE);
    expect(sizeOf(a, b)).toBe(3_000);
    from.write(...numbered(10, 3_000 - OVERHEAD)).finish();
    until(network, () => to.ends > 0);
    network.advance(60_000);
    expect(a.core.counters.pathProbesSent + b.core.counters.pathProbesSent).toBe(0);
  });

  it.each([
    [100, 256],
    [9_000, 8_192],
    [Number.NaN, 256],
    [1_000.7, 1_000],
  ])("have a possible size also where a function says %d", (answer, expected) => {
    const { a, b } = pair({ node: { datagramBytes: () => answer } });
    expect(sizeOf(a, b)).toBe(expected);
  });

  it("have 8192 bytes on loopback at once, and nothing is probed", () => {
    const network = createTestNetwork(0);
    const a = network.add({ address: SocketAddress.parse("127.0.0.1:7000") });
    const b = network.add({ address: SocketAddress.parse("127.0.0.1:7001") });
    a.connect(b);
    expect([sizeOf(a, b), phaseOf(a, b)]).toEqual([8_192, "fixed"]);
    network.advance(60_000);
    expect(a.core.counters.pathProbesSent + b.core.counters.pathProbesSent).toBe(0);
  });

  it("fit the narrower hop behind a relay, whichever it is", () => {
    for (const hop of ["first", "second"]) {
      const network = createTestNetwork(3, { conditions: { delayMs: 10, mtuBytes: ETHERNET } });
      const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
      const [from, to] = hop === "first" ? [a, relay] : [relay, b];
      network.net.link(from.transport.localAddress, to.transport.localAddress, {
        delayMs: 10,
        mtuBytes: 1_333,
      });
      a.connect(relay);
      b.connect(relay);
      a.connect(b, relay);
      network.advance(60_000);
      expect(sizeOf(a, b)).toBeLessThanOrEqual(1_333);
      expect(sizeOf(a, b)).toBeGreaterThan(1_333 - 32);
      expect(sizeOf(b, a)).toBe(1_452);
      const receiving = new Receiving(b, a, 7n, RELIABLE);
      const sending = new Sending(a, b, 7n, RELIABLE);
      const largest = a.core.maxEventBytes(sending.session, sending.stream);
      expect(largest).toBe(sizeOf(a, b) - 18 - OVERHEAD);
      const before = network.net.stats.oversized;
      sending.write(...numbered(100, largest)).finish();
      until(network, () => receiving.ends > 0);
      expect(receiving.numbers).toEqual(range(100));
      expect(network.net.stats.oversized).toBe(before);
    }
  });
});

describe("the search", () => {
  it("gets there although a third of all datagrams is lost, if not at once", () => {
    withSeeds(range(20, 1), (seed) => {
      const { network, a, b } = pair({ seed, conditions: { delayMs: 20, loss: 0.3, mtuBytes: ETHERNET } });
      let largest = 0;
      for (let minutes = 0; minutes < 120; minutes++) {
        network.advance(60_000);
        largest = Math.max(largest, sizeOf(a, b));
      }
      expect(largest).toBe(ETHERNET);
      expect(a.core.counters.pathBlackHoles).toBe(0);
    });
  });

  it("leaves a path at 1200 bytes from which no answer comes, without asking for ever", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 20 } });
    const ANSWER = 84 + 4 + 7;
    network.net.tap = (bytes, from) => !(from.equals(b.transport.localAddress) && bytes.length === ANSWER);
    const c = network.add();
    c.connect(b);
    network.advance(300_000);
    expect([sizeOf(c, b), phaseOf(c, b)]).toEqual([1_200, "search-complete"]);
    expect(sizeOf(a, b)).toBe(8_192);
    expect(c.core.counters.pathProbesSent).toBeLessThan(100);
    network.net.tap = undefined;
    network.advance(600_000);
    expect(sizeOf(c, b)).toBe(8_192);
  });

  it("is not misled by a path that is out for a while", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 20, mtuBytes: 2_000 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    network.advance(45);
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    network.advance(12_000);
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    network.advance(60_000);
    expect(sizeOf(a, b)).toBeGreaterThan(1_968);
  });

  it("rests while the peer is silent, and goes on when it is heard again", () => {
    const network = createTestNetwork(2, {
      conditions: { delayMs: 20 },
      node: { heartbeatMs: 1_000, sessionTimeoutMs: 3_000 },
    });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    network.advance(45);
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    network.advance(5_000);
    expect(a.eventsOf("peer-lost").length).toBe(1);
    const sent = a.core.counters.pathProbesSent;
    network.advance(20_000);
    expect(a.core.counters.pathProbesSent).toBe(sent);
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    network.advance(20_000);
    expect(sizeOf(a, b)).toBe(8_192);
  });

  it("begins again ten minutes after its end", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 20, mtuBytes: 1_300 } });
    network.advance(60_000);
    expect(sizeOf(a, b)).toBeLessThanOrEqual(1_300);
    network.net.conditions = { delayMs: 20 };
    network.advance(500_000);
    expect(sizeOf(a, b)).toBeLessThanOrEqual(1_300);
    network.advance(100_000);
    expect(sizeOf(a, b)).toBe(8_192);
  });

  it("costs streams nothing: its losses are not theirs", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 20, mtuBytes: 1_250 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    const before = from.stream.sendWindow?.congestion.windowPackets;
    for (let i = 0; i < 200; i++) {
      from.write(...numbered(1, 100, i));
      network.advance(100);
    }
    expect(a.core.counters.pathProbesLost).toBeGreaterThan(5);
    expect(to.numbers).toEqual(range(200));
    expect(a.core.counters.retransmitTimeout + a.core.counters.retransmitNack).toBe(0);
    expect(from.stream.sendWindow?.congestion.windowPackets).toBeGreaterThanOrEqual(before ?? 0);
  });

  it("is not confused by answers that are repeated, made up, or of a size that was never probed", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 20, mtuBytes: 1_300 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    network.advance(45);
    for (let id = 0; id < 20; id++) {
      for (const size of [1_350, 1_472, 8_192]) forge(b, a, encodePathProbeAnswer(id, size));
    }
    expect(sizeOf(a, b)).toBeLessThanOrEqual(1_300);
    expect(a.core.counters.pathProbeIgnored).toBe(60);
    network.advance(60_000);
    const size = sizeOf(a, b);
    for (let id = 0; id < 100; id++) forge(b, a, encodePathProbeAnswer(id, size));
    expect(a.core.counters.pathProbeIgnored).toBe(160);
    expect([sizeOf(a, b), phaseOf(a, b)]).toEqual([size, "search-complete"]);
  });

  it("is answered 32 times a second at most", () => {
    const { network, a, b } = pair();
    network.advance(2_000);
    const before = b.core.counters.pathProbesAnswered;
    for (let id = 0; id < 100; id++) forge(a, b, encodePathProbe(id, 1_200, false));
    expect(b.core.counters.pathProbesAnswered - before).toBe(32);
    expect(b.core.counters.pathProbeLimited).toBe(68);
    network.advance(1_000);
    forge(a, b, encodePathProbe(1, 1_200, false));
    expect(b.core.counters.pathProbesAnswered - before).toBe(33);
  });

  it("answers no probe whose datagram has another size than it says", () => {
    const { a, b } = pair();
    const before = { ...b.core.counters };
    forge(a, b, encodePathProbe(1, 1_200, false), encodePathProbeAnswer(1, 1_200));
    forge(a, b, encodePathProbe(1, 1_300, false).subarray(0, 1_200));
    expect(b.core.counters.controlMalformed - before.controlMalformed).toBe(2);
    expect(b.core.counters.pathProbesAnswered).toBe(before.pathProbesAnswered);
  });

  it("starts again at 1200 bytes when the path has become another one", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10 } });
    const moved = SocketAddress.parse("10.99.0.1:5000");
    const home = a.transport.localAddress;
    expect(sizeOf(b, a)).toBe(8_192);
    let isThrough = false;
    const pass = (run: () => void): boolean => {
      isThrough = true;
      run();
      isThrough = false;
      return false;
    };
    network.net.link(b.transport.localAddress, home, { delayMs: 10, mtuBytes: 1_350 });
    network.net.tap = (bytes, from, to) => {
      if (isThrough) return true;
      if (from.equals(home)) return pass(() => network.net.inject(bytes, moved, to));
      // The mapping of old is gone.
      return to.equals(moved) ? pass(() => network.net.inject(bytes, from, home)) : false;
    };
    const receiving = new Receiving(a, b, 7n, RELIABLE);
    const sending = new Sending(b, a, 7n, RELIABLE);
    for (let i = 0; i < 3; i++) {
      a.call((core) => core.send(b.nodeId, 9n, numbered(1)));
      network.advance(1);
    }
    until(network, () => sessionOf(b, a).path.address.equals(moved));
    expect(sizeOf(b, a)).toBe(1_200);
    sending.write(...numbered(100, 1_000)).finish();
    until(network, () => receiving.ends > 0);
    network.advance(60_000);
    expect(sizeOf(b, a)).toBeGreaterThan(1_318);
    expect(sizeOf(b, a)).toBeLessThanOrEqual(1_350);
    expect(b.core.counters.pathBlackHoles).toBe(0);
  });
});

describe("a path that carries less all of a sudden", () => {
  const LINK = { delayMs: 20 };

  it("delays a transfer by a second at most, which arrives once and in order", () => {
    for (const options of [RELIABLE, UNORDERED]) {
      const { network, a, b } = pair({ conditions: LINK });
      const to = new Receiving(b, a, 7n, options);
      const from = new Sending(a, b, 7n, options).write(...numbered(6_000, 1_000)).finish();
      network.advance(100);
      expect(to.events.length).toBeLessThan(3_000);
      network.net.conditions = { ...LINK, mtuBytes: 1_400 };
      const shrunkMs = network.clock.now();
      until(network, () => sizeOf(a, b) === 1_200, 1_000);
      const arrived = to.events.length;
      until(network, () => to.events.length > arrived + 100, 500);
      until(network, () => to.ends > 0 || from.failure !== undefined, 10_000);
      expect(from.failure).toBeUndefined();
      const numbers = options === UNORDERED ? to.numbers.sort((x, y) => x - y) : to.numbers;
      expect(numbers).toEqual(range(6_000));
      expect(a.core.counters.packetsParted).toBeGreaterThan(0);
      expect(b.core.counters.packetsAssembled).toBeGreaterThan(0);
      expect(a.core.counters.oversizeSent).toBe(0);
      expect(a.core.counters.pathBlackHoles).toBe(1);
      expect(network.clock.now() - shrunkMs).toBeLessThan(12_000);
    }
  });

  it("is used up to its new limit soon after, and beyond when it grows", () => {
    const { network, a, b } = pair({ conditions: LINK });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(300, 8_000));
    network.advance(60);
    network.net.conditions = { ...LINK, mtuBytes: 1_472 };
    until(network, () => from.drains > 0 || from.failure !== undefined, 30_000);
    network.advance(60_000);
    expect(sizeOf(a, b)).toBe(1_472);
    network.net.conditions = LINK;
    network.advance(600_000);
    expect(sizeOf(a, b)).toBe(8_192);
    from.write(...numbered(100, 8_000, 300)).finish();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(400));
    expect(to.events.every((event) => event.length === 8_000)).toBe(true);
  });

  it("carries large events through losses, duplicates and disorder, in parts", () => {
    withSeeds(range(10, 1), (seed) => {
      const bad = { delayMs: 20, jitterMs: 5, loss: 0.1, duplication: 0.1, reordering: 0.1 };
      const { network, a, b } = pair({ seed, conditions: LINK });
      const to = new Receiving(b, a, 7n, RELIABLE);
      const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(200, 8_100)).finish();
      network.advance(50);
      network.net.conditions = { ...bad, mtuBytes: 1_300 };
      until(network, () => to.ends > 0 || from.failure !== undefined || to.failure !== undefined, 300_000);
      expect([from.failure, to.failure]).toEqual([undefined, undefined]);
      expect(to.numbers).toEqual(range(200));
      expect(to.events.every((event) => event.every((byte, i) => i < 4 || byte === event[4]))).toBe(true);
    });
  });

  it("is found out within 20 s by traffic that nobody acknowledges", () => {
    const { network, a, b } = pair({ conditions: LINK });
    const to = new Receiving(b, a, 7n, {});
    const from = new Sending(a, b, 7n, { windowBytes: 0 });
    network.net.conditions = { ...LINK, mtuBytes: 1_400 };
    for (let i = 0; i < 300; i++) {
      from.write(...numbered(1, Math.min(4_000, a.core.maxEventBytes(from.session, from.stream)), i));
      network.advance(100);
    }
    expect(to.events.length).toBeGreaterThan(100);
    expect(sizeOf(a, b)).toBeGreaterThan(1_368);
    expect(a.core.counters.pathBlackHoles).toBe(1);
  });

  it("is not taken for narrow when it is out altogether", () => {
    const { network, a, b } = pair({ conditions: LINK });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(2_000, 1_000)).finish();
    network.advance(100);
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    network.advance(8_000);
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    until(network, () => to.ends > 0 || from.failure !== undefined);
    expect(to.numbers).toEqual(range(2_000));
    expect(a.core.counters.pathBlackHoles).toBe(0);
    expect(sizeOf(a, b)).toBe(8_192);
  });

  it("is not suspected for single losses", () => {
    const { network, a, b } = pair({ conditions: LINK });
    network.net.conditions = { ...LINK, loss: 0.02 };
    const to = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(3_000, 1_000)).finish();
    until(network, () => to.ends > 0);
    expect(a.core.counters.pathBlackHoles).toBe(0);
    expect(a.core.counters.retransmitNack).toBeGreaterThan(0);
  });

  it("is searched less and less often when it does so again and again", () => {
    const { network, a, b } = pair({ conditions: LINK });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    let count = 0;
    for (let i = 0; i < 1_200; i++) {
      // Three seconds wide, three seconds narrow, for an hour.
      network.net.conditions = i % 2 === 0 ? LINK : { ...LINK, mtuBytes: 1_250 };
      from.write(...numbered(60, 1_000, count));
      count += 60;
      network.advance(3_000);
    }
    from.finish();
    until(network, () => to.ends > 0 || from.failure !== undefined);
    expect(from.failure).toBeUndefined();
    expect(to.numbers).toEqual(range(count));
    expect(a.core.counters.pathBlackHoles).toBeGreaterThan(3);
    expect(a.core.counters.pathBlackHoles).toBeLessThan(15);
  });

  it("is never taken for wider than it is for longer than a black hole takes to be found", () => {
    withSeeds(range(5, 1), (seed) => {
      const random = new SeededRandom(seed);
      const { network, a, b } = pair({ seed, conditions: LINK });
      const to = new Receiving(b, a, 7n, RELIABLE);
      const from = new Sending(a, b, 7n, RELIABLE);
      let count = 0;
      let tooLargeMs = 0;
      let worstMs = 0;
      let mtuBytes = 8_192;
      for (let ms = 0; ms < 300_000; ms += 50) {
        if (random.chance(0.004)) {
          mtuBytes = 1_200 + random.below(7_000);
          network.net.conditions = { ...LINK, mtuBytes };
        }
        if (random.chance(0.2)) {
          // Small ones, so that datagrams are full whatever their size.
          from.write(...numbered(200, 50, count));
          count += 200;
        }
        network.advance(50);
        tooLargeMs = sizeOf(a, b) > mtuBytes ? tooLargeMs + 50 : 0;
        worstMs = Math.max(worstMs, tooLargeMs);
      }
      from.finish();
      until(network, () => to.ends > 0 || from.failure !== undefined);
      expect(to.numbers).toEqual(range(count));
      expect(worstMs).toBeLessThan(20_000);
    });
  });
});

describe("an event that does not fit its path", () => {
  it("is refused with the limit, which follows the path", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 20, mtuBytes: ETHERNET } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    const { session, stream } = a.core.openStream(b.nodeId, 7n, RELIABLE);
    const refusal = (bytes: number) => {
      try {
        a.core.write(session, stream, [new Uint8Array(bytes)]);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    expect(refusal(1_113)).toMatchObject({ code: "message-too-large", limit: 1_112 });
    expect(stream.queuedBytes).toBe(0);
    expect(codeOf(() => a.core.send(b.nodeId, 8n, [new Uint8Array(1_113)]))).toBe("message-too-large");
    network.advance(1_000);
    expect(refusal(1_113)).toBeUndefined();
    expect(refusal(1_385)).toMatchObject({ code: "message-too-large", limit: 1_384 });
  });

  it("goes whole to a node of the reference whose new path has smaller datagrams, which is counted", () => {
    const moved = SocketAddress.parse("10.99.0.1:5000");
    const network = createTestNetwork(0, { conditions: { delayMs: 10 } });
    const a = network.add({ datagramBytes: (address) => (address.equals(moved) ? 1_200 : 8_192) });
    const b = network.add({ features: 0 });
    a.connect(b);
    network.advance(100);
    const home = b.transport.localAddress;
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    network.net.tap = (_, __, target) => !target.equals(home);
    from.write(...numbered(3, 8_000));
    network.advance(20);
    let isThrough = false;
    network.net.tap = (bytes, source, target) => {
      if (isThrough) return true;
      if (source.equals(home)) {
        isThrough = true;
        network.net.inject(bytes, moved, target);
        isThrough = false;
        return false;
      }
      if (!target.equals(moved)) return false;
      isThrough = true;
      network.net.inject(bytes, source, home);
      isThrough = false;
      return false;
    };
    for (let i = 0; i < 3; i++) {
      b.call((core) => core.send(a.nodeId, 9n, numbered(1)));
      network.advance(1);
    }
    until(network, () => to.events.length === 3);
    expect(to.numbers).toEqual([0, 1, 2]);
    expect(sizeOf(a, b)).toBe(1_200);
    expect(a.core.counters.oversizeSent).toBeGreaterThanOrEqual(3);
    expect(a.core.counters.packetsParted).toBe(0);
    expect(codeOf(() => a.core.write(from.session, from.stream, numbered(1, 8_000)))).toBe(
      "message-too-large",
    );
  });

  it("arrives all the same when it fitted at the time when it was first offered", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 20 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const other = new Receiving(b, a, 8n, { windowBytes: 0 });
    const { session, stream } = a.core.openStream(b.nodeId, 7n, RELIABLE);
    const limit = a.core.maxEventBytes(session, stream);
    network.net.conditions = { delayMs: 20, mtuBytes: 1_200 };
    a.call((core) => core.write(session, stream, numbered(1, limit)));
    until(network, () => sizeOf(a, b) === 1_200, 2_000);
    expect(codeOf(() => a.core.write(session, stream, numbered(1, limit, 1)))).toBe("message-too-large");
    expect(a.call((core) => core.write(session, stream, numbered(1, limit, 1), limit))).toBe(1);
    const unreliable = new Sending(a, b, 8n, { windowBytes: 0 });
    expect(a.call((core) => core.write(session, unreliable.stream, numbered(3, limit), limit))).toBe(3);
    until(network, () => to.events.length === 2 && other.events.length === 3, 2_000);
    expect(to.numbers).toEqual([0, 1]);
    expect(other.numbers).toEqual([0, 1, 2]);
    expect(to.events.every((event) => event.length === limit)).toBe(true);
  });
});
