import { SocketAddress } from "@netmesh/wire";
import { bench, describe } from "vitest";
import { RoutingTable } from "../src/index.ts";

/** Lookups a sample makes: so many that the harness weighs nothing, and caches do not hold them all. */
const LOOKUPS = 200_000;

const hops = Array.from({ length: 64 }, (_, i) => SocketAddress.parse(`10.0.0.${i}:9000`));

/** A table of `count` routes to scattered ids, and ids of it in random order, as halves. */
function tableOf(count: number): { table: RoutingTable; ids: Uint32Array } {
  const table = new RoutingTable(1n, { hashSeed: 0x1234567, maxRouteAgeMs: 60_000 });
  const ids = new Uint32Array(LOOKUPS * 2);
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state >>> 0;
  };
  for (let i = 0; i < count; i++) {
    const [lo, hi] = [next(), next()];
    const at = (count <= LOOKUPS ? i : next()) % LOOKUPS;
    ids[at * 2] = lo;
    ids[at * 2 + 1] = hi;
    table.addRoute((BigInt(hi) << 32n) | BigInt(lo), hops[i & 63] as SocketAddress, 0);
  }
  // A small table has fewer ids than a sample has lookups.
  for (let at = count; at < LOOKUPS; at++) ids.copyWithin(at * 2, (at % count) * 2, (at % count) * 2 + 2);
  return { table, ids };
}

let consumed = 0;

describe(`${LOOKUPS} lookups`, () => {
  for (const count of [1_000, 100_000, 1_000_000]) {
    const { table, ids } = tableOf(count);
    bench(`${count} routes`, () => {
      for (let at = 0; at < ids.length; at += 2) {
        consumed += table.lookup(ids[at] as number, ids[at + 1] as number, 1)?.port ?? 0;
      }
      if (consumed === 0) throw new Error("nothing was found");
    });
  }
});
