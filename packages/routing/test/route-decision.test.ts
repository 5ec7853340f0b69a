import { decodeRoutingHeader, encodeRoutingHeader, SocketAddress } from "@netmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RouteDecision, RoutingTable } from "../src/index.ts";

const LOCAL = 0x1122334455667788n;
const HOP = SocketAddress.parse("10.0.0.7:9007");

function tableWithRouteTo7(): RoutingTable {
  const table = new RoutingTable(LOCAL);
  table.addRoute(7n, HOP, 0);
  return table;
}

function routed(
  fields: { ttl?: number; hopCount?: number; flags?: number; sourceId?: number; destination?: bigint },
  payload = 100,
): Uint8Array {
  const header = encodeRoutingHeader({
    ttl: 8,
    hopCount: 0,
    flags: 0,
    reserved: 0,
    sourceId: 5,
    destination: 7n,
    ...fields,
  });
  return Uint8Array.from([...header, ...Array.from({ length: payload }, (_, i) => i & 255)]);
}

describe("route decision", () => {
  it("reads the stream id at offset 50 of datagrams of 86 bytes and more, else takes 0", () => {
    const decision = new RouteDecision(tableWithRouteTo7(), "router");
    const datagram = routed({}, 68);
    decision.decide(datagram, 0, 86, 0);
    expect([decision.streamLo, decision.streamHi]).toEqual([0x23222120, 0x27262524]);
    decision.decide(routed({}, 67), 0, 85, 0);
    expect([decision.streamLo, decision.streamHi]).toEqual([0, 0]);
  });

  it("lets a router, not a proxy, drop what this node sent and others forwarded", () => {
    const table = tableWithRouteTo7();
    const own = { sourceId: 0x55667788, hopCount: 1 };
    expect(new RouteDecision(table, "router").decide(routed(own), 0, 118, 0)).toBe("loop");
    expect(new RouteDecision(table, "proxy").decide(routed(own), 0, 118, 0)).toBe("forward");
  });

  it("forwards what comes straight from a namesake, whose id has the same low 32 bits (W16)", () => {
    const decision = new RouteDecision(tableWithRouteTo7(), "router");
    expect(decision.decide(routed({ sourceId: 0x55667788, hopCount: 0 }), 0, 118, 0)).toBe("forward");
  });

  it("delivers locally whatever the ttl and source", () => {
    const decision = new RouteDecision(tableWithRouteTo7(), "router");
    const datagram = routed({ destination: LOCAL, ttl: 0, sourceId: 0x55667788 });
    expect(decision.decide(datagram, 0, datagram.length, 0)).toBe("local");
    expect(decision.nextHop).toBeUndefined();
  });

  it("drops ttl 0 and ttl 1 unchanged and forwards ttl 2 as ttl 1, hop 1", () => {
    const decision = new RouteDecision(tableWithRouteTo7(), "router");
    for (const ttl of [0, 1]) {
      const datagram = routed({ ttl });
      const before = datagram.slice();
      expect(decision.decide(datagram, 0, datagram.length, 0)).toBe("ttl-expired");
      expect(datagram).toEqual(before);
    }
    const datagram = routed({ ttl: 2 });
    expect(decision.decide(datagram, 0, datagram.length, 0)).toBe("forward");
    expect(decodeRoutingHeader(datagram)).toMatchObject({ ttl: 1, hopCount: 1 });
  });

  it("forgets the last datagram's answers", () => {
    const decision = new RouteDecision(tableWithRouteTo7(), "router");
    const datagram = routed({ flags: 4 });
    decision.decide(datagram, 0, datagram.length, 0);
    expect([decision.nextHop, decision.hasPriority]).toEqual([HOP, true]);
    decision.decide(datagram, 0, 17, 0);
    expect([decision.nextHop, decision.hasPriority, decision.streamLo]).toEqual([undefined, false, 0]);
  });

  it("does not use a stale route", () => {
    const table = tableWithRouteTo7();
    table.setMaxRouteAge(100);
    const decision = new RouteDecision(table, "router");
    expect(decision.decide(routed({}), 0, 118, 101)).toBe("no-route");
  });

  it("answers any 100 000 random datagrams without throwing, changing bytes only to forward", () => {
    const table = tableWithRouteTo7();
    const decisions = [new RouteDecision(table, "router"), new RouteDecision(table, "proxy")];
    const verdicts = new Set<string>();
    let state = 1;
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      return (state >>> 16) & 255;
    };
    const buffer = new Uint8Array(140);
    for (let run = 0; run < 100_000; run++) {
      const offset = next() & 7;
      const length = next() % 120;
      for (let i = 0; i < buffer.length; i++) buffer[i] = next();
      if (next() < 230) buffer.set([0x52, 0x54, next() & 3], offset);
      if (next() < 128) buffer.set([7, 0, 0, 0, 0, 0, 0, 0], offset + 10);
      else if (next() < 60) buffer.set([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11], offset + 10);
      if (next() < 30) buffer.set([0x88, 0x77, 0x66, 0x55], offset + 6);
      const before = buffer.slice();
      const decision = decisions[run & 1] as RouteDecision;
      const verdict = decision.decide(buffer, offset, length, 0);
      verdicts.add(verdict);
      if (verdict === "forward") {
        before.set(buffer.subarray(offset + 2, offset + 5), offset + 2);
        expect(decision.nextHop).toBe(HOP);
      }
      if (before.some((byte, i) => byte !== buffer[i]))
        expect.fail(`${verdict} changed bytes outside the header`);
    }
    expect([...verdicts].sort()).toEqual(
      ["forward", "invalid-header", "local", "loop", "no-route", "too-short", "ttl-expired"].sort(),
    );
  });

  it("hands a datagram on exactly ttl − 1 times", () => {
    fc.assert(
      fc.property(fc.nat(255), (ttl) => {
        const decision = new RouteDecision(tableWithRouteTo7(), "router");
        const datagram = routed({ ttl });
        let hops = 0;
        while (decision.decide(datagram, 0, datagram.length, 0) === "forward") hops += 1;
        expect(hops).toBe(Math.max(0, ttl - 1));
      }),
    );
  });
});
