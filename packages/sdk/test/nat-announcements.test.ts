import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { NatNetwork, type TraversingNode, targetOf } from "./nat-network.ts";

const OVERRIDE = SocketAddress.parse("198.51.100.1:9000");
const NAT_TAG = /^nat:/;

/** A node behind a NAT, and a relay that has heard of it. */
async function announced() {
  const net = new NatNetwork();
  const a = net.join("port-restricted");
  await net.advance(15_000);
  const [relay] = net.relays as [TraversingNode];
  const tags = () =>
    [...(relay.node.core.capabilities.get(a.node.nodeId)?.announced.tags ?? [])].filter((tag) =>
      NAT_TAG.test(tag),
    );
  return { net, a, relay, tags };
}

describe("what a node announces of its NAT", () => {
  it("is one class, also after that has changed, and an address while it has one", async () => {
    const { net, a, relay, tags } = await announced();
    expect(tags()).toEqual(["nat:cone"]);
    expect(relay.nat.reflexOf(a.node.nodeId)?.key).toBe(a.nat.traversal.reflex?.key);
    a.nat.traversal.setReflexOverride(OVERRIDE);
    await net.advance(6_000);
    expect(tags()).toEqual(["nat:open"]);
    expect(relay.nat.reflexOf(a.node.nodeId)?.key).toBe(OVERRIDE.key);
    a.nat.traversal.clearReflexOverride();
    await net.advance(100);
    expect(a.nat.traversal.reflex).toBeUndefined();
  });

  it("is known of no node that has announced nothing", async () => {
    const { relay } = await announced();
    expect([relay.nat.natClassOf(42n), relay.nat.reflexOf(42n)]).toEqual(["unknown", undefined]);
  });

  it("reaches peers with a new address although another announcement has just gone out", async () => {
    const { net, a, relay } = await announced();
    a.node.core.announce({ tags: ["gpu"], metadata: new Map() });
    a.nat.traversal.setReflexOverride(OVERRIDE);
    await net.advance(6_000);
    expect(relay.nat.reflexOf(a.node.nodeId)?.key).toBe(OVERRIDE.key);
  });

  it("never joins the class of one time with the address of another", async () => {
    const { net, a, relay } = await announced();
    const id = a.node.nodeId;
    const seen = new Set<string>();
    relay.node.listeners.add((event) => {
      if (event.type !== "capabilities-changed" || event.nodeId !== id) return;
      seen.add(`${relay.nat.natClassOf(id)} ${relay.nat.reflexOf(id)?.key}`);
    });
    const { traversal } = a.nat;
    for (let i = 0; i < 2_000; i++) {
      traversal.setReflexOverride(OVERRIDE);
      if (i % 2 === 0) a.node.core.announce({ tags: [`round-${i}`], metadata: new Map() });
      if (i % 7 === 0) await net.advance(25);
      traversal.clearReflexOverride();
      if (i % 11 === 0) await net.advance(25);
    }
    await net.advance(6_000);
    expect(seen.size).toBeGreaterThan(0);
    const own = traversal.reflex?.key;
    for (const found of seen) {
      expect([`open ${OVERRIDE.key}`, "unknown undefined", `cone ${own}`]).toContain(found);
    }
  });
});

describe("what a node is known by", () => {
  it("is gone when nothing was heard of it for long, and the relay then introduces nobody to it", async () => {
    const { net, a, relay } = await announced();
    const b = net.join("port-restricted");
    await net.advance(15_000);
    expect(relay.nat.natClassOf(b.node.nodeId)).toBe("cone");
    b.node.kill();
    await net.advance(400_000);
    expect([relay.nat.natClassOf(b.node.nodeId), relay.nat.reflexOf(b.node.nodeId)]).toEqual([
      "unknown",
      undefined,
    ]);
    const before = relay.nat.traversal.stats.coordinator;
    await expect(net.within(a.nat.traversal.connectDirect(targetOf(b)), 60_000)).rejects.toMatchObject({
      kind: "transport",
    });
    expect(relay.nat.traversal.stats.coordinator.introduced).toBe(before.introduced);
  });
});

describe("connecting directly", () => {
  it("fails when nobody has told of the node, and counts nothing for it", async () => {
    const { net, a } = await announced();
    const stranger = { nodeId: 42n, publicKey: new Uint8Array(32).fill(9) };
    await expect(net.within(a.nat.traversal.connectDirect(stranger), 60_000)).rejects.toMatchObject({
      kind: "transport",
    });
    const { punchesAttempted, punchesSucceeded, relayFallbacks } = a.nat.traversal.stats;
    expect([punchesAttempted, punchesSucceeded, relayFallbacks]).toEqual([0, 0, 0]);
  });

  it("fails with the wrong key", async () => {
    const { net, a } = await announced();
    const b = net.join("port-restricted");
    await net.advance(15_000);
    const target = { ...targetOf(b), publicKey: new Uint8Array(32).fill(9) };
    await expect(net.within(a.nat.traversal.connectDirect(target), 60_000)).rejects.toMatchObject({
      kind: "transport",
    });
    const { punchesAttempted, punchesSucceeded, relayFallbacks } = a.nat.traversal.stats;
    expect([punchesAttempted, punchesSucceeded, relayFallbacks]).toEqual([0, 0, 0]);
  });

  it("keeps a relayed session that works, whoever coordinates, where no direct path comes about", async () => {
    const net = new NatNetwork();
    const [a, b] = [net.join("symmetric"), net.join("symmetric")];
    await net.advance(15_000);
    const sessions = new Set();
    const paths = new Set();
    for (const { node } of net.relays) {
      const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b), [node.nodeId]), 60_000);
      expect(outcome.path).toBe("relayed");
      const session = a.node.core.peer(b.node.nodeId)?.session;
      sessions.add(session);
      paths.add(session?.path.address.key);
    }
    expect([sessions.size, paths.size]).toEqual([1, 1]);
  });

  it("finds the peer under its reflexive address from then on", async () => {
    const net = new NatNetwork();
    const [a, b] = [net.join("port-restricted"), net.join("port-restricted")];
    await net.advance(15_000);
    await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    await net.advance(1_000);
    const session = a.node.core.peer(b.node.nodeId)?.session;
    expect(session?.path).toEqual({ address: b.nat.traversal.reflex, routed: false });
    expect(session?.directAddress?.key).toBe(b.nat.traversal.reflex?.key);
  });
});
