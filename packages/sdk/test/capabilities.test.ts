import { describe, expect, it } from "vitest";
import { type CapabilityFilter, InvalidArgumentError, validateCapabilities } from "../src/index.ts";
import { nextEvent, openMesh } from "./open-mesh.ts";

describe("capabilities", () => {
  it("are found at the node itself, at its peers and at a late joiner", async () => {
    const a = await openMesh();
    const b = await openMesh();
    await b.connect(a.contact);
    const changed = nextEvent<{ nodeId: bigint }>(b, "capabilities-changed");
    await a.announceCapabilities({
      hardware: { memoryGb: 64, gpu: { vendor: "nvidia", vramGb: 24 } },
      tags: ["chat"],
      metadata: { room: "kitchen" },
    });
    expect(a.findNodes({ requireTags: ["chat"] })).toEqual([a.nodeId]);
    expect((await changed).nodeId).toBe(a.nodeId);
    expect(b.findNodes({ minMemoryGb: 64, gpuVendor: "nvidia" })).toEqual([a.nodeId]);
    expect(b.findNodes({ minMemoryGb: 65 })).toEqual([]);
    expect(b.findBestNode({ memoryWeight: 1 })).toBe(a.nodeId);
    const known = b.capabilitiesOf(a.nodeId);
    expect(known?.hardware.gpu?.vramGb).toBe(24);
    expect(known?.tags).toContain("chat");
    expect(known?.metadata.get("room")).toBe("kitchen");
    expect(b.capabilitiesOf(1n)).toBeUndefined();
    const late = await openMesh();
    const heard = nextEvent(late, "capabilities-changed");
    await late.connect(b.contact);
    await heard;
    expect(late.findNodes({ requireTags: ["chat"] })).toEqual([a.nodeId]);
    expect(late.stats().indexedNodes).toBe(1);
  });

  it("that make no sense are refused with the place, and nothing is announced", async () => {
    const a = await openMesh();
    const bad = { hardware: { memoryGb: -1 } };
    expect(validateCapabilities(bad).errors).toHaveLength(1);
    await expect(a.announceCapabilities(bad)).rejects.toThrow(/hardware\.memoryGb/);
    await expect(a.announceCapabilities({ tags: ["scope:global"] })).rejects.toThrow(InvalidArgumentError);
    await expect(a.announceCapabilities({}, { ttlMs: 0 })).rejects.toThrow(InvalidArgumentError);
    expect(a.stats().indexedNodes).toBe(0);
    expect(() => a.findNodes({ minMemoryMb: 1 } as CapabilityFilter)).toThrow(InvalidArgumentError);
  });
});
