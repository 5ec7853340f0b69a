import { describe, expect, it } from "vitest";
import { type CausalEvent, type Daemon, VolatileHandoverStore } from "../src/index.ts";
import { bytes, identity, input, text } from "./support/daemons.ts";
import { MigrationNet, type TestNode } from "./support/migration-net.ts";

const ID = identity(1);
const ORIGIN = ID.originHash;
const SEEDS = 60;

/** Numbers from 0 to 1 that follow from a seed. */
function seeded(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39) >>> 0;
    return ((state ^ (state >>> 12)) >>> 0) / 0x1_0000_0000;
  };
}

class Diary implements Daemon {
  readonly name: string = "diary";
  entries: string[] = [];

  process(event: CausalEvent): void {
    this.entries.push(text(event.payload));
  }

  snapshot(): Uint8Array {
    return bytes(this.entries.join(","));
  }

  restore(state: Uint8Array): void {
    this.entries = state.length === 0 ? [] : text(state).split(",");
  }
}

describe.each([
  ["the messages of Net", false],
  ["the netmesh form", true],
])("a move in %s, over a network that loses, repeats and reorders", (_, isNetmesh) => {
  it("has one live copy at most, which knows every event that was acknowledged", async () => {
    let moved = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seeded(seed);
      const net = new MigrationNet();
      const made = new Map<TestNode, Diary>();
      const nodes: TestNode[] = [];
      for (const id of [1n, 2n]) {
        const node = await net.node(id, {
          isNetmesh,
          ...(isNetmesh ? { store: new VolatileHandoverStore() } : {}),
        });
        node.runtime.registerFactory("diary", () => {
          const diary = new Diary();
          made.set(node, diary);
          return diary;
        });
        nodes.push(node);
      }
      const [a, b] = nodes as [TestNode, TestNode];
      await a.runtime.spawn("diary", { identity: ID });
      b.runtime.expectMigration("diary", ORIGIN);
      const acknowledged: string[] = [];
      let sent = 0;
      net.fault = () => {
        const name = `e${++sent}`;
        a.runtime.deliver(ORIGIN, input(0xaaaan, BigInt(sent), name)).then(
          () => acknowledged.push(name),
          () => {},
        );
        expect(a.runtime.daemonCount + b.runtime.daemonCount, `seed ${seed}`).toBeLessThanOrEqual(1);
        const draw = random();
        if (draw < 0.2) return { copies: 0 };
        if (draw < 0.35) return { copies: 2 };
        return draw < 0.5 ? { isLate: true } : undefined;
      };
      const migration = await a.migrator.startMigration(ORIGIN, 2n);
      await net.run(120_000, () => migration.phase === undefined && net.pending === 0);
      await net.flush();
      const live = a.runtime.daemonCount === 1 ? a : b.runtime.daemonCount === 1 ? b : undefined;
      if (migration.outcome !== undefined) moved++;
      if (live === undefined) expect(migration.liveCopy.kind, `seed ${seed}`).toBe("undecided");
      else expect(made.get(live)?.entries, `seed ${seed}`).toEqual(acknowledged);
    }
    expect(moved).toBeGreaterThan(SEEDS / 2);
  });
});
