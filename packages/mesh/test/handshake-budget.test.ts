import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { HandshakeBudget } from "../src/handshake/handshake-budget.ts";
import { LoadGauge } from "../src/handshake/load-gauge.ts";
import { range } from "./traffic.ts";

const X = SocketAddress.parse("192.0.2.1:1");
const Y = SocketAddress.parse("192.0.2.2:1");

describe("a budget of handshake messages", () => {
  it("admits so many per source and second, and other sources beside", () => {
    const budget = new HandshakeBudget({ perSource: 3, total: 100 }, 5);
    expect(range(13).filter(() => budget.admit(X, 0, 0)).length).toBe(3);
    expect(budget.admit(Y, 0, 10)).toBe(true);
    expect(budget.admit(X, 0, 999)).toBe(false);
    expect(budget.admit(X, 0, 1_000)).toBe(true);
  });

  it("counts the nodes behind a relay one by one, and the relay four times as much", () => {
    const budget = new HandshakeBudget({ perSource: 3, total: 100 }, 5);
    expect(range(50).filter(() => budget.admit(X, 1, 0)).length).toBe(3);
    expect(range(50).filter(() => budget.admit(X, 2, 0)).length).toBe(3);
    expect(range(50).filter((id) => budget.admit(X, 10 + id, 0)).length).toBe(6);
    expect(budget.admit(Y, 1, 0)).toBe(true);
  });

  it("admits no more than its total, whoever sends", () => {
    const budget = new HandshakeBudget({ perSource: 3, total: 100 }, 5);
    const admitted = range(10_000).filter((i) =>
      budget.admit(SocketAddress.parse(`10.0.${i >> 8}.${i & 255}:9`), i, 5),
    );
    expect(admitted.length).toBe(100);
  });
});

describe("a budget that was used up", () => {
  const use = (budget: HandshakeBudget, nowMs: number) =>
    range(1_000).filter((i) => budget.admit(SocketAddress.parse(`10.0.${i >> 8}.${i & 255}:9`), i, nowMs));

  it("by forged messages is a quarter in the next second, and whole again after a calm one", () => {
    const budget = new HandshakeBudget({ perSource: 3, total: 100 }, 5);
    for (const _ of use(budget, 0)) budget.countForged();
    expect(use(budget, 1_000).length).toBe(25);
    for (let i = 0; i < 25; i++) budget.countForged();
    expect(use(budget, 2_000).length).toBe(25);
    expect(budget.admit(X, 0, 3_000)).toBe(true);
    expect(use(budget, 4_000).length).toBe(100);
  });

  it("by genuine messages is the same in the next second", () => {
    const budget = new HandshakeBudget({ perSource: 3, total: 100 }, 5);
    use(budget, 0);
    expect(use(budget, 1_000).length).toBe(100);
  });
});

describe("the load", () => {
  it("begins beyond half of the budget in a second", () => {
    const load = new LoadGauge(100);
    expect(
      range(60)
        .map(() => load.count(10))
        .indexOf(true),
    ).toBe(50);
  });

  it("ends after a second with less than a quarter of it", () => {
    const load = new LoadGauge(100);
    for (let i = 0; i < 60; i++) load.count(0);
    for (let i = 0; i < 30; i++) expect(load.count(1_500)).toBe(true);
    expect(load.count(2_500)).toBe(true);
    expect(load.count(3_500)).toBe(false);
  });

  it("ends after a second without any message", () => {
    const load = new LoadGauge(100);
    for (let i = 0; i < 60; i++) load.count(0);
    expect(load.count(2_000)).toBe(false);
  });
});
