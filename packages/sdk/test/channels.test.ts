import { describe, expect, it } from "vitest";
import {
  ChannelAuthError,
  type ChannelConfig,
  ChannelError,
  type ChannelMessage,
  channelHash,
  delegateToken,
  Identity,
  InvalidArgumentError,
  issueToken,
  type Mesh,
  type MeshOptions,
  ShutdownError,
  type Subscription,
  type Token,
  type TokenAction,
  TokenError,
  TransportError,
} from "../src/index.ts";
import { bytes, openMesh, text } from "./open-mesh.ts";

const RELIABLE = { reliability: "reliable" } as const;

describe("a subscription", () => {
  it("brings what is published, in order, until it is disposed of", async () => {
    const { publisher, subscriber } = await connected();
    publisher.registerChannel({ name: "news/today" });
    const feed = await subscriber.subscribe(publisher.nodeId, "news/today");
    const reading = take(feed, 3);
    for (const word of ["one", "two"]) {
      expect(await publisher.publish("news/today", bytes(word), RELIABLE)).toEqual({
        attempted: 1,
        delivered: 1,
        errors: [],
      });
    }
    await publisher.publish("news/today", [bytes("three")], RELIABLE);
    const messages = await reading;
    expect(messages.map(({ data }) => text(data))).toEqual(["one", "two", "three"]);
    expect(messages.map(({ sequence }) => sequence)).toEqual([0, 1, 2]);
    expect(messages.every(({ publisher: from }) => from === publisher.nodeId)).toBe(true);
    expect(publisher.stats().channels).toMatchObject({ registered: 1, published: 1, subscribers: 1 });
    expect(subscriber.stats().channels.subscriptions).toBe(1);
    await feed.unsubscribe();
    await feed[Symbol.asyncDispose]();
    expect(publisher.stats().channels.subscribers).toBe(0);
    expect((await feed.messages().next()).done).toBe(true);
    expect((await publisher.publish("news/today", bytes("four"))).attempted).toBe(0);
  });

  it("ends its loop by a signal and goes on in another one", async () => {
    const { publisher, subscriber } = await connected();
    const feed = await subscriber.subscribe(publisher.nodeId, "news");
    const aborter = new AbortController();
    const loop = feed.messages({ signal: aborter.signal });
    const waiting = loop.next();
    aborter.abort();
    expect((await waiting).done).toBe(true);
    await publisher.publish("news", bytes("later"));
    expect((await take(feed, 1)).map(({ data }) => text(data))).toEqual(["later"]);
  });

  it("shares a channel with another one of the same node, and the publisher is told by the last", async () => {
    const { publisher, subscriber } = await connected();
    const [first, second] = [
      await subscriber.subscribe(publisher.nodeId, "news"),
      await subscriber.subscribe(publisher.nodeId, "news"),
    ];
    await publisher.publish("news", bytes("both"), RELIABLE);
    for (const feed of [first, second])
      expect(text((await take(feed, 1))[0]?.data as Uint8Array)).toBe("both");
    await first.unsubscribe();
    expect(publisher.stats().channels.subscribers).toBe(1);
    await second.unsubscribe();
    expect(publisher.stats().channels.subscribers).toBe(0);
  });

  it("keeps what it can of messages that nobody reads, and counts the others", async () => {
    const { publisher, subscriber } = await connected();
    const oldest = await subscriber.subscribe(publisher.nodeId, "a", { highWaterMark: 2 });
    const newest = await subscriber.subscribe(publisher.nodeId, "b", {
      highWaterMark: 2,
      overflow: "drop-oldest",
    });
    const failing = await subscriber.subscribe(publisher.nodeId, "c", {
      highWaterMark: 2,
      overflow: "error",
    });
    const last = await subscriber.subscribe(publisher.nodeId, "last");
    for (const name of ["a", "b", "c"]) {
      for (const word of ["1", "2", "3"]) await publisher.publish(name, bytes(word));
    }
    await publisher.publish("last", bytes("x"));
    await take(last, 1);
    expect([oldest.dropped, newest.dropped, failing.dropped]).toEqual([1, 1, 1]);
    expect((await take(oldest, 2)).map(({ data }) => text(data))).toEqual(["1", "2"]);
    expect((await take(newest, 2)).map(({ data }) => text(data))).toEqual(["2", "3"]);
    await expect(take(failing, 3)).rejects.toThrow(RangeError);
  });

  it("that is not read holds up the publisher, who loses nothing by that", async () => {
    const { publisher, subscriber } = await connected();
    const feed = await subscriber.subscribe(publisher.nodeId, "bulk", { highWaterMark: 1 });
    const kilobyte = new Uint8Array(1_000);
    let sent = 0;
    let refusal: ChannelError | undefined;
    while (refusal === undefined) {
      const report = await publisher.publish("bulk", kilobyte, { ...RELIABLE, onFailure: "collect" });
      sent += report.delivered;
      refusal = report.errors[0]?.error;
    }
    expect(refusal).toBeInstanceOf(ChannelError);
    expect(refusal.code).toBe("backpressure");
    await expect(publisher.publish("bulk", kilobyte, RELIABLE)).rejects.toMatchObject({
      code: "publish-failed",
      report: { attempted: 1, delivered: 0 },
    });
    expect(await take(feed, sent)).toHaveLength(sent);
    expect(feed.dropped).toBe(0);
    // It goes on once that was taken.
    for (;;) {
      const { delivered } = await publisher.publish("bulk", bytes("end"), {
        ...RELIABLE,
        onFailure: "collect",
      });
      if (delivered === 1) break;
      await new Promise(setImmediate);
    }
    expect(text((await take(feed, 1))[0]?.data as Uint8Array)).toBe("end");
  });

  it("comes back when its publisher is restarted, and says so", async () => {
    const identity = Identity.generate();
    const { publisher, subscriber } = await connected({ identity });
    const feed = await subscriber.subscribe(publisher.nodeId, "news");
    const told: string[] = [];
    feed.addEventListener("lost", ({ error }) => told.push((error as { code: string }).code));
    const back = new Promise((resolve) => feed.addEventListener("resubscribed", resolve));
    await publisher.shutdown({ graceMs: 0 });
    const again = await openMesh({ identity });
    await again.connect(subscriber.contact);
    await back;
    expect(told).toEqual(["session-replaced"]);
    expect(feed.active).toBe(true);
    await again.publish("news", bytes("again"), RELIABLE);
    expect(text((await take(feed, 1))[0]?.data as Uint8Array)).toBe("again");
  });

  it("whose restarted publisher refuses it is refused to whoever asks for it again", async () => {
    const identity = Identity.generate();
    const { publisher, subscriber } = await connected({ identity });
    const feed = await subscriber.subscribe(publisher.nodeId, "news");
    let losses = 0;
    const lost = new Promise<void>((resolve) => {
      feed.addEventListener("lost", () => {
        losses++;
        resolve();
      });
    });
    await publisher.shutdown({ graceMs: 0 });
    const again = await openMesh({ identity });
    again.registerChannel({ name: "other" });
    await again.connect(subscriber.contact);
    await lost;
    await expect(subscriber.subscribe(publisher.nodeId, "news")).rejects.toMatchObject({
      code: "unknown-channel",
    });
    expect(losses).toBe(1);
    expect(feed.active).toBe(false);
  });

  it("works over a relay", async () => {
    const relay = await openMesh();
    const [publisher, subscriber] = [await openMesh(), await openMesh()];
    await publisher.connect(relay.contact);
    await subscriber.connect(relay.contact);
    await subscriber.connectVia(relay.nodeId, publisher.contact);
    const feed = await subscriber.subscribe(publisher.nodeId, "far");
    await publisher.publish("far", bytes("away"), RELIABLE);
    expect(text((await take(feed, 1))[0]?.data as Uint8Array)).toBe("away");
    expect(relay.stats().unclaimedEvents).toBe(0);
  });

  it("takes nothing away from events(), which sees the channels that are not subscribed to", async () => {
    const { publisher, subscriber } = await connected();
    const feed = await subscriber.subscribe(publisher.nodeId, "news");
    const events = subscriber.events();
    await publisher.publish("news", bytes("for the feed"));
    await publisher.send(subscriber.nodeId, bytes("plain"));
    expect(text((await events.next()).value?.data as Uint8Array)).toBe("plain");
    // The feed is gone here before the publisher knows.
    const leaving = feed.unsubscribe();
    await publisher.publish("news", bytes("stray"));
    const { value } = await events.next();
    expect([value?.channelHash, text(value?.data as Uint8Array)]).toEqual([
      Number(channelHash("news") & 0xffffn),
      "stray",
    ]);
    await leaving;
  });
});

describe("who may subscribe and publish", () => {
  it("is decided by tokens, and an unauthorized subscriber is told so", async () => {
    const { publisher, subscriber } = await connected();
    const root = Identity.generate();
    const own = tokenFor(root, publisher, "lidar", "publish");
    publisher.registerChannel({ name: "lidar", requireToken: true, tokenRoots: [root.entityId] });
    const subscribe = (token?: Token) => subscriber.subscribe(publisher.nodeId, "lidar", { token });
    await expect(subscribe()).rejects.toBeInstanceOf(ChannelAuthError);
    const other = await openMesh();
    await expect(subscribe(tokenFor(root, other, "lidar"))).rejects.toMatchObject({ code: "unauthorized" });
    await expect(subscribe(tokenFor(root, subscriber, "radar"))).rejects.toBeInstanceOf(ChannelError);
    const feed = await subscribe(tokenFor(root, subscriber, "lidar"));
    await expect(publisher.publish("lidar", bytes("x"))).rejects.toMatchObject({ code: "publish-denied" });
    publisher.installToken(own);
    expect((await publisher.publish("lidar", bytes("x"))).delivered).toBe(1);
    expect(text((await take(feed, 1))[0]?.data as Uint8Array)).toBe("x");
    expect(publisher.revokeTokens(root.entityId, 1)).toBe(true);
    await expect(publisher.publish("lidar", bytes("x"))).rejects.toMatchObject({ code: "publish-denied" });
    expect(() => subscriber.installToken(own)).toThrow(InvalidArgumentError);
  });

  it("is decided by capabilities and by what is registered", async () => {
    const { publisher, subscriber } = await connected();
    publisher.registerChannel({ name: "press", subscribeCaps: { requireTags: ["press"] } });
    publisher.registerChannel({ name: "mine", publishCaps: { requireTags: ["editor"] } });
    const subscribe = (name: string) => subscriber.subscribe(publisher.nodeId, name);
    await expect(subscribe("press")).rejects.toMatchObject({ code: "unauthorized" });
    await expect(subscribe("olds")).rejects.toMatchObject({ code: "unknown-channel", name: "ChannelError" });
    await expect(publisher.publish("mine", bytes("x"))).rejects.toMatchObject({ code: "publish-denied" });
    const known = new Promise((resolve) =>
      publisher.addEventListener("capabilities-changed", resolve, { once: true }),
    );
    await subscriber.announceCapabilities({ tags: ["press"] });
    await known;
    expect((await subscribe("press")).active).toBe(true);
    expect(publisher.unregisterChannel("mine")).toBe(true);
    expect(publisher.unregisterChannel("mine")).toBe(false);
  });

  it("and whose settings or names are none, is refused here", async () => {
    const { publisher, subscriber } = await connected();
    const bad = { name: "x", visibility: "nearby" } as unknown as ChannelConfig;
    expect(() => publisher.registerChannel(bad)).toThrow(InvalidArgumentError);
    expect(() => publisher.registerChannel({ name: "X" })).toThrow(
      expect.objectContaining({ code: "invalid-channel-name" }),
    );
    for (const visibility of ["global", "subnet-local", "parent-visible", "exported"] as const) {
      publisher.registerChannel({ name: `v/${visibility}`, visibility });
    }
    const { nodeId } = publisher;
    await expect(subscriber.subscribe(nodeId, "A")).rejects.toMatchObject({ code: "invalid-channel-name" });
    await expect(subscriber.subscribe(-1n, "a")).rejects.toBeInstanceOf(InvalidArgumentError);
    await expect(subscriber.subscribe(nodeId, "a", { group: "" })).rejects.toBeInstanceOf(
      InvalidArgumentError,
    );
    await expect(subscriber.subscribe(1n, "a")).rejects.toBeInstanceOf(TransportError);
    await expect(publisher.publish("a", "text" as unknown as Uint8Array)).rejects.toBeInstanceOf(
      InvalidArgumentError,
    );
    for (const subnet of [[], [1, 2, 3, 4, 5], [256], [-1], [0.5]]) {
      await expect(openMesh({ subnet })).rejects.toBeInstanceOf(InvalidArgumentError);
    }
  });

  it("depends on the subnets where the channel is local", async () => {
    const subnetPolicy = [{ level: 0, tagPrefix: "region:", values: { eu: 1, us: 2 } }];
    const publisher = await openMesh({ subnetPolicy, subnet: [1] });
    publisher.registerChannel({ name: "local", visibility: "subnet-local" });
    const join = async (region: string) => {
      const mesh = await openMesh();
      await mesh.connect(publisher.contact);
      const known = new Promise((resolve) =>
        publisher.addEventListener("capabilities-changed", resolve, { once: true }),
      );
      await mesh.announceCapabilities({ tags: [`region:${region}`] });
      await known;
      return mesh;
    };
    const near = await join("eu");
    const far = await join("us");
    expect((await near.subscribe(publisher.nodeId, "local")).active).toBe(true);
    await expect(far.subscribe(publisher.nodeId, "local")).rejects.toMatchObject({ code: "unauthorized" });
  });
});

describe("tokens", () => {
  it("are passed on from one to the next, and the last of them may subscribe", async () => {
    const { publisher, subscriber } = await connected();
    const [root, agent] = [Identity.generate(), Identity.generate()];
    publisher.registerChannel({ name: "lidar", tokenRoots: [root.entityId] });
    const scope = ["subscribe", "delegate"] as const;
    const first = issueToken(root, {
      subject: agent.entityId,
      scope,
      channel: "lidar",
      ttlMs: 60_000,
      delegationDepth: 1,
    });
    const token = delegateToken(first, agent, { subject: subscriber.identity.entityId, scope });
    expect((await subscriber.subscribe(publisher.nodeId, "lidar", { token })).active).toBe(true);
    const again = () => delegateToken(token, subscriber.identity, { subject: root.entityId, scope });
    expect(again).toThrow(expect.objectContaining({ name: "TokenError", code: "delegation-exhausted" }));
    const stolen = () => delegateToken(first, root, { subject: root.entityId, scope });
    expect(stolen).toThrow(expect.objectContaining({ code: "not-authorized" }));
  });

  it("that would be none are not issued", () => {
    const root = Identity.generate();
    const issue = (changes: object) => () =>
      issueToken(root, { subject: root.entityId, scope: ["publish"], channel: "a", ttlMs: 1, ...changes });
    expect(issue({})().notAfter - issue({})().notBefore).toBe(1n);
    expect(issue({ ttlMs: 0 })).toThrow(TokenError);
    expect(issue({ ttlMs: 0 })).toThrow(expect.objectContaining({ code: "zero-ttl" }));
    expect(issue({ ttlMs: 366 * 86_400_000 })).toThrow(expect.objectContaining({ code: "ttl-too-long" }));
    expect(issue({ ttlMs: Number.NaN })).toThrow(InvalidArgumentError);
    expect(issue({ channel: "A" })).toThrow(expect.objectContaining({ code: "invalid-channel-name" }));
    expect(issue({ subject: new Uint8Array(31) })).toThrow(
      expect.objectContaining({ code: "invalid-length" }),
    );
    expect(issue({ scope: ["everything"] })).toThrow(InvalidArgumentError);
  });
});

describe("a request to subscribe", () => {
  it("can be given up before, during and after", async () => {
    const { publisher, subscriber } = await connected();
    const reason = new Error("changed my mind");
    const subscribe = (signal: AbortSignal) => subscriber.subscribe(publisher.nodeId, "news", { signal });
    await expect(subscribe(AbortSignal.abort(reason))).rejects.toBe(reason);
    const aborter = new AbortController();
    const during = subscribe(aborter.signal);
    aborter.abort(reason);
    await expect(during).rejects.toBe(reason);
    expect(subscriber.stats().channels.subscriptions).toBe(0);
    const late = new AbortController();
    const feed = await subscribe(late.signal);
    late.abort(reason);
    await publisher.publish("news", bytes("x"));
    expect(await take(feed, 1)).toHaveLength(1);
  });

  it("times out, and ends with the mesh", async () => {
    const { publisher, subscriber } = await connected();
    subscriber.block(publisher.localAddress);
    await expect(subscriber.subscribe(publisher.nodeId, "news", { timeoutMs: 20 })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    const pending = subscriber.subscribe(publisher.nodeId, "news");
    const outcome = expect(pending).rejects.toBeInstanceOf(ShutdownError);
    await subscriber.shutdown();
    await outcome;
    await expect(subscriber.subscribe(publisher.nodeId, "news")).rejects.toBeInstanceOf(ShutdownError);
    await expect(subscriber.publish("news", bytes("x"))).rejects.toBeInstanceOf(ShutdownError);
  });

  it("ends with the mesh, and so do loops over what was accepted", async () => {
    const { publisher, subscriber } = await connected();
    const feed = await subscriber.subscribe(publisher.nodeId, "news");
    const waiting = feed.messages().next();
    await subscriber.shutdown();
    expect((await waiting).done).toBe(true);
    await feed.unsubscribe();
  });
});

async function connected(options: Partial<MeshOptions> = {}): Promise<{ publisher: Mesh; subscriber: Mesh }> {
  const publisher = await openMesh(options);
  const subscriber = await openMesh();
  await subscriber.connect(publisher.contact);
  return { publisher, subscriber };
}

/** The next messages of a subscription. */
async function take(feed: Subscription, count: number): Promise<ChannelMessage[]> {
  const messages: ChannelMessage[] = [];
  if (count === 0) return messages;
  for await (const message of feed) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
}

function tokenFor(root: Identity, mesh: Mesh, channel: string, action: TokenAction = "subscribe"): Token {
  return issueToken(root, { subject: mesh.identity.entityId, scope: [action], channel, ttlMs: 3_600_000 });
}
