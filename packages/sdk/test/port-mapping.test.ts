import { PortMappingError } from "@netmesh/traversal";
import { MockPortMapper } from "@netmesh/traversal/testing";
import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { Mesh, PortMappingStatus } from "../src/index.ts";
import { MeshPortMapping } from "../src/port-mapping.ts";
import { openMesh } from "./open-mesh.ts";

const OUTSIDE = "44.128.1.2:9001";

/** A router that gives that address to whoever asks. */
function router(external = OUTSIDE): MockPortMapper {
  const client = new MockPortMapper();
  client.probes.push("ok");
  client.installs.push(mapping(external));
  return client;
}

function mapping(external: string) {
  const address = SocketAddress.parse(external);
  return { external: address, internalPort: 9001, ttlMs: 3_600_000, protocol: "upnp" } as const;
}

/** Resolves when the mapping of a mesh is in that phase. */
function phase(mesh: Mesh, wanted: PortMappingStatus["phase"]): Promise<PortMappingStatus> {
  return new Promise((resolve) => {
    const { portMapping } = mesh.nat;
    if (portMapping?.phase === wanted) resolve(portMapping);
    mesh.addEventListener("port-mapping-changed", (status) => {
      if (status.phase === wanted) resolve(status);
    });
  });
}

describe("a mesh that asks its router for a port", () => {
  it("is open under the router's address, which leads to the port that is really bound", async () => {
    const client = router();
    const mesh = await openMesh({ portMapping: { client } });
    expect(await phase(mesh, "installed")).toMatchObject({ external: OUTSIDE, protocol: "upnp" });
    const { port } = SocketAddress.parse(mesh.localAddress);
    expect(client.installed).toEqual([{ internalPort: port, ttlMs: 3_600_000 }]);
    expect([mesh.nat.type, mesh.nat.reflexAddress]).toEqual(["open", OUTSIDE]);
    const { portMappingActive, portMappingExternal, portMappingRenewals } = mesh.nat.stats();
    expect([portMappingActive, portMappingExternal?.key, portMappingRenewals]).toEqual([true, OUTSIDE, 0]);
    const peer = await openMesh();
    await peer.connect(mesh.contact);
    await expect.poll(() => peer.nat.peerReflexAddress(mesh.nodeId)).toBe(OUTSIDE);
    expect(peer.nat.peerNatType(mesh.nodeId)).toBe("open");
  });

  it("takes the port back when it is shut down", async () => {
    const client = router();
    const mesh = await openMesh({ portMapping: { client } });
    await phase(mesh, "installed");
    await mesh.shutdown();
    expect(client.removed).toEqual([mapping(OUTSIDE)]);
  });

  it("is open at once although the router does not answer, and ends although it never does", async () => {
    const client = new MockPortMapper();
    client.probe = ({ signal }: { signal?: AbortSignal } = {}) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const mesh = await openMesh({ portMapping: { client } });
    expect(mesh.nat.portMapping).toMatchObject({ phase: "probing", external: undefined, error: undefined });
    expect(mesh.nat.stats()).toMatchObject({ portMappingActive: false, portMappingExternal: undefined });
    expect([mesh.nat.type, mesh.nat.reflexAddress]).toEqual(["unknown", undefined]);
    await mesh.shutdown();
    expect(client.installed).toEqual([]);
  });

  it("says why it has none, and asks again when it is told that the network has changed", async () => {
    const client = new MockPortMapper();
    client.probes.push(new PortMappingError("refused", "not-authorized"));
    const mesh = await openMesh({ portMapping: { client } });
    expect((await phase(mesh, "waiting")).error).toMatchObject({ kind: "refused", detail: "not-authorized" });
    client.probes.push("ok");
    client.installs.push(mapping(OUTSIDE));
    mesh.nat.recheckPortMapping();
    expect(await phase(mesh, "installed")).toMatchObject({ external: OUTSIDE, error: undefined });
  });

  it("tells the new address when a renewal brings one, and has none after three failed rounds", async () => {
    const client = router();
    client.renewals.push(mapping("44.128.1.77:9001"));
    const seen: (string | undefined)[] = [];
    const mesh = await openMesh({ portMapping: { client, renewalMs: 20 } });
    mesh.addEventListener("nat-changed", ({ reflexAddress }) => seen.push(reflexAddress));
    await phase(mesh, "waiting");
    expect(seen.slice(-2)).toEqual(["44.128.1.77:9001", undefined]);
    expect(mesh.nat.stats()).toMatchObject({ portMappingActive: false, portMappingRenewals: 1 });
    expect(client.removed).toHaveLength(1);
  });
});

describe("a mesh that was not told to", () => {
  it("asks no router", async () => {
    const mesh = await openMesh();
    expect(mesh.nat.portMapping).toBeUndefined();
    mesh.nat.recheckPortMapping();
    expect(mesh.nat.stats().portMappingActive).toBe(false);
  });
});

describe("a socket that nobody reaches over IPv4", () => {
  it.each([
    ["[2001:db8::1]:7000", "unmappable"],
    ["[::]:7000", "idle"],
    ["192.168.1.5:7000", "idle"],
  ])("bound to %s, is %s", async (bound, expected) => {
    const client = router();
    const sink = { applyInstall() {}, applyRenewal() {}, applyRevoke() {} };
    const port = new MeshPortMapping({ client }, SocketAddress.parse(bound), sink, () => {});
    expect(port.status.phase).toBe(expected);
    port.start();
    await port.close();
    expect(client.probes).toHaveLength(expected === "idle" ? 0 : 1);
  });
});

describe("settings of a port mapping that make no sense", () => {
  it.each([{ gateway: "router" }, { renewalMs: -1 }, { renewalMs: Number.NaN }])(
    "are refused before anything is asked: %j",
    async (portMapping) => {
      await expect(openMesh({ portMapping })).rejects.toMatchObject({
        name: "InvalidArgumentError",
        code: "invalid-argument",
      });
    },
  );
});
