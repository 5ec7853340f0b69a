import { channelHash, channelWireHash, PacketFlags, publishStreamId } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { TestNode } from "../src/testing/index.ts";
import {
  bytes,
  ChannelNetwork,
  headersOf,
  received,
  receivedBySubscription,
  sendMembership,
} from "./channel-network.ts";
import { codeOf, relayed } from "./traffic.ts";

const LOSSY = { loss: 0.25, duplication: 0.1, delayMs: 10, jitterMs: 5 };

describe("a channel", () => {
  it("brings what is published to every subscriber, and to nobody who has left", () => {
    const net = new ChannelNetwork(3);
    const [a, b, c] = net.subscribers as [TestNode, TestNode, TestNode];
    const first = net.subscribe(a, "news").subscription;
    net.subscribe(b, "news");
    expect(net.publish("news", "one")).toEqual({ attempted: 2, delivered: 2, errors: [] });
    a.call((core) => core.channels.unsubscribe(first));
    a.call((core) => core.channels.unsubscribe(first));
    net.network.advance(10);
    expect(a.eventsOf("unsubscribed")).toHaveLength(1);
    expect(net.publish("news", "two")).toEqual({ attempted: 1, delivered: 1, errors: [] });
    expect([received(a, "news"), received(b, "news"), received(c, "news")]).toEqual([
      ["one"],
      ["one", "two"],
      [],
    ]);
  });

  it("without subscribers delivers nothing, and that is no failure", () => {
    expect(new ChannelNetwork(1).publish("news", "x")).toEqual({ attempted: 0, delivered: 0, errors: [] });
  });

  it("that a node asks for twice brings everything once", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    net.subscribe(a, "news");
    net.publish("news", "once");
    expect(received(a, "news")).toEqual(["once"]);
    expect(net.publisher.core.channelStats).toEqual({
      registered: 0,
      published: 1,
      subscribers: 1,
      subscriptions: 0,
    });
    expect(a.core.channelStats.subscriptions).toBe(1);
  });

  it("shares the events of a queue group out in turn, beside those who get all", () => {
    const net = new ChannelNetwork(4);
    const [all, x, y, z] = net.subscribers as [TestNode, TestNode, TestNode, TestNode];
    net.subscribe(all, "jobs");
    for (const worker of [x, y, z]) net.subscribe(worker, "jobs", { group: "workers" });
    for (let i = 0; i < 6; i++) net.publish("jobs", `${i}`);
    expect(received(all, "jobs")).toEqual(["0", "1", "2", "3", "4", "5"]);
    expect([x, y, z].map((worker) => received(worker, "jobs"))).toEqual([
      ["0", "3"],
      ["1", "4"],
      ["2", "5"],
    ]);
    // A worker that wants everything leaves its group by that.
    net.subscribe(x, "jobs");
    net.publish("jobs", "6");
    net.publish("jobs", "7");
    expect(received(x, "jobs")).toEqual(["0", "3", "6", "7"]);
    expect(received(y, "jobs").length + received(z, "jobs").length).toBe(6);
  });

  it("passes over a member of a queue group that is gone", () => {
    const net = new ChannelNetwork(2);
    const [x, y] = net.subscribers as [TestNode, TestNode];
    for (const worker of [x, y]) net.subscribe(worker, "jobs", { group: "workers" });
    net.publisher.core.block(x.transport.localAddress);
    for (let i = 0; i < 4; i++) expect(net.publish("jobs", `${i}`).delivered).toBe(1);
    expect(received(y, "jobs")).toEqual(["0", "1", "2", "3"]);
  });

  it("tells of a subscriber that cannot be reached, and stops there only when told to", () => {
    const net = new ChannelNetwork(3);
    const [a, b, c] = net.subscribers as [TestNode, TestNode, TestNode];
    for (const node of [a, b, c]) net.subscribe(node, "news");
    net.publisher.core.block(b.transport.localAddress);
    const collected = net.publish("news", "1", { onFailure: "collect" });
    expect([collected.attempted, collected.delivered]).toEqual([3, 2]);
    expect(collected.errors).toEqual([
      { peer: b.nodeId, error: expect.objectContaining({ code: "not-connected" }), accepted: 0 },
    ]);
    expect(net.publish("news", "2", { onFailure: "best-effort" }).delivered).toBe(2);
    const stopped = net.publish("news", "3", { onFailure: "fail-fast" });
    expect([stopped.attempted, stopped.delivered, stopped.errors.length]).toEqual([2, 1, 1]);
    expect([received(a, "news"), received(c, "news")]).toEqual([
      ["1", "2", "3"],
      ["1", "2"],
    ]);
  });

  it("refuses what is no name, no policy and no event before anything is sent", () => {
    const net = new ChannelNetwork(1);
    net.subscribe(net.subscribers[0] as TestNode, "news");
    const publish = (name: string, size: number, options = {}) =>
      codeOf(() => net.publisher.core.channels.publish(name, [new Uint8Array(size)], options));
    expect(publish("News", 1)).toBe("invalid-channel-name");
    expect(publish("news", 8_105)).toBe("message-too-large");
    expect(publish("news", 1, { onFailure: "never" })).toBe("invalid-argument");
    expect(publish("news", 1, { reliability: "sometimes" })).toBe("invalid-argument");
    const subscribe = (to: bigint, name: string, group?: string) =>
      codeOf(() => net.publisher.core.channels.subscribe(to, name, { group }));
    expect(subscribe(1n, "news")).toBe("unknown-peer");
    const { nodeId } = net.subscribers[0] as TestNode;
    expect(subscribe(nodeId, "a//b")).toBe("invalid-channel-name");
    expect(subscribe(nodeId, "news", "")).toBe("invalid-argument");
    expect(subscribe(nodeId, "news", "g".repeat(256))).toBe("invalid-argument");
    expect(net.publisher.core.channelStats.subscriptions).toBe(0);
  });

  it("works over a relay, which sees none of it", () => {
    const { network, a, b, relay } = relayed();
    const subscription = b.call((core) => core.channels.subscribe(a.nodeId, "far", {}));
    network.advance(100);
    expect(subscription.state).toBe("active");
    network.net.conditions = { loss: 0.2 };
    for (let i = 0; i < 20; i++) {
      a.call((core) => core.channels.publish("far", [bytes(`${i}`)], { reliability: "reliable" }));
      network.advance(20);
    }
    network.advance(10_000);
    expect(received(b, "far")).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
    expect(relay.eventsOf("data")).toHaveLength(0);
  });

  it("with events larger than the path's datagrams arrives in parts", () => {
    const net = new ChannelNetwork(1, { node: { datagramBytes: 1_200 } });
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "big");
    const large = "x".repeat(8_104);
    expect(net.publish("big", large, { reliability: "reliable" }).delivered).toBe(1);
    expect(received(a, "big")).toEqual([large]);
    expect(net.publisher.core.counters.packetsParted).toBe(1);
  });
});

describe("published events", () => {
  it("carry the channel's and the publisher's hash, and what is sent next carries neither", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    const headers = headersOf(net.network, net.publisher);
    net.publish("news", "x", { reliability: "reliable" });
    net.publisher.call((core) => core.send(a.nodeId, 5n, [bytes("plain")]));
    net.network.advance(10);
    const [published] = headers.filter(({ streamId }) => streamId === publishStreamId(channelHash("news")));
    expect(published).toMatchObject({
      channelHash: channelWireHash(channelHash("news")),
      originHash: net.publisher.identity.originHash,
      flags: PacketFlags.RELIABLE,
      subprotocolId: 0,
      eventCount: 1,
    });
    const rest = headers.filter((header) => header !== published);
    expect(rest.length).toBeGreaterThan(0);
    for (const { channelHash: hash, originHash } of rest) expect([hash, originHash]).toEqual([0, 0n]);
    expect(a.eventsOf("data")[0]?.packet.originHash).toBe(net.publisher.identity.originHash);
  });

  it("that are reliable arrive once and in order over a link that loses and repeats", () => {
    const net = new ChannelNetwork(3, { seed: 7 });
    for (const node of net.subscribers) net.subscribe(node, "news");
    net.network.net.conditions = LOSSY;
    const sent: string[] = [];
    for (let i = 0; i < 60; i++) {
      const report = net.publish("news", `${i}`, { reliability: "reliable" });
      expect(report.delivered, net.network.label).toBe(3);
      sent.push(`${i}`);
      net.network.advance(50);
    }
    net.network.advance(20_000);
    for (const node of net.subscribers) expect(received(node, "news"), net.network.label).toEqual(sent);
    expect(
      net.publisher.core.counters.retransmitNack + net.publisher.core.counters.retransmitTimeout,
    ).toBeGreaterThan(0);
  });

  it("that are not repaired are lost with their packets, without holding up the others", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    net.publish("news", "1");
    net.network.net.conditions = { loss: 1 };
    net.publish("news", "2");
    net.network.net.conditions = {};
    net.publish("news", "3");
    expect(received(a, "news")).toEqual(["1", "3"]);
  });

  it("can become reliable from one call to the next", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    net.publish("news", "1");
    net.network.net.conditions = { loss: 1 };
    net.publish("news", "lost");
    for (const text of ["2", "3"]) net.publish("news", text, { reliability: "reliable" });
    net.network.net.conditions = {};
    net.network.advance(10_000);
    net.publish("news", "4");
    expect(received(a, "news")).toEqual(["1", "2", "3", "4"]);
  });

  it("stop at a subscriber that does not read, with the number of those taken, and at no other", () => {
    const net = new ChannelNetwork(2);
    const [slow, fast] = net.subscribers as [TestNode, TestNode];
    for (const node of [slow, fast]) net.subscribe(node, "news");
    net.network.net.partition(net.publisher.transport.localAddress, slow.transport.localAddress);
    const large = "y".repeat(8_000);
    const many = Array.from({ length: 4 }, (_, i) => `${i}${"x".repeat(7_000)}`);
    let report = net.publish("news", many, { reliability: "reliable" });
    for (let i = 0; i < 3 && report.errors.length === 0; i++) {
      report = net.publish("news", many, { reliability: "reliable" });
    }
    expect(report.attempted).toBe(2);
    expect(report.delivered).toBe(1);
    const [failure] = report.errors;
    expect(failure).toMatchObject({ peer: slow.nodeId, error: { code: "backpressure" } });
    expect(failure?.accepted).toBeLessThan(4);
    expect(net.publish("news", large, { reliability: "reliable" }).errors.map(({ peer }) => peer)).toEqual([
      slow.nodeId,
    ]);
    expect(received(fast, "news").at(-1)).toBe(large);
  });

  it("reach many subscribers at once, repairs included", () => {
    const net = new ChannelNetwork(0, { node: { handshakesPerSecond: { perSource: 1e6, total: 1e6 } } });
    for (let i = 0; i < 150; i++) net.add();
    for (const node of net.subscribers) net.subscribe(node, "news");
    net.network.net.conditions = { loss: 0.1, delayMs: 5 };
    const report = net.publish("news", ["a", "b"], { reliability: "reliable" });
    expect([report.attempted, report.delivered]).toEqual([150, 150]);
    net.network.advance(10_000);
    for (const node of net.subscribers) expect(received(node, "news")).toEqual(["a", "b"]);
  });
});

describe("a subscription", () => {
  it("takes what its publisher sends on the channel's stream, and nothing of anybody else", () => {
    const net = new ChannelNetwork(2);
    const [a, b] = net.subscribers as [TestNode, TestNode];
    b.connect(a);
    net.network.advance(100);
    net.subscribe(a, "news");
    b.call((core) => core.send(a.nodeId, publishStreamId(channelHash("news")), [bytes("forged")]));
    net.network.advance(10);
    net.publish("news", "true");
    expect(receivedBySubscription(a)).toEqual(["true"]);
    expect(received(a, "news").sort()).toEqual(["forged", "true"]);
  });

  it("is never mixed up with another channel that has the same 16 bits in its packets", () => {
    const [first, second] = collidingNames();
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    expect(channelWireHash(channelHash(first))).toBe(channelWireHash(channelHash(second)));
    net.subscribe(a, first);
    const other = net.subscribe(a, second).subscription;
    net.publish(first, "1");
    net.publish(second, "2");
    expect([received(a, first), received(a, second)]).toEqual([["1"], ["2"]]);
    a.call((core) => core.channels.unsubscribe(other));
    net.network.advance(10);
    net.publish(second, "3");
    expect(received(a, second)).toEqual(["2"]);
  });

  it("is made over a link that loses half of everything", () => {
    for (let seed = 1; seed <= 5; seed++) {
      const net = new ChannelNetwork(1, { seed });
      net.network.net.conditions = { loss: 0.5, duplication: 0.3, delayMs: 20, reordering: 0.2 };
      const [a] = net.subscribers as [TestNode];
      const attempts = Array.from({ length: 5 }, (_, i) => net.subscribe(a, `c${i}`));
      expect(
        attempts.filter(({ error }) => error === undefined).length,
        net.network.label,
      ).toBeGreaterThanOrEqual(4);
      expect(a.core.counters.membershipResent, net.network.label).toBeGreaterThan(0);
    }
  });

  it("fails when nobody answers in time, and a late answer does no harm", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.network.net.link(net.publisher.transport.localAddress, a.transport.localAddress, { delayMs: 6_000 });
    const { subscription, error } = net.subscribe(a, "news");
    expect([error?.code, subscription.state]).toEqual(["ack-timeout", "ended"]);
    net.network.advance(20_000);
    expect(a.core.counters.membershipUnsolicited).toBeGreaterThan(0);
    expect(a.core.channelStats.subscriptions).toBe(0);
    // It was told that nobody waits any more.
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
  });

  it("is not accepted by anybody but the publisher, nor by an answer to another question", () => {
    const net = new ChannelNetwork(2);
    const [a, b] = net.subscribers as [TestNode, TestNode];
    b.connect(a);
    net.network.advance(100);
    net.publisher.kill();
    const subscription = a.call((core) => core.channels.subscribe(net.publisher.nodeId, "news", {}));
    net.network.advance(10);
    const nonce = subscription.request?.nonce as bigint;
    sendMembership(b, a, { type: "ack", nonce, accepted: true, reason: 0 });
    sendMembership(b, a, { type: "ack", nonce: nonce + 1n, accepted: true, reason: 0 });
    net.network.advance(10);
    expect(subscription.state).toBe("requesting");
    expect(a.core.counters.membershipUnsolicited).toBe(2);
    net.network.advance(6_000);
    expect(a.eventsOf("subscribe-failed").map(({ error }) => error.code)).toEqual(["ack-timeout"]);
  });

  it("comes back after a partition that both sides have noticed", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news", { group: "g" });
    const [from, to] = [net.publisher.transport.localAddress, a.transport.localAddress];
    net.network.net.partition(from, to);
    net.network.advance(60_000);
    expect(a.eventsOf("subscription-lost").map(({ error }) => error.code)).toEqual(["peer-lost"]);
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
    net.network.net.heal(from, to);
    net.network.advance(10_000);
    expect(a.eventsOf("resubscribed")).toHaveLength(1);
    net.publish("news", "back");
    expect(receivedBySubscription(a)).toEqual(["back"]);
  });

  it("comes back by itself when only the publisher has noticed the loss", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    net.network.net.link(a.transport.localAddress, net.publisher.transport.localAddress, { loss: 1 });
    net.network.advance(40_000);
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
    net.network.net.link(a.transport.localAddress, net.publisher.transport.localAddress, {});
    net.network.advance(70_000);
    net.publish("news", "back");
    expect(receivedBySubscription(a)).toEqual(["back"]);
  });

  it("comes back when the publisher is restarted, with the same token and group", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    const root = net.publisher.identity;
    const gated = { name: "news", tokenRoots: [root.entityId] };
    net.register(gated);
    expect(net.subscribe(a, "news", { group: "g", chain: net.chain(root, a, "news") }).error).toBeUndefined();
    const { identity } = net.publisher;
    const address = net.publisher.transport.localAddress;
    net.publisher.kill();
    net.network.net.release(net.publisher.transport);
    const again = net.network.add({ identity, address });
    again.call((core) => core.channels.register(gated));
    again.connect(a);
    net.network.advance(5_000);
    expect(a.eventsOf("subscription-lost").map(({ error }) => error.code)).toEqual(["session-replaced"]);
    expect(a.eventsOf("resubscribed")).toHaveLength(1);
    again.call((core) => core.channels.publish("news", [bytes("new")], {}));
    net.network.advance(10);
    expect(receivedBySubscription(a)).toEqual(["new"]);
  });

  it("is tried again, ever more slowly, while the publisher refuses", () => {
    const net = new ChannelNetwork(1, { node: { channels: { maxAuthFailures: 1_000 } } });
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    net.register({ name: "other" });
    net.network.advance(600_000);
    expect(a.eventsOf("subscription-lost").map(({ error }) => error.code)).toEqual(["unknown-channel"]);
    const refusals = net.publisher.core.counters.subscribersRefused;
    expect(refusals).toBeGreaterThan(8);
    expect(refusals).toBeLessThan(20);
    net.register({ name: "news" });
    net.network.advance(70_000);
    expect(a.eventsOf("resubscribed")).toHaveLength(1);
  });

  it("that is asked for again while it is lost tells that the publisher refuses, and goes on trying", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    net.register({ name: "other" });
    net.network.clock.advanceUntil(() => a.eventsOf("subscription-lost").length > 0, 600_000);
    const { subscription } = net.subscribe(a, "news");
    expect(a.eventsOf("subscription-lost").map(({ error }) => error.code)).toEqual([
      "unknown-channel",
      "unknown-channel",
    ]);
    net.network.advance(10_000);
    expect(a.eventsOf("subscription-lost")).toHaveLength(2);
    net.register({ name: "news" });
    net.network.advance(120_000);
    expect(subscription.state).toBe("active");
  });

  it("that was ended and made anew at once is not ended by the farewell on its way", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const net = new ChannelNetwork(1, { seed });
      const [a] = net.subscribers as [TestNode];
      const first = net.subscribe(a, "news").subscription;
      net.network.net.conditions = { loss: 0.4, delayMs: 5 };
      a.call((core) => core.channels.unsubscribe(first));
      const second = net.subscribe(a, "news").subscription;
      net.network.net.conditions = {};
      net.network.advance(6_000);
      expect(second.state, net.network.label).toBe("active");
      expect(a.eventsOf("unsubscribed")).toHaveLength(1);
      net.publish("news", "x");
      expect(receivedBySubscription(a), net.network.label).toEqual(["x"]);
    }
  });

  it("ends with its node without a word", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.subscribe(a, "news");
    a.call((core) => core.close());
    expect(a.core.channelStats.subscriptions).toBe(0);
    expect(codeOf(() => a.core.channels)).toBe("shutdown");
    net.network.advance(60_000);
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
  });
});

describe("with nodes of the reference", () => {
  const REFERENCE = { features: 0, security: "interop" } as const;

  it("everything published arrives, reliably too, and in both directions", () => {
    const net = new ChannelNetwork(0);
    const old = net.add(REFERENCE);
    net.subscribe(old, "news");
    net.publish("news", "1");
    net.network.net.conditions = LOSSY;
    for (let i = 2; i < 30; i++) {
      net.publish("news", `${i}`, { reliability: "reliable" });
      net.network.advance(100);
    }
    net.network.advance(10_000);
    // Nodes of the reference keep no order.
    expect(
      received(old, "news")
        .map(Number)
        .sort((x, y) => x - y),
    ).toEqual(Array.from({ length: 29 }, (_, i) => i + 1));
    net.network.net.conditions = {};
    const back = net.publisher.call((core) => core.channels.subscribe(old.nodeId, "back", {}));
    net.network.advance(10);
    expect(back.state).toBe("active");
    old.call((core) => core.channels.publish("back", [bytes("hello")], { reliability: "reliable" }));
    net.network.advance(10);
    expect(receivedBySubscription(net.publisher)).toEqual(["hello"]);
  });

  it("a subscription outlives the session that it was made in, as they expect", () => {
    const net = new ChannelNetwork(0);
    const old = net.add(REFERENCE);
    net.subscribe(old, "news");
    const requests = net.publisher.core.counters.subscribersAccepted;
    net.publisher.connect(old);
    net.publish("news", "x");
    expect(received(old, "news")).toEqual(["x"]);
    expect(requests).toBe(1);
  });

  it("a token is good with the entity of a signed announcement, and with none it is not", () => {
    const net = new ChannelNetwork(0);
    const old = net.add(REFERENCE);
    const { identity: root } = net.publisher;
    net.register({ name: "news", tokenRoots: [root.entityId] });
    const chain = net.chain(root, old, "news");
    expect(net.subscribe(old, "news", { chain }).error?.code).toBe("unauthorized");
    old.call((core) => core.announce({ tags: ["x"], metadata: new Map() }));
    net.network.advance(10);
    expect(net.subscribe(old, "news", { chain }).error).toBeUndefined();
    // In a new session it is sent nothing until the announcement has come again.
    net.publisher.connect(old);
    const session = net.publisher.core.peer(old.nodeId)?.session;
    expect(session?.entityId).toBeUndefined();
    expect(net.publisher.call((core) => core.channels.publish("news", [bytes("early")], {})).attempted).toBe(
      0,
    );
    net.network.advance(100);
    expect(net.publish("news", "late").attempted).toBe(1);
    expect(received(old, "news")).toEqual(["late"]);
  });

  it("an event that no datagram of their path takes is refused for them alone", () => {
    const net = new ChannelNetwork(0, { node: { datagramBytes: 1_200 } });
    const [old, young] = [net.add(REFERENCE), net.add()];
    for (const node of [old, young]) net.subscribe(node, "big");
    const report = net.publish("big", "x".repeat(3_000));
    expect(report.errors).toEqual([
      {
        peer: old.nodeId,
        error: expect.objectContaining({ code: "message-too-large", limit: 1_112 }),
        accepted: 0,
      },
    ]);
    expect(received(young, "big")).toHaveLength(1);
  });
});

/** Two names whose hashes have the same low 16 bits. */
function collidingNames(): [string, string] {
  const seen = new Map<number, string>();
  for (let i = 0; ; i++) {
    const name = `c/${i}`;
    const hash = channelWireHash(channelHash(name));
    const other = seen.get(hash);
    if (other !== undefined) return [other, name];
    seen.set(hash, name);
  }
}
