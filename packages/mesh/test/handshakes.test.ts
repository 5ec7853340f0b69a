import { bytesToHex, Identity, staticKeyPairFromIdentity } from "@netmesh/crypto";
import { PacketFlags, ROUTING_HEADER_SIZE, SocketAddress, writeU64 } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { handshakeDatagram } from "../src/handshake/handshake-datagram.ts";
import { createTestNetwork, SeededRandom, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { codeOf, numbered, pair, RELIABLE, Receiving, range, relayed, Sending, until } from "./traffic.ts";

/** Whether the datagram is a handshake packet, behind a routing header or not. */
function isHandshake(bytes: Uint8Array): boolean {
  const start = bytes[0] === 0x52 && bytes[1] === 0x54 ? ROUTING_HEADER_SIZE : 0;
  return ((bytes[start + 3] as number) & PacketFlags.HANDSHAKE) !== 0 && bytes.length - start < 200;
}

/** Handshake datagrams that one node sends, by recording them. */
function record(network: TestNetwork, from: TestNode): Uint8Array[] {
  const seen: Uint8Array[] = [];
  network.net.tap = (bytes, source) => {
    if (source.equals(from.transport.localAddress) && isHandshake(bytes)) seen.push(bytes.slice());
    return true;
  };
  return seen;
}

function exchange(network: TestNetwork, a: TestNode, b: TestNode): void {
  const atB = new Receiving(b, a, 77n, RELIABLE);
  const atA = new Receiving(a, b, 77n, RELIABLE);
  new Sending(a, b, 77n, RELIABLE).write(...numbered(20)).finish();
  new Sending(b, a, 77n, RELIABLE).write(...numbered(30)).finish();
  until(network, () => atA.ends + atB.ends === 2);
  expect(atB.numbers).toEqual(range(20));
  expect(atA.numbers).toEqual(range(30));
}

describe("connecting", () => {
  it("works directly with a node that awaits it", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 10 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    b.call((core) => core.expect(a.nodeId));
    const attempt = a.call((core) =>
      core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "direct"),
    );
    network.advance(100);
    expect(a.eventsOf("connected").map((event) => event.attempt)).toEqual([attempt]);
    expect(b.eventsOf("accepted").map((event) => event.peer.nodeId)).toEqual([a.nodeId]);
    expect(a.core.peer(b.nodeId)?.publicKey).toEqual(b.keys.publicKey);
    exchange(network, a, b);
  });

  it("directly with a node that does not await it ends in handshake-timeout", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    b.call((core) => {
      core.expect(a.nodeId);
      core.unexpect(a.nodeId);
    });
    a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "direct"));
    network.advance(20_000);
    expect(a.eventsOf("connect-failed")[0]?.error.code).toBe("handshake-timeout");
    expect(b.core.counters.handshakeUnsolicited).toBeGreaterThan(0);
    expect(b.core.peerCount).toBe(0);
  });

  it("works with a running node at once, in both directions", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10 } });
    expect(b.eventsOf("peer-connected").length).toBe(1);
    exchange(network, a, b);
  });

  it("works through one relay, whose application sees nothing", () => {
    const { network, a, b, relay } = relayed({ conditions: { delayMs: 10 } });
    exchange(network, a, b);
    expect(relay.eventsOf("data")).toEqual([]);
  });

  it("works through two relays along routes set by hand", () => {
    const network = createTestNetwork(4, { conditions: { delayMs: 10 } });
    const [a, b, near, far] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
    a.connect(near);
    near.connect(far);
    b.connect(far);
    near.call((core) => core.addRoute(b.nodeId, far.transport.localAddress));
    far.call((core) => core.addRoute(a.nodeId, near.transport.localAddress));
    expect(near.core.route(b.nodeId)?.key).toBe(far.transport.localAddress.key);
    a.connect(b, near);
    expect(a.core.peer(b.nodeId)?.session?.path.routed).toBe(true);
    exchange(network, a, b);
    expect(near.eventsOf("data").length + far.eventsOf("data").length).toBe(0);
  });

  it("gets no answer from a node that does not want the peer", () => {
    const network = createTestNetwork(1);
    const [a] = network.nodes as [TestNode];
    const asked: bigint[] = [];
    const b = network.add({
      acceptPeers: (nodeId) => {
        asked.push(nodeId);
        return false;
      },
    });
    expect(codeOf(() => a.connect(b))).toBe("handshake-timeout");
    expect(b.core.counters.datagramsSent).toBe(0);
    expect(b.core.counters.handshakeRefused).toBeGreaterThan(0);
    expect(new Set(asked)).toEqual(new Set([a.nodeId]));
  });

  it("gets no answer from a node that shuts down when it is asked", () => {
    const network = createTestNetwork(1);
    const [a] = network.nodes as [TestNode];
    const b: TestNode = network.add({
      acceptPeers: () => {
        b.core.close();
        return true;
      },
    });
    expect(codeOf(() => a.connect(b))).toBe("handshake-timeout");
    expect(b.core.counters.datagramsSent).toBe(0);
    expect(b.core.peerCount).toBe(0);
    expect(b.core.counters.handshakeRefused).toBe(1);
  });

  it("fails in time with another PSK, and leaves no trace", () => {
    const network = createTestNetwork(1);
    const [b] = network.nodes as [TestNode];
    const a = network.add({ psk: new Uint8Array(32).fill(7) });
    expect(codeOf(() => a.connect(b))).toBe("handshake-timeout");
    // Three attempts of five seconds, pauses of 100 and 200 ms.
    expect(network.clock.now()).toBeCloseTo(15_300, -2);
    expect(b.core.counters.handshakeBad).toBeGreaterThan(2);
    expect(a.core.peerCount + b.core.peerCount).toBe(0);
  });

  it("fails with another public key than the peer's", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    const other = staticKeyPairFromIdentity(Identity.generate(network.random)).publicKey;
    a.call((core) => core.connect(b.nodeId, other, b.transport.localAddress, "routed"));
    network.advance(20_000);
    expect(a.eventsOf("connect-failed")[0]?.error.code).toBe("handshake-timeout");
  });

  it("fails at once with a public key that no peer can have", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.call((core) => core.connect(b.nodeId, new Uint8Array(32), b.transport.localAddress, "routed"));
    network.advance(0);
    expect(a.eventsOf("connect-failed")[0]?.error.code).toBe("handshake-failed");
  });

  it("refuses a second attempt while one is in flight, and takes it afterwards", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    network.net.partition(a.transport.localAddress, b.transport.localAddress);
    const connect = () =>
      a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "routed"));
    const attempt = connect();
    expect(codeOf(connect)).toBe("handshake-in-flight");
    a.call((core) => core.abandon(attempt));
    network.net.heal(a.transport.localAddress, b.transport.localAddress);
    connect();
    network.advance(100);
    expect(a.eventsOf("connect-failed")).toEqual([]);
    expect(a.eventsOf("connected").length).toBe(1);
  });

  it("makes no more attempts than configured, within their time", () => {
    const network = createTestNetwork(2, { node: { handshakeAttempts: 2, handshakeTimeoutMs: 1_000 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    const seen = record(network, a);
    b.kill();
    expect(codeOf(() => a.connect(b))).toBe("handshake-timeout");
    expect(network.clock.now()).toBeCloseTo(2_100, 0);
    const ephemerals = new Set(seen.map((bytes) => bytesToHex(bytes.subarray(86, 118))));
    expect(ephemerals.size).toBe(2);
    network.advance(60_000);
    expect(seen.length).toBeLessThan(10);
  });

  it.each([1, 2, 3])("works although the first %i messages of the handshake are lost", (count) => {
    for (const role of [0, 1]) {
      const network = createTestNetwork(2, { conditions: { delayMs: 10 } });
      const [a, b] = network.nodes as [TestNode, TestNode];
      let left = count;
      network.net.tap = (bytes, from) =>
        !(isHandshake(bytes) && from.equals((role === 0 ? a : b).transport.localAddress) && left-- > 0);
      a.connect(b);
      network.net.tap = undefined;
      network.advance(1_000);
      expect(b.eventsOf("peer-connected").length).toBe(1);
      exchange(network, a, b);
    }
  });

  it("works when both nodes begin at once, with one session on both sides", () => {
    for (let seed = 1; seed <= 6; seed++) {
      const network = createTestNetwork(2, { seed, conditions: { delayMs: 10, loss: seed > 3 ? 0.3 : 0 } });
      const [a, b] = network.nodes as [TestNode, TestNode];
      a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "routed"));
      b.call((core) => core.connect(a.nodeId, a.keys.publicKey, a.transport.localAddress, "routed"));
      const isDone = (node: TestNode) =>
        node.eventsOf("connected").length + node.eventsOf("connect-failed").length === 1;
      until(network, () => isDone(a) && isDone(b));
      network.net.conditions = {};
      network.advance(20_000);
      expect(a.eventsOf("connected").length, network.label).toBe(1);
      expect(b.eventsOf("connected").length, network.label).toBe(1);
      expect(a.core.peer(b.nodeId)?.session?.id, network.label).toBe(b.core.peer(a.nodeId)?.session?.id);
      expect(a.core.peer(b.nodeId)?.candidate).toBeUndefined();
      exchange(network, a, b);
    }
  });

  it("holds the limit of peers, on both sides and for attempts in flight", () => {
    const network = createTestNetwork(4);
    const [b, c, d, e] = network.nodes as [TestNode, TestNode, TestNode, TestNode];
    const a = network.add({ maxPeers: 2 });
    for (const to of [b, c, d]) {
      a.call((core) => core.connect(to.nodeId, to.keys.publicKey, to.transport.localAddress, "routed"));
    }
    network.advance(1_000);
    expect(a.core.peerCount).toBe(2);
    expect(a.eventsOf("connect-failed").map((event) => event.error.code)).toEqual(["too-many-peers"]);
    expect(codeOf(() => a.connect(e))).toBe("too-many-peers");
    expect(codeOf(() => e.connect(a))).toBe("handshake-timeout");
    expect(a.core.counters.handshakeRefused).toBeGreaterThan(0);
    // A known peer may always come back.
    b.connect(a);
    expect(a.core.peerCount).toBe(2);
  });
});

describe("an attacker on the network", () => {
  it("gets the same answer for a repeated first message, and changes nothing with it", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    const sent = record(network, a);
    a.connect(b);
    const answers = record(network, b);
    const session = b.core.peer(a.nodeId)?.session;
    for (const from of ["10.0.0.1:7000", "192.0.2.1:9"]) {
      network.advance(500);
      network.net.inject(sent[0] as Uint8Array, SocketAddress.parse(from), b.transport.localAddress);
    }
    network.advance(1_000);
    expect(answers.length).toBe(2);
    expect(answers[0]).toEqual(answers[1]);
    expect(b.core.counters.handshakeReplay).toBe(2);
    expect(b.core.peer(a.nodeId)?.session).toBe(session);
    expect(b.core.peer(a.nodeId)?.candidate).toBeUndefined();
    exchange(network, a, b);
  });

  it("that repeats a first message a thousand times gets ten answers a second, all sent to its author", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    const sent = record(network, a);
    a.connect(b);
    const targets: string[] = [];
    network.net.tap = (bytes, from, to) => {
      if (from.equals(b.transport.localAddress) && isHandshake(bytes)) targets.push(to.key);
      return true;
    };
    for (let i = 0; i < 1_000; i++) {
      const from = SocketAddress.parse(`198.51.100.${i & 255}:${i + 1}`);
      network.net.inject(sent[0] as Uint8Array, from, b.transport.localAddress);
      network.advance(1);
    }
    expect(targets.length).toBeGreaterThan(5);
    expect(targets.length).toBeLessThanOrEqual(10);
    expect(new Set(targets)).toEqual(new Set([a.transport.localAddress.key]));
    exchange(network, a, b);
  });

  it("gets nothing for a first message recorded earlier, and the live session goes on", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    const sent = record(network, a);
    a.connect(b);
    a.connect(b);
    network.advance(60_000);
    const answers = record(network, b);
    const session = b.core.peer(a.nodeId)?.session;
    for (const bytes of sent) {
      network.net.inject(bytes, SocketAddress.parse("192.0.2.1:9"), b.transport.localAddress);
    }
    network.advance(1_000);
    expect(answers).toEqual([]);
    expect(b.core.peer(a.nodeId)?.session).toBe(session);
    exchange(network, a, b);
  });

  it("cannot abort a handshake with spoofed messages, direct or routed", () => {
    for (const mode of ["direct", "routed"] as const) {
      const network = createTestNetwork(2, { conditions: { delayMs: 200 } });
      const [a, b] = network.nodes as [TestNode, TestNode];
      if (mode === "direct") b.call((core) => core.expect(a.nodeId));
      a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, mode));
      const random = new SeededRandom(5);
      const route = mode === "routed" ? { from: b.nodeId, to: a.nodeId } : undefined;
      network.net.link(b.transport.localAddress, a.transport.localAddress, { delayMs: 100 });
      for (let i = 0; i < 30; i++) {
        const forged = handshakeDatagram(random.bytes(i), route);
        network.net.inject(forged, b.transport.localAddress, a.transport.localAddress);
        const long = handshakeDatagram(random.bytes(48 + i), route);
        network.net.inject(long, b.transport.localAddress, a.transport.localAddress);
      }
      network.advance(2_000);
      expect(a.eventsOf("connected").length).toBe(1);
      exchange(network, a, b);
    }
  });

  it("in the place of the relay is detected when it rewrites source or destination", () => {
    for (const rewritten of ["source", "destination"]) {
      const network = createTestNetwork(3);
      const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
      a.connect(relay);
      b.connect(relay);
      network.net.tap = (bytes, from, to) => {
        if (from.equals(relay.transport.localAddress) && to.equals(b.transport.localAddress)) {
          if (isHandshake(bytes) && rewritten === "source") bytes[6] = (bytes[6] as number) ^ 1;
        } else if (from.equals(a.transport.localAddress) && isHandshake(bytes)) {
          if (rewritten === "destination") writeU64(bytes, 10, relay.nodeId);
        }
        return true;
      };
      expect(codeOf(() => a.connect(b, relay))).toBe("handshake-timeout");
      expect(b.core.peerCount).toBe(1);
      expect(b.core.counters.handshakeBad + relay.core.counters.handshakeBad).toBeGreaterThan(2);
    }
  });

  it("without the PSK cannot make a node do more public-key operations than its budget allows", () => {
    const network = createTestNetwork(1);
    const [b] = network.nodes as [TestNode];
    const random = new SeededRandom(6);
    for (let i = 0; i < 10_000; i++) {
      const from = SocketAddress.parse(`198.51.${(i >> 8) & 255}.${i & 255}:7`);
      const forged = handshakeDatagram(random.bytes(60), { from: BigInt(i + 1), to: b.nodeId });
      network.net.inject(forged, from, b.transport.localAddress);
    }
    network.advance(10);
    const { handshakeBad, handshakePaced } = b.core.counters;
    expect(handshakeBad).toBe(256);
    expect(handshakePaced).toBe(9_744);
  });

  it("with the PSK that claims a known node id, but never sends, displaces nobody", () => {
    const { network, a, b } = pair();
    const session = b.core.peer(a.nodeId)?.session;
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(5));
    const thief = network.add({ identity: a.identity });
    network.net.tap = (bytes, source) => isHandshake(bytes) || !source.equals(thief.transport.localAddress);
    for (let i = 0; i < 5; i++) thief.connect(b);
    expect(b.core.peer(a.nodeId)?.candidate).toBeDefined();
    expect(b.core.peer(a.nodeId)?.session).toBe(session);
    from.write(...numbered(5, 100, 5));
    network.advance(30_000);
    expect(to.numbers).toEqual(range(10));
    expect(b.core.peer(a.nodeId)?.candidate).toBeUndefined();
    expect(b.eventsOf("peer-connected").length).toBe(1);
  });
});

describe("two nodes that dial each other", () => {
  it("are not told that they are connected by a recording of the other's first message", () => {
    const network = createTestNetwork(2);
    const [low, high] = [...network.nodes].sort((x, y) => (x.nodeId < y.nodeId ? -1 : 1)) as [
      TestNode,
      TestNode,
    ];
    let recording: Uint8Array | undefined;
    network.net.tap = (bytes, from) => {
      if (from.equals(low.transport.localAddress)) recording ??= bytes.slice();
      return false;
    };
    low.call((core) =>
      core.abandon(core.connect(high.nodeId, high.keys.publicKey, high.transport.localAddress, "routed")),
    );
    network.advance(10);
    low.kill();
    network.net.tap = undefined;
    high.call((core) => core.connect(low.nodeId, low.keys.publicKey, low.transport.localAddress, "routed"));
    network.net.inject(recording as Uint8Array, low.transport.localAddress, high.transport.localAddress);
    network.advance(20_000);
    expect(high.core.counters.handshakesCompleted).toBe(1);
    expect(high.eventsOf("connected")).toEqual([]);
    expect(high.eventsOf("connect-failed")[0]?.error.code).toBe("handshake-timeout");
  });

  it("agree on one session whatever is lost, within seconds", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const network = createTestNetwork(2, { seed, conditions: { delayMs: 10, jitterMs: 30, loss: 0.3 } });
      const [a, b] = network.nodes as [TestNode, TestNode];
      a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "routed"));
      b.call((core) => core.connect(a.nodeId, a.keys.publicKey, a.transport.localAddress, "routed"));
      until(network, () => a.eventsOf("connected").length + b.eventsOf("connected").length === 2);
      network.net.conditions = { delayMs: 10 };
      network.advance(6_000);
      const session = a.core.peer(b.nodeId)?.session;
      expect(session?.id, network.label).toBe(b.core.peer(a.nodeId)?.session?.id);
      expect(session?.role, network.label).toBe(a.nodeId < b.nodeId ? "initiator" : "responder");
      exchange(network, a, b);
    }
  });
});

describe("a restarted peer", () => {
  it("displaces its old session only with an authenticated packet of the new one", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10 } });
    const old = b.core.peer(a.nodeId)?.session;
    const stream = new Sending(b, a, 7n, RELIABLE);
    a.kill();
    const again = network.add({ identity: a.identity, address: a.transport.localAddress });
    // Only the handshake passes.
    network.net.tap = (bytes, source) => isHandshake(bytes) || !source.equals(a.transport.localAddress);
    again.connect(b);
    network.advance(1_000);
    expect(b.core.peer(a.nodeId)?.session).toBe(old);
    expect(b.core.peer(a.nodeId)?.candidate).toBeDefined();
    network.net.tap = undefined;
    network.advance(6_000);
    expect(b.core.peer(a.nodeId)?.session).not.toBe(old);
    expect(b.eventsOf("peer-connected")[1]?.replaced).toBe(old);
    expect(stream.failure?.code).toBe("session-replaced");
    exchange(network, again, b);
  });

  it("can be dialled again by a node that still holds its old session", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 10 } });
    b.kill();
    const again = network.add({ identity: b.identity, address: b.transport.localAddress });
    a.connect(again);
    network.advance(100);
    expect(a.eventsOf("peer-connected").length).toBe(2);
    exchange(network, a, again);
  });
});

describe("awaiting", () => {
  it("is possible for 64 nodes at once", () => {
    const [a] = createTestNetwork(1).nodes as [TestNode];
    for (let i = 1n; i <= 64n; i++) a.core.expect(i);
    expect(codeOf(() => a.core.expect(65n))).toBe("config");
  });

  it("tries every awaited node on a message", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    b.core.expect(1n);
    b.core.expect(2n);
    b.core.expect(a.nodeId);
    network.net.inject(
      handshakeDatagram(new Uint8Array(60), undefined),
      a.transport.localAddress,
      b.transport.localAddress,
    );
    a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "direct"));
    network.advance(100);
    expect(b.core.counters.handshakeBad).toBe(1);
    expect(b.eventsOf("accepted").length).toBe(1);
  });

  it("repeats the answer of a direct handshake that was lost", () => {
    const network = createTestNetwork(2);
    const [a, b] = network.nodes as [TestNode, TestNode];
    b.core.expect(a.nodeId);
    let left = 1;
    network.net.tap = (_, from) => !(from.equals(b.transport.localAddress) && left-- > 0);
    a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "direct"));
    network.advance(1_000);
    expect(a.eventsOf("connected").length).toBe(1);
    expect(b.core.counters.handshakeReplay).toBe(1);
    exchange(network, a, b);
  });
});
