import { describe, expect, it } from "vitest";
import type { LinkConditions, TestNode } from "../src/testing/index.ts";
import { createTestNetwork } from "../src/testing/index.ts";
import {
  codeOf,
  FIXED,
  numbered,
  numberOf,
  pair,
  RELIABLE,
  Receiving,
  range,
  relayed,
  Sending,
  UNORDERED,
  until,
  withSeeds,
} from "./traffic.ts";

const BAD_LINK: LinkConditions = {
  delayMs: 20,
  jitterMs: 15,
  loss: 0.1,
  reordering: 0.1,
  reorderingMs: 30,
  duplication: 0.1,
};

describe("a reliable stream", () => {
  it("delivers every event once and in order over a link that loses, repeats and reorders", () => {
    withSeeds(range(10, 1), (seed) => {
      const { network, a, b } = pair({ seed });
      network.net.conditions = BAD_LINK;
      network.net.link(a.transport.localAddress, b.transport.localAddress, BAD_LINK);
      network.net.link(b.transport.localAddress, a.transport.localAddress, BAD_LINK);
      const to = new Receiving(b, a, 7n, RELIABLE);
      new Sending(a, b, 7n, RELIABLE).write(...numbered(2_000, 300)).finish();
      until(network, () => to.ends > 0);
      expect(to.numbers).toEqual(range(2_000));
      expect(to.ends).toBe(1);
    });
  });

  it("delivers every event exactly once when it is unordered", () => {
    withSeeds(range(10, 1), (seed) => {
      const { network, a, b } = pair({ seed, conditions: BAD_LINK });
      const to = new Receiving(b, a, 7n, UNORDERED);
      new Sending(a, b, 7n, UNORDERED).write(...numbered(2_000, 300)).finish();
      until(network, () => to.ends > 0);
      expect(to.numbers).not.toEqual(range(2_000));
      expect([...to.numbers].sort((x, y) => x - y)).toEqual(range(2_000));
    });
  });

  it("fills a link of limited bandwidth without losing anything to its full queue", () => {
    const { network, a, b } = pair({
      conditions: { delayMs: 10, bytesPerSecond: 250_000, queueBytes: 20_000 },
    });
    const to = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(1_000, 1_000)).finish();
    const startMs = network.clock.now();
    until(network, () => to.ends > 0);
    expect(network.net.stats.overflowed).toBeGreaterThan(0);
    expect(to.numbers).toEqual(range(1_000));
    // One megabyte at 250 kB/s takes four seconds; half of the capacity is the least to expect.
    expect(network.clock.now() - startMs).toBeLessThan(8_000);
  });

  it("survives a partition that is shorter than the repair budget", () => {
    withSeeds(range(6, 1), (seed) => {
      const { network, a, b } = pair({ seed, node: FIXED, conditions: { delayMs: 50, loss: 0.02 } });
      const to = new Receiving(b, a, 7n, RELIABLE);
      const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(3_000, 1_000)).finish();
      network.advance(400 + seed);
      network.net.partition(a.transport.localAddress, b.transport.localAddress);
      network.advance(9_900);
      network.net.heal(a.transport.localAddress, b.transport.localAddress);
      until(network, () => to.ends > 0 || from.failure !== undefined || to.failure !== undefined);
      expect(from.failure).toBeUndefined();
      expect(to.failure).toBeUndefined();
      expect(to.numbers).toEqual(range(3_000));
    });
  });

  it("repairs a burst of packets that were all lost within a few round trips", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 150 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(200, 1_000));
    until(network, () => to.events.length === 200);
    network.advance(1_000);
    from.write(...numbered(100, 1_000, 200)).finish();
    network.net.tap = (_, source) => !source.equals(a.transport.localAddress);
    network.advance(10);
    network.net.tap = undefined;
    const startMs = network.clock.now();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(300));
    expect(network.clock.now() - startMs).toBeLessThan(20 * 300);
  });

  it("works over a round trip of 300 ms without sending anything twice", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 150 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(500)).finish();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(500));
    expect(a.core.counters.retransmitTimeout).toBe(0);
    expect(a.core.counters.retransmitNack).toBe(0);
  });

  it("works when the round trip grows from nothing to 600 ms in the middle", () => {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(100));
    network.advance(1_000);
    for (const [x, y] of [
      [a, b],
      [b, a],
    ] as [TestNode, TestNode][]) {
      network.net.link(x.transport.localAddress, y.transport.localAddress, { delayMs: 300 });
    }
    from.write(...numbered(2_000, 500, 100)).finish();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(2_100));
  });

  it("is not reset when the last acknowledgement is lost", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(5)).finish();
    let dropped = 0;
    network.net.tap = (_, source) => !source.equals(b.transport.localAddress) || dropped++ >= 4;
    until(network, () => to.ends > 0 && from.drains > 0);
    network.advance(30_000);
    expect(dropped).toBeGreaterThan(4);
    expect(from.failure).toBeUndefined();
    expect(to.failure).toBeUndefined();
    expect(to.numbers).toEqual(range(5));
  });

  it("repairs a lost last packet", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    let dropped = 0;
    network.net.tap = (_, source) => !source.equals(a.transport.localAddress) || dropped++ >= 1;
    from.write(...numbered(1));
    network.advance(2_000);
    expect(dropped).toBeGreaterThan(1);
    expect(to.numbers).toEqual([0]);
    expect(a.core.counters.retransmitTimeout).toBe(1);
  });

  it("gives up with repair-timeout at the sender and stream-reset at the receiver", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 }, node: { repairBudgetMs: 3_000 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(3));
    network.advance(1_000);
    // The packets of one stream vanish on the way, but heartbeats and control packets pass.
    network.net.tap = (bytes, source) => !source.equals(a.transport.localAddress) || bytes.length < 150;
    from.write(...numbered(3, 1_000));
    until(network, () => from.failure !== undefined);
    network.advance(1_000);
    expect(from.failure?.code).toBe("repair-timeout");
    expect(to.failure?.code).toBe("stream-reset");
    expect(a.core.counters.retransmitGiveUp).toBe(1);
    expect(a.core.counters.streamResetSent).toBe(1);
    expect(b.core.counters.streamResetReceived).toBe(1);
    expect(codeOf(() => from.write(...numbered(1)))).toBeUndefined();
    expect(codeOf(() => a.core.write(from.session, from.stream, numbered(1)))).toBe("repair-timeout");
  });

  it("stops the sender when nobody reads, buffers no more than the window, and loses nothing", () => {
    const windowBytes = 20_000;
    const options = { ...RELIABLE, windowBytes };
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const to = new Receiving(b, a, 7n, options, false);
    const from = new Sending(a, b, 7n, options).write(...numbered(500, 200)).finish();
    network.advance(20_000);
    expect(from.waiting).toBeGreaterThan(350);
    expect(to.stream.unreadBytes).toBeLessThanOrEqual(windowBytes);
    expect(to.session.bufferedBytes).toBeLessThanOrEqual(windowBytes);
    to.read();
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(500));
    expect(to.session.bufferedBytes).toBe(0);
  });

  it("waits for a slow reader whose buffer is smaller than the sender's window", () => {
    const { network, a, b } = pair({
      conditions: { delayMs: 5 },
      node: { ...FIXED, receiveBufferBytes: 10_000 },
    });
    const to = new Receiving(b, a, 7n, RELIABLE, false);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(200, 1_000)).finish();
    network.advance(25_000);
    expect(from.failure).toBeUndefined();
    expect(to.stream.unreadBytes + to.stream.heldBytes).toBeLessThan(10_000 + 1_500);
    expect(b.core.counters.receiveQueueFull).toBeGreaterThan(0);
    to.read();
    until(network, () => to.ends > 0 || from.failure !== undefined);
    expect(from.failure).toBeUndefined();
    expect(to.numbers).toEqual(range(200));
  });

  it("tells the writer that everything has arrived", () => {
    const { network, a, b } = pair({ conditions: BAD_LINK, seed: 5 });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(300));
    until(network, () => from.drains > 0);
    expect(to.events.length).toBe(300);
  });

  it("carries both directions on one id at once", () => {
    const { network, a, b } = pair({ conditions: BAD_LINK, seed: 9 });
    const atA = new Receiving(a, b, 7n, RELIABLE);
    const atB = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(...numbered(1_000)).finish();
    new Sending(b, a, 7n, RELIABLE).write(...numbered(1_500, 50)).finish();
    until(network, () => atA.ends > 0 && atB.ends > 0);
    expect(atB.numbers).toEqual(range(1_000));
    expect(atA.numbers).toEqual(range(1_500));
  });

  it("is one of two hundred that make progress at once", () => {
    const { network, a, b } = pair({ conditions: { ...BAD_LINK, loss: 0.02 }, seed: 3 });
    const all = range(200).map((i) => {
      const to = new Receiving(b, a, BigInt(1_000 + i), RELIABLE);
      new Sending(a, b, BigInt(1_000 + i), RELIABLE).write(...numbered(20, 400, i)).finish();
      return to;
    });
    until(network, () => all.every((to) => to.ends > 0));
    all.forEach((to, i) => {
      expect(to.numbers).toEqual(range(20, i));
    });
  });

  it("carries empty events", () => {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    new Sending(a, b, 7n, RELIABLE).write(new Uint8Array(0), new Uint8Array(0)).finish();
    until(network, () => to.ends > 0);
    expect(to.events.map((event) => event.length)).toEqual([0, 0]);
  });

  it("carries the largest events that a packet holds, where datagrams may be as large", () => {
    const { network, a, b } = pair({ node: { datagramBytes: 8_192 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    const largest = a.core.maxEventBytes(from.session, from.stream);
    expect(largest).toBe(8_104);
    from.write(...numbered(3, largest)).finish();
    until(network, () => to.ends > 0);
    expect(to.events.map((event) => event.length)).toEqual([largest, largest, largest]);
  });
});

describe("a stream that ends", () => {
  it("delivers the end once, behind everything written, also when its packet is repeated", () => {
    withSeeds(range(5, 1), (seed) => {
      const { network, a, b } = pair({ seed, conditions: { ...BAD_LINK, duplication: 0.5 } });
      const to = new Receiving(b, a, 7n, RELIABLE);
      const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(20)).finish();
      until(network, () => from.drains > 0);
      network.advance(5_000);
      expect(to.ends).toBe(1);
      expect(to.numbers).toEqual(range(20));
    });
  });

  it("refuses further events but still receives", () => {
    const { network, a, b } = pair();
    const atA = new Receiving(a, b, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).finish();
    network.advance(100);
    expect(codeOf(() => a.core.write(from.session, from.stream, numbered(1)))).toBe("not-connected");
    new Sending(b, a, 7n, RELIABLE).write(...numbered(3));
    network.advance(100);
    expect(atA.numbers).toEqual([0, 1, 2]);
  });

  it("refuses the handle of a closed stream, also after the id was opened again", () => {
    const { a, b } = pair();
    const old = new Sending(a, b, 7n, RELIABLE);
    a.call((core) => core.closeStream(old.session, old.stream, false));
    expect(codeOf(() => a.core.write(old.session, old.stream, numbered(1)))).toBe("not-connected");
    const next = new Sending(a, b, 7n, RELIABLE);
    expect(next.stream.epoch).toBeGreaterThan(old.stream.epoch);
    expect(codeOf(() => a.core.write(old.session, old.stream, numbered(1)))).toBe("not-connected");
    expect(next.stream.credit.remaining).toBe(1 << 20);
  });

  it("goes on without gap or confusion when its id is opened again on both sides", () => {
    withSeeds(range(5, 1), (seed) => {
      const { network, a, b } = pair({ seed, conditions: BAD_LINK });
      for (let round = 0; round < 4; round++) {
        const to = new Receiving(b, a, 7n, RELIABLE);
        const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(100, 200, round * 1_000)).finish();
        until(network, () => to.ends > 0 && from.drains > 0);
        expect(to.numbers).toEqual(range(100, round * 1_000));
        a.call((core) => core.closeStream(from.session, from.stream, false));
        b.call((core) => core.closeStream(to.session, to.stream, false));
      }
    });
  });

  it("ignores late packets of an earlier use of its id", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10 } });
    const first = new Receiving(b, a, 7n, RELIABLE);
    const old = new Sending(a, b, 7n, RELIABLE).write(...numbered(3));
    // Acknowledgements are lost, so that the packets are sent again later.
    network.net.tap = (_, source) => !source.equals(b.transport.localAddress);
    network.advance(100);
    expect(first.numbers).toEqual([0, 1, 2]);
    b.call((core) => core.closeStream(first.session, first.stream, false));
    const second = new Receiving(b, a, 7n, RELIABLE);
    network.net.tap = undefined;
    until(network, () => old.drains > 0);
    old.write(...numbered(1, 100, 3));
    network.advance(1_000);
    expect(second.numbers).toEqual([3]);
  });

  it("can be used again under the same id after it was given up", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 }, node: { repairBudgetMs: 3_000 } });
    const first = new Receiving(b, a, 7n, RELIABLE);
    const old = new Sending(a, b, 7n, RELIABLE).write(...numbered(3, 1_000));
    network.advance(1_000);
    network.net.tap = (bytes, source) => !source.equals(a.transport.localAddress) || bytes.length < 150;
    old.write(...numbered(20, 1_000, 3));
    until(network, () => old.failure !== undefined && first.failure !== undefined);
    network.net.tap = undefined;
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(100, 1_000, 100)).finish();
    until(network, () => to.ends > 0 || to.failure !== undefined || from.failure !== undefined);
    expect(to.numbers).toEqual(range(100, 100));
  });

  it("can be used again under the same id after it was cut off in the middle", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 50 } });
    const windowBytes = 65_536;
    const first = new Receiving(b, a, 7n, { ...RELIABLE, windowBytes });
    const old = new Sending(a, b, 7n, { ...RELIABLE, windowBytes }).write(...numbered(500, 1_000));
    network.advance(70);
    a.call((core) => core.closeStream(old.session, old.stream, true));
    network.net.tap = (bytes, source) => !source.equals(a.transport.localAddress) || bytes.length < 150;
    network.advance(5);
    network.net.tap = undefined;
    network.advance(200);
    expect(first.failure?.code).toBe("stream-reset");
    const to = new Receiving(b, a, 7n, { ...RELIABLE, windowBytes });
    const from = new Sending(a, b, 7n, { ...RELIABLE, windowBytes })
      .write(...numbered(500, 1_000, 1_000))
      .finish();
    until(network, () => to.ends > 0 || to.failure !== undefined || from.failure !== undefined);
    expect(to.numbers).toEqual(range(500, 1_000));
  });

  it("is never mixed with a later use of its id, although the reset between them was lost", () => {
    withSeeds(range(20, 1), (seed) => {
      const { network, a, b } = pair({
        seed,
        node: FIXED,
        conditions: { delayMs: 20, loss: 0.1, reordering: 0.1 },
      });
      const first = new Receiving(b, a, 7n, RELIABLE);
      const old = new Sending(a, b, 7n, RELIABLE).write(...numbered(300, 1_000));
      network.advance(30 + 5 * seed);
      // Too small for data: the reset, and whatever else is sent with it.
      network.net.tap = (bytes, source) => !source.equals(a.transport.localAddress) || bytes.length > 200;
      a.call((core) => core.closeStream(old.session, old.stream, true));
      network.advance(1);
      network.net.tap = undefined;
      const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(50, 1_000, 1_000)).finish();
      until(network, () => b.eventsOf("stream-ended").length > 0 || from.failure !== undefined);
      // The later use is a stream of its own, unless nothing of the earlier one was delivered.
      const later = b
        .eventsOf("data")
        .filter(({ stream }) => stream !== first.stream || first.failure === undefined)
        .flatMap(({ packet }) => packet.events.map(numberOf));
      expect(later).toEqual(range(50, 1_000));
      if (first.failure !== undefined) {
        expect(first.failure.code).toBe("stream-reset");
        expect(first.numbers).toEqual(range(first.numbers.length));
      }
    });
  });

  it("can be used again under the same id after a partition has failed it on both sides", () => {
    const { network, a, b } = pair({
      conditions: { delayMs: 10 },
      node: { heartbeatMs: 500, sessionTimeoutMs: 2_000 },
    });
    const first = new Receiving(b, a, 7n, RELIABLE);
    const old = new Sending(a, b, 7n, RELIABLE).write(...numbered(2_000, 1_000));
    network.advance(25);
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    network.advance(5_000);
    expect(old.failure).toBeDefined();
    expect(first.failure).toBeDefined();
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    network.advance(2_000);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(100, 1_000, 5_000)).finish();
    until(network, () => to.ends > 0 || to.failure !== undefined || from.failure !== undefined);
    expect(to.numbers).toEqual(range(100, 5_000));
  });

  it("tells the peer when it is cut short", () => {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(3));
    network.advance(100);
    a.call((core) => core.closeStream(from.session, from.stream, true));
    a.call((core) => core.closeStream(from.session, from.stream, true));
    network.advance(100);
    expect(to.failure?.code).toBe("stream-reset");
    expect(b.core.counters.streamResetReceived).toBe(1);
  });
});

describe("a fire-and-forget stream", () => {
  it("delivers every event at most once", () => {
    withSeeds(range(10, 1), (seed) => {
      const { network, a, b } = pair({ seed, conditions: BAD_LINK });
      const to = new Receiving(b, a, 7n, { windowBytes: 0 });
      new Sending(a, b, 7n, { windowBytes: 0 }).write(...numbered(1_000, 1_000)).finish();
      network.advance(5_000);
      expect(new Set(to.numbers).size).toBe(to.numbers.length);
      expect(to.numbers.length).toBeGreaterThan(800);
      expect(to.numbers.length).toBeLessThan(1_000);
    });
  });

  it("goes on for ever although lost packets are never accounted for", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10, loss: 0.2 }, seed: 4 });
    const to = new Receiving(b, a, 7n, { windowBytes: 10_000 });
    const from = new Sending(a, b, 7n, { windowBytes: 10_000 }).write(...numbered(2_000, 1_000));
    until(network, () => from.waiting === 0, 3_600_000);
    network.advance(1_000);
    expect(to.numbers.length).toBeGreaterThan(1_500);
  });

  it("goes on after a partition that swallowed a whole window", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10 } });
    const to = new Receiving(b, a, 7n, { windowBytes: 10_000 });
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    const from = new Sending(a, b, 7n, { windowBytes: 10_000 }).write(...numbered(50, 1_000));
    network.advance(3_000);
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    until(network, () => from.waiting === 0);
    network.advance(1_000);
    expect(to.numbers.at(-1)).toBe(49);
  });

  it("delivers single events sent without opening a stream", () => {
    const { network, a, b } = pair();
    expect(a.call((core) => core.send(b.nodeId, 99n, numbered(3)))).toBe(3);
    expect(a.call((core) => core.send(b.nodeId, 99n, numbered(1)))).toBe(1);
    network.advance(100);
    expect(b.eventsOf("stream-opened").map((event) => event.stream.id)).toEqual([99n]);
    expect(
      b
        .eventsOf("data")
        .flatMap((event) => event.packet.events)
        .map(numberOf),
    ).toEqual([0, 1, 2, 0]);
  });
});

describe("opening streams", () => {
  it("names the limit when an event can never fit the window", () => {
    const { a, b } = pair();
    const { session, stream } = a.core.openStream(b.nodeId, 7n, { windowBytes: 300 });
    try {
      a.core.write(session, stream, [new Uint8Array(10), new Uint8Array(213)]);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "message-too-large", limit: 300 - 84 - 4 });
    }
    // Nothing of the call was taken.
    expect(stream.queuedBytes).toBe(0);
    expect(a.core.write(session, stream, [new Uint8Array(212)])).toBe(1);
  });

  it("refuses more streams than configured while all are held", () => {
    const { a, b } = pair({ node: { maxStreams: 3 } });
    for (let i = 0n; i < 3n; i++) a.core.openStream(b.nodeId, i, {});
    try {
      a.core.openStream(b.nodeId, 3n, {});
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "too-many-streams", limit: 3 });
    }
    expect(a.core.peer(b.nodeId)?.session?.streams.size).toBe(3);
  });

  it("bounds the streams that a peer creates, dropping the one used least recently", () => {
    const { network, a, b } = pair({ node: { maxStreams: 8 } });
    const session = b.core.peer(a.nodeId)?.session;
    for (let i = 0n; i < 100n; i++) {
      a.call((core) => core.send(b.nodeId, i, numbered(1)));
      network.advance(5);
    }
    expect(b.eventsOf("data").length).toBe(100);
    expect(session?.streams.size).toBe(8);
    expect(session?.streams.getId(99n)).toBeDefined();
    expect(session?.streams.getId(1n)).toBeUndefined();
  });

  it("drops packets for new streams while all are held, and counts them", () => {
    const { network, a, b } = pair();
    const c = network.add({ maxStreams: 1 });
    a.connect(c);
    c.core.openStream(a.nodeId, 1n, {});
    a.call((core) => core.send(c.nodeId, 2n, numbered(1)));
    network.advance(100);
    expect(c.core.counters.streamLimit).toBe(1);
    expect(c.eventsOf("data")).toEqual([]);
    expect(b.errors).toEqual([]);
  });

  it("keeps the first configuration of an id that is open already", () => {
    const { a, b } = pair();
    const first = a.core.openStream(b.nodeId, 7n, RELIABLE);
    const second = a.core.openStream(b.nodeId, 7n, { windowBytes: 0 });
    expect(second.stream).toBe(first.stream);
    expect(second.stream.options.reliable).toBe(true);
    expect(second.stream.epoch).toBe(1);
  });

  it("takes a stream of the peer over with its own configuration while it has sent nothing", () => {
    const { network, a, b } = pair();
    new Sending(a, b, 7n, RELIABLE).write(...numbered(2));
    network.advance(100);
    const { stream } = b.core.openStream(a.nodeId, 7n, { ...RELIABLE, windowBytes: 5_000 });
    expect(stream.options.windowBytes).toBe(5_000);
    expect(stream.credit.remaining).toBe(5_000);
    expect(b.eventsOf("data").flatMap((event) => event.packet.events).length).toBe(2);
  });

  it("hands out what waits behind a gap when an unordered reader takes the stream over", () => {
    const { network, a, b } = pair({ node: FIXED, conditions: { delayMs: 20 } });
    let count = 0;
    network.net.tap = (_, source) => !source.equals(a.transport.localAddress) || count++ !== 0;
    const from = new Sending(a, b, 7n, RELIABLE);
    for (const event of numbered(5, 1_100)) from.write(event);
    network.advance(25);
    expect(b.eventsOf("data")).toEqual([]);
    const to = new Receiving(b, a, 7n, UNORDERED);
    network.advance(0);
    expect(to.numbers).toEqual([1, 2, 3, 4]);
    network.advance(1_000);
    expect(to.numbers).toEqual([1, 2, 3, 4, 0]);
  });

  it("puts later events in order when an ordered reader takes over an unordered stream", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const c = network.add({ features: 0 });
    c.connect(b);
    const from = new Sending(c, b, 7n, RELIABLE).write(...numbered(3));
    network.advance(100);
    const to = new Receiving(b, c, 7n, RELIABLE);
    let count = 0;
    network.net.tap = (bytes, source) =>
      !source.equals(c.transport.localAddress) || bytes.length < 500 || count++ !== 0;
    for (const event of numbered(10, 1_100, 3)) from.write(event);
    network.advance(2_000);
    expect(to.numbers).toEqual(range(10, 3));
    expect(a.errors).toEqual([]);
  });

  it("tells when an idle stream is forgotten with events that nobody has taken", () => {
    const { network, a, b } = pair({
      node: { heartbeatMs: 500, sessionTimeoutMs: 4_000, streamIdleTimeoutMs: 1_000 },
    });
    const { stream } = b.core.openStream(a.nodeId, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(3));
    network.advance(100);
    stream.isOpen = false;
    expect(stream.unreadBytes).toBeGreaterThan(0);
    network.advance(3_000);
    expect(b.eventsOf("stream-failed").map((event) => event.stream)).toEqual([stream]);
    from.write(...numbered(1));
  });

  it("counts events that are handed on far ahead of a gap", () => {
    const { network, a, b } = pair();
    const { stream } = b.core.openStream(a.nodeId, 7n, UNORDERED);
    const from = new Sending(a, b, 7n, UNORDERED);
    const { sendWindow } = from.stream;
    if (sendWindow === undefined) throw new Error("not reliable");
    sendWindow.base = 20_000;
    sendWindow.next = 20_000;
    from.write(...numbered(3));
    network.advance(5);
    expect(b.core.counters.reliableOutOfWindow).toBeGreaterThan(0);
    expect(stream.unreadBytes).toBeGreaterThan(0);
  });

  it("forgets idle streams that nobody holds", () => {
    const { network, a, b } = pair({ node: { streamIdleTimeoutMs: 10_000, heartbeatMs: 1_000 } });
    a.call((core) => core.send(b.nodeId, 99n, numbered(1)));
    network.advance(5_000);
    expect(b.core.peer(a.nodeId)?.session?.streams.size).toBe(1);
    network.advance(10_000);
    expect(b.core.peer(a.nodeId)?.session?.streams.size).toBe(0);
  });
});

describe("a peer of the reference", () => {
  it("gets no end marker and single reports, and its events arrive in whatever order", () => {
    withSeeds(range(5, 1), (seed) => {
      const network = createTestNetwork(1, { seed, conditions: BAD_LINK });
      const [ours] = network.nodes as [TestNode];
      const reference = network.add({ features: 0 });
      reference.connect(ours);
      until(network, () => ours.core.peer(reference.nodeId)?.session?.isConfirmed === true);
      expect(ours.core.peer(reference.nodeId)?.session?.features).toBe(0);
      expect(reference.core.peer(ours.nodeId)?.session?.features).toBe(0);
      const from = new Sending(reference, ours, 7n, UNORDERED).write(...numbered(1_000, 500)).finish();
      until(network, () => from.drains > 0);
      network.advance(1_000);
      const events = ours.eventsOf("data").flatMap((event) => [...event.packet.events]);
      const numbers = events.map(numberOf);
      expect(numbers).not.toEqual(range(1_000));
      expect([...numbers].sort((x, y) => x - y)).toEqual(range(1_000));
      expect(ours.eventsOf("stream-ended")).toEqual([]);
    });
  });

  it("is read in order when the reader asks for it", () => {
    const network = createTestNetwork(1, { seed: 8, conditions: BAD_LINK });
    const [ours] = network.nodes as [TestNode];
    const reference = network.add({ features: 0 });
    reference.connect(ours);
    until(network, () => ours.core.peer(reference.nodeId)?.session?.isConfirmed === true);
    const to = new Receiving(ours, reference, 7n, RELIABLE);
    new Sending(reference, ours, 7n, RELIABLE).write(...numbered(1_000, 500));
    until(network, () => to.events.length === 1_000);
    expect(to.numbers).toEqual(range(1_000));
  });

  it("stays usable through a relay although it sends no heartbeats there", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 5 } });
    const [ours, relay] = network.nodes as [TestNode, TestNode];
    const reference = network.add({ features: 0 });
    ours.connect(relay);
    reference.connect(relay);
    reference.connect(ours, relay);
    network.advance(120_000);
    expect(ours.eventsOf("peer-lost")).toEqual([]);
    new Sending(reference, ours, 7n, RELIABLE).write(...numbered(10));
    network.advance(1_000);
    expect(ours.eventsOf("data").flatMap((event) => event.packet.events).length).toBe(10);
  });

  it("that never fills a gap does not stop an ordered reader for longer than the repair budget", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 }, node: { repairBudgetMs: 2_000 } });
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE);
    from.write(...numbered(1, 1_100));
    network.advance(100);
    // The second packet never arrives; its sender learns that everything did.
    let count = 0;
    network.net.tap = (bytes, source) =>
      !source.equals(a.transport.localAddress) || bytes.length < 1_000 || count++ !== 0;
    from.write(...numbered(1, 1_100, 1));
    network.advance(1);
    from.stream.sendWindow?.acknowledge(2, network.clock.now());
    from.write(...numbered(10, 1_100, 2));
    network.advance(8_000);
    expect(to.failure?.code).toBe("stream-gap");
    expect(to.numbers).toEqual([0]);
  });
});

describe("a stream through a relay", () => {
  it("delivers every event once and in order over bad links", () => {
    withSeeds(range(3, 1), (seed) => {
      const { network, a, b } = relayed({ seed, conditions: BAD_LINK });
      until(network, () => b.core.peer(a.nodeId)?.session?.isConfirmed === true);
      const to = new Receiving(b, a, 7n, RELIABLE);
      new Sending(a, b, 7n, RELIABLE).write(...numbered(1_000, 300)).finish();
      until(network, () => to.ends > 0);
      expect(to.numbers).toEqual(range(1_000));
    });
  });
});
