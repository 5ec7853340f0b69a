import { bench, describe } from "vitest";
import { CapabilityIndex, IndexedNode } from "../src/index.ts";

const ANY = () => true;

/** `nodes` nodes of which ten have the tag that is asked for, and all have common ones. */
function filled(nodes: number): CapabilityIndex {
  const index = new CapabilityIndex(nodes);
  for (let i = 0; i < nodes; i++) {
    const tags = [
      "common",
      `hardware.memory_gb=${1 + (i % 512)}`,
      `software.os=${i % 2 === 0 ? "linux" : "mac"}`,
    ];
    if (i % (nodes / 10) === 0) tags.push("rare");
    const capabilities = { tags, metadata: new Map<string, string>() };
    const announcement = {
      nodeId: BigInt(i) * 0x9e37_79b9_7f4a_7c15n,
      entityId: new Uint8Array(32),
      version: 1n,
      timestampNs: 0n,
      ttlSeconds: 300,
      capabilities,
      hopCount: 0,
      allowedNodes: [],
      allowedSubnets: [],
      allowedGroups: [],
    };
    index.set(new IndexedNode(announcement, capabilities, 1e9));
  }
  return index;
}

for (const nodes of [500, 50_000]) {
  const index = filled(nodes);
  describe(`capabilities of ${nodes} nodes`, () => {
    bench("a tag that ten nodes have", () => {
      if (index.find({ requireTags: ["rare"] }, 0, ANY).length !== 10) throw new Error("not ten");
    });
    bench("that tag, a common one and a size", () => {
      index.find({ requireTags: ["common", "rare"], minMemoryGb: 100 }, 0, ANY);
    });
  });
}
