import { describe, expect, it } from "vitest";
import {
  CircuitBreaker,
  CorrelatedFailures,
  HeartbeatSchedule,
  LossSimulator,
  PartitionDetector,
  RecoveryManager,
  RoutingError,
  TokenBucket,
} from "../src/index.ts";
import { fractions } from "./fractions.ts";

describe("recovery manager", () => {
  it("gives up on a node that fails again and again", () => {
    const manager = new RecoveryManager();
    for (let i = 0; i < 3; i++) {
      manager.onFailure(1n, [], i);
      expect(manager.getAction(1n, 3).kind).toBe("retry");
    }
    expect(manager.getAction(1n, 3)).toEqual({ kind: "drop", reason: "max retries exceeded" });
    expect(manager.isFailed(1n)).toBe(true);
  });

  it("reroutes once there are alternates, and remembers the retries", () => {
    const manager = new RecoveryManager();
    manager.onFailure(1n, [], 0);
    manager.getAction(1n, 9);
    expect(manager.onFailure(1n, [2n], 5)).toEqual({ kind: "reroute", via: [2n] });
    expect(manager.getAction(1n, 9)).toEqual({ kind: "reroute", via: [2n] });
    expect(manager.stats()).toMatchObject({ retries: 1, reroutes: 1, queued: 1 });
  });

  it("measures an outage from the first failure", () => {
    const manager = new RecoveryManager();
    manager.onFailure(1n, [], 0);
    manager.onFailure(1n, [], 80);
    manager.onRecovery(1n, 100);
    manager.onFailure(2n, [], 200);
    manager.onRecovery(2n, 400);
    expect(manager.stats().meanRecoveryMs).toBe(150);
    expect(manager.isFailed(1n)).toBe(false);
  });

  it("tells to retry a node that it does not know after 100 ms", () => {
    expect(new RecoveryManager().getAction(1n, 0)).toEqual({ kind: "retry", delayMs: 100 });
  });

  it("remembers a bounded number of nodes (W18), each until it is forgotten", () => {
    const manager = new RecoveryManager(1);
    manager.onFailure(1n, [], 0);
    expect(manager.onFailure(2n, [], 0).kind).toBe("queue");
    expect(manager.failedCount).toBe(1);
    expect(manager.stats().refused).toBe(1);
    expect(manager.forget(1n)).toBe(true);
    expect(manager.forget(1n)).toBe(false);
    expect(() => new RecoveryManager(-1)).toThrow(RoutingError);
  });
});

describe("circuit breaker", () => {
  const options = { failureThreshold: 2, successThreshold: 2, resetTimeoutMs: 100 };

  it("goes the whole way round", () => {
    const breaker = new CircuitBreaker(options, 0);
    breaker.recordFailure(0);
    breaker.recordSuccess(0);
    breaker.recordFailure(0);
    expect(breaker.state).toBe("closed");
    breaker.recordFailure(0);
    expect([breaker.state, breaker.allow(99)]).toEqual(["open", false]);
    expect([breaker.allow(100), breaker.state]).toEqual([true, "half-open"]);
    breaker.recordFailure(100);
    expect([breaker.state, breaker.totalTrips]).toEqual(["open", 2]);
    breaker.recordFailure(110);
    breaker.recordSuccess(110);
    expect(breaker.allow(200)).toBe(true);
    breaker.recordSuccess(200);
    breaker.recordSuccess(200);
    expect([breaker.state, breaker.allow(200)]).toEqual(["closed", true]);
  });

  it("stays closed after a reset, whatever was allowed before", () => {
    const breaker = new CircuitBreaker(options, 0);
    for (let i = 0; i < 2; i++) breaker.recordFailure(0);
    breaker.allow(100);
    breaker.reset(100);
    expect([breaker.allow(100), breaker.state]).toEqual([true, "closed"]);
    breaker.recordFailure(100);
    expect(breaker.state).toBe("closed");
  });

  it("tries no more than a few calls at a time while half open (W18)", () => {
    const breaker = new CircuitBreaker({ ...options, maxTrials: 2 }, 0);
    for (let i = 0; i < 2; i++) breaker.recordFailure(0);
    expect([1, 2, 3].map(() => breaker.allow(100))).toEqual([true, true, false]);
    breaker.recordSuccess(110);
    expect([1, 2].map(() => breaker.allow(110))).toEqual([true, false]);
    expect(breaker.allow(209)).toBe(false);
    expect(breaker.allow(210)).toBe(true);
  });

  it("refuses parameters that make no sense", () => {
    for (const wrong of [
      { failureThreshold: 0 },
      { successThreshold: 1.5 },
      { resetTimeoutMs: -1 },
      { maxTrials: 0 },
    ]) {
      expect(() => new CircuitBreaker({ ...options, ...wrong }, 0)).toThrow(RoutingError);
    }
  });
});

describe("loss simulator", () => {
  it("loses about half of a thousand packets at rate 0.5, none at 0 and all at 1", () => {
    const lost = [0.5, 0, 1, -1, 2].map((rate) => {
      const simulator = new LossSimulator(rate);
      for (let i = 0; i < 1000; i++) simulator.shouldDrop();
      return simulator.counts.dropped;
    });
    expect(lost[0]).toBeGreaterThan(300);
    expect(lost[0]).toBeLessThan(700);
    expect(lost.slice(1)).toEqual([0, 1000, 0, 1000]);
  });

  it("loses exactly five packets in a burst of five", () => {
    const simulator = new LossSimulator(0).withBursts(0.01, 5);
    const fates = Array.from({ length: 2000 }, () => (simulator.shouldDrop() ? "x" : ".")).join("");
    const bursts = fates.match(/x+/g) ?? [];
    expect(bursts.length).toBeGreaterThan(3);
    for (const burst of bursts) expect(burst.length % 5).toBe(0);
  });

  it("has lost nothing of nothing, and never more than there was", () => {
    const simulator = new LossSimulator(0.3).withBursts(0.5, 3);
    expect(simulator.effectiveLossRate()).toBe(0);
    for (let i = 0; i < 100; i++) {
      simulator.shouldDrop();
      expect(simulator.counts.dropped).toBeLessThanOrEqual(simulator.counts.total);
    }
    expect(simulator.effectiveLossRate()).toBe(simulator.counts.dropped / 100);
    simulator.reset();
    expect(simulator.counts).toEqual({ total: 0, dropped: 0 });
  });
});

describe("many failures at once", () => {
  it("are counted up to a bound, a node only once", () => {
    const failures = new CorrelatedFailures(() => 0x01020304, { maxFailures: 3 });
    failures.onFailures([1n, 2n, 3n, 4n], 100, 0);
    expect(failures.windowSize).toBe(3);
    expect(failures.recoveryBudget).toBe(Number.POSITIVE_INFINITY);
    const again = failures.onFailures([4n, 4n, 4n], 3, 0);
    expect(again).toMatchObject({
      kind: "mass-failure",
      failedNodes: [4n],
      cause: { kind: "subnet", subnet: 0x01020304 },
    });
  });

  it("have no subnet as their cause when they are in none", () => {
    const failures = new CorrelatedFailures(() => 0);
    expect(failures.onFailures([1n], 1, 0)).toMatchObject({ cause: { kind: "broad-outage" } });
  });

  it("open a bounded number of partitions", () => {
    const detector = new PartitionDetector({ maxPartitions: 1 });
    const verdict = {
      kind: "mass-failure",
      failedNodes: [1n],
      failureRatio: 1,
      cause: { kind: "subnet", subnet: 1 << 24, affectedRatio: 1 },
    } as const;
    const first = detector.detect(verdict) as number;
    const second = detector.detect(verdict) as number;
    expect([detector.partition(first), detector.partition(second)?.phase]).toEqual([undefined, "suspected"]);
    expect(detector.confirm(first)).toBe(false);
  });
});

describe("heartbeat schedule", () => {
  it("comes within the interval, up to a fifth early", () => {
    const schedule = new HeartbeatSchedule(1_000, fractions(3));
    const pauses = Array.from({ length: 1000 }, () => schedule.next(0));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1_000);
    expect(Math.max(...pauses)).toBeGreaterThan(980);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(800);
    expect(Math.min(...pauses)).toBeLessThan(820);
  });

  it("starts anywhere in the interval, so that nodes do not stay in step", () => {
    const schedule = new HeartbeatSchedule(1_000, fractions(3));
    const starts = Array.from({ length: 1000 }, () => schedule.first(50) - 50);
    expect(Math.min(...starts)).toBeLessThan(20);
    expect(Math.max(...starts)).toBeGreaterThan(980);
  });

  it("refuses parameters that make no sense", () => {
    expect(() => new HeartbeatSchedule(0, Math.random)).toThrow(RoutingError);
    expect(() => new HeartbeatSchedule(1, Math.random, 2)).toThrow(RoutingError);
  });
});

it("a token bucket lets a burst pass at once, and then its rate", () => {
  const bucket = new TokenBucket(10, 3, 0);
  expect([0, 0, 0, 0, 99, 100].map((nowMs) => bucket.take(nowMs))).toEqual([
    true,
    true,
    true,
    false,
    false,
    true,
  ]);
  expect([0, 1, 2, 3].map((i) => bucket.take(10_000 + i))).toEqual([true, true, true, false]);
  expect(() => new TokenBucket(-1, 1, 0)).toThrow(RoutingError);
});
