import { encodeRendezvous, SocketAddress, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { NatNetwork, type Place, type TraversingNode, targetOf } from "./nat-network.ts";

const PLACES: readonly Place[] = ["open", "full-cone", "address-restricted", "port-restricted", "symmetric"];
const REFLEX = { family: 4, address: Uint8Array.of(198, 51, 100, 9), port: 4_000 } as const;

describe("a node with two direct peers", () => {
  it.each([
    ["open", "open"],
    ["full-cone", "cone"],
    ["address-restricted", "cone"],
    ["port-restricted", "cone"],
    ["symmetric", "symmetric"],
  ] as const)("at a place of kind %s finds out and announces that it is %s", async (place, natClass) => {
    const net = new NatNetwork();
    const a = net.join(place);
    await net.advance(2_000);
    expect(a.nat.traversal.natClass).toBe(natClass);
    await net.advance(12_000);
    const told = net.relays[0]?.nat;
    expect(told?.natClassOf(a.node.nodeId)).toBe(natClass);
    expect(told?.reflexOf(a.node.nodeId)?.key).toBe(a.nat.traversal.reflex?.key);
  });

  it("says what the operator says, at once, and finds out anew when that is taken back", async () => {
    const net = new NatNetwork();
    const a = net.join("port-restricted");
    await net.advance(15_000);
    const { traversal } = a.nat;
    const told = () => net.relays[0]?.nat.reflexOf(a.node.nodeId)?.key;
    traversal.setReflexOverride(SocketAddress.parse("198.51.100.1:9000"));
    await net.advance(100);
    expect([traversal.natClass, told()]).toEqual(["open", "198.51.100.1:9000"]);
    await net.within(traversal.reclassify());
    expect(traversal.natClass).toBe("open");
    expect(traversal.clearReflexOverride()).toBe(true);
    expect([traversal.natClass, traversal.reflex]).toEqual(["unknown", undefined]);
    await net.within(traversal.reclassify());
    expect(traversal.natClass).toBe("cone");
  });
});

describe("two nodes behind NATs of every kind", () => {
  for (const here of PLACES) {
    for (const there of PLACES) {
      const isHopeless = here === "symmetric" && there === "symmetric";
      it(`${here} and ${there}: ${isHopeless ? "stay on the relay" : "reach each other without a relay"}`, async () => {
        const net = new NatNetwork();
        const [a, b] = [net.join(here), net.join(there)];
        await net.advance(15_000);
        const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b)));
        expect(outcome.path === "relayed").toBe(isHopeless);
        await net.advance(2_000);
        expect(await exchanged(net, a, b)).toBe(true);
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          expect(from.node.core.peer(to.node.nodeId)?.session?.path.routed).toBe(isHopeless);
        }
        const { punchesAttempted, punchesSucceeded, relayFallbacks } = a.nat.traversal.stats;
        expect(punchesSucceeded).toBe(punchesAttempted);
        expect(relayFallbacks).toBe(isHopeless ? 1 : 0);
        if (isHopeless) expect(punchesAttempted).toBe(0);
      });
    }
  }
});

describe("a relayed session that carries a saturated stream", () => {
  it.each([1, 2, 3, 4])(
    "moves to the punched path and loses, repeats and reorders nothing (seed %i)",
    async (seed) => {
      const net = new NatNetwork({
        seed,
        conditions: { delayMs: 10, jitterMs: 4, loss: 0.01, bytesPerSecond: 2_000_000 },
      });
      const a = net.join("port-restricted", { upgrades: true });
      const b = net.join("port-restricted");
      await net.advance(15_000);
      const [relay] = net.relays as [TraversingNode];
      a.node.connect(b.node, relay.node);
      const before = a.node.core.peer(b.node.nodeId)?.session;
      expect(before?.path.routed).toBe(true);
      const sent = 4_000;
      const received = receive(b, 7n);
      send(a, b, 7n, sent);
      await net.advance(30_000);
      expect(a.node.core.peer(b.node.nodeId)?.session).toBe(before);
      expect(before?.path.routed).toBe(false);
      expect(b.node.core.peer(a.node.nodeId)?.session?.path.routed).toBe(false);
      expect(received).toEqual(Array.from({ length: sent }, (_, i) => i));
      expect(a.nat.traversal.stats.punchesSucceeded).toBe(1);
    },
  );

  it("returns to the relay when the punched path goes silent, and carries on", async () => {
    const net = new NatNetwork({ conditions: { delayMs: 5 } });
    const a = net.join("port-restricted", { upgrades: true });
    const b = net.join("port-restricted");
    await net.advance(15_000);
    const [relay] = net.relays as [TraversingNode];
    a.node.connect(b.node, relay.node);
    await net.advance(5_000);
    const session = a.node.core.peer(b.node.nodeId)?.session;
    expect(session?.path.routed).toBe(false);
    const hosts = [a, b].map(({ nat }) => nat.traversal.reflex?.host);
    net.network.net.tap = (_, from, to) => !(hosts.includes(from.host) && hosts.includes(to.host));
    const received = receive(b, 7n);
    send(a, b, 7n, 500);
    await net.advance(20_000);
    expect(session?.path.routed).toBe(true);
    expect(received).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });
});

describe("a coordinator", () => {
  it("introduces nobody under an address that is not the requester's", async () => {
    const { net, a, b, relay, rendezvous } = await pair();
    rendezvous(a, relay, { type: "punch-request", target: b.node.nodeId, reflex: REFLEX });
    await net.advance(1_000);
    expect(relay.nat.traversal.stats.coordinator).toMatchObject({ introduced: 0, rejected: 1 });
    expect(b.node.core.counters.keepAliveSent).toBe(0);
  });

  it("introduces no node to itself, nor to one that it has no session with", async () => {
    const { net, a, relay, rendezvous } = await pair();
    rendezvous(a, relay, { type: "punch-request", target: a.node.nodeId, reflex: REFLEX });
    rendezvous(a, relay, { type: "punch-request", target: 42n, reflex: REFLEX });
    await net.advance(1_000);
    expect(relay.nat.traversal.stats.coordinator).toMatchObject({ introduced: 0, rejected: 2 });
  });

  it("passes a flood of requests on to a target no more than six times", async () => {
    const { net, a, b, relay, rendezvous } = await pair();
    const own = a.nat.traversal.reflex as SocketAddress;
    const address = Uint8Array.from(own.host.split(".").map(Number));
    for (let i = 0; i < 200; i++) {
      const reflex = { family: 4, address, port: own.port } as const;
      rendezvous(a, relay, { type: "punch-request", target: b.node.nodeId, reflex });
      await net.advance(25);
    }
    expect(relay.nat.traversal.stats.coordinator.introduced).toBe(6);
    expect(b.node.core.counters.keepAliveSent).toBeLessThan(40);
  });

  it("passes no ack on for somebody else, or between nodes that it has not introduced", async () => {
    const { net, a, b, relay, rendezvous } = await pair();
    const to = b.node.nodeId;
    rendezvous(a, relay, { type: "punch-ack", from: 42n, to, punchId: 0 });
    rendezvous(a, relay, { type: "punch-ack", from: a.node.nodeId, to, punchId: 0 });
    await net.advance(1_000);
    expect(relay.nat.traversal.stats.coordinator).toMatchObject({ acksForwarded: 0, acksRefused: 2 });
  });
});

describe("a peer that lies about introductions", () => {
  it("makes a node send nothing to an address that its victim has not announced", async () => {
    const { net, a, relay, rendezvous } = await pair();
    const before = a.node.core.counters.keepAliveSent;
    for (const peer of [42n, a.node.nodeId]) {
      rendezvous(relay, a, { type: "punch-introduce", peer, reflex: REFLEX, fireAtMs: 0n });
    }
    await net.advance(3_000);
    expect(a.node.core.counters.keepAliveSent).toBe(before);
    expect(a.nat.traversal.stats.puncher.introductionsRefused).toBe(2);
  });

  it("makes a node send to no group, no broadcast and not to itself", async () => {
    const { net, a, relay, rendezvous } = await pair();
    for (const host of [
      [224, 0, 0, 1],
      [255, 255, 255, 255],
      [127, 0, 0, 1],
      [0, 0, 0, 0],
    ]) {
      const reflex = { family: 4, address: Uint8Array.from(host), port: 4_000 } as const;
      rendezvous(relay, a, { type: "punch-introduce", peer: 42n, reflex, fireAtMs: 0n });
    }
    await net.advance(3_000);
    expect(a.node.core.counters.keepAliveSent).toBe(0);
  });

  it("moves no session by keep-alives in another node's name", async () => {
    const { net, a, b, relay } = await pair("full-cone");
    const forger = net.add("open").node.transport.localAddress;
    const target = a.nat.traversal.reflex as SocketAddress;
    const bytes = Uint8Array.from([0x50, 0x48, ...idBytes(b.node.nodeId), 0, 0, 0, 0]);
    const call = a.nat.traversal.connectDirect(targetOf(b), [relay.node.nodeId]);
    for (let i = 0; i < 100; i++) {
      net.network.net.inject(bytes, forger, target);
      await net.advance(25);
    }
    expect(await net.within(call)).toEqual({ path: "punched", reason: "punched" });
    expect(a.node.core.counters.keepAliveTaken).toBeGreaterThan(0);
    const session = a.node.core.peer(b.node.nodeId)?.session;
    expect(session?.path.address.key).toBe(b.nat.traversal.reflex?.key);
  });

  it("completes no punch by acks and rejections of what it was not asked for", async () => {
    const { net, a, b, relay, rendezvous } = await pair();
    const from = b.node.nodeId;
    rendezvous(relay, a, { type: "punch-ack", from, to: a.node.nodeId, punchId: 0 });
    rendezvous(relay, a, { type: "punch-reject", target: from, reason: 1 });
    await net.advance(1_000);
    expect(a.nat.traversal.stats.puncher.stray).toBe(2);
  });
});

describe("several messages in one packet", () => {
  /** Seals events of a subprotocol in one packet, as no node of netmesh does. */
  function inject(
    net: NatNetwork,
    from: TraversingNode,
    to: TraversingNode,
    id: number,
    events: Uint8Array[],
  ) {
    const session = from.node.core.peer(to.node.nodeId)?.session;
    if (session === undefined) throw new Error("there is no session");
    const fields = {
      streamIdLo: id,
      streamIdHi: 0,
      sequenceLo: 0,
      sequenceHi: 0,
      flags: 0,
      subprotocolId: id,
      channelHash: 0,
      originHashLo: 0,
      originHashHi: 0,
    };
    const bytes = new Uint8Array(1_200);
    const length = session.builder.buildInto(bytes, 0, fields, events, 0, events.length);
    net.network.net.inject(
      bytes.subarray(0, length),
      from.node.transport.localAddress,
      to.node.transport.localAddress,
    );
  }

  it("are all handled, and one among them that is none is counted", async () => {
    const { net, a, relay } = await pair("open");
    const before = relay.nat.traversal.stats;
    const ack = encodeRendezvous({ type: "punch-ack", from: a.node.nodeId, to: 42n, punchId: 0 });
    inject(net, a, relay, Subprotocol.RENDEZVOUS, [ack, Uint8Array.of(9, 9), ack, ack]);
    inject(net, a, relay, Subprotocol.REFLEX, [new Uint8Array(), new Uint8Array(5), new Uint8Array()]);
    await net.advance(500);
    const { coordinator, ignored } = relay.nat.traversal.stats;
    expect([coordinator.acksRefused - before.coordinator.acksRefused, ignored - before.ignored]).toEqual([
      3, 2,
    ]);
    // Both questions were answered, though nobody had asked them there.
    expect(a.nat.traversal.stats.ignored).toBe(2);
  });
});

describe("a node that looks for nothing", () => {
  it("asks no peer where it is seen but in its sweeps, and sends no keep-alive", async () => {
    const { net, a } = await pair();
    let asked = 0;
    const send = a.nat.send.bind(a.nat);
    a.nat.send = (nodeId, id, message) => {
      if (message.length === 0) asked++;
      return send(nodeId, id, message);
    };
    await net.advance(40_000);
    expect([asked, a.node.core.counters.keepAliveSent]).toEqual([0, 0]);
    // The sweep of every minute asks the two relays.
    await net.advance(60_000);
    expect(asked).toBe(2);
  });
});

function idBytes(id: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, id, true);
  return bytes;
}

/** Two nodes behind NATs that are known to a relay. */
async function pair(place: Place = "port-restricted") {
  const net = new NatNetwork();
  const [a, b] = [net.join(place), net.join(place)];
  await net.advance(15_000);
  const [relay] = net.relays as [TraversingNode];
  const rendezvous = (
    from: TraversingNode,
    to: TraversingNode,
    message: Parameters<typeof encodeRendezvous>[0],
  ) =>
    from.node.call((core) =>
      core.sendMessage(to.node.nodeId, Subprotocol.RENDEZVOUS, encodeRendezvous(message)),
    );
  return { net, a, b, relay, rendezvous };
}

/** Numbers that arrive on a stream, in order of delivery. */
function receive({ node }: TraversingNode, streamId: bigint): number[] {
  const received: number[] = [];
  node.listeners.add((event) => {
    if (event.type === "stream-opened" && event.stream.id === streamId) {
      node.core.openStream(event.session.peer.nodeId, streamId, { reliability: "reliable", ordered: true });
    }
    if (event.type !== "data" || event.stream.id !== streamId) return;
    for (const data of event.packet.events)
      received.push(new DataView(data.buffer, data.byteOffset).getUint32(0));
    node.core.consumed(event.session, event.stream, event.packet.wireBytes);
  });
  return received;
}

/** Writes numbers of 500 bytes as fast as the stream takes them. */
function send({ node }: TraversingNode, to: TraversingNode, streamId: bigint, count: number): void {
  let next = 0;
  const options = { reliability: "reliable", ordered: true } as const;
  const { session, stream } = node.call((core) => core.openStream(to.node.nodeId, streamId, options));
  const write = () => {
    while (next < count) {
      const event = new Uint8Array(500);
      new DataView(event.buffer).setUint32(0, next);
      if (node.call((core) => core.write(session, stream, [event])) === 0) return;
      next++;
    }
  };
  node.listeners.add((event) => {
    if (event.type === "stream-writable" && event.stream === stream) write();
  });
  write();
}

/** Whether numbers pass in both directions. */
async function exchanged(net: NatNetwork, a: TraversingNode, b: TraversingNode): Promise<boolean> {
  const [atA, atB] = [receive(a, 9n), receive(b, 8n)];
  send(a, b, 8n, 3);
  send(b, a, 9n, 3);
  await net.advance(2_000);
  return [atA, atB].every((numbers) => numbers.join() === "0,1,2");
}
