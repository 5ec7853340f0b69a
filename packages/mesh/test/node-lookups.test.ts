import { Identity } from "@netmesh/crypto";
import {
  encodeNodeLookup,
  type NodeLookup,
  NodeLookupKind,
  nodeLookupSignedBytes,
  PeerFeature,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { OWN_FEATURES } from "../src/core/config.ts";
import { SeededRandom, TestNetwork, type TestNode, type TestNodeOptions } from "../src/testing/index.ts";
import { tell } from "./control-event.ts";
import { codeOf, numbered, RELIABLE, Receiving, range, Sending } from "./traffic.ts";

type Lookup = Pick<NodeLookup, "originId" | "targetId"> & Partial<NodeLookup>;

/** Nodes in a row, each connected to the next, that know those up to four hops away. */
function row(
  count: number,
  options: TestNodeOptions = {},
  settings: (index: number) => TestNodeOptions = () => ({}),
): { network: TestNetwork; nodes: TestNode[]; at: (index: number) => TestNode } {
  const network = new TestNetwork({ conditions: { delayMs: 5, jitterMs: 2 }, node: options });
  for (let i = 0; i < count; i++) network.add(settings(i));
  const nodes = [...network.nodes];
  for (let i = 1; i < count; i++) nodes[i - 1]?.connect(nodes[i] as TestNode);
  network.advance(11_000);
  return { network, nodes, at: (index) => nodes[index] as TestNode };
}

function found(node: TestNode): { nodeId: bigint; hops: number; via: string }[] {
  return node.eventsOf("node-found").map(({ nodeId, hops, via }) => ({ nodeId, hops, via: via.key }));
}

/** A lookup with everything as it should be, signed by whom it says or by somebody else. */
function signed(network: TestNetwork, signer: Identity, lookup: Lookup): Uint8Array {
  const { originId, targetId, kind = NodeLookupKind.REQUEST, id = 7 } = lookup;
  const timeSeconds = lookup.timeSeconds ?? Math.floor(network.systemTime.now() / 1_000);
  const signature = signer.sign(nodeLookupSignedBytes(kind, id, timeSeconds, originId, targetId));
  const { entityId } = signer;
  return encodeNodeLookup({
    ttl: 2,
    hops: 0,
    isDirected: false,
    kind,
    id,
    timeSeconds,
    entityId,
    signature,
    ...lookup,
  });
}

describe("a node that is farther than pingwaves come", () => {
  it("is found, and reached over the way that was found", () => {
    const { network, at } = row(12);
    const [first, last] = [at(0), at(11)];
    expect(first.core.route(last.nodeId)).toBeUndefined();
    first.call((core) => core.lookUp(last.nodeId));
    network.advance(5_000);
    expect(found(first)).toEqual([{ nodeId: last.nodeId, hops: 11, via: at(1).transport.localAddress.key }]);
    first.connect(last, at(1));
    const receiving = new Receiving(last, first, 9n, RELIABLE);
    const sending = new Sending(first, last, 9n, RELIABLE);
    sending.write(...numbered(200));
    network.advance(3_000);
    expect(receiving.numbers).toEqual(range(200));
  });

  it("is looked for in vain when there is no such node, for a few seconds", () => {
    const { network, at } = row(6);
    const nobody = Identity.generate(new SeededRandom(99)).nodeId;
    at(0).call((core) => core.lookUp(nobody));
    network.advance(20_000);
    expect(at(0).eventsOf("node-not-found")).toEqual([{ type: "node-not-found", nodeId: nobody }]);
    expect(at(0).core.counters.lookupsFailed).toBe(1);
    const sent = at(3).core.counters.lookupRequestsSent;
    network.advance(60_000);
    expect(at(3).core.counters.lookupRequestsSent).toBe(sent);
  });

  it("stays within reach for as long as there is a session with it, and nothing is sent", () => {
    const { network, at } = row(12);
    const [first, last] = [at(0), at(11)];
    first.call((core) => core.lookUp(last.nodeId));
    network.advance(5_000);
    first.connect(last, at(1));
    network.advance(15 * 60_000);
    expect(first.eventsOf("peer-lost")).toEqual([]);
    const receiving = new Receiving(last, first, 9n, RELIABLE);
    new Sending(first, last, 9n, RELIABLE).write(...numbered(10));
    network.advance(3_000);
    expect(receiving.numbers).toEqual(range(10));
  });

  it("is found again another way round when a relay on the way has gone", () => {
    const { network, at } = row(16);
    at(15).connect(at(0));
    network.advance(11_000);
    const [first, far] = [at(0), at(7)];
    first.call((core) => core.lookUp(far.nodeId));
    network.advance(5_000);
    expect(found(first).map(({ hops }) => hops)).toEqual([7]);
    first.connect(far, at(1));
    const receiving = new Receiving(far, first, 9n, RELIABLE);
    const sending = new Sending(first, far, 9n, RELIABLE);
    sending.write(...numbered(10));
    network.advance(1_000);
    at(2).kill();
    sending.write(...numbered(10, 100, 10));
    network.advance(9_000);
    expect(receiving.numbers).toEqual(range(20));
    expect(first.core.peer(far.nodeId)?.session?.path.address.key).toBe(at(15).transport.localAddress.key);
  });

  it("is not found behind nodes of the reference, which are asked nothing", () => {
    const { network, at } = row(8, {}, (index) => (index === 4 ? { features: 0, security: "interop" } : {}));
    at(0).call((core) => core.lookUp(at(7).nodeId));
    network.advance(20_000);
    expect(at(0).eventsOf("node-not-found")).toHaveLength(1);
    const { handlerMissing, controlMalformed, controlQuarantined } = at(4).core.counters;
    expect({ handlerMissing, controlMalformed, controlQuarantined }).toEqual({
      handlerMissing: 0,
      controlMalformed: 0,
      controlQuarantined: 0,
    });
  });

  it("cannot be this node, nor one of more than 64 at once, nor be looked for without an identity", () => {
    const network = new TestNetwork();
    const node = network.add();
    expect(codeOf(() => node.core.lookUp(node.nodeId))).toBe("invalid-argument");
    for (let i = 1n; i <= 64n; i++) node.core.lookUp(i);
    expect(codeOf(() => node.core.lookUp(65n))).toBe("invalid-argument");
    expect(() => node.core.lookUp(64n)).not.toThrow();
  });
});

describe("a neighbour that lies about ways", () => {
  it("changes no route by answers that nobody has asked for", () => {
    const { network, at } = row(3);
    const { identity } = at(2);
    const answer = {
      kind: NodeLookupKind.ANSWER,
      originId: at(1).nodeId,
      targetId: identity.nodeId,
    } as const;
    const stranger = Identity.generate(new SeededRandom(5));
    tell(network, at(0), at(1), signed(network, stranger, { ...answer, targetId: stranger.nodeId }));
    network.advance(100);
    expect(at(1).core.counters.lookupUnsolicited).toBe(1);
    expect(at(1).core.route(stranger.nodeId)).toBeUndefined();
  });

  it("cannot answer for the node that is looked for", () => {
    const { network, at } = row(3);
    const target = Identity.generate(new SeededRandom(6)).nodeId;
    tell(
      network,
      at(0),
      at(1),
      signed(network, at(0).identity, { originId: at(0).nodeId, targetId: target }),
    );
    network.advance(100);
    // Node 2 was asked by node 1, and answers with a signature of its own.
    const { nodeId: originId } = at(0);
    const answer = { kind: NodeLookupKind.ANSWER, originId, targetId: target } as const;
    tell(network, at(2), at(1), signed(network, at(2).identity, answer));
    network.advance(100);
    expect(at(1).core.counters.lookupForged).toBe(1);
    expect(at(1).core.route(target)).toBeUndefined();
    expect(at(0).core.counters.lookupUnsolicited).toBe(0);
  });

  it("draws nobody's traffic to itself by asking in the name of others", () => {
    const { network, at } = row(4);
    const victim = Identity.generate(new SeededRandom(8)).nodeId;
    const request = { originId: victim, targetId: at(3).nodeId, ttl: 5 };
    tell(network, at(0), at(1), signed(network, at(0).identity, request));
    network.advance(1_000);
    expect(at(3).core.counters.lookupForged).toBe(1);
    for (const node of [at(1), at(2), at(3)]) expect(node.core.route(victim)).toBeUndefined();
  });

  it("is not believed with a request that is older than clocks may differ", () => {
    const { network, at } = row(3);
    const timeSeconds = Math.floor(network.systemTime.now() / 1_000) - 601;
    const request = { originId: at(0).nodeId, targetId: at(2).nodeId, timeSeconds };
    tell(network, at(0), at(1), signed(network, at(0).identity, request));
    network.advance(1_000);
    expect(at(2).core.counters.lookupForged).toBe(1);
    expect(at(2).core.counters.lookupAnswersSent).toBe(0);
  });

  it("has a request passed on once, however often it sends it", () => {
    const { network, at } = row(3);
    const target = Identity.generate(new SeededRandom(6)).nodeId;
    const event = signed(network, at(0).identity, { originId: at(0).nodeId, targetId: target });
    for (let i = 0; i < 20; i++) tell(network, at(0), at(1), event);
    network.advance(100);
    expect(at(1).core.counters.lookupRequestsSent).toBe(1);
    expect(at(1).core.counters.lookupRepeated).toBe(19);
  });

  it("is listened to 64 times a second, and its neighbours' neighbours are asked no more often", () => {
    const { network, at } = row(3);
    const { nodeId: originId } = at(0);
    for (let id = 0; id < 1_000; id++) {
      tell(network, at(0), at(1), signed(network, at(0).identity, { originId, targetId: 1_000_000n, id }));
    }
    network.advance(500);
    expect(at(1).core.counters.lookupRequestsSent).toBe(64);
    expect(at(1).core.counters.lookupLimited).toBe(936);
  });

  it("sends nothing round in circles, whatever it says of hops and life", () => {
    const { network, at } = row(3);
    at(2).connect(at(0));
    network.advance(100);
    const target = 1_000_000n;
    const { nodeId: originId } = at(0);
    const request = (fields: Partial<NodeLookup>) =>
      signed(network, at(0).identity, { originId, targetId: target, ...fields });
    tell(network, at(0), at(1), request({ id: 1, ttl: 255 }));
    tell(network, at(0), at(1), request({ id: 2, hops: 16 }));
    tell(network, at(0), at(1), request({ id: 3, ttl: 0 }));
    network.advance(5_000);
    expect(at(1).core.counters.lookupExhausted).toBe(2);
    // Asked once each way by the first request, and by nothing after it.
    expect(at(1).core.counters.lookupRequestsSent).toBe(1);
    expect(at(2).core.counters.lookupRequestsSent).toBe(1);
  });

  it("is not heard at all when it is no neighbour, or sends what is no lookup", () => {
    const { network, at } = row(3);
    at(0).connect(at(2), at(1));
    const event = signed(network, at(0).identity, { originId: at(0).nodeId, targetId: at(2).nodeId });
    tell(network, at(0), at(1), event.subarray(0, 100));
    network.advance(100);
    expect(at(1).core.counters.controlMalformed).toBe(1);
    tell(network, at(0), at(2), event);
    network.advance(100);
    expect(at(2).core.counters.lookupRefused).toBe(1);
  });
});

describe("floods in a mesh with more nodes than they are to reach", () => {
  const SMALL: TestNodeOptions = { floodNodes: 4 };

  it("stop where so many nodes are nearer, and tell the near ones", () => {
    const { network, nodes, at } = row(12, SMALL);
    for (const node of nodes) {
      node.call((core) => core.announce({ tags: ["here"], metadata: new Map() }));
      network.advance(1_000);
    }
    const known = at(5).core.findNodes({ requireTags: ["here"] });
    for (const near of [3, 4, 5, 6, 7]) expect(known).toContain(at(near).nodeId);
    expect(known.length).toBeLessThan(12);
    expect(nodes.some((node) => node.core.counters.announcementScoped > 0)).toBe(true);
  });

  it("go all the way where a neighbour does not take part", () => {
    const features = OWN_FEATURES & ~PeerFeature.SCOPED_FLOODS;
    const { network, nodes, at } = row(12, { ...SMALL, features });
    at(0).call((core) => core.announce({ tags: ["here"], metadata: new Map() }));
    network.advance(1_000);
    for (const node of nodes) expect(node.core.findNodes({ requireTags: ["here"] })).toEqual([at(0).nodeId]);
  });

  it("of pingwaves leave their neighbours' neighbours out in a star, and leaves are found all the same", () => {
    const network = new TestNetwork({ conditions: { delayMs: 5 }, node: SMALL });
    const hub = network.add();
    const leaves = Array.from({ length: 8 }, () => network.add());
    const twigs = leaves.map((leaf) => {
      leaf.connect(hub);
      const twig = network.add();
      twig.connect(leaf);
      return twig;
    });
    network.advance(30_000);
    const [first, last] = [twigs[0], twigs[7]] as [TestNode, TestNode];
    expect(hub.core.counters.pingwaveScoped).toBeGreaterThan(0);
    expect(first.core.discoveredNodes.map(({ id }) => id)).not.toContain(last.nodeId);
    first.call((core) => core.lookUp(last.nodeId));
    network.advance(3_000);
    expect(found(first).map(({ nodeId, hops }) => [nodeId, hops])).toEqual([[last.nodeId, 4]]);
  });
});
