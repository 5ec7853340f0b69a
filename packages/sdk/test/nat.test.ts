import { describe, expect, it } from "vitest";
import { nextEvent, openMesh } from "./open-mesh.ts";

describe("a mesh on this host", () => {
  it("finds out by itself that it is open, where it is seen, and tells its peers", async () => {
    const [a, b, c] = [await openMesh(), await openMesh(), await openMesh()];
    expect([a.nat.type, a.nat.reflexAddress]).toEqual(["unknown", undefined]);
    const changed = nextEvent<{ natType: string }>(a, "nat-changed");
    await a.connect(b.contact);
    await a.connect(c.contact);
    expect((await changed).natType).toBe("open");
    expect(a.nat.reflexAddress).toBe(a.localAddress);
    expect(await a.nat.probeReflex(b.nodeId)).toBe(a.localAddress);
    expect(await b.nat.probeReflex(a.nodeId)).toBe(b.localAddress);
    await expect
      .poll(() => b.findNodes({ requireTags: ["nat:open"] }), { timeout: 5_000 })
      .toContain(a.nodeId);
    expect([b.nat.peerNatType(a.nodeId), b.nat.peerReflexAddress(a.nodeId)]).toEqual([
      "open",
      a.localAddress,
    ]);
    expect(b.nat.peerReflexAddress(42n)).toBeUndefined();
  });

  it("is open under the address that the operator gives, until that is taken back", async () => {
    const mesh = await openMesh({ nat: { reflexOverride: "198.51.100.7:9000" } });
    expect([mesh.nat.type, mesh.nat.reflexAddress]).toEqual(["open", "198.51.100.7:9000"]);
    const peers = [await openMesh(), await openMesh()];
    for (const peer of peers) await mesh.connect(peer.contact);
    await mesh.nat.reclassify();
    expect([mesh.nat.type, mesh.nat.reflexAddress]).toEqual(["open", "198.51.100.7:9000"]);
    for (const peer of peers) {
      await expect.poll(() => peer.nat.peerReflexAddress(mesh.nodeId)).toBe("198.51.100.7:9000");
      expect(peer.nat.peerNatType(mesh.nodeId)).toBe("open");
    }
    mesh.nat.clearReflexOverride();
    mesh.nat.clearReflexOverride();
    expect([mesh.nat.type, mesh.nat.reflexAddress]).toEqual(["unknown", undefined]);
    expect(() => mesh.nat.setReflexOverride("somewhere:1")).toThrow("invalid reflex override: somewhere:1");
  });

  it("maps no port unless asked, and has figures from the beginning", async () => {
    const mesh = await openMesh();
    expect(mesh.nat.stats()).toMatchObject({
      punchesAttempted: 0,
      punchesSucceeded: 0,
      relayFallbacks: 0,
      portMappingActive: false,
      portMappingExternal: undefined,
      portMappingRenewals: 0,
    });
  });

  it("moves a relayed session to a direct path, with its keys", async () => {
    const [a, b, relay] = [await openMesh(), await openMesh(), await openMesh()];
    await b.connect(relay.contact);
    await a.connect(relay.contact);
    const peer = await a.connectVia(relay.nodeId, b.contact);
    expect(peer.path).toBe("relayed");
    b.nat.setReflexOverride(b.localAddress);
    await expect.poll(() => a.nat.peerNatType(b.nodeId), { timeout: 5_000 }).toBe("open");
    const upgraded = nextEvent<{ from: string; to: string }>(a, "peer-upgraded");
    const { path } = await a.connectDirect(b.contact, { coordinator: relay.nodeId });
    expect(path).toBe("direct");
    expect(await upgraded).toMatchObject({ from: "relayed", to: "direct" });
    expect(peer.pathHistory.map((past) => past.path)).toEqual(["relayed", "direct"]);
    expect(peer.address).toBe(b.localAddress);
  });
});

describe("connecting directly", () => {
  it("needs the peer's address or somebody to ask", async () => {
    const [a, b] = [await openMesh(), await openMesh()];
    await expect(a.connectDirect(b.contact)).rejects.toMatchObject({
      name: "TraversalError",
      code: "peer-not-reachable",
    });
    await expect(a.nat.probeReflex(b.nodeId)).rejects.toMatchObject({ code: "peer-not-reachable" });
  });

  it("is unsupported where traversal is switched off", async () => {
    const [a, b] = [await openMesh({ nat: false }), await openMesh()];
    await expect(a.connectDirect(b.contact)).rejects.toMatchObject({ code: "unsupported" });
    expect(() => a.nat).toThrow("switched off");
  });
});
