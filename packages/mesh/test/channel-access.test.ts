import { issueToken, TokenChain, TokenScope } from "@netmesh/crypto";
import { decodeHeader, encodeMembership, NETMESH_CONTROL } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { ChannelConfig, SubnetRule } from "../src/index.ts";
import type { TestNode } from "../src/testing/index.ts";
import { ChannelNetwork, received, sendMembership } from "./channel-network.ts";
import { codeOf } from "./traffic.ts";

const NONE = new Map<string, string>();
const BY_REGION: readonly SubnetRule[] = [
  { level: 0, tagPrefix: "region:", values: { eu: 1, us: 2 } },
  { level: 1, tagPrefix: "zone:", values: { a: 10, b: 11 } },
];

function announce(net: ChannelNetwork, node: TestNode, ...tags: string[]): void {
  node.call((core) => core.announce({ tags, metadata: NONE }));
  net.network.advance(10);
}

describe("who may subscribe", () => {
  it("is anybody as long as nothing is registered, and to registered channels only from then on", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    expect(net.subscribe(a, "any").error).toBeUndefined();
    net.register({ name: "news" });
    expect(net.subscribe(a, "other").error?.code).toBe("unknown-channel");
    expect(net.subscribe(a, "news").error).toBeUndefined();
    // Who came before is not served any more, either.
    expect(net.publish("any", "x").attempted).toBe(0);
    net.publisher.call((core) => core.channels.unregister("news"));
    expect(codeOf(() => net.publisher.core.channels.unregister("news"))).toBeUndefined();
    expect(net.subscribe(a, "other").error).toBeUndefined();
  });

  it("depends on the exact name first, then on the longest text that it begins with", () => {
    const net = new ChannelNetwork(1, { node: { channels: { maxAuthFailures: 100 } } });
    const [a] = net.subscribers as [TestNode];
    const nobody: Partial<ChannelConfig> = { requireToken: true };
    net.register({ name: "sensors/", isPrefix: true });
    net.register({ name: "sensors/secret", isPrefix: true, ...nobody });
    net.register({ name: "sensors/secret/open" });
    const outcome = (name: string) => net.subscribe(a, name).error?.code;
    expect(outcome("sensors/lidar")).toBeUndefined();
    expect(outcome("sensors/secret/x")).toBe("unauthorized");
    expect(outcome("sensors/secretly")).toBe("unauthorized");
    expect(outcome("sensors/secret/open")).toBeUndefined();
    expect(outcome("sensors")).toBe("unknown-channel");
  });

  it("can be asked to announce capabilities", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.register({ name: "news", subscribeCaps: { requireTags: ["press"] } });
    expect(net.subscribe(a, "news").error?.code).toBe("unauthorized");
    announce(net, a, "press");
    expect(net.subscribe(a, "news").error).toBeUndefined();
  });

  it("can be asked for a token of the right root, person, channel, scope and time", () => {
    const net = new ChannelNetwork(2, { node: { channels: { maxAuthFailures: 100 } } });
    const [a, b] = net.subscribers as [TestNode, TestNode];
    const root = net.root();
    net.register({ name: "news", requireToken: true, tokenRoots: [root.entityId] });
    const outcome = (chain?: TokenChain) => net.subscribe(a, "news", { chain }).error?.code;
    expect(outcome()).toBe("unauthorized");
    expect(outcome(net.chain(net.root(), a, "news"))).toBe("unauthorized");
    expect(outcome(net.chain(root, b, "news"))).toBe("unauthorized");
    expect(outcome(net.chain(root, a, "olds"))).toBe("unauthorized");
    expect(outcome(net.chain(root, a, "news", 60n, TokenScope.PUBLISH))).toBe("unauthorized");
    const expired = net.chain(root, a, "news", 1n);
    net.network.advance(70_000);
    expect(outcome(expired)).toBe("unauthorized");
    expect(outcome(net.chain(root, a, "news"))).toBeUndefined();
    expect(net.publisher.core.channels.subscribersOf("news")).toEqual([a.nodeId]);
  });

  it("is nobody where tokens are required and no root is named", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.register({ name: "news", requireToken: true });
    expect(net.subscribe(a, "news", { chain: net.chain(net.root(), a, "news") }).error?.code).toBe(
      "unauthorized",
    );
  });

  it("is not answered before the peer has proven who it is, and then at once", () => {
    const net = new ChannelNetwork(0);
    const root = net.root();
    net.register({ name: "news", tokenRoots: [root.entityId] });
    const a = net.network.add();
    // What proves the subscriber gets lost for a while.
    net.network.net.tap = (datagram, from) =>
      from.key !== a.transport.localAddress.key || decodeHeader(datagram)?.subprotocolId !== NETMESH_CONTROL;
    a.connect(net.publisher);
    const chain = net.chain(root, a, "news");
    const subscription = a.call((core) => core.channels.subscribe(net.publisher.nodeId, "news", { chain }));
    net.network.advance(1_000);
    expect(subscription.state).toBe("requesting");
    expect(net.publisher.core.counters.membershipDeferred).toBeGreaterThan(1);
    expect(net.publisher.core.counters.subscribersRefused).toBe(0);
    net.network.net.tap = undefined;
    net.network.advance(3_000);
    expect(subscription.state).toBe("active");
  });

  it("is found out from a chain of eight tokens, on a path of 1200 bytes too", () => {
    const net = new ChannelNetwork(1, { node: { datagramBytes: 1_200 } });
    const [a] = net.subscribers as [TestNode];
    const root = net.root();
    net.register({ name: "news", tokenRoots: [root.entityId] });
    const now = BigInt(Math.floor(net.network.systemTime.now() / 1_000));
    const people = Array.from({ length: 7 }, () => net.root());
    const scope = TokenScope.SUBSCRIBE | TokenScope.DELEGATE | TokenScope.WILDCARD;
    const first = {
      subject: (people[0] as typeof root).entityId,
      scope,
      channel: 0n,
      ttl: 3_600n,
      delegationDepth: 7,
    };
    let chain = new TokenChain([issueToken(root, first, now)]);
    people.forEach((person, i) => {
      const subject = people[i + 1]?.entityId ?? a.identity.entityId;
      chain = chain.delegate(person, { subject, scope }, now);
    });
    expect(chain.toBytes().length).toBe(1_353);
    expect(net.subscribe(a, "news", { chain }).error).toBeUndefined();
    expect(a.core.counters.packetsParted).toBe(1);
    expect(net.publisher.core.counters.packetsAssembled).toBe(1);
    net.publisher.call((core) => core.channels.register({ name: "news", tokenRoots: [root.entityId] }));
  });

  it("may be throttled after refusals, until a while has passed, or something was granted before", () => {
    const limits = {
      maxAuthFailures: 3,
      authFailureWindowMs: 60_000,
      authThrottleMs: 30_000,
      maxChannelsPerPeer: 2,
    };
    const net = new ChannelNetwork(2, { node: { channels: limits } });
    const [a, b] = net.subscribers as [TestNode, TestNode];
    net.register({ name: "open" });
    net.register({ name: "wide" });
    net.register({ name: "free" });
    const outcome = (node: TestNode, name: string) => net.subscribe(node, name).error?.code;
    expect(["x", "x", "x", "open"].map((name) => outcome(a, name))).toEqual([
      "unknown-channel",
      "unknown-channel",
      "unknown-channel",
      "rate-limited",
    ]);
    expect(outcome(b, "open")).toBeUndefined();
    net.network.advance(31_000);
    expect(["x", "x", "open", "x", "x"].map((name) => outcome(a, name)).at(-1)).toBe("unknown-channel");
    expect(outcome(a, "wide")).toBeUndefined();
    // Too many channels is a limit, and no failure.
    for (let i = 0; i < 4; i++) expect(outcome(a, "free")).toBe("too-many-channels");
    expect(outcome(a, "open")).toBeUndefined();
  });

  it("is bounded in all", () => {
    const net = new ChannelNetwork(3, { node: { channels: { maxSubscribers: 2 } } });
    const outcomes = net.subscribers.map((node) => net.subscribe(node, "news").error?.code);
    expect(outcomes).toEqual([undefined, undefined, "too-many-channels"]);
  });
});

describe("who keeps receiving", () => {
  it("loses its place with the next look at the tokens once its own has ended", () => {
    const net = new ChannelNetwork(1, { node: { channels: { tokenSweepMs: 5_000, tokenSkewSeconds: 0 } } });
    const [a] = net.subscribers as [TestNode];
    const { identity: root } = net.publisher;
    net.register({ name: "news/", isPrefix: true, tokenRoots: [root.entityId] });
    net.subscribe(a, "news/today", { chain: net.chain(root, a, "news/today", 30n) });
    net.publish("news/today", "1");
    net.network.advance(20_000);
    // Under a prefix too, sweeps and publications leave it in place as long as it holds.
    net.publish("news/today", "2");
    expect(received(a, "news/today")).toEqual(["1", "2"]);
    net.network.advance(16_000);
    expect(net.publisher.core.counters.subscribersRevoked).toBe(1);
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
    expect(net.publish("news/today", "3")).toEqual({ attempted: 0, delivered: 0, errors: [] });
  });

  it("loses its place with a publication where nobody looks at tokens in between", () => {
    const net = new ChannelNetwork(1, { node: { channels: { tokenSweepMs: 0, tokenSkewSeconds: 0 } } });
    const [a] = net.subscribers as [TestNode];
    const { identity: root } = net.publisher;
    net.register({ name: "news", tokenRoots: [root.entityId] });
    net.subscribe(a, "news", { chain: net.chain(root, a, "news", 30n) });
    net.network.advance(40_000);
    expect(net.publisher.core.channelStats.subscribers).toBe(1);
    expect(net.publish("news", "x").attempted).toBe(0);
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
  });

  it("loses its place when its root revokes the token, or the channel becomes another root's", () => {
    const net = new ChannelNetwork(2);
    const [a, b] = net.subscribers as [TestNode, TestNode];
    const own = net.publisher.identity.entityId;
    const [first, second] = [net.root(), net.root()];
    net.register({ name: "news", tokenRoots: [first.entityId, second.entityId, own] });
    net.subscribe(a, "news", { chain: net.chain(first, a, "news") });
    net.subscribe(b, "news", { chain: net.chain(second, b, "news") });
    expect(net.publish("news", "1").attempted).toBe(2);
    expect(net.publisher.call((core) => core.channels.revokeTokens(first.entityId, 1))).toBe(true);
    expect(net.publisher.call((core) => core.channels.revokeTokens(first.entityId, 1))).toBe(false);
    expect(net.publish("news", "2").attempted).toBe(1);
    net.register({ name: "news", tokenRoots: [own] });
    expect(net.publish("news", "3").attempted).toBe(0);
    expect([received(a, "news"), received(b, "news")]).toEqual([["1"], ["1", "2"]]);
  });

  it("needs a token once one is required, although it came without", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    net.register({ name: "news" });
    net.subscribe(a, "news");
    net.register({ name: "news", tokenRoots: [net.publisher.identity.entityId] });
    expect(net.publish("news", "x").attempted).toBe(0);
  });

  it("is not touched by the loss of another peer", () => {
    const net = new ChannelNetwork(2);
    const [a, b] = net.subscribers as [TestNode, TestNode];
    for (const node of [a, b]) net.subscribe(node, "news");
    a.kill();
    net.network.advance(40_000);
    expect(net.publisher.core.channels.subscribersOf("news")).toEqual([b.nodeId]);
  });
});

describe("who may publish", () => {
  it("has to announce what the channel asks of publishers", () => {
    const net = new ChannelNetwork(1);
    net.subscribe(net.subscribers[0] as TestNode, "news");
    net.register({ name: "news", publishCaps: { requireTags: ["editor"] } });
    expect(codeOf(() => net.publish("news", "x"))).toBe("publish-denied");
    announce(net, net.publisher, "editor");
    expect(net.publish("news", "x").attempted).toBe(1);
  });

  it("needs a token of its own where tokens are required, and to be installed it has to be good", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    const root = net.root();
    net.register({ name: "news", tokenRoots: [root.entityId] });
    // A token that is installed is presented without being asked for.
    a.call((core) => core.channels.installToken(net.chain(root, a, "news")));
    expect(net.subscribe(a, "news").error).toBeUndefined();
    expect(codeOf(() => net.publish("news", "x"))).toBe("publish-denied");
    const install = (chain: TokenChain) =>
      codeOf(() => net.publisher.call((core) => core.channels.installToken(chain)));
    expect(install(net.chain(root, a, "news", 60n, TokenScope.PUBLISH))).toBe("invalid-argument");
    expect(install(net.chain(net.root(), net.publisher, "news", 60n, TokenScope.PUBLISH))).toBeUndefined();
    expect(codeOf(() => net.publish("news", "x"))).toBe("publish-denied");
    const good = net.chain(root, net.publisher, "news", 60n, TokenScope.PUBLISH);
    expect(install(good)).toBeUndefined();
    expect(net.publish("news", "x").delivered).toBe(1);
    const bytes = good.toBytes();
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    expect(install(TokenChain.parse(bytes))).toBe("invalid-argument");
    net.network.advance(200_000);
    expect(codeOf(() => net.publish("news", "x"))).toBe("publish-denied");
  });
});

describe("subnets", () => {
  it("decide who sees a channel: its own, its ancestors, everybody", () => {
    const net = new ChannelNetwork(0, {
      node: { subnetPolicy: BY_REGION, channels: { maxAuthFailures: 100 } },
    });
    announce(net, net.publisher, "region:eu", "zone:a");
    const same = net.add();
    announce(net, same, "region:eu", "zone:a");
    const parent = net.add();
    announce(net, parent, "region:eu");
    const sibling = net.add();
    announce(net, sibling, "region:eu", "zone:b");
    const unknown = net.add();
    net.register({ name: "local", visibility: "subnet-local" });
    net.register({ name: "up", visibility: "parent-visible" });
    net.register({ name: "out", visibility: "exported" });
    net.register({ name: "all", visibility: "global" });
    const outcomes = (name: string) =>
      [same, parent, sibling, unknown].map((node) => net.subscribe(node, name).error === undefined);
    expect(outcomes("local")).toEqual([true, false, false, false]);
    expect(outcomes("up")).toEqual([true, true, false, false]);
    expect(outcomes("out")).toEqual([false, false, false, false]);
    expect(outcomes("all")).toEqual([true, true, true, true]);
    // A subscriber that moves sees no more of it.
    net.network.advance(11_000);
    announce(net, same, "region:us");
    expect(net.publish("local", "x").attempted).toBe(0);
    expect(net.publisher.core.counters.publishFiltered).toBe(1);
    announce(net, parent, "region:us");
    expect(net.publish("up", "x").attempted).toBe(0);
    expect(net.publish("all", "x").attempted).toBe(4);
  });

  it("without a policy make no difference", () => {
    const net = new ChannelNetwork(1);
    net.register({ name: "local", visibility: "subnet-local" });
    net.subscribe(net.subscribers[0] as TestNode, "local");
    expect(net.publish("local", "x").delivered).toBe(1);
  });

  it("are what a query of the same subnet is about, and unknown ones count as the same", () => {
    const net = new ChannelNetwork(0, { node: { subnetPolicy: BY_REGION } });
    announce(net, net.publisher, "region:eu", "x");
    const [same, other] = [net.add(), net.add()];
    announce(net, same, "region:eu", "scope:subnet-local", "x");
    announce(net, other, "region:us", "x");
    const find = (scope: "any" | "sameSubnet") => net.publisher.core.findNodes({ requireTags: ["x"] }, scope);
    const ids = (...nodes: TestNode[]) => nodes.map(({ nodeId }) => nodeId).sort((a, b) => (a < b ? -1 : 1));
    expect(find("sameSubnet")).toEqual(ids(net.publisher, same));
    expect(find("any")).toEqual(ids(net.publisher, other));
    const fixed = new ChannelNetwork(0, { node: { subnet: 0x01000000 } });
    announce(fixed, fixed.publisher, "x");
    announce(fixed, fixed.add(), "x");
    expect(fixed.publisher.core.findNodes({}, "sameSubnet")).toEqual([fixed.publisher.nodeId]);
  });

  it("with settings that are none are refused", () => {
    const network = new ChannelNetwork(0).network;
    for (const subnet of [-1, 1.5, 2 ** 32])
      expect(codeOf(() => network.add({ subnet }))).toBe("invalid-argument");
    for (const level of [-1, 4, 0.5]) {
      expect(codeOf(() => network.add({ subnetPolicy: [{ level, tagPrefix: "a", values: {} }] }))).toBe(
        "invalid-argument",
      );
    }
    const values = { a: 256 };
    expect(codeOf(() => network.add({ subnetPolicy: [{ level: 0, tagPrefix: "a", values }] }))).toBe(
      "invalid-argument",
    );
    expect(codeOf(() => network.add({ channels: { maxChannelsPerPeer: 0 } }))).toBe("config");
    expect(codeOf(() => network.add({ channels: { tokenSkewSeconds: 301 } }))).toBe("config");
    const zero = { tokenSweepMs: 0, authFailureWindowMs: 0, authThrottleMs: 0, tokenSkewSeconds: 0 };
    expect(codeOf(() => network.add({ channels: zero }))).toBeUndefined();
  });

  it("and channels with settings that are none are refused, whatever they would allow", () => {
    const { publisher } = new ChannelNetwork(0);
    const register = (config: object) =>
      codeOf(() => publisher.core.channels.register(config as ChannelConfig));
    expect(register({ name: "A" })).toBe("invalid-channel-name");
    expect(register({ name: "a/" })).toBe("invalid-channel-name");
    expect(register({ name: "a//", isPrefix: true })).toBe("invalid-channel-name");
    expect(register({ name: "a/", isPrefix: true })).toBeUndefined();
    expect(register({ name: "a", visibility: "nearby" })).toBe("invalid-argument");
    expect(register({ name: "a", tokenRoots: [new Uint8Array(31)] })).toBe("invalid-argument");
    expect(register({ name: "a", subscribeCaps: { tags: [] } })).toBe("invalid-argument");
    expect(register({ name: "a", publishCaps: { tags: [] } })).toBe("invalid-argument");
    expect(register({ name: "a", require_token: true })).toBe("invalid-argument");
    expect(publisher.core.channelStats.registered).toBe(1);
  });
});

describe("a hostile member", () => {
  it("gets nothing by malformed messages, and everything else goes on", () => {
    const net = new ChannelNetwork(2);
    const [a, evil] = net.subscribers as [TestNode, TestNode];
    net.subscribe(a, "news");
    const whole = encodeMembership({
      type: "subscribe",
      nonce: 1n,
      channel: "news",
      token: new Uint8Array(170),
      queueGroup: "g",
    });
    // Every cut but those behind the name and behind the token.
    const cuts = [...whole.keys()].filter((end) => end !== 14 && end !== 186);
    for (const end of cuts) sendMembership(evil, net.publisher, whole.slice(0, end));
    sendMembership(evil, net.publisher, Uint8Array.of(...whole, 0));
    sendMembership(evil, net.publisher, Uint8Array.of(3, 0, 0, 0));
    net.network.advance(10);
    expect(net.publisher.core.counters.membershipMalformed).toBe(cuts.length + 2);
    expect(net.publisher.core.channelStats.subscribers).toBe(1);
    net.publish("news", "x");
    expect(received(a, "news")).toEqual(["x"]);
  });

  it("fills no memory with channels that nobody knows, nor with nonces", () => {
    const net = new ChannelNetwork(2, { node: { channels: { maxChannelsPerPeer: 100 } } });
    const [a, evil] = net.subscribers as [TestNode, TestNode];
    for (let i = 0; i < 2_000; i++) {
      sendMembership(evil, net.publisher, { type: "subscribe", nonce: BigInt(i), channel: `bomb/${i}` });
      if (i % 100 === 0) net.network.advance(1);
    }
    net.network.advance(10);
    expect(net.publisher.core.channelStats).toMatchObject({ published: 100, subscribers: 100 });
    expect(net.subscribe(a, "news").error).toBeUndefined();
    evil.kill();
    net.network.advance(40_000);
    expect(net.publisher.core.channelStats).toMatchObject({ published: 1, subscribers: 1 });
  });

  it("cannot make the publisher verify chains without end", () => {
    const net = new ChannelNetwork(1);
    const [evil] = net.subscribers as [TestNode];
    const root = net.root();
    net.register({ name: "news", tokenRoots: [root.entityId] });
    for (let i = 0; i < 200; i++) {
      const token = net.chain(root, evil, "news", BigInt(100 + i)).toBytes();
      sendMembership(evil, net.publisher, { type: "subscribe", nonce: BigInt(i), channel: "news", token });
    }
    net.network.advance(10);
    expect(net.publisher.core.counters.subscribersAccepted).toBe(32);
    expect(net.publisher.core.counters.membershipDeferred).toBe(168);
  });

  it("gets the answer of the first time for a repeated question, which changes nothing", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    const question = { type: "subscribe", nonce: 9n, channel: "news" } as const;
    sendMembership(a, net.publisher, question);
    sendMembership(a, net.publisher, { type: "unsubscribe", nonce: 10n, channel: "news" });
    sendMembership(a, net.publisher, question);
    sendMembership(a, net.publisher, { type: "unsubscribe", nonce: 10n, channel: "news" });
    net.network.advance(10);
    expect(net.publisher.core.channelStats.subscribers).toBe(0);
    expect(net.publisher.core.counters.membershipRepeated).toBe(2);
    expect(net.publisher.core.counters.subscribersAccepted).toBe(1);
  });

  it("has the last 64 of its questions remembered, and older ones judged anew", () => {
    const net = new ChannelNetwork(1);
    const [a] = net.subscribers as [TestNode];
    const ask = (nonce: bigint) =>
      sendMembership(a, net.publisher, { type: "subscribe", nonce, channel: "news" });
    for (let nonce = 1n; nonce <= 65n; nonce++) ask(nonce);
    ask(2n);
    ask(1n);
    net.network.advance(10);
    expect(net.publisher.core.counters.membershipRepeated).toBe(1);
  });
});
