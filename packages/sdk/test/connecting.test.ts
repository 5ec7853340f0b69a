import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import {
  Identity,
  InvalidArgumentError,
  Mesh,
  NetError,
  type Peer,
  ShutdownError,
  TransportError,
} from "../src/index.ts";
import { createMesh, nextEvent, openMesh, PSK } from "./open-mesh.ts";

describe("connecting", () => {
  it("links two started meshes, and both sides learn of it", async () => {
    const a = await openMesh();
    const b = await openMesh();
    const seen = nextEvent<{ peer: Peer }>(b, "peer-connected");
    const peer = await a.connect(b.contact);
    expect(peer.nodeId).toBe(b.nodeId);
    expect(peer.path).toBe("direct");
    expect(peer.connected).toBe(true);
    expect(peer.publicKey).toEqual(b.noisePublicKey);
    expect((await seen).peer.nodeId).toBe(a.nodeId);
    expect([...a.peers()].map(({ nodeId }) => nodeId)).toEqual([b.nodeId]);
    expect(a.peer(b.nodeId)).toBe(peer);
    expect(a.peer(1n)).toBeUndefined();
  });

  it("proves to both sides who the other is, within a round trip", async () => {
    const a = await openMesh();
    const b = await openMesh();
    const verified = [a, b].map((mesh) => nextEvent<{ peer: Peer }>(mesh, "peer-verified"));
    const peer = await a.connect(b.contact);
    expect(peer.verified).toBe(false);
    const [atA, atB] = await Promise.all(verified);
    expect(atA?.peer).toBe(peer);
    expect([peer.verified, peer.entityId]).toEqual([true, b.identity.entityId]);
    expect(atB?.peer.entityId).toEqual(a.identity.entityId);
  });

  it("works before start as a pair of connect and accept", async () => {
    const a = await createMesh();
    const b = await createMesh();
    const [atA, atB] = await Promise.all([a.connect(b.contact), b.accept(a.nodeId)]);
    expect(atA.nodeId).toBe(b.nodeId);
    expect(atB.nodeId).toBe(a.nodeId);
  });

  it("awaits a direct handshake also after start", async () => {
    const a = await createMesh();
    const b = await openMesh();
    const [, atB] = await Promise.all([a.connect(b.contact), b.accept(a.nodeId)]);
    expect(atB.nodeId).toBe(a.nodeId);
  });

  it("reaches a peer over a relay that is named by node id or by address", async () => {
    const relay = await openMesh();
    const b = await openMesh();
    await b.connect(relay.contact);
    for (const hop of ["id", "address"] as const) {
      const a = await openMesh();
      await a.connect(relay.contact);
      const peer = await a.connectVia(hop === "id" ? relay.nodeId : relay.localAddress, b.contact);
      expect(peer.path).toBe("relayed");
      expect(peer.address).toBe(relay.localAddress);
    }
  });

  it("takes host names and separate parts as addresses", async () => {
    const a = await openMesh();
    const b = await openMesh();
    const { port } = new URL(`udp://${b.localAddress}`);
    await a.connect({ ...b.contact, address: { host: "127.0.0.1", port: Number(port) } });
    const c = await openMesh();
    await c.connect({ ...b.contact, address: `localhost:${port}` });
    expect(c.peer(b.nodeId)?.address).toMatch(/^(127\.0\.0\.1|\[::1\]):/);
  });

  it("is refused without reply by a predicate", async () => {
    const a = await openMesh({ handshakeTimeoutMs: 60 });
    const asked: bigint[] = [];
    const b = await openMesh({
      acceptPeers: ({ nodeId }) => {
        asked.push(nodeId);
        return false;
      },
    });
    await expect(a.connect(b.contact)).rejects.toMatchObject({ code: "handshake-timeout" });
    expect(asked).toContain(a.nodeId);
    expect(b.stats().counters.handshakeRefused).toBeGreaterThan(0);
    expect(b.stats().peers).toBe(0);
  });

  it("times out against a node with another key, as a TransportError", async () => {
    const a = await openMesh({ handshakeTimeoutMs: 60 });
    const b = await openMesh({ psk: new Uint8Array(32).fill(8) });
    const failure = await a.connect(b.contact).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TransportError);
    expect(failure).toBeInstanceOf(NetError);
    expect(failure).toMatchObject({ code: "handshake-timeout" });
    expect((failure as Error).cause).toBeInstanceOf(Error);
  });

  it("can be aborted before and during, with the signal's reason", async () => {
    const a = await openMesh();
    const nobody = { ...a.contact, nodeId: 5n, address: "127.0.0.1:9" };
    const reason = new Error("changed my mind");
    await expect(a.connect(nobody, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const pending = a.connect(nobody, { signal: controller.signal });
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    await expect(a.connect(nobody, { timeoutMs: 20 })).rejects.toMatchObject({ name: "TimeoutError" });
    const waiting = a.accept(6n, { signal: AbortSignal.timeout(20) });
    await expect(a.accept(6n)).rejects.toMatchObject({ code: "handshake-in-flight" });
    await expect(waiting).rejects.toMatchObject({ name: "TimeoutError" });
    await expect(a.accept(6n, { timeoutMs: 10 })).rejects.toMatchObject({ name: "TimeoutError" });
  });

  it("refuses a second attempt while one is in flight, and allows it afterwards", async () => {
    const a = await openMesh();
    const nobody = { ...a.contact, nodeId: 5n, address: "127.0.0.1:9" };
    const controller = new AbortController();
    const first = a.connect(nobody, { signal: controller.signal });
    await expect(a.connect(nobody, { timeoutMs: 1_000 })).rejects.toMatchObject({
      code: "handshake-in-flight",
    });
    controller.abort();
    await expect(first).rejects.toThrow();
    await expect(a.connect(nobody, { timeoutMs: 10 })).rejects.toMatchObject({ name: "TimeoutError" });
  });
});

describe("callers' mistakes", () => {
  it("are typed errors for keys of a wrong size", async () => {
    for (const length of [0, 31, 33]) {
      await expect(Mesh.open({ psk: new Uint8Array(length) })).rejects.toMatchObject({
        code: "invalid-length",
      });
      await expect(Mesh.open({ psk: PSK, noiseKey: new Uint8Array(length) })).rejects.toMatchObject({
        code: "invalid-length",
      });
      expect(() => Identity.fromSeed(new Uint8Array(length))).toThrowError(
        expect.objectContaining({ code: "invalid-length" }),
      );
    }
    await expect(Mesh.open({ psk: "ab".repeat(32) as never })).rejects.toBeInstanceOf(InvalidArgumentError);
    const a = await openMesh();
    await expect(
      a.connect({ ...a.contact, nodeId: 4n, publicKey: new Uint8Array(31) }),
    ).rejects.toMatchObject({
      code: "invalid-length",
    });
  });

  it("are typed errors for ids that are no u64, and nothing is sent", async () => {
    const a = await openMesh();
    const wrong = [1, -1n, 1n << 64n, undefined] as never[];
    for (const id of wrong) {
      const rejected = { code: "invalid-argument", message: expect.stringMatching(/non-negative|u64 range/) };
      await expect(a.connect({ ...a.contact, nodeId: id })).rejects.toMatchObject(rejected);
      await expect(a.accept(id)).rejects.toMatchObject(rejected);
      await expect(a.send(id, new Uint8Array(1))).rejects.toMatchObject(rejected);
      expect(() => a.openStream(id, { streamId: 1n })).toThrowError(expect.objectContaining(rejected));
      expect(() => a.openStream(1n, { streamId: id })).toThrowError(expect.objectContaining(rejected));
      expect(() => a.addRoute(id, "127.0.0.1:1")).toThrowError(expect.objectContaining(rejected));
    }
    expect(a.stats().counters.datagramsSent).toBe(0);
  });

  it("are typed errors for settings and addresses that make no sense", async () => {
    const bad = [
      { heartbeatMs: 1 },
      { heartbeatMs: 500, sessionTimeoutMs: 400 },
      { datagramBytes: 10 },
      { maxPeers: 0 },
    ];
    for (const options of bad) await expect(openMesh(options)).rejects.toMatchObject({ code: "config" });
    await expect(openMesh({ bind: "nonsense" })).rejects.toBeInstanceOf(NetError);
    const a = await openMesh();
    for (const address of ["nonsense", "1.2.3.4", "1.2.3.4:x", "[::1", "1.2.3.4:70000"]) {
      await expect(a.connect({ ...a.contact, nodeId: 4n, address })).rejects.toMatchObject({
        code: "invalid-address",
      });
    }
    expect(() => a.block("nonsense")).toThrowError(expect.objectContaining({ code: "invalid-address" }));
    await expect(a.connect(a.contact)).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(a.connectVia(9n, a.contact)).rejects.toMatchObject({ code: "unknown-peer" });
    await expect((await createMesh()).connectVia("127.0.0.1:1", a.contact)).rejects.toMatchObject({
      code: "config",
    });
  });

  it("are told when the port is taken", async () => {
    const a = await openMesh();
    await expect(openMesh({ bind: a.localAddress })).rejects.toMatchObject({ code: "address-in-use" });
  });
});

/** Looks for a node over two relays that have gone silent, and asks one of them where it sees this one. */
async function lookingForAPath(mesh: Mesh): Promise<Promise<unknown>[]> {
  const relays = [await openMesh(), await openMesh()];
  for (const relay of relays) await mesh.connect(relay.contact);
  const nobody = { nodeId: 6n, publicKey: (await createMesh()).noisePublicKey };
  const coordinator = relays.map(({ nodeId }) => nodeId);
  for (const relay of relays) relay.block(mesh.localAddress);
  return [mesh.connectDirect(nobody, { coordinator }), mesh.nat.probeReflex(coordinator[0] as bigint)];
}

describe("a mesh that was shut down", () => {
  it("rejects what is pending and everything later, and can be shut down again", async () => {
    const a = await openMesh();
    const pending = a.connect({ ...a.contact, nodeId: 5n, address: "127.0.0.1:9" });
    const accepting = a.accept(8n);
    const outcomes = Promise.allSettled([pending, accepting, ...(await lookingForAPath(a))]);
    await Promise.all([a.shutdown(), a.shutdown()]);
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "shutdown" } });
    }
    await expect(a.connect(a.contact)).rejects.toBeInstanceOf(ShutdownError);
    await expect(a.send(1n, new Uint8Array(1))).rejects.toMatchObject({ code: "shutdown" });
    expect(() => a.openStream(1n, { streamId: 1n })).toThrowError(ShutdownError);
    expect(() => a.start()).toThrowError(ShutdownError);
    await a[Symbol.asyncDispose]();
  });
});

describe("secrets", () => {
  it("do not appear when a mesh, its identity or its errors are printed", async () => {
    const identity = Identity.generate();
    const seed = Buffer.from(identity.toBytes()).toString("hex");
    const a = await openMesh({ identity });
    const printed = [
      inspect(a, { depth: 9 }),
      inspect(identity),
      String(identity),
      JSON.stringify(identity),
    ].join();
    expect(printed).not.toContain(seed);
    expect(printed).not.toContain(Buffer.from(PSK).toString("hex"));
    expect(printed).not.toContain("07, 07, 07, 07");
  });

  it("are copied from buffers that the caller reuses", async () => {
    const psk = Buffer.from(PSK);
    const a = await openMesh({ psk });
    psk.fill(0);
    const b = await openMesh();
    await a.connect(b.contact);
    const own = Buffer.from(PSK);
    const c = await Mesh.open({ bind: "127.0.0.1:0", psk: own });
    await c.shutdown();
    expect(own.equals(PSK)).toBe(true);
  });
});
