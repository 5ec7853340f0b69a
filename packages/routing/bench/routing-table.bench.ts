import { SocketAddress } from "@netmesh/wire";
import { bench, describe } from "vitest";
import { RoutingTable } from "../src/index.ts";

/** Lookups a sample makes: so many that the harness weighs nothing, and caches do not hold them all. */
const LOOKUPS = 200_000;
/** Flows through a busy relay. */
const FLOWS = 2_000;

const hops = Array.from({ length: 64 }, (_, i) => SocketAddress.parse(`10.0.0.${i}:9000`));

let state = 1;
/** 32 well-mixed bits: the low bits of a plain congruence would pick neighbours. */
function next(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  let z = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

/** A table of `count` routes to random ids, and the ids as halves. */
function tableOf(count: number): { table: RoutingTable; keys: Uint32Array } {
  const table = new RoutingTable(1n, { hashSeed: 0x1234567, maxRouteAgeMs: 60_000 });
  const keys = Uint32Array.from({ length: count * 2 }, next);
  for (let i = 0; i < count; i++) {
    const id = (BigInt(keys[i * 2 + 1] as number) << 32n) | BigInt(keys[i * 2] as number);
    table.addRoute(id, hops[i & 63] as SocketAddress, 0);
  }
  return { table, keys };
}

/** Ids of the keys that `pick` chooses, one after the other as packets would ask for them. */
function askFor(keys: Uint32Array, pick: () => number): Uint32Array {
  const ids = new Uint32Array(LOOKUPS * 2);
  for (let i = 0; i < LOOKUPS; i++) {
    const key = pick() * 2;
    ids[i * 2] = keys[key] as number;
    ids[i * 2 + 1] = keys[key + 1] as number;
  }
  return ids;
}

let consumed = 0;

function lookUp(table: RoutingTable, ids: Uint32Array): void {
  for (let i = 0; i < ids.length; i += 2) {
    consumed += table.lookup(ids[i] as number, ids[i + 1] as number, 1)?.port ?? 0;
  }
}

// Divide by 200 000 for one lookup. The last case of a size reads one word at random in as much memory,
// each read where the one before said: what waiting for memory costs here.
for (const count of [1_000, 10_000, 100_000, 1_000_000]) {
  describe(`${LOOKUPS} lookups in ${count} routes`, () => {
    const { table, keys } = tableOf(count);
    const uniform = askFor(keys, () => next() % count);
    // The k-th most asked for has a share of 1/k.
    const zipf = askFor(keys, () => Math.min(count - 1, Math.floor((count + 1) ** (next() / 2 ** 32)) - 1));
    const active = Uint32Array.from({ length: FLOWS }, () => next() % count);
    const flows = askFor(keys, () => active[next() % FLOWS] as number);

    bench("any destination", () => lookUp(table, uniform));
    bench("Zipf", () => lookUp(table, zipf));
    bench(`${FLOWS} flows`, () => lookUp(table, flows));

    let words = 1024;
    while (words * 4 < count * 24 * 2) words *= 2;
    const memory = Uint32Array.from({ length: words }, next);
    bench("reads of as much memory, each depending on the last", () => {
      let at = 0;
      for (let i = 0; i < LOOKUPS; i++) at = ((memory[at] as number) ^ (uniform[i] as number)) & (words - 1);
      consumed += at + 1;
    });
  });
}

if (consumed < 0) throw new Error("nothing was found");
