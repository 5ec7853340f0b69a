import { describe, expect, it } from "vitest";
import type { ChannelSubscription } from "../src/channel/channel-subscription.ts";
import type { PublishedPosition } from "../src/core/events.ts";
import type { TestNetworkOptions, TestNode } from "../src/testing/index.ts";
import { bytes, ChannelNetwork, received, sendMembership } from "./channel-network.ts";

const RELIABLE = { reliability: "reliable" } as const;

/** Asks, lets time pass until that is settled, and says what the answer was. */
function ask(
  net: ChannelNetwork,
  node: TestNode,
  subscription: ChannelSubscription,
): PublishedPosition | undefined {
  const nonce = node.call((core) => core.channels.askPosition(subscription));
  const settled = () => node.eventsOf("channel-position").find((event) => event.nonce === nonce);
  net.network.clock.advanceUntil(() => settled() !== undefined, 20_000);
  return settled()?.answer;
}

function subscribed(options: TestNetworkOptions = {}): {
  net: ChannelNetwork;
  a: TestNode;
  news: ChannelSubscription;
} {
  const net = new ChannelNetwork(1, options);
  const [a] = net.subscribers as [TestNode];
  return { net, a, news: net.subscribe(a, "news").subscription };
}

describe("the publisher of a channel", () => {
  it("tells a subscriber how far the channel is, and from which packet on that counts", () => {
    const { net, a, news } = subscribed();
    expect(ask(net, a, news)).toEqual({ sequence: 0, position: 0n, arrivedThrough: 0 });
    net.publish("news", ["one", "two"], RELIABLE);
    net.publish("news", "three", RELIABLE);
    expect(ask(net, a, news)).toEqual({ sequence: 2, position: 3n, arrivedThrough: 2 });
    expect(net.publisher.core.counters.positionsAnswered).toBe(2);
  });

  it("counts what others have got, too, so that all subscribers hear of the same position", () => {
    const { net, a, news } = subscribed();
    net.publish("news", "one", RELIABLE);
    const b = net.add();
    const later = net.subscribe(b, "news").subscription;
    net.publish("news", "two", RELIABLE);
    expect(ask(net, a, news)?.position).toBe(2n);
    expect(ask(net, b, later)).toEqual({ sequence: 1, position: 2n, arrivedThrough: 1 });
  });

  it.each([
    ["of a fixed size", { datagramBytes: 1_200 }],
    ["that may become smaller", {}],
  ])("puts what comes after its answer into other packets than what waits, in datagrams %s", (_, node) => {
    const { net, a, news } = subscribed({ node, conditions: { delayMs: 10 } });
    let answer: PublishedPosition | undefined;
    // More than the congestion window takes at once, so that some of it waits.
    const body = "x".repeat(500);
    net.publisher.call((core) => {
      for (let i = 0; i < 100; i++) core.channels.publish("news", [bytes(`${i} ${body}`)], RELIABLE);
    });
    const nonce = a.call((core) => core.channels.askPosition(news));
    for (let i = 100; i < 1_000; i++) {
      net.publisher.call((core) => core.channels.publish("news", [bytes(`${i} ${body}`)], RELIABLE));
      net.network.advance(1);
      answer ??= a.eventsOf("channel-position").find((event) => event.nonce === nonce)?.answer;
      if (answer !== undefined && i > Number(answer.position) + 50) break;
    }
    net.network.advance(1_000);
    if (answer === undefined) throw new Error("there is no answer");
    const packets = a.eventsOf("data").map(({ packet }) => packet);
    const before = packets.filter(({ sequence }) => sequence < answer.sequence);
    const numbers = received(a, "news").map((text) => Number.parseInt(text, 10));
    const count = before.reduce((sum, { events }) => sum + events.length, 0);
    expect(numbers.slice(0, count)).toEqual(Array.from({ length: Number(answer.position) }, (_, i) => i));
    expect(packets.length).toBeGreaterThan(before.length);
  });

  it("is asked again when question or answer is lost, and gives up when nobody answers", () => {
    const { net, a, news } = subscribed();
    net.publish("news", "one");
    net.network.net.conditions = { loss: 0.4, delayMs: 10 };
    for (let i = 0; i < 5; i++) expect(ask(net, a, news)?.position).toBe(1n);
    expect(a.core.counters.membershipResent).toBeGreaterThan(0);
    net.network.net.tap = () => false;
    expect(ask(net, a, news)).toBeUndefined();
  });

  it("says nothing to who has not subscribed, or shares the events with others", () => {
    const net = new ChannelNetwork(2);
    const [a, b] = net.subscribers as [TestNode, TestNode];
    const shared = net.subscribe(a, "news", { group: "workers" }).subscription;
    expect(ask(net, a, shared)).toBeUndefined();
    const before = net.publisher.core.counters.positionsRefused;
    sendMembership(b, net.publisher, { type: "position-request", nonce: 1n, channel: "news" });
    sendMembership(b, net.publisher, { type: "position-request", nonce: 2n, channel: "other" });
    net.network.advance(100);
    expect(net.publisher.core.counters.positionsRefused).toBe(before + 2);
    expect(net.publisher.core.counters.positionsAnswered).toBe(0);
  });

  it("never counts backwards, also when everybody has left meanwhile", () => {
    const { net, a, news } = subscribed();
    for (let i = 0; i < 3; i++) net.publish("news", "x", RELIABLE);
    a.call((core) => core.channels.unsubscribe(news));
    net.network.advance(100);
    const again = net.subscribe(a, "news").subscription;
    net.publish("news", "y", RELIABLE);
    expect(ask(net, a, again)).toMatchObject({ position: 4n, sequence: 4 });
  });

  it("is not believed by who has not asked it", () => {
    const { net, a } = subscribed();
    const stranger = net.add();
    stranger.connect(a);
    net.network.advance(100);
    sendMembership(stranger, a, { type: "position", nonce: 1n, sequence: 9, position: 9n });
    net.network.advance(100);
    expect(a.eventsOf("channel-position")).toEqual([]);
    expect(a.core.counters.membershipUnsolicited).toBe(1);
  });

  it("is not asked when it is a node of Net, or gone", () => {
    const net = new ChannelNetwork(0);
    const plain = net.add({ features: 0 });
    const news = net.subscribe(plain, "news").subscription;
    expect(plain.call((core) => core.channels.askPosition(news))).toBeUndefined();
  });
});
