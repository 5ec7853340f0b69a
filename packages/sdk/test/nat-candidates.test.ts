import { encodeRendezvous, SocketAddress, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { NatNetwork, type TraversingNode, targetOf } from "./nat-network.ts";

/** Two nodes behind one NAT, and their network. */
async function sameLan(options: { hairpin?: boolean; sharesLocalAddresses?: boolean } = {}) {
  const { hairpin = false, sharesLocalAddresses = true } = options;
  const net = new NatNetwork({ conditions: { delayMs: 20 } });
  const box = net.box("port-restricted", { hairpin });
  const [a, b] = [net.join("open", { box, settings: { sharesLocalAddresses } }), net.join("open", { box })];
  await net.advance(15_000);
  return { net, a, b };
}

function pathOf(from: TraversingNode, to: TraversingNode): string | undefined {
  const path = from.node.core.peer(to.node.nodeId)?.session?.path;
  return path && (path.routed ? "relayed" : path.address.key);
}

describe("two nodes behind the same NAT", () => {
  it("reach each other on their own network within a second, without a router that leads them back", async () => {
    const { net, a, b } = await sameLan();
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    expect(outcome).toEqual({ path: "direct", reason: "local-answered" });
    await net.advance(500);
    expect([pathOf(a, b), pathOf(b, a)]).toEqual([
      b.node.transport.localAddress.key,
      a.node.transport.localAddress.key,
    ]);
    const { attempts, punchesSucceeded, relayFallbacks } = a.nat.traversal.stats;
    expect([punchesSucceeded, relayFallbacks]).toEqual([0, 0]);
    expect(attempts).toEqual([
      { own: "cone", remote: "cone", path: "direct", reason: "local-answered", count: 1 },
    ]);
  });

  it("reach each other over a NAT that hairpins when they do not tell their own addresses", async () => {
    const { net, a, b } = await sameLan({ hairpin: true, sharesLocalAddresses: false });
    const { path } = await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    expect(path).toBe("punched");
    expect(pathOf(a, b)).toBe(b.nat.traversal.reflex?.key);
    expect(a.nat.traversal.stats.candidates).toMatchObject({ told: 0, tried: 0 });
    expect(b.nat.traversal.stats.candidates).toMatchObject({ received: 0, tried: 0 });
  });

  it("stay on the relay when it does not hairpin and they do not tell", async () => {
    const { net, a, b } = await sameLan({ sharesLocalAddresses: false });
    const { path, reason } = await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    expect([path, reason]).toEqual(["relayed", "nothing-heard"]);
    await net.advance(5_000);
    expect([pathOf(a, b), pathOf(b, a)]).toEqual(["relayed", "relayed"]);
  });
});

describe("a node that is told addresses", () => {
  const tell = (from: TraversingNode, to: TraversingNode, hosts: readonly number[][]) => {
    const addresses = hosts.map((host) => ({ family: 4, address: Uint8Array.from(host), port: 9 }) as const);
    const bytes = encodeRendezvous({ type: "punch-candidates", addresses });
    from.node.call((core) => core.sendMessage(to.node.nodeId, Subprotocol.RENDEZVOUS, bytes));
  };

  it("sends nothing to networks that it is not on, to public addresses, groups and itself", async () => {
    const net = new NatNetwork();
    const a = net.join("port-restricted");
    const [relay] = net.relays as [TraversingNode];
    await net.advance(15_000);
    const sentTo = new Set<string>();
    net.network.net.tap = (_, __, to) => {
      sentTo.add(to.host);
      return true;
    };
    tell(relay, a, [
      [10, 1, 2, 3],
      [198, 51, 100, 1],
      [224, 0, 0, 1],
      [127, 0, 0, 1],
      [172, 16, 0, 1],
    ]);
    await net.advance(2_000);
    expect(a.nat.traversal.stats.candidates).toMatchObject({ received: 1, implausible: 5, tried: 0 });
    expect([...sentTo].every((host) => host.startsWith("10.0.0.") || host.startsWith("203."))).toBe(true);
  });

  it("tries no more than four, three times each, however often it is told", async () => {
    const net = new NatNetwork();
    const a = net.join("port-restricted");
    const b = net.join("port-restricted", { settings: { sharesLocalAddresses: false } });
    await net.advance(15_000);
    const [relay] = net.relays as [TraversingNode];
    a.node.connect(b.node, relay.node);
    for (let i = 0; i < 50; i++) {
      tell(
        b,
        a,
        Array.from({ length: 8 }, (_, n) => [192, 168, 1, 100 + n]),
      );
      await net.advance(100);
    }
    const { candidates } = a.nat.traversal.stats;
    expect(candidates.tried).toBe(2 * 4 * 3);
    expect(candidates.refused).toBe(48);
    expect(pathOf(a, b)).toBe("relayed");
  });

  it("takes none of a node of Net, and tells it none", async () => {
    const net = new NatNetwork();
    const box = net.box("port-restricted");
    const a = net.join("open", { box });
    const b = net.join("open", { box, node: { features: 0 } });
    await net.advance(15_000);
    const [relay] = net.relays as [TraversingNode];
    a.node.connect(b.node, relay.node);
    tell(b, a, [[192, 168, 1, 100]]);
    await net.within(a.nat.traversal.connectDirect(targetOf(b)), 60_000);
    expect(a.nat.traversal.stats.candidates).toMatchObject({ told: 0, received: 0, refused: 1 });
  });
});

describe("a node that has several coordinators to ask", () => {
  it("asks the next one when one says nothing for two seconds", async () => {
    const net = new NatNetwork({ conditions: { delayMs: 20 } });
    const [a, b] = [net.join("port-restricted"), net.join("port-restricted")];
    await net.advance(15_000);
    const [silent, other] = net.relays as [TraversingNode, TraversingNode];
    // It passes packets on and coordinates nothing, like a node whose traversal is switched off.
    silent.nat.close();
    const startMs = net.network.clock.now();
    const coordinators = [silent.node.nodeId, other.node.nodeId];
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b), coordinators));
    expect(outcome).toEqual({ path: "punched", reason: "punched" });
    expect(net.network.clock.now() - startMs).toBeLessThan(4_000);
  });

  it("asks the next one at once when one does not know the peer", async () => {
    const net = new NatNetwork({ conditions: { delayMs: 20 } });
    const [a, b] = [net.join("port-restricted"), net.add("port-restricted")];
    const [ignorant, other] = net.relays as [TraversingNode, TraversingNode];
    b.node.connect(other.node);
    const third = net.add("open");
    b.node.connect(third.node);
    await net.advance(15_000);
    const startMs = net.network.clock.now();
    const coordinators = [ignorant.node.nodeId, other.node.nodeId];
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b), coordinators));
    expect(outcome.path).toBe("punched");
    expect(net.network.clock.now() - startMs).toBeLessThan(2_000);
    expect(ignorant.nat.traversal.stats.coordinator).toMatchObject({ introduced: 0, rejected: 1 });
  });

  it.each(["its own", "the peer's"])("comes through although %s introduction is lost once", async (whose) => {
    const net = new NatNetwork({ conditions: { delayMs: 20 } });
    const [a, b] = [net.join("port-restricted"), net.join("port-restricted")];
    await net.advance(15_000);
    const [relay] = net.relays as [TraversingNode];
    const victim = (whose === "its own" ? a : b).node.nodeId;
    const send = relay.nat.send.bind(relay.nat);
    let lost = 0;
    relay.nat.send = (nodeId, id, message) => {
      const isIntroduction = id === Subprotocol.RENDEZVOUS && message[0] === 2;
      return isIntroduction && nodeId === victim && lost++ === 0 ? true : send(nodeId, id, message);
    };
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b), [relay.node.nodeId]));
    expect([outcome.path, lost]).toEqual(["punched", 2]);
  });

  it.each(["port-restricted", "symmetric"] as const)(
    "comes through when a peer behind a NAT of kind %s asks another one at the same time",
    async (place) => {
      const net = new NatNetwork({ conditions: { delayMs: 20 } });
      const [a, b] = [net.join("port-restricted"), net.join(place)];
      await net.advance(15_000);
      const [one, other] = net.relays as [TraversingNode, TraversingNode];
      const calls = [
        a.nat.traversal.connectDirect(targetOf(b), [one.node.nodeId]),
        b.nat.traversal.connectDirect(targetOf(a), [other.node.nodeId]),
      ];
      const outcomes = await net.within(Promise.all(calls));
      expect(outcomes.map(({ path }) => path)).toEqual(["punched", "punched"]);
      expect([pathOf(a, b), pathOf(b, a)]).not.toContain("relayed");
    },
  );

  it("is introduced by one that it reaches over a relay only", async () => {
    const net = new NatNetwork({ conditions: { delayMs: 20 } });
    const [a, b] = [net.join("port-restricted"), net.join("port-restricted")];
    const [relay] = net.relays as [TraversingNode];
    const far = net.add("open");
    for (const { node } of net.relays) far.node.connect(node);
    b.node.connect(far.node);
    await net.advance(15_000);
    a.node.connect(far.node, relay.node);
    expect(pathOf(a, far)).toBe("relayed");
    const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b), [far.node.nodeId]));
    expect(outcome).toEqual({ path: "punched", reason: "punched" });
    expect(far.nat.traversal.stats.coordinator.introduced).toBe(1);
  });
});

describe("a node's own address, told to peers", () => {
  it("is known to nobody who is no peer", async () => {
    const { net, a, b } = await sameLan();
    const secret = SocketAddress.parse(a.node.transport.localAddress.key).host.split(".").map(Number);
    let seen = 0;
    net.network.net.tap = (bytes) => {
      for (let i = 0; i + 4 <= bytes.length; i++) {
        if (secret.every((byte, n) => bytes[i + n] === byte)) seen++;
      }
      return true;
    };
    await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    expect(a.nat.traversal.stats.candidates.told).toBe(1);
    expect(seen).toBe(0);
  });
});
