import { expect, it } from "vitest";
import { MemorySnapshotStore } from "../src/index.ts";
import { bytes, identity } from "./support/daemons.ts";
import { behavesAsSnapshotStore } from "./support/snapshot-store-conformance.ts";
import { snapshotOf, storeCodeOf } from "./support/snapshot-stores.ts";

behavesAsSnapshotStore("memory", async () => new MemorySnapshotStore());

it("a full store in memory drops what was deleted, and otherwise refuses the new", async () => {
  await using store = new MemorySnapshotStore({ maxEntities: 2, maxMarkers: 1 });
  const snapshots = [1, 2, 3].map((n) => snapshotOf(identity(n), 1, bytes("s")));
  const [first, second, third] = snapshots as [
    (typeof snapshots)[0],
    (typeof snapshots)[0],
    (typeof snapshots)[0],
  ];
  await store.put(first, "k");
  await store.put(second, "k");
  expect(await storeCodeOf(() => store.put(third, "k"))).toBe("full");
  await store.delete(first.entityId);
  expect(await store.put(third, "k")).toBe(true);
  expect(await store.list()).toHaveLength(2);
  await store.putMarker("a", bytes("1"));
  await store.putMarker("a", bytes("2"));
  expect(await storeCodeOf(() => store.putMarker("b", bytes("1")))).toBe("full");
});
