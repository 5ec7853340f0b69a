import { decodeKeepAlive, encodeRendezvous, SocketAddress, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { NatNetwork, type TraversingNode, targetOf } from "./nat-network.ts";

const UNIX_NOW = (net: NatNetwork) => BigInt(net.network.systemTime.now());

/** A node of netmesh and one that announces no features, as nodes of Net do, both known to two relays. */
async function withReference() {
  const net = new NatNetwork({ conditions: { delayMs: 20 } });
  const a = net.join("port-restricted");
  const b = net.join("port-restricted", { node: { features: 0 } });
  await net.advance(15_000);
  return { net, a, b };
}

describe("a node of Net", () => {
  it("is punched to by a new handshake over the punched address, and counted as the specification says", async () => {
    const { net, a, b } = await withReference();
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b)), 60_000);
    expect(outcome).toEqual({ path: "punched", reason: "punched" });
    const session = a.node.core.peer(b.node.nodeId)?.session;
    expect(session?.features).toBe(0);
    expect(session?.path).toEqual({ address: b.nat.traversal.reflex, routed: false });
    const { punchesAttempted, punchesSucceeded, relayFallbacks } = a.nat.traversal.stats;
    expect([punchesAttempted, punchesSucceeded, relayFallbacks]).toEqual([1, 1, 0]);
  });

  it("is sent no port search and no addresses of this host", async () => {
    const net = new NatNetwork({ conditions: { delayMs: 20 } });
    const a = net.join("symmetric");
    const b = net.join("port-restricted", { node: { features: 0 } });
    await net.advance(15_000);
    net.network.net.tap = (_, from, to) => ![from.host, to.host].every((host) => host.startsWith("203."));
    const { path } = await net.within(a.nat.traversal.connectDirect(targetOf(b)), 60_000);
    expect(path).toBe("relayed");
    const { portSearch, candidates } = a.nat.traversal.stats;
    expect([portSearch.openedSides, portSearch.searches, candidates.told]).toEqual([0, 0, 0]);
  });

  it("coordinates for nodes of netmesh: it tells no reason, so that its silence ends on the relay", async () => {
    const { net, a, b } = await withReference();
    const silent = net.relays.map(({ nat }) => nat);
    for (const nat of silent) nat.close();
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b)), 60_000);
    expect(outcome).toEqual({ path: "relayed", reason: "no-introduction" });
    expect(a.nat.traversal.stats).toMatchObject({ punchesAttempted: 0, relayFallbacks: 1 });
  });

  it("that introduces, sends keep-alives with punch id 0 and acks without one, is understood", async () => {
    const net = new NatNetwork();
    const a = net.join("full-cone");
    const [relay] = net.relays as [TraversingNode];
    await net.advance(15_000);
    const stranger = net.add("open", { node: { features: 0 } });
    stranger.nat.close();
    stranger.node.connect(relay.node);
    stranger.node.connect(a.node, relay.node);
    stranger.node.call((core) => core.send(a.node.nodeId, 0n, [Uint8Array.of(1)]));
    await net.advance(100);
    const from = stranger.node.transport.localAddress;
    const introduce = encodeRendezvous({
      type: "punch-introduce",
      peer: stranger.node.nodeId,
      reflex: { family: 4, address: Uint8Array.from(from.host.split(".").map(Number)), port: from.port },
      fireAtMs: UNIX_NOW(net) + 500n,
    });
    const heard: { atMs: number; punchId: number | undefined }[] = [];
    net.network.net.tap = (bytes, _, to) => {
      const keepAlive = to.equals(from) ? decodeKeepAlive(bytes) : undefined;
      if (keepAlive) heard.push({ atMs: net.network.clock.now(), punchId: keepAlive.punchId });
      return true;
    };
    const startMs = net.network.clock.now();
    relay.node.call((core) => core.sendMessage(a.node.nodeId, Subprotocol.RENDEZVOUS, introduce));
    await net.advance(1_000);
    // Three at 0, 100 and 250 ms after the moment of the punch; more follow, which nodes of Net drop.
    expect(heard.slice(0, 3).map(({ atMs }) => atMs - startMs)).toEqual([500, 600, 750]);
    const bytes = new Uint8Array(14);
    bytes.set([0x50, 0x48]);
    new DataView(bytes.buffer).setBigUint64(2, stranger.node.nodeId, true);
    const before = stranger.node.eventsOf("message").length;
    const forwarded = relay.nat.traversal.stats.coordinator.acksRefused;
    net.network.net.inject(bytes, from, a.nat.traversal.reflex as SocketAddress);
    await net.advance(500);
    expect(a.node.core.counters.keepAliveTaken).toBe(1);
    // The ack went to the relay, which had not introduced anybody and passes it on to nobody.
    expect(relay.nat.traversal.stats.coordinator.acksRefused).toBeGreaterThan(forwarded);
    expect(stranger.node.eventsOf("message")).toHaveLength(before);
  });

  it("is told where it is seen, and tells it", async () => {
    const { net, a, b } = await withReference();
    const [relay] = net.relays as [TraversingNode];
    expect((await net.within(b.nat.traversal.probeReflex(relay.node.nodeId))).key).toBe(
      b.nat.traversal.reflex?.key,
    );
    expect(a.nat.natClassOf(b.node.nodeId)).toBe("cone");
    expect(SocketAddress.parse(a.nat.reflexOf(b.node.nodeId)?.key ?? "").key).toBe(
      b.nat.traversal.reflex?.key,
    );
  });
});
