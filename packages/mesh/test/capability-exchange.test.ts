import { Identity } from "@netmesh/crypto";
import {
  announcementSignedBytes,
  type CapabilityAnnouncement,
  encodeCapabilityAnnouncement,
  Subprotocol,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { AnnounceOptions } from "../src/index.ts";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import vectors from "./vectors/capability.json" with { type: "json" };

/** Peers that are known by their announcements alone, as nodes of the reference are. */
const WITHOUT_PROOFS = { security: "interop" } as const;
const NONE = new Map<string, string>();

describe("announced capabilities", () => {
  it("are known to the node itself at once, and to its neighbours", () => {
    const { network, nodes } = line(2, WITHOUT_PROOFS);
    const [a, b] = nodes as [TestNode, TestNode];
    announce(a, ["gpu"]);
    expect(finds(a, "gpu")).toEqual([a.nodeId]);
    network.advance(10);
    expect(finds(b, "gpu")).toEqual([a.nodeId]);
    expect(b.eventsOf("capabilities-changed").map(({ nodeId }) => nodeId)).toEqual([a.nodeId]);
    expect(b.core.peer(a.nodeId)?.entityId).toEqual(a.identity.entityId);
  });

  it("travel over a chain, and leave a route with them", () => {
    const { network, nodes } = line(5);
    const [a, , , , e] = nodes as TestNode[] as [TestNode, TestNode, TestNode, TestNode, TestNode];
    announce(a, ["far"]);
    network.advance(10);
    expect(nodes.map((node) => finds(node, "far"))).toEqual(nodes.map(() => [a.nodeId]));
    expect(e.core.route(a.nodeId)?.key).toBe(nodes[3]?.transport.localAddress.key);
    // Only who has heard it from the node itself may take it for the peer's own word.
    expect(nodes[1]?.core.peer(a.nodeId)?.entityId).toBeDefined();
  });

  it("are indexed once and passed on once at each node of a ring", () => {
    const network = createTestNetwork(4);
    const [a, b, c, d] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
    for (const [from, to] of [
      [a, b],
      [b, c],
      [c, d],
      [d, a],
    ] as const) {
      from.connect(to);
    }
    network.advance(100);
    announce(a, ["ring"]);
    network.advance(100);
    for (const node of [b, c, d])
      expect(node.core.counters.announcementsTaken, "taken").toBeLessThanOrEqual(2);
    for (const node of [b, c, d]) expect(finds(node, "ring")).toEqual([a.nodeId]);
    const before = network.nodes.map((node) => node.core.counters.datagramsSent);
    network.advance(10);
    expect(network.nodes.map((node) => node.core.counters.datagramsSent)).toEqual(before);
  });

  it("are not passed on to a peer behind a relay, which the relay tells itself", () => {
    const network = createTestNetwork(3);
    const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(relay);
    b.connect(relay);
    network.advance(100);
    a.connect(b, relay);
    network.advance(100);
    announce(relay, ["hub"]);
    network.advance(100);
    expect([a, b].map((node) => finds(node, "hub"))).toEqual([[relay.nodeId], [relay.nodeId]]);
    expect([a, b].map(({ core }) => core.counters.announcementsForwarded)).toEqual([0, 0]);
  });

  it("are not passed on after fifteen hops", () => {
    const { network, nodes } = line(19);
    announce(nodes[0] as TestNode, ["far"]);
    network.advance(100);
    expect(nodes.map((node) => finds(node, "far").length).lastIndexOf(1)).toBe(16);
  });

  it("reach a peer that comes later, also over a relay, and so do those of others", () => {
    const { network, nodes } = line(2);
    const [a, relay] = nodes as [TestNode, TestNode];
    announce(a, ["early"]);
    network.advance(60_000);
    const late = network.add();
    late.connect(relay);
    network.advance(10);
    expect(finds(late, "early")).toEqual([a.nodeId]);
    expect(late.core.peer(a.nodeId)).toBeUndefined();
    late.connect(a, relay);
    announce(late, ["late"]);
    network.advance(10);
    expect(finds(a, "late")).toEqual([late.nodeId]);
    expect(a.core.peer(late.nodeId)?.entityId).toEqual(late.identity.entityId);
  });

  it("are replaced by newer ones, at most once in ten seconds, and the last ones within them are sent", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    announce(a, ["one"]);
    network.advance(10);
    for (const tag of ["two", "three", "four"]) announce(a, [tag]);
    expect(finds(a, "four")).toEqual([a.nodeId]);
    network.advance(9_000);
    expect(finds(b, "one")).toEqual([a.nodeId]);
    const late = network.add();
    late.connect(a);
    network.advance(10);
    expect(finds(late, "four")).toEqual([a.nodeId]);
    network.advance(1_000);
    expect([finds(b, "one"), finds(b, "four")]).toEqual([[], [a.nodeId]]);
    expect(a.core.counters.announcementsSent).toBe(4);
  });

  it("expire after their time when their node is gone, and never while it is there", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    announce(a, ["gpu"], { ttlMs: 20_500 });
    network.advance(100_000);
    expect(finds(b, "gpu")).toEqual([a.nodeId]);
    a.kill();
    network.advance(11_000);
    expect(finds(b, "gpu")).toEqual([a.nodeId]);
    network.advance(10_500);
    expect(finds(b, "gpu")).toEqual([]);
    expect(b.core.capabilities.size).toBe(0);
    expect(b.core.counters.announcementsExpired).toBe(1);
  });

  it("are forgotten with a lost peer, and known again when it is back", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    announce(a, ["gpu"], { ttlMs: 3_600_000 });
    network.advance(100);
    a.core.block(b.transport.localAddress);
    network.advance(40_000);
    expect(finds(b, "gpu")).toEqual([]);
    a.core.unblock(b.transport.localAddress);
    network.advance(10_000);
    expect(finds(b, "gpu")).toEqual([a.nodeId]);
  });

  it("are kept when a handshake in the name of their node comes to nothing", () => {
    const { network, nodes } = line(3);
    const [a, , c] = nodes as [TestNode, TestNode, TestNode];
    announce(a, ["far"]);
    network.advance(10);
    expect(finds(c, "far")).toEqual([a.nodeId]);
    network.net.link(c.transport.localAddress, a.transport.localAddress, { loss: 1 });
    a.call((core) => core.connect(c.nodeId, c.keys.publicKey, c.transport.localAddress, "routed"));
    network.advance(100);
    expect(c.core.peer(a.nodeId)?.session?.isConfirmed).toBe(false);
    network.advance(120_000);
    expect(c.core.peer(a.nodeId)).toBeUndefined();
    expect(c.eventsOf("peer-removed")).toHaveLength(0);
    expect(finds(c, "far")).toEqual([a.nodeId]);
  });

  it("of both halves are known everywhere after a partition has healed", () => {
    const { network, nodes } = line(4);
    const [a, b, c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
    announce(a, ["left"]);
    announce(d, ["right"]);
    network.advance(100);
    network.net.partition(b.transport.localAddress, c.transport.localAddress);
    network.advance(400_000);
    expect([finds(d, "left"), finds(a, "right")]).toEqual([[], []]);
    network.net.heal(b.transport.localAddress, c.transport.localAddress);
    network.advance(6_000);
    expect([finds(d, "left"), finds(a, "right")]).toEqual([[a.nodeId], [d.nodeId]]);
  });

  it("of up to 8104 bytes reach netmesh peers on a path of 1200 bytes, in parts", () => {
    const { network, nodes } = line(3, { datagramBytes: 1_200 });
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    const tags = Array.from({ length: 240 }, (_, i) => `tag.${i}.${"x".repeat(20)}`);
    announce(a, tags);
    network.advance(10);
    expect(finds(c, tags[0] as string)).toEqual([a.nodeId]);
    expect(a.core.counters.packetsParted).toBe(1);
    expect([b, c].map((node) => node.core.counters.packetsAssembled)).toEqual([1, 1]);
    expect(a.core.counters.oversizeSent).toBe(0);
  });

  it("too large for the path are sent whole to peers that take no parts, and counted", () => {
    const { network, nodes } = line(2, { datagramBytes: 1_200, features: 0 });
    const [a, b] = nodes as [TestNode, TestNode];
    announce(
      a,
      Array.from({ length: 100 }, (_, i) => `tag.${i}.${"x".repeat(20)}`),
    );
    network.advance(10);
    expect(finds(b, `tag.0.${"x".repeat(20)}`)).toEqual([a.nodeId]);
    expect(a.core.counters.oversizeSent).toBe(1);
  });

  it("of a restarted process take the place of its earlier ones", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    for (const tag of ["one", "two", "three"]) announce(a, [tag]);
    network.advance(11_000);
    const { identity } = a;
    a.kill();
    const again = network.add({ identity, address: a.transport.localAddress });
    announce(again, ["restarted"]);
    again.connect(b);
    network.advance(100);
    expect(finds(b, "restarted")).toEqual([a.nodeId]);
    expect(finds(b, "three")).toEqual([]);
  });

  it("name the subprotocols that the application handles, also those of later", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    a.call((core) => core.registerSubprotocol(0x2001));
    announce(a, ["gpu"]);
    network.advance(20_000);
    expect(finds(b, "subprotocol:0x2001")).toEqual([a.nodeId]);
    a.call((core) => core.registerSubprotocol(0xefff));
    a.call((core) => core.unregisterSubprotocol(0x2001));
    network.advance(20_000);
    expect(finds(b, "subprotocol:0xefff")).toEqual([a.nodeId]);
    expect(finds(b, "subprotocol:0x2001")).toEqual([]);
    expect(finds(b, "gpu")).toEqual([a.nodeId]);
  });

  it("are refused before anything changes when they cannot be announced", () => {
    const { nodes } = line(2);
    const [a] = nodes as [TestNode, TestNode];
    announce(a, ["good"]);
    const bad: [string[], AnnounceOptions, string][] = [
      [["x".repeat(8_000)], {}, "message-too-large"],
      [["x"], { ttlMs: 0 }, "invalid-argument"],
      [["x"], { ttlMs: Number.NaN }, "invalid-argument"],
      [["x"], { allowedNodes: [1 as unknown as bigint] }, "invalid-argument"],
      [["x"], { allowedNodes: new Array<bigint>(65).fill(1n) }, "invalid-argument"],
      [["x"], { allowedGroups: [new Uint8Array(16)] }, "invalid-argument"],
    ];
    for (const [tags, options, code] of bad) {
      expect(() => announce(a, tags, options)).toThrow(expect.objectContaining({ code }));
    }
    expect(finds(a, "good")).toEqual([a.nodeId]);
    expect(finds(a, "x")).toEqual([]);
  });
});

describe("an announcement from the network", () => {
  it("has the reference's signature, and loses it with any change", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    for (const { name, json, verify } of vectors.announcement_verify) {
      if (verify === null || verify === undefined) continue;
      const before = b.core.counters.announcementForged + b.core.counters.announcementUnsigned;
      // Passed on by a neighbour, as it is of another node.
      const passedOn = json.replace(/\}$/, ',"hop_count":1}');
      deliver(network, a, b, new TextEncoder().encode(passedOn));
      const refused = b.core.counters.announcementForged + b.core.counters.announcementUnsigned - before;
      expect(refused === 0, name).toBe(verify === "ok");
    }
  });

  const other = Identity.fromSeed(new Uint8Array(32).fill(9));
  const forged: [string, (honest: CapabilityAnnouncement, a: TestNode) => CapabilityAnnouncement, string][] =
    [
      [
        "of another node as its own",
        (honest) => signed({ ...honest, ...idsOf(other) }, other),
        "announcementRefused",
      ],
      ["of the receiver", (honest) => ({ ...honest, hopCount: 1, nodeId: 0n }), "announcementForged"],
      [
        "with another entity",
        (honest) => signed({ ...honest, entityId: other.entityId }, other),
        "announcementForged",
      ],
      [
        "with a changed tag",
        (honest) => ({ ...honest, capabilities: { tags: ["b"], metadata: NONE } }),
        "announcementForged",
      ],
      ["without signature", (honest) => ({ ...honest, signature: undefined }), "announcementUnsigned"],
      ["that has come too far", (honest) => ({ ...honest, hopCount: 16 }), "announcementRefused"],
      [
        "of long ago, passed on",
        (honest) =>
          signed({ ...honest, ...idsOf(other), timestampNs: honest.timestampNs - 2n * HOUR }, other, 1),
        "announcementStale",
      ],
      [
        "of the future, passed on",
        (honest) => signed({ ...honest, ...idsOf(other), timestampNs: honest.timestampNs + HOUR }, other, 1),
        "announcementStale",
      ],
      [
        "that is over at once",
        (honest, a) => signed({ ...honest, ttlSeconds: 0 }, a.identity),
        "announcementStale",
      ],
    ];
  it.each(forged)("%s changes nothing and is counted", (_, forge, counter) => {
    const { network, nodes } = line(3, WITHOUT_PROOFS);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    const honest = signed(announcementOf(network, a), a.identity);
    deliver(network, a, b, encodeCapabilityAnnouncement(forge(honest, a)));
    network.advance(10);
    expect(b.core.counters[counter as "announcementForged"]).toBe(1);
    expect([b.core.capabilities.size, c.core.capabilities.size]).toEqual([0, 0]);
    expect(b.core.peer(a.nodeId)?.entityId).toBeUndefined();
    // It has not been remembered either: the honest one is taken.
    deliver(network, a, b, encodeCapabilityAnnouncement(honest));
    expect(b.core.capabilities.size).toBe(1);
  });

  it("that has no room for its hops is taken, and not passed on", () => {
    const { network, nodes } = line(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    network.advance(10_000);
    const withTag = (length: number) =>
      announcementOf(network, a, { tags: ["x".repeat(length)], metadata: NONE });
    const sizeOf = (length: number) =>
      encodeCapabilityAnnouncement(signed(withTag(length), a.identity)).length;
    const bytes = encodeCapabilityAnnouncement(signed(withTag(8_104 - sizeOf(0)), a.identity));
    expect(bytes).toHaveLength(8_104);
    deliver(network, a, b, bytes);
    network.advance(100);
    expect(b.core.capabilities.get(a.nodeId)).toBeDefined();
    expect(b.core.counters.announcementTooLarge).toBeGreaterThan(0);
    // Nor is it given to a neighbour that comes later.
    const late = network.add();
    late.connect(b);
    network.advance(100);
    for (const node of [c, late]) expect(node.core.capabilities.get(a.nodeId)).toBeUndefined();
  });

  it("of an old version is dropped, also when the order on the way has changed", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    const old = signed(announcementOf(network, a), a.identity);
    const recent = signed({ ...old, version: old.version + 1n }, a.identity);
    deliver(network, a, b, encodeCapabilityAnnouncement(recent));
    deliver(network, a, b, encodeCapabilityAnnouncement(old));
    deliver(network, a, b, encodeCapabilityAnnouncement(recent));
    expect(b.core.counters.announcementRepeated).toBe(2);
    expect(b.core.capabilities.get(a.nodeId)?.generation).toBe(recent.version);
  });

  it("that is unsigned is taken where that is allowed, and proves nothing", () => {
    const { network, nodes } = line(2, { ...WITHOUT_PROOFS, requireSignedCapabilities: false });
    const [a, b] = nodes as [TestNode, TestNode];
    announce(a, ["gpu"], { signed: false });
    network.advance(10);
    expect(finds(b, "gpu")).toEqual([a.nodeId]);
    expect(b.core.peer(a.nodeId)?.entityId).toBeUndefined();
  });

  it("loses what is only for its author, and heat without its chain", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    const blobs = Array.from({ length: 300 }, (_, i) => `heat:blob:${i}=1`);
    const tags = ["causal:00aa:5", "heat:00aa=0.50", "heat:00bb=0.50", ...blobs];
    const metadata = new Map([
      ["owner", "me"],
      ["priority", "1"],
      ["kept", "yes"],
    ]);
    deliver(
      network,
      a,
      b,
      encodeCapabilityAnnouncement(signed(announcementOf(network, a, { tags, metadata }), a.identity)),
    );
    const taken = b.core.capabilities.get(a.nodeId)?.announced;
    expect([...(taken?.metadata ?? [])]).toEqual([["kept", "yes"]]);
    expect(taken?.tags.filter((tag) => !tag.startsWith("heat:blob:"))).toEqual([
      "causal:00aa:5",
      "heat:00aa=0.50",
    ]);
    expect(taken?.tags).toHaveLength(258);
  });

  it("is one of a few per second from each peer; a flood of them costs no more", () => {
    const { network, nodes } = line(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    const bytes = encodeCapabilityAnnouncement({
      ...announcementOf(network, a),
      signature: new Uint8Array(64),
    });
    for (let i = 0; i < 200; i++) deliver(network, a, b, bytes);
    expect(b.core.counters.announcementForged).toBe(64);
    expect(b.core.counters.announcementLimited).toBe(136);
    announce(c, ["honest"]);
    network.advance(10);
    expect(finds(b, "honest")).toEqual([c.nodeId]);
    network.advance(1_000);
    announce(a, ["honest too"]);
    network.advance(10);
    expect(finds(b, "honest too")).toEqual([a.nodeId]);
  });

  it("that is garbage is counted", () => {
    const { network, nodes } = line(2);
    const [a, b] = nodes as [TestNode, TestNode];
    deliver(network, a, b, new TextEncoder().encode('{"node_id":1}'));
    deliver(network, a, b, new Uint8Array(0));
    expect(b.core.counters.announcementMalformed).toBe(2);
  });
});

const HOUR = 3_600_000_000_000n;

/** Nodes of which each is connected to the next. */
function line(count: number, options: Parameters<TestNetwork["add"]>[0] = {}) {
  const network = createTestNetwork(count, { node: options });
  const { nodes } = network;
  for (let i = 1; i < count; i++) (nodes[i - 1] as TestNode).connect(nodes[i] as TestNode);
  network.advance(100);
  return { network, nodes };
}

function announce(node: TestNode, tags: string[], options?: AnnounceOptions): void {
  node.call((core) => core.announce({ tags, metadata: NONE }, options));
}

function finds(node: TestNode, tag: string): bigint[] {
  return node.core.findNodes({ requireTags: [tag] });
}

function announcementOf(
  network: TestNetwork,
  { identity }: TestNode,
  capabilities: CapabilityAnnouncement["capabilities"] = { tags: ["a"], metadata: NONE },
): CapabilityAnnouncement {
  const nowMs = network.systemTime.now();
  return {
    ...idsOf(identity),
    version: BigInt(nowMs),
    timestampNs: BigInt(nowMs) * 1_000_000n,
    ttlSeconds: 300,
    capabilities,
    hopCount: 0,
    allowedNodes: [],
    allowedSubnets: [],
    allowedGroups: [],
  };
}

function idsOf({ nodeId, entityId }: Identity): { nodeId: bigint; entityId: Uint8Array } {
  return { nodeId, entityId };
}

function signed(announcement: CapabilityAnnouncement, by: Identity, hopCount = 0): CapabilityAnnouncement {
  return { ...announcement, hopCount, signature: by.sign(announcementSignedBytes(announcement)) };
}

/** Sends bytes as an announcement, whatever they are, and lets them arrive. */
function deliver(network: TestNetwork, from: TestNode, to: TestNode, bytes: Uint8Array): void {
  from.call((core) => core.sendMessage(to.nodeId, Subprotocol.CAPABILITY_ANNOUNCEMENT, bytes));
  network.advance(2);
}
