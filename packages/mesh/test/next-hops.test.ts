import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { FlapGuard } from "../src/control/flap-guard.ts";
import { NextHops } from "../src/control/next-hops.ts";

describe("the next hops of a destination", () => {
  it("are the nearest four that have told of it, nearest first", () => {
    const hops = new NextHops(1);
    for (const [via, metric] of [
      [1n, 5],
      [2n, 3],
      [3n, 4],
      [4n, 6],
      [5n, 2],
      [6n, 9],
    ] as const) {
      hops.note(7, 0, via, metric, 0);
    }
    expect(hops.of(7n).map(({ via }) => via)).toEqual([5n, 2n, 3n, 1n]);
    expect(hops.metricOver(7n, 3n)).toBe(4);
    expect(hops.metricOver(7n, 4n)).toBe(Number.POSITIVE_INFINITY);
    expect(hops.of(8n)).toEqual([]);
  });

  it("change their places with what they tell", () => {
    const hops = new NextHops(1);
    hops.note(7, 0, 1n, 2, 0);
    hops.note(7, 0, 2n, 3, 0);
    hops.note(7, 0, 1n, 4, 10);
    expect(hops.of(7n)).toEqual([
      { via: 2n, metric: 3, toldAtMs: 0 },
      { via: 1n, metric: 4, toldAtMs: 10 },
    ]);
  });

  it("are forgotten one by one when they tell no more, and the destination with the last", () => {
    const hops = new NextHops(1);
    hops.note(7, 0, 1n, 2, 0);
    hops.note(7, 0, 2n, 2, 100);
    hops.sweep(50);
    expect(hops.of(7n).map(({ via }) => via)).toEqual([2n]);
    hops.sweep(101);
    expect(hops.size).toBe(0);
  });

  it("are kept for so many destinations and no more", () => {
    const hops = new NextHops(1);
    for (let i = 0; i < 20_000; i++) hops.note(i, 1, 1n, 2, 0);
    expect(hops.size).toBe(16_384);
    hops.note(0, 1, 2n, 2, 0);
    expect(hops.of(1n << 32n).length).toBe(2);
  });
});

describe("a path that has failed", () => {
  const ADDRESS = SocketAddress.parse("10.0.0.1:1");

  it("may be returned to twice, then once in thirty seconds", () => {
    const guard = new FlapGuard();
    for (const nowMs of [0, 1_000]) {
      guard.failed(ADDRESS, nowMs);
      expect(guard.mayReturn(ADDRESS, nowMs)).toBe(true);
    }
    guard.failed(ADDRESS, 2_000);
    expect(guard.mayReturn(ADDRESS, 31_999)).toBe(false);
    expect(guard.mayReturn(ADDRESS, 32_000)).toBe(true);
    guard.failed(ADDRESS, 33_000);
    expect(guard.mayReturn(ADDRESS, 62_999)).toBe(false);
  });

  it("and fails again during the pause, as the peer has tried it, is left alone for another thirty seconds", () => {
    const guard = new FlapGuard();
    for (let i = 0; i < 3; i++) guard.failed(ADDRESS, 0);
    guard.failed(ADDRESS, 20_000);
    expect(guard.mayReturn(ADDRESS, 49_999)).toBe(false);
    expect(guard.mayReturn(ADDRESS, 50_000)).toBe(true);
  });

  it("has a clean record after two good minutes", () => {
    const guard = new FlapGuard();
    for (let i = 0; i < 3; i++) guard.failed(ADDRESS, i);
    guard.sweep(60_000);
    expect(guard.mayReturn(ADDRESS, 20_000)).toBe(false);
    guard.sweep(120_003);
    expect(guard.mayReturn(ADDRESS, 20_000)).toBe(true);
  });

  it("makes room for others when there are too many", () => {
    const guard = new FlapGuard();
    for (let i = 0; i < 3; i++) guard.failed(ADDRESS, 0);
    for (let i = 0; i < 4_096; i++) guard.failed(SocketAddress.parse(`10.1.${i >> 8}.${i & 255}:1`), 0);
    expect(guard.mayReturn(ADDRESS, 1)).toBe(true);
  });
});
