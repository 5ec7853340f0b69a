import { describe, expect, it } from "vitest";
import { MAX_MARKER_SIZE, type SnapshotStore } from "../../src/index.ts";
import { bytes, identity, text } from "./daemons.ts";
import { snapshotOf, storeCodeOf } from "./snapshot-stores.ts";

const A = identity(1);
const B = identity(2);

/** What every snapshot store does; `open` gives an empty one. */
export function behavesAsSnapshotStore(name: string, open: () => Promise<SnapshotStore>): void {
  describe(`${name} as a snapshot store`, () => {
    it("gives back the snapshot that was put, with its kind and the hash of its head", async () => {
      await using store = await open();
      const snapshot = snapshotOf(A, 3, bytes("three"), 7n);
      expect(await store.put(snapshot, "counter")).toBe(true);
      expect(await store.get(A.entityId)).toEqual({ kind: "counter", snapshot, damaged: 0 });
      expect(await store.get(B.entityId)).toBeUndefined();
    });

    it("an empty state and one of a million bytes come back as they were", async () => {
      await using store = await open();
      const large = Uint8Array.from({ length: 1_000_000 }, (_, i) => i * 7);
      await store.put(snapshotOf(A, 1, new Uint8Array(0)), "empty");
      await store.put(snapshotOf(B, 1, large), "large");
      expect((await store.get(A.entityId))?.snapshot.state).toHaveLength(0);
      const again = (await store.get(B.entityId))?.snapshot.state;
      expect(again?.every((byte, i) => byte === large[i])).toBe(true);
      expect(again).toHaveLength(large.length);
    });

    it("a snapshot that comes late does not replace a newer one", async () => {
      await using store = await open();
      expect(await store.put(snapshotOf(A, 9, bytes("nine")), "k")).toBe(true);
      expect(await store.put(snapshotOf(A, 2, bytes("two"), 99n), "k")).toBe(false);
      expect(await store.put(snapshotOf(A, 9, bytes("nine again")), "k")).toBe(false);
      expect(text((await store.get(A.entityId))?.snapshot.state ?? bytes(""))).toBe("nine");
      expect(await store.put(snapshotOf(A, 10, bytes("ten")), "k")).toBe(true);
    });

    it("of a daemon that emits nothing the snapshot made last counts", async () => {
      await using store = await open();
      await store.put(snapshotOf(A, 0, bytes("first"), 1_700_000_000_000_000_001n), "k");
      expect(await store.put(snapshotOf(A, 0, bytes("second"), 1_700_000_000_000_000_002n), "k")).toBe(true);
      expect(await store.put(snapshotOf(A, 0, bytes("first"), 1_700_000_000_000_000_001n), "k")).toBe(false);
      expect(text((await store.get(A.entityId))?.snapshot.state ?? bytes(""))).toBe("second");
    });

    it("many puts at once, in any order, leave the newest", async () => {
      await using store = await open();
      const order = [5, 1, 9, 3, 8, 2, 7, 4, 6];
      await Promise.all(order.map((n) => store.put(snapshotOf(A, n, bytes(`${n}`)), "k")));
      expect((await store.get(A.entityId))?.snapshot.throughSeq).toBe(9n);
    });

    it("changing the bytes after put has returned its promise changes nothing", async () => {
      await using store = await open();
      const state = bytes("kept");
      const pending = store.put(snapshotOf(A, 1, state), "k");
      state.fill(0);
      await pending;
      expect(text((await store.get(A.entityId))?.snapshot.state ?? bytes(""))).toBe("kept");
    });

    it("after a deletion nothing old comes back, but something newer can", async () => {
      await using store = await open();
      await store.put(snapshotOf(A, 5, bytes("five")), "k");
      expect(await store.delete(A.entityId)).toBe(true);
      expect(await store.delete(A.entityId)).toBe(false);
      expect(await store.get(A.entityId)).toBeUndefined();
      expect(await store.put(snapshotOf(A, 5, bytes("five")), "k")).toBe(false);
      expect(await store.put(snapshotOf(A, 6, bytes("six")), "k")).toBe(true);
    });

    it("after forgetting an entity any snapshot of it is welcome", async () => {
      await using store = await open();
      await store.put(snapshotOf(A, 5, bytes("five")), "k");
      await store.forget(A.entityId);
      expect(await store.get(A.entityId)).toBeUndefined();
      expect(await store.put(snapshotOf(A, 1, bytes("one")), "k")).toBe(true);
    });

    it("lists the newest snapshot of every entity, or of one origin", async () => {
      await using store = await open();
      expect(await store.list()).toEqual([]);
      await store.put(snapshotOf(A, 1, bytes("1"), 5n), "a");
      await store.put(snapshotOf(A, 2, bytes("2"), 0x7fff_ffff_ffff_ffffn), "a");
      await store.put(snapshotOf(B, 3, bytes("3"), 0xffff_ffff_ffff_ffffn), "b");
      const ofB = {
        entityId: B.entityId,
        originHash: B.originHash,
        kind: "b",
        throughSeq: 3n,
        createdAt: 0xffff_ffff_ffff_ffffn,
      };
      expect(await store.list(B.originHash)).toEqual([ofB]);
      const all = await store.list();
      expect(all.map(({ originHash, throughSeq }) => [originHash, throughSeq])).toEqual(
        expect.arrayContaining([
          [A.originHash, 2n],
          [B.originHash, 3n],
        ]),
      );
      expect(all).toHaveLength(2);
      await store.delete(A.entityId);
      expect(await store.list()).toEqual([ofB]);
      expect(await store.list(A.originHash)).toEqual([]);
    });

    it("markers are put, replaced, listed by prefix and deleted", async () => {
      await using store = await open();
      expect(await store.getMarker("move/1")).toBeUndefined();
      await store.putMarker("move/1", bytes("sent"));
      await store.putMarker("move/1", bytes("cut over"));
      await store.putMarker("move/%2", bytes(""));
      await store.putMarker("term", new Uint8Array(MAX_MARKER_SIZE).fill(7));
      expect(text((await store.getMarker("move/1")) ?? bytes(""))).toBe("cut over");
      expect(await store.getMarker("move/%2")).toHaveLength(0);
      expect(await store.getMarker("term")).toHaveLength(MAX_MARKER_SIZE);
      expect((await store.listMarkers("move/")).sort()).toEqual(["move/%2", "move/1"]);
      expect(await store.listMarkers("move/%")).toEqual(["move/%2"]);
      expect(await store.listMarkers()).toHaveLength(3);
      expect(await store.deleteMarker("move/1")).toBe(true);
      expect(await store.deleteMarker("move/1")).toBe(false);
      expect(await store.getMarker("move/1")).toBeUndefined();
    });

    it("what is no snapshot, kind, entity or marker is refused and changes nothing", async () => {
      await using store = await open();
      const good = snapshotOf(A, 1, bytes("1"));
      const foreign = { ...good, entityId: B.entityId };
      const torn = { ...good, throughSeq: 9n };
      expect(await storeCodeOf(() => store.put(foreign, "k"))).toBe("invalid-argument");
      expect(await storeCodeOf(() => store.put(torn, "k"))).toBe("invalid-argument");
      expect(await storeCodeOf(() => store.put({} as never, "k"))).toBe("invalid-argument");
      for (const kind of ["", "x".repeat(256), "a\0b", 7 as never]) {
        expect(await storeCodeOf(() => store.put(good, kind))).toBe("invalid-argument");
        expect(await storeCodeOf(() => store.putMarker(kind, bytes("")))).toBe("invalid-argument");
        expect(await storeCodeOf(() => store.getMarker(kind))).toBe("invalid-argument");
      }
      for (const id of [new Uint8Array(31), "a" as never]) {
        expect(await storeCodeOf(() => store.get(id))).toBe("invalid-argument");
        expect(await storeCodeOf(() => store.delete(id))).toBe("invalid-argument");
        expect(await storeCodeOf(() => store.forget(id))).toBe("invalid-argument");
      }
      expect(await storeCodeOf(() => store.putMarker("m", "text" as never))).toBe("invalid-argument");
      const tooLarge = new Uint8Array(MAX_MARKER_SIZE + 1);
      expect(await storeCodeOf(() => store.putMarker("m", tooLarge))).toBe("too-large");
      expect(await store.list()).toEqual([]);
      expect(await store.listMarkers()).toEqual([]);
    });

    it("a closed store refuses everything, and can be closed again", async () => {
      const store = await open();
      await store.close();
      await store.close();
      const operations = [
        () => store.put(snapshotOf(A, 1, bytes("")), "k"),
        () => store.get(A.entityId),
        () => store.delete(A.entityId),
        () => store.forget(A.entityId),
        () => store.list(),
        () => store.putMarker("m", bytes("")),
        () => store.getMarker("m"),
        () => store.deleteMarker("m"),
        () => store.listMarkers(),
      ];
      for (const operation of operations) expect(await storeCodeOf(operation)).toBe("closed");
    });
  });
}
