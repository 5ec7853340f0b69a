import { Identity, staticKeyPairFromIdentity } from "@netmesh/crypto";
import { PeerFeature } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";

describe("a peer's identity", () => {
  it("is proven to both sides, directly and over a relay", () => {
    const network = createTestNetwork(3);
    const [a, relay, b] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(relay);
    b.connect(relay);
    a.connect(b, relay);
    network.advance(10);
    for (const [from, to] of [
      [a, b],
      [b, a],
      [relay, a],
      [a, relay],
    ] as const) {
      expect(from.core.peer(to.nodeId)?.entityId).toEqual(to.identity.entityId);
    }
    expect(a.eventsOf("peer-verified").map(({ peer }) => peer.nodeId)).toEqual([relay.nodeId, b.nodeId]);
    // Pings and pingwaves apart.
    const sent = ({ core: { counters } }: TestNode) =>
      counters.datagramsSent - counters.pathPingsSent - counters.pathPingsAnswered - counters.pingwavesSent;
    const before = sent(a);
    network.advance(1_000);
    // Nothing is repeated once both know.
    expect(sent(a)).toBe(before);
  });

  it("is proven over a link that loses half of everything", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const network = createTestNetwork(2, { seed, conditions: { loss: 0.5, duplication: 0.2, delayMs: 5 } });
      const [a, b] = network.nodes as [TestNode, TestNode];
      a.connect(b, undefined, 600_000);
      network.advance(60_000);
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        expect(from.core.peer(to.nodeId)?.entityId, network.label).toEqual(to.identity.entityId);
        expect(from.eventsOf("peer-verified"), network.label).toHaveLength(1);
      }
    }
  });

  it("is not proven by nodes that do not announce it, nor in sessions that are not forward secret", () => {
    for (const options of [{ features: 63 }, { features: 0 }, { security: "interop" }] as const) {
      const network = new Network(options);
      const { a, b } = network;
      expect(a.core.peer(b.nodeId)?.session?.has(PeerFeature.IDENTITY)).toBe(false);
      expect(a.core.peer(b.nodeId)?.entityId).toBeUndefined();
      expect(b.core.counters.controlMalformed + a.core.counters.controlMalformed).toBe(0);
    }
  });

  it("cannot be claimed by a member that holds another key", () => {
    const { network, a, b } = new Network();
    const thief = impostor(network, a);
    thief.connect(b);
    network.advance(20_000);
    expect(b.core.counters.identityForged).toBeGreaterThan(0);
    // The peer in use is still the real one, and hears nothing of the other.
    expect(b.core.peer(a.nodeId)?.entityId).toEqual(a.identity.entityId);
    expect(b.core.peer(a.nodeId)?.session?.path.address.key).toBe(a.transport.localAddress.key);
    thief.call((core) => core.send(b.nodeId, 7n, [Uint8Array.of(1)]));
    network.advance(10);
    expect(b.eventsOf("data")).toHaveLength(0);
    expect(b.core.counters.identityUnproven).toBeGreaterThan(0);
    a.call((core) => core.send(b.nodeId, 7n, [Uint8Array.of(2)]));
    network.advance(10);
    expect(b.eventsOf("data")).toHaveLength(1);
  });

  it("that was not proven lets nothing in that comes in parts, either", () => {
    const { network, a, b } = new Network();
    const thief = impostor(network, a);
    thief.connect(b);
    thief.call((core) => {
      const { session, stream } = core.openStream(b.nodeId, 7n, { reliability: "reliable" });
      core.write(session, stream, [new Uint8Array(7_000)], 7_000);
    });
    network.advance(10);
    expect(thief.core.counters.packetsParted).toBeGreaterThan(0);
    expect(b.eventsOf("data")).toHaveLength(0);
    expect(b.core.counters.identityUnproven).toBeGreaterThan(0);
  });

  it("that was proven is not given up for a session that proves nothing, while its peer is heard", () => {
    const { network, a, b } = new Network();
    const thief = impostor(network, a, { features: 0 });
    thief.connect(b);
    network.advance(10_000);
    thief.call((core) => core.send(b.nodeId, 7n, [Uint8Array.of(1)]));
    network.advance(10);
    expect(b.eventsOf("data")).toHaveLength(0);
    expect(b.core.peer(a.nodeId)?.entityId).toEqual(a.identity.entityId);
  });

  it("moves to a new process of the same node at once", () => {
    const { network, a, b } = new Network();
    const { identity } = a;
    a.kill();
    const again = network.add({ identity });
    again.connect(b);
    again.call((core) => core.send(b.nodeId, 7n, [Uint8Array.of(1)]));
    network.advance(1_000);
    const peer = b.core.peer(a.nodeId);
    expect(peer?.session?.path.address.key).toBe(again.transport.localAddress.key);
    expect(peer?.entityId).toEqual(identity.entityId);
  });

  it("can be somebody else's after the peer has been silent for the session time-out", () => {
    const { network, a, b } = new Network();
    a.kill();
    network.advance(31_000);
    impostor(network, a, { features: 0 }).connect(b);
    network.advance(6_000);
    expect(b.core.peer(a.nodeId)?.session?.isConfirmed).toBe(true);
    expect(b.core.peer(a.nodeId)?.entityId).toBeUndefined();
  });
});

class Network {
  readonly network: TestNetwork;
  readonly a: TestNode;
  readonly b: TestNode;

  constructor(options: Parameters<TestNetwork["add"]>[0] = {}) {
    this.network = createTestNetwork(0);
    this.a = this.network.add(options);
    this.b = this.network.add();
    this.a.connect(this.b);
    this.network.advance(100);
  }
}

/** A member of the mesh that says to be the victim, with keys of its own. */
function impostor(
  network: TestNetwork,
  victim: TestNode,
  options: Parameters<TestNetwork["add"]>[0] = {},
): TestNode {
  const own = Identity.generate(network.random);
  return network.add({
    ...options,
    identity: {
      nodeId: victim.nodeId,
      // Passes the check of its own configuration, and signs with its own key.
      entityId: victim.identity.entityId,
      sign: (message: Uint8Array) => own.sign(message),
    } as Identity,
    staticKeyPair: staticKeyPairFromIdentity(own),
  });
}
