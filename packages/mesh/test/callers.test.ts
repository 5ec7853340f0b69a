import { aeadProvider } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import type { CoreOptions } from "../src/core/config.ts";
import { MeshCore } from "../src/core/mesh-core.ts";
import { MeshError } from "../src/errors.ts";
import { createTestNetwork, type TestNode } from "../src/testing/index.ts";
import { codeOf, numbered, pair, RELIABLE, Receiving, Sending, until } from "./traffic.ts";

function optionsOf(change: Partial<CoreOptions>): CoreOptions {
  const network = createTestNetwork(1);
  const [node] = network.nodes as [TestNode];
  return {
    nodeId: node.nodeId,
    staticKeyPair: node.keys,
    psk: network.psk,
    clock: network.clock,
    random: network.random,
    ...change,
  };
}

describe("a core", () => {
  it.each<[string, Partial<CoreOptions>]>([
    ["a PSK of 31 bytes", { psk: new Uint8Array(31) }],
    ["a PSK of 33 bytes", { psk: new Uint8Array(33) }],
    ["a heartbeat below 10 ms", { heartbeatMs: 9 }],
    ["a heartbeat that is no number", { heartbeatMs: Number.NaN }],
    ["a session time-out not above the heartbeat", { heartbeatMs: 100, sessionTimeoutMs: 100 }],
    ["a handshake time-out of 0", { handshakeTimeoutMs: 0 }],
    ["no handshake attempts", { handshakeAttempts: 0 }],
    ["1025 handshake attempts", { handshakeAttempts: 1_025 }],
    ["no peers", { maxPeers: 0 }],
    ["half a stream", { maxStreams: 0.5 }],
    ["no receive buffer", { receiveBufferBytes: 0 }],
    ["an idle time-out of 0", { streamIdleTimeoutMs: 0 }],
    ["a relay policy it does not know", { relay: "none" as "off" }],
    ["a repair budget of 0", { repairBudgetMs: 0 }],
    ["datagrams of 255 bytes", { datagramBytes: 255 }],
    ["datagrams of 8193 bytes", { datagramBytes: 8_193 }],
  ])("cannot be made with %s", (_, change) => {
    expect(codeOf(() => new MeshCore(optionsOf(change)))).toBe("config");
  });

  it("takes the limits themselves", () => {
    for (const change of [
      { heartbeatMs: 10, sessionTimeoutMs: 20 },
      { handshakeAttempts: 1_024 },
      { datagramBytes: 256 },
      { datagramBytes: 8_192 },
      { datagramBytes: () => 600 },
    ]) {
      expect(codeOf(() => new MeshCore(optionsOf(change)))).toBeUndefined();
    }
  });

  it("gives all memory back to the AEAD at the end, with nothing in it of what it has opened", () => {
    const inUse = new Set<Uint8Array>();
    const all: Uint8Array[] = [];
    const memory = {
      allocate(size: number) {
        const piece = new Uint8Array(size);
        inUse.add(piece);
        all.push(piece);
        return piece;
      },
      release: (piece: Uint8Array) => void inUse.delete(piece),
    };
    // Nothing comes after the secret that would take its place: no probes, no proofs.
    const network = createTestNetwork(0, { node: { datagramBytes: 1_200, security: "interop" } });
    const a = network.add();
    const b = network.add({ aead: { ...aeadProvider(), memory } });
    a.connect(b);
    const secret = "nobody else's business";
    a.call((core) => core.send(b.nodeId, 1n, [new TextEncoder().encode(secret)]));
    network.advance(100);
    const isThere = () => all.some((piece) => new TextDecoder("latin1").decode(piece).includes(secret));
    expect(isThere()).toBe(true);
    // One for what comes in, the other for what goes out.
    expect(inUse.size).toBe(2);
    b.call((core) => core.close());
    network.advance(1);
    expect(inUse.size).toBe(0);
    expect(isThere()).toBe(false);
  });

  it("keeps its own copy of the PSK, and wipes that at the end", () => {
    const psk = new Uint8Array(32).fill(5);
    const network = createTestNetwork(0);
    const a = network.add({ psk });
    const b = network.add({ psk: new Uint8Array(32).fill(5) });
    psk.fill(0);
    a.connect(b);
    a.core.close();
    expect(psk).toEqual(new Uint8Array(32));
    expect(b.core.peerCount).toBe(1);
  });

  it("refuses to connect with a key of the wrong size, or to itself", () => {
    const { a, b } = pair();
    const to = b.transport.localAddress;
    expect(codeOf(() => a.core.connect(5n, new Uint8Array(31), to, "routed"))).toBe("invalid-argument");
    expect(codeOf(() => a.core.connect(a.nodeId, b.keys.publicKey, to, "routed"))).toBe("invalid-argument");
    // Neither left an attempt behind.
    expect(codeOf(() => a.core.connect(5n, b.keys.publicKey, to, "routed"))).toBeUndefined();
  });

  it("knows no streams with nodes that are no peers", () => {
    const { a } = pair();
    expect(codeOf(() => a.core.openStream(99n, 1n, {}))).toBe("unknown-peer");
    expect(codeOf(() => a.core.send(99n, 1n, numbered(1)))).toBe("unknown-peer");
    expect(a.core.peer(99n)).toBeUndefined();
  });

  it("refuses impossible stream options before anything is opened", () => {
    const { a, b } = pair();
    for (const options of [
      { reliability: "perhaps" as "reliable" },
      { windowBytes: -1 },
      { windowBytes: 1 },
      { windowBytes: 1.5 },
      { windowBytes: 2 ** 32 },
      { ordered: true },
    ]) {
      expect(codeOf(() => a.core.openStream(b.nodeId, 1n, options))).toBe("invalid-argument");
    }
    expect(a.core.peer(b.nodeId)?.session?.streams.size).toBe(0);
  });

  it("refuses everything after it was closed, and ends what there was", () => {
    const { network, a, b } = pair();
    const stream = new Sending(a, b, 1n, RELIABLE);
    a.call((core) => core.connect(5n, b.keys.publicKey, b.transport.localAddress, "routed"));
    a.call((core) => core.close());
    a.core.close();
    network.advance(0);
    expect(stream.failure?.code).toBe("shutdown");
    const { core } = a;
    for (const use of [
      () => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "routed"),
      () => core.openStream(b.nodeId, 1n, {}),
      () => core.send(b.nodeId, 1n, numbered(1)),
      () => core.write(stream.session, stream.stream, numbered(1)),
      () => core.expect(1n),
      () => core.addRoute(1n, b.transport.localAddress),
    ]) {
      expect(codeOf(use)).toBe("shutdown");
    }
    core.finish(stream.session, stream.stream);
    core.closeStream(stream.session, stream.stream, true);
    core.consumed(stream.session, stream.stream, 100);
    core.abandon(1);
    const sent = core.counters.datagramsSent;
    b.call((other) => other.send(a.nodeId, 5n, numbered(1)));
    network.advance(100_000);
    expect(core.counters.datagramsSent).toBe(sent);
    expect(core.peerCount).toBe(0);
    expect(a.errors).toEqual([]);
  });

  /** What arrives of an event that its owner wipes as soon as it is written. */
  function copyOf(event: Uint8Array): Uint8Array | undefined {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    const { session, stream } = a.core.openStream(b.nodeId, 7n, RELIABLE);
    a.call((core) => core.write(session, stream, [event]));
    event.fill(0);
    until(network, () => to.events.length === 1);
    return to.events[0];
  }

  it("copies the events that it is given", () => {
    expect(copyOf(Uint8Array.of(1, 2, 3))).toEqual(Uint8Array.of(1, 2, 3));
  });

  // Their slice gives views, not copies. No browser has them.
  it.skipIf(typeof Buffer === "undefined")("copies events in Node buffers too", () => {
    expect(copyOf(Buffer.from([1, 2, 3]))).toEqual(Uint8Array.of(1, 2, 3));
  });

  it("gives events away: later packets do not overwrite them", () => {
    const { network, a, b } = pair();
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(1, 500));
    network.advance(100);
    const [first] = to.events;
    const before = first?.slice();
    from.write(...numbered(50, 500, 1));
    network.advance(100);
    expect(first).toEqual(before);
  });

  it("takes back a public key by copy", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 10 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    const key = b.keys.publicKey.slice();
    a.call((core) => core.connect(b.nodeId, key, b.transport.localAddress, "routed"));
    key.fill(0);
    network.advance(100);
    expect(a.core.peer(b.nodeId)?.publicKey).toEqual(b.keys.publicKey);
  });
});

describe("an error", () => {
  it("has a stable code, a name, and the limit where there is one", () => {
    const error = new MeshError("message-too-large", "too large", 5);
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code, error.limit]).toEqual(["MeshError", "message-too-large", 5]);
    expect(new MeshError("shutdown", "over").limit).toBeUndefined();
  });
});
