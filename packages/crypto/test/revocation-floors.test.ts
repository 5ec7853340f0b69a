import fc from "fast-check";
import { expect, test } from "vitest";
import { RevocationFloors } from "../src/index.ts";
import { alice, bob, root, tokenWith } from "./support/people.ts";
import { codeOf } from "./support/refusal.ts";

test("a floor revokes the generations below it, of its issuer only", () => {
  const floors = new RevocationFloors();
  expect(floors.isRevoked(tokenWith())).toBe(false);
  expect(floors.raise(root.entityId, 2)).toBe(true);
  const revoked = [0, 1, 2].map((generation) => floors.isRevoked(tokenWith({ generation })));
  expect(revoked).toEqual([true, true, false]);
  expect(floors.isRevoked(tokenWith({}, alice))).toBe(false);
});

test("a floor rises and never sinks", () => {
  const floors = new RevocationFloors();
  const results = [3, 3, 1, 0, 4].map((generation) => floors.raise(root.entityId, generation));
  expect(results).toEqual([true, false, false, false, true]);
  expect(floors.floorOf(root.entityId)).toBe(4);
  expect(floors.size).toBe(1);
});

test("an issuer without a floor stays at 0 and takes no memory", () => {
  const floors = new RevocationFloors();
  expect(floors.raise(root.entityId, 0)).toBe(false);
  expect([floors.size, floors.floorOf(root.entityId)]).toEqual([0, 0]);
});

test("after a restart the stored floors are in force again", () => {
  const before = new RevocationFloors();
  before.raise(root.entityId, 7);
  before.raise(alice.entityId, 0xffff_ffff);
  const after = new RevocationFloors();
  expect(after.merge(before.toBytes())).toBe(2);
  expect([root, alice, bob].map(({ entityId }) => after.floorOf(entityId))).toEqual([7, 0xffff_ffff, 0]);
  expect(after.toBytes()).toEqual(before.toBytes());
});

test("an old store lowers no floor", () => {
  const floors = new RevocationFloors();
  floors.raise(root.entityId, 1);
  const old = floors.toBytes();
  floors.raise(root.entityId, 5);
  expect(floors.merge(old)).toBe(0);
  expect(floors.floorOf(root.entityId)).toBe(5);
});

test("a store that is empty, cut short or of another version is refused as a whole", () => {
  const stored = new RevocationFloors();
  stored.raise(root.entityId, 1);
  stored.raise(alice.entityId, 1);
  const good = stored.toBytes();
  const floors = new RevocationFloors();
  for (const bytes of [
    new Uint8Array(),
    good.subarray(0, good.length - 1),
    Uint8Array.of(2, ...good.subarray(1)),
  ]) {
    expect(codeOf(() => floors.merge(bytes))).toBe("invalid-format");
  }
  expect(floors.size).toBe(0);
  expect(floors.merge(new RevocationFloors().toBytes())).toBe(0);
});

test("a caller's wrong issuer or generation is refused", () => {
  const floors = new RevocationFloors();
  expect(codeOf(() => floors.raise(new Uint8Array(31), 1))).toBe("invalid-length");
  for (const generation of [-1, 1.5, 2 ** 32]) {
    expect(codeOf(() => floors.raise(root.entityId, generation))).toBe("invalid-argument");
  }
  expect(floors.size).toBe(0);
});

test("whatever is raised in whatever order, each floor is the highest of its issuer", () => {
  const step = fc.tuple(fc.constantFrom(root, alice, bob), fc.integer({ min: 0, max: 9 }), fc.boolean());
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      let floors = new RevocationFloors();
      const highest = new Map([root, alice, bob].map((issuer) => [issuer, 0]));
      for (const [issuer, generation, isRestart] of steps) {
        floors.raise(issuer.entityId, generation);
        highest.set(issuer, Math.max(highest.get(issuer) as number, generation));
        if (isRestart) {
          const restarted = new RevocationFloors();
          restarted.merge(floors.toBytes());
          floors = restarted;
        }
        for (const [who, floor] of highest) expect(floors.floorOf(who.entityId)).toBe(floor);
      }
    }),
    { seed: 21 },
  );
});
