import { high32, low32, SocketAddress } from "@netmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Route, RoutingError, RoutingTable } from "../src/index.ts";

const LOCAL = 0x1122334455667788n;
const A = SocketAddress.parse("10.0.0.1:9001");
const B = SocketAddress.parse("10.0.0.2:9002");
const C = SocketAddress.parse("10.0.0.3:9003");

function routeTo(table: RoutingTable, destination: bigint): Route | undefined {
  return table.allRoutes().find((route) => route.destination === destination);
}

describe("lookup", () => {
  it("finds the next hop of a known destination and nothing for an unknown one", () => {
    const table = new RoutingTable(LOCAL);
    expect(table.lookupId(7n, 0)).toBeUndefined();
    expect(table.addRoute(7n, A, 0)).toBe(true);
    expect(table.lookupId(7n, 0)).toBe(A);
    expect(table.lookup(7, 0, 0)).toBe(A);
    expect(table.lookup(7, 1, 0)).toBeUndefined();
    expect(table.routeCount).toBe(1);
  });

  it("knows the local id by all 64 bits", () => {
    const table = new RoutingTable(LOCAL);
    expect(table.isLocalId(LOCAL)).toBe(true);
    expect(table.isLocal(low32(LOCAL), high32(LOCAL))).toBe(true);
    expect(table.isLocal(low32(LOCAL) | 0, high32(LOCAL) | 0)).toBe(true);
    expect(table.isLocalId(LOCAL & 0xffffffffn)).toBe(false);
    expect(table.isLocal(low32(LOCAL), 0)).toBe(false);
  });

  it("hides a deactivated route until it is activated, which also makes it fresh", () => {
    const table = new RoutingTable(LOCAL, { maxRouteAgeMs: 100 });
    table.addRoute(7n, A, 0);
    table.deactivateRoute(7n);
    expect(table.lookupId(7n, 50)).toBeUndefined();
    expect(routeTo(table, 7n)).toMatchObject({ isActive: false, updatedAtMs: 0 });
    table.activateRoute(7n, 150);
    expect(table.lookupId(7n, 250)).toBe(A);
  });

  it("ignores activation of an unknown destination", () => {
    const table = new RoutingTable(LOCAL);
    table.deactivateRoute(7n);
    table.activateRoute(7n, 0);
    expect(table.routeCount).toBe(0);
  });

  it("offers as alternate the one route there is, unless it is the excluded one", () => {
    const table = new RoutingTable(LOCAL);
    expect(table.lookupAlternateId(7n, A, 0)).toBeUndefined();
    table.addRoute(7n, A, 0);
    expect(table.lookupAlternateId(7n, SocketAddress.parse(A.key), 0)).toBeUndefined();
    expect(table.lookupAlternateId(7n, B, 0)).toBe(A);
    expect(table.lookupAlternate(7, 0, B, 0)).toBe(A);
  });
});

describe("metrics", () => {
  it("ignores a worse offer, keeps the next hop on an equal one, takes a better one", () => {
    const table = new RoutingTable(LOCAL);
    table.addRoute(7n, A, 0);
    expect(table.addRouteWithMetric(7n, B, 2, 0)).toBe(false);
    expect(table.addRouteWithMetric(7n, B, 1, 0)).toBe(false);
    expect(table.lookupId(7n, 0)).toBe(A);
    expect(table.addRouteWithMetric(7n, B, 0, 0)).toBe(true);
    expect(routeTo(table, 7n)).toMatchObject({ nextHop: B, metric: 0, isActive: true });
  });

  it("refreshes the age on a refused offer, so the route survives a sweep", () => {
    const table = new RoutingTable(LOCAL);
    table.addRoute(7n, A, 0);
    table.addRouteWithMetric(7n, B, 9, 90);
    expect(table.sweepStale(100, 150)).toBe(0);
    expect(routeTo(table, 7n)).toMatchObject({ nextHop: A, metric: 1, updatedAtMs: 90 });
    expect(table.sweepStale(100, 191)).toBe(1);
  });

  it("leaves an inactive route inactive on a refused offer and activates it on a better one", () => {
    const table = new RoutingTable(LOCAL);
    table.addRouteWithMetric(7n, A, 4, 0);
    table.deactivateRoute(7n);
    table.addRouteWithMetric(7n, B, 4, 10);
    expect(routeTo(table, 7n)).toMatchObject({ isActive: false, updatedAtMs: 10 });
    table.addRouteWithMetric(7n, B, 3, 20);
    expect(table.lookupId(7n, 20)).toBe(B);
  });

  it("converges to the least metric and its next hop, in whatever order the offers come", () => {
    const hops = Array.from({ length: 8 }, (_, i) => SocketAddress.parse(`10.0.1.${i}:1`));
    fc.assert(
      fc.property(fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7, 8], { minLength: 1 }), (metrics) => {
        const table = new RoutingTable(LOCAL);
        for (const metric of [...metrics, ...metrics]) {
          table.addRouteWithMetric(7n, hops[metric - 1] as SocketAddress, metric, 0);
        }
        const best = Math.min(...metrics);
        expect(routeTo(table, 7n)).toMatchObject({ metric: best, nextHop: hops[best - 1] });
      }),
    );
  });

  it("keeps a session's route under thousands of offers", () => {
    const table = new RoutingTable(LOCAL);
    table.addRoute(7n, A, 0);
    for (let i = 0; i < 5000; i++) table.addRouteWithMetric(7n, B, 2 + (i % 9), i);
    expect(routeTo(table, 7n)).toMatchObject({ nextHop: A, metric: 1 });
  });

  it("refuses a metric that is no 16-bit number, changing nothing", () => {
    const table = new RoutingTable(LOCAL);
    for (const metric of [-1, 65_536, 1.5, Number.NaN]) {
      expect(() => table.addRouteWithMetric(7n, A, metric, 0)).toThrow(
        expect.objectContaining({ name: "RoutingError", code: "invalid-metric", value: metric }),
      );
    }
    expect(table.routeCount).toBe(0);
    table.addRouteWithMetric(7n, A, 65_535, 0);
    expect(routeTo(table, 7n)?.metric).toBe(65_535);
  });
});

describe("ageing", () => {
  it("hides a stale route from both lookups but keeps it; the sweep removes exactly the stale ones", () => {
    const table = new RoutingTable(LOCAL);
    table.setMaxRouteAge(100);
    table.addRoute(7n, A, 0);
    table.addRoute(8n, B, 60);
    expect(table.lookupId(7n, 100)).toBe(A);
    expect(table.lookupId(7n, 101)).toBeUndefined();
    expect(table.lookupAlternateId(7n, C, 101)).toBeUndefined();
    expect(table.routeCount).toBe(2);
    expect(table.sweepStale(100, 101)).toBe(1);
    expect(table.allRoutes().map((route) => route.destination)).toEqual([8n]);
  });

  it("uses routes of any age without a limit", () => {
    const table = new RoutingTable(LOCAL, { maxRouteAgeMs: 1 });
    table.addRoute(7n, A, 0);
    table.setMaxRouteAge(Number.POSITIVE_INFINITY);
    expect(table.lookupId(7n, Number.MAX_SAFE_INTEGER)).toBe(A);
  });

  it("refuses a limit below zero", () => {
    const invalid = expect.objectContaining({ code: "invalid-limit" });
    const table = new RoutingTable(LOCAL);
    expect(() => table.setMaxRouteAge(-1)).toThrow(invalid);
    expect(() => table.sweepStale(Number.NaN, 0)).toThrow(invalid);
    expect(() => new RoutingTable(LOCAL, { maxRoutes: -1 })).toThrow(invalid);
    expect(() => new RoutingTable(LOCAL, { maxRouteAgeMs: -1 })).toThrow(invalid);
  });
});

describe("removal", () => {
  it("returns what was removed", () => {
    const table = new RoutingTable(LOCAL);
    table.addRoute(7n, A, 5);
    expect(table.removeRoute(7n)).toEqual({
      destination: 7n,
      nextHop: A,
      metric: 1,
      isActive: true,
      isSession: true,
      updatedAtMs: 5,
    });
    expect(table.removeRoute(7n)).toBeUndefined();
  });

  it("spares a route whose next hop has changed since", () => {
    const table = new RoutingTable(LOCAL);
    expect(table.removeRouteIfNextHopIs(7n, A)).toBe(false);
    table.addRoute(7n, A, 0);
    table.addRoute(7n, B, 0);
    expect(table.removeRouteIfNextHopIs(7n, A)).toBe(false);
    expect(table.removeRouteIfNextHopIs(7n, SocketAddress.parse(B.key))).toBe(true);
    expect(table.routeCount).toBe(0);
  });
});

describe("a full table", () => {
  it("refuses discovered routes for new destinations and counts them", () => {
    const table = new RoutingTable(LOCAL, { maxRoutes: 2 });
    table.addRouteWithMetric(1n, A, 3, 0);
    table.addRouteWithMetric(2n, A, 3, 0);
    expect(table.addRouteWithMetric(3n, A, 2, 0)).toBe(false);
    expect(table.addRouteWithMetric(2n, B, 2, 0)).toBe(true);
    expect(table.aggregateStats()).toMatchObject({ routes: 2, routesRefused: 1, routesEvicted: 0 });
  });

  it("makes room for a session by evicting the discovered route confirmed longest ago", () => {
    const table = new RoutingTable(LOCAL, { maxRoutes: 4 });
    table.addRoute(1n, A, 0);
    table.addRouteWithMetric(2n, A, 3, 10);
    table.addRouteWithMetric(3n, A, 3, 11);
    table.addRouteWithMetric(4n, A, 3, 12);
    table.addRouteWithMetric(2n, B, 3, 13);
    const evictionOrder = [3n, 4n, 2n].map((expected, i) => {
      expect(table.addRoute(100n + BigInt(i), C, 20)).toBe(true);
      return routeTo(table, expected);
    });
    expect(evictionOrder).toEqual([undefined, undefined, undefined]);
    expect(table.addRoute(200n, C, 20)).toBe(false);
    expect(table.lookupId(1n, 20)).toBe(A);
    expect(table.aggregateStats()).toMatchObject({ routes: 4, routesRefused: 1, routesEvicted: 3 });
  });

  it("evicts in exact order of age over many evictions, refreshed routes last", () => {
    const table = new RoutingTable(LOCAL, { maxRoutes: 300 });
    const age = new Map<bigint, number>();
    for (let i = 0n; i < 300n; i++) {
      const at = Number((i * 7919n) % 300n);
      table.addRouteWithMetric(i, A, 3, at);
      age.set(i, at);
    }
    for (let i = 0n; i < 290n; i++) {
      const nowMs = 300 + Number(i);
      if (i % 3n === 0n) {
        const refreshed = [...age].sort(([, a], [, b]) => a - b)[1];
        if (refreshed !== undefined) {
          table.addRouteWithMetric(refreshed[0], B, 9, nowMs);
          age.set(refreshed[0], nowMs);
        }
      }
      const [stalest] = [...age].sort(([, a], [, b]) => a - b)[0] as [bigint, number];
      expect(table.addRoute(1000n + i, C, nowMs)).toBe(true);
      expect(table.lookupId(stalest, nowMs)).toBeUndefined();
      age.delete(stalest);
    }
    expect(table.aggregateStats()).toMatchObject({ routes: 300, routesEvicted: 290 });
  });

  it("forgets next hops that no route refers to any more", () => {
    const table = new RoutingTable(LOCAL);
    for (let i = 0; i < 1000; i++) table.addRoute(7n, SocketAddress.parse(`10.1.${i >> 8}.${i & 255}:1`), 0);
    table.addRoute(8n, SocketAddress.parse("10.1.3.231:1"), 0);
    expect(table.aggregateStats()).toMatchObject({ routes: 2, nextHops: 1 });
    table.sweepStale(0, 1);
    expect(table.aggregateStats()).toMatchObject({ routes: 0, nextHops: 0 });
  });
});

describe("model", () => {
  const destination = fc.oneof(
    fc.bigInt({ min: 0n, max: 30n }),
    fc.bigInt({ min: 2n ** 64n - 9n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: 0n, max: 9n }).map((high) => high << 32n),
  );
  const hop = fc.constantFrom(A, B, C);
  const step = fc.oneof(
    fc.record({ op: fc.constant("add" as const), destination, hop }),
    fc.record({ op: fc.constant("offer" as const), destination, hop, metric: fc.nat(5) }),
    fc.record({ op: fc.constant("remove" as const), destination }),
    fc.record({ op: fc.constant("removeIf" as const), destination, hop }),
    fc.record({ op: fc.constant("deactivate" as const), destination }),
    fc.record({ op: fc.constant("activate" as const), destination }),
    fc.record({ op: fc.constant("sweep" as const), age: fc.nat(60) }),
    fc.record({ op: fc.constant("wait" as const), ms: fc.nat(20) }),
  );

  it("agrees with a plain map of routes after any sequence of operations", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer(), (steps, hashSeed) => {
        const table = new RoutingTable(LOCAL, { hashSeed, maxRouteAgeMs: 30 });
        const model = new Map<bigint, Route>();
        let now = 0;
        const put = (at: bigint, nextHop: SocketAddress, metric: number, isSession: boolean): void => {
          model.set(at, { destination: at, nextHop, metric, isActive: true, isSession, updatedAtMs: now });
        };
        for (const each of steps) {
          if (each.op === "wait") {
            now += each.ms;
            continue;
          }
          if (each.op === "sweep") {
            const stale = [...model.values()].filter((route) => now - route.updatedAtMs > each.age);
            for (const route of stale) model.delete(route.destination);
            expect(table.sweepStale(each.age, now)).toBe(stale.length);
            continue;
          }
          const stored = model.get(each.destination);
          if (each.op === "add") {
            put(each.destination, each.hop, 1, true);
            table.addRoute(each.destination, each.hop, now);
          } else if (each.op === "offer") {
            if (stored === undefined || each.metric < stored.metric)
              put(each.destination, each.hop, each.metric, false);
            else model.set(each.destination, { ...stored, updatedAtMs: now });
            table.addRouteWithMetric(each.destination, each.hop, each.metric, now);
          } else if (each.op === "remove") {
            model.delete(each.destination);
            expect(table.removeRoute(each.destination)).toEqual(stored);
          } else if (each.op === "removeIf") {
            const matches = stored?.nextHop === each.hop;
            if (matches) model.delete(each.destination);
            expect(table.removeRouteIfNextHopIs(each.destination, each.hop)).toBe(matches);
          } else if (each.op === "deactivate") {
            if (stored !== undefined) model.set(each.destination, { ...stored, isActive: false });
            table.deactivateRoute(each.destination);
          } else {
            if (stored !== undefined) {
              model.set(each.destination, { ...stored, isActive: true, updatedAtMs: now });
            }
            table.activateRoute(each.destination, now);
          }
          const expected = model.get(each.destination);
          const usable = expected?.isActive === true && now - expected.updatedAtMs <= 30;
          expect(table.lookupId(each.destination, now)).toBe(usable ? expected.nextHop : undefined);
        }
        const byDestination = (a: Route, b: Route): number => (a.destination < b.destination ? -1 : 1);
        expect(table.allRoutes().sort(byDestination)).toEqual([...model.values()].sort(byDestination));
        const hops = new Set([...model.values()].map((route) => route.nextHop));
        expect(table.aggregateStats()).toMatchObject({ routes: model.size, nextHops: hops.size });
      }),
    );
  });
});

describe("offers of pingwaves", () => {
  const offer = (table: RoutingTable, hop: SocketAddress, metric: number, nowMs: number): boolean =>
    table.offerRoute(7, 0, hop, metric, 100, nowMs);

  it("install a route to a new destination, unless the table is full", () => {
    const table = new RoutingTable(LOCAL, { maxRoutes: 1 });
    expect(offer(table, A, 2, 0)).toBe(true);
    expect(table.offerRoute(8, 0, A, 2, 100, 0)).toBe(false);
    expect(table.setDetour(8n, A, 2, 0)).toBe(false);
    expect(table.aggregateStats()).toMatchObject({ routes: 1, routesRefused: 2 });
  });

  it("keep a route fresh only when they come from its own next hop (W3)", () => {
    const table = new RoutingTable(LOCAL);
    offer(table, A, 3, 0);
    expect(offer(table, B, 3, 50)).toBe(false);
    expect(routeTo(table, 7n)).toMatchObject({ nextHop: A, updatedAtMs: 0 });
    expect(offer(table, A, 3, 60)).toBe(true);
    expect(routeTo(table, 7n)?.updatedAtMs).toBe(60);
    expect(offer(table, A, 4, 70)).toBe(true);
    expect(routeTo(table, 7n)).toMatchObject({ metric: 3, updatedAtMs: 60 });
    expect(offer(table, A, 4, 161)).toBe(true);
    expect(routeTo(table, 7n)).toMatchObject({ metric: 4, updatedAtMs: 161 });
  });

  it("refresh a session's route from its own next hop and never change it", () => {
    const table = new RoutingTable(LOCAL);
    table.addRoute(7n, A, 0);
    expect(offer(table, B, 0, 1_000)).toBe(false);
    expect(offer(table, A, 9, 1_000)).toBe(true);
    expect(routeTo(table, 7n)).toMatchObject({ nextHop: A, metric: 1, isSession: true, updatedAtMs: 1_000 });
  });

  it("need a metric that is one", () => {
    const table = new RoutingTable(LOCAL);
    expect(() => offer(table, A, 65_536, 0)).toThrow(RoutingError);
    expect(() => table.setDetour(7n, A, -1, 0)).toThrow(RoutingError);
    expect(table.routeCount).toBe(0);
  });

  it("are found by next hop", () => {
    const table = new RoutingTable(LOCAL);
    table.addRoute(7n, A, 0);
    table.addRoute(8n, B, 0);
    table.addRoute(9n, A, 0);
    expect(table.destinationsVia(SocketAddress.parse(A.key)).sort()).toEqual([7n, 9n]);
    expect(table.destinationsVia(C)).toEqual([]);
    expect(table.route(10n)).toBeUndefined();
  });
});

describe("a large table", () => {
  /** So many routes that the flows looked up last are remembered in front of them. */
  function largeTable(): RoutingTable {
    const table = new RoutingTable(LOCAL, { maxRouteAgeMs: 100, hashSeed: 3 });
    for (let id = 1n; id <= 25_000n; id++) table.addRoute(id, A, 0);
    return table;
  }

  it("answers the same after every change to a destination that was looked up before", () => {
    const table = largeTable();
    const look = (nowMs = 0): SocketAddress | undefined => table.lookupId(7n, nowMs);
    expect([look(), look()]).toEqual([A, A]);
    table.addRoute(7n, B, 0);
    expect([look(), look()]).toEqual([B, B]);
    table.deactivateRoute(7n);
    expect(look()).toBeUndefined();
    table.activateRoute(7n, 0);
    expect([look(), look()]).toEqual([B, B]);
    table.removeRoute(7n);
    expect(look()).toBeUndefined();
    table.addRoute(7n, C, 0);
    expect([look(), look()]).toEqual([C, C]);
  });

  it("neither uses a route longer than it may nor less long", () => {
    const table = largeTable();
    expect(table.lookupId(7n, 0)).toBe(A);
    expect(table.lookupId(7n, 100)).toBe(A);
    expect(table.lookupId(7n, 101)).toBeUndefined();
    table.addRouteWithMetric(7n, B, 9, 101);
    expect(table.lookupId(7n, 201)).toBe(A);
    table.setMaxRouteAge(10);
    expect(table.lookupId(7n, 201)).toBeUndefined();
    table.setMaxRouteAge(1_000);
    expect([table.lookupId(7n, 201), table.lookupId(7n, 201)]).toEqual([A, A]);
    table.sweepStale(0, 202);
    expect(table.lookupId(7n, 202)).toBeUndefined();
  });

  it("agrees with a plain map while routes come, change and go under the flows", () => {
    const table = largeTable();
    const model = new Map<bigint, SocketAddress>();
    for (let id = 1n; id <= 25_000n; id++) model.set(id, A);
    const hops = [A, B, C];
    let state = 5;
    const next = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % below;
    };
    for (let step = 0; step < 100_000; step++) {
      const id = BigInt(next(4_500));
      const action = next(20);
      if (action === 0) {
        table.removeRoute(id);
        model.delete(id);
      } else if (action === 1) {
        const hop = hops[next(3)] as SocketAddress;
        table.addRoute(id, hop, 0);
        model.set(id, hop);
      } else if (table.lookupId(id, 0) !== model.get(id)) {
        expect.fail(`step ${step}: ${id} goes to ${table.lookupId(id, 0)} instead of ${model.get(id)}`);
      }
    }
  });
});
