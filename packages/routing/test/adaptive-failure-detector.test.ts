import { describe, expect, it } from "vitest";
import { AdaptiveFailureDetector, RoutingError, type WatchedPeer } from "../src/index.ts";
import { fractions } from "./fractions.ts";

interface Scenario {
  readonly detector: AdaptiveFailureDetector;
  readonly events: string[];
  nowMs: number;
}

function scenario(options: { maxFailBeats?: number; maxPeers?: number } = {}): Scenario {
  const events: string[] = [];
  const detector = new AdaptiveFailureDetector({
    ...options,
    onSuspicion: (peer) => events.push(`suspicion ${peer.id}`),
    onFailure: (peer) => events.push(`failure ${peer.id}`),
    onRecovery: (peer) => events.push(`recovery ${peer.id}`),
  });
  return { detector, events, nowMs: 0 };
}

/** Lets time pass until `untilMs` as an undisturbed shell does: checks are made exactly when asked for. */
function wait(on: Scenario, untilMs: number): void {
  while (on.detector.nextCheckMs <= untilMs) {
    on.nowMs = Math.max(on.nowMs, on.detector.nextCheckMs);
    on.detector.check(on.nowMs);
  }
  on.nowMs = untilMs;
}

/** Packets of the peer at those times. */
function hear(on: Scenario, peer: WatchedPeer, timesMs: Iterable<number>): void {
  for (const timeMs of timesMs) {
    wait(on, timeMs);
    on.detector.heard(peer, timeMs);
  }
}

function* every(intervalMs: number, fromMs: number, untilMs: number): Generator<number> {
  for (let timeMs = fromMs; timeMs < untilMs; timeMs += intervalMs) yield timeMs;
}

/** When the peer failed, from the last that was heard of it. */
function timeToFailure(on: Scenario, peer: WatchedPeer): number {
  while (peer.status !== "failed") {
    on.nowMs = on.detector.nextCheckMs;
    on.detector.check(on.nowMs);
  }
  return on.nowMs - peer.lastHeardMs;
}

describe("a peer that is killed", () => {
  it.each([
    { heartbeatMs: undefined, within: 1_000 },
    { heartbeatMs: 50, within: 150 },
  ])("is detected within $within ms, heartbeats every $heartbeatMs ms", ({ heartbeatMs, within }) => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, heartbeatMs) as WatchedPeer;
    hear(on, peer, every(heartbeatMs ?? 300, 0, 60_000));
    expect(on.events).toEqual([]);
    expect(timeToFailure(on, peer)).toBeLessThan(within);
    expect(on.events).toEqual(["suspicion 1", "failure 1"]);
  });

  it("is detected as fast when it was sending at full rate", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    hear(on, peer, every(0.5, 0, 2_000));
    const silence = timeToFailure(on, peer);
    expect(silence).toBeGreaterThan(100);
    expect(silence).toBeLessThan(150);
  });

  it("fails once, and recovers with the next packet", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    wait(on, 10_000);
    expect(on.detector.nextCheckMs).toBe(Number.POSITIVE_INFINITY);
    on.detector.heard(peer, 10_000);
    on.detector.heard(peer, 10_010);
    expect(on.events).toEqual(["suspicion 1", "failure 1", "recovery 1"]);
    expect(on.detector.stats()).toMatchObject({ suspicions: 1, failures: 1, recoveries: 1, watched: 1 });
    expect(on.detector.nextCheckMs).toBeLessThan(Number.POSITIVE_INFINITY);
  });

  it("does not take its living neighbours with it", () => {
    const on = scenario();
    const dead = on.detector.watch(1n, 0, 50) as WatchedPeer;
    const alive = on.detector.watch(2n, 0, 50) as WatchedPeer;
    hear(on, alive, every(50, 0, 5_000));
    expect([dead.status, alive.status]).toEqual(["failed", "healthy"]);
  });
});

describe("a peer that lives", () => {
  it("survives a path that loses a fifth of its heartbeats, once the losses began gently", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const on = scenario();
      const random = fractions(seed);
      const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
      let lossRate = 0;
      hear(
        on,
        peer,
        (function* () {
          for (const timeMs of every(50, 0, 600_000)) {
            lossRate = Math.min(0.2, timeMs / 300_000);
            if (random() >= lossRate) yield timeMs;
          }
        })(),
      );
      expect(on.detector.stats().failures, `seed ${seed}`).toBe(0);
    }
  });

  it("survives saturation: growing queues, bursts of losses, packets in clumps", () => {
    for (const seed of [1, 2, 3]) {
      const on = scenario();
      const random = fractions(seed);
      const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
      let lastMs = 0;
      hear(
        on,
        peer,
        (function* () {
          for (const timeMs of every(2, 0, 60_000)) {
            // Ever longer stalls of up to 400 ms, in between half of a dense flow lost.
            const stallMs = Math.min(400, 40 + timeMs / 100);
            if (timeMs % 1_000 < stallMs || random() < 0.5) continue;
            lastMs = timeMs;
            yield timeMs;
          }
        })(),
      );
      expect(on.detector.stats().failures, `seed ${seed}`).toBe(0);
      expect(lastMs).toBeGreaterThan(59_000);
    }
  });

  it("is not blamed for this node's own stall", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    hear(on, peer, every(50, 0, 1_000));
    // The loop stands still for 2 s. Then it checks first, and reads the socket right after.
    on.detector.check(3_000);
    expect(peer.status).toBe("suspected");
    on.detector.heard(peer, 3_005);
    expect(peer.status).toBe("healthy");
    expect(on.detector.stats().failures).toBe(0);
  });

  it("is not blamed for a stall between suspicion and failure either", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    on.detector.check(on.detector.nextCheckMs);
    expect(peer.status).toBe("suspected");
    on.detector.check(2_000);
    expect(on.detector.stats()).toMatchObject({ failures: 0, postponed: 1 });
    on.detector.heard(peer, 2_001);
    expect(peer.status).toBe("healthy");
  });

  it("but a node that is always late still finds out who is dead", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    let checks = 0;
    for (; peer.status !== "failed"; checks++) on.detector.check(on.detector.nextCheckMs + 40);
    expect(checks).toBeLessThan(12);
  });
});

describe("what the detector learns", () => {
  it("is patient after a loss, and as fast as before some time later", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    hear(on, peer, every(50, 0, 1_000));
    hear(on, peer, [1_050]);
    const patient = on.detector.suspicion(peer, 1_150);
    hear(on, peer, every(50, 1_050, 60_000));
    expect(on.detector.suspicion(peer, 60_050)).toBeGreaterThan(patient * 0.9);
    expect(timeToFailure(on, peer)).toBeLessThan(150);
  });

  it("never waits longer than it was told to", () => {
    const on = scenario({ maxFailBeats: 4 });
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    hear(on, peer, [1_000, 2_000, 3_000]);
    expect(timeToFailure(on, peer)).toBeLessThanOrEqual(225);
  });

  it("shows how close to failure a peer is", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 100) as WatchedPeer;
    expect([0, 137.5, 275].map((nowMs) => on.detector.suspicion(peer, nowMs))).toEqual([0, 0.5, 1]);
    expect(on.detector.suspicion(peer, -1)).toBe(0);
  });
});

describe("watching", () => {
  it("ends silently, and leaves the others watched", () => {
    const on = scenario();
    const peers = [1n, 2n, 3n].map((id) => on.detector.watch(id, 0, 50) as WatchedPeer);
    on.detector.unwatch(peers[0] as WatchedPeer);
    on.detector.unwatch(peers[0] as WatchedPeer);
    on.detector.unwatch(peers[2] as WatchedPeer);
    wait(on, 1_000);
    expect(on.events).toEqual(["suspicion 2", "failure 2"]);
    expect(on.detector.stats().watched).toBe(1);
  });

  it("does nothing before it is time to", () => {
    const on = scenario();
    on.detector.watch(1n, 0, 50);
    expect(on.detector.check(on.detector.nextCheckMs - 1)).toBe(0);
    expect(on.events).toEqual([]);
    expect(new AdaptiveFailureDetector().nextCheckMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("works without callbacks", () => {
    const detector = new AdaptiveFailureDetector();
    const peer = detector.watch(1n, 0, 50) as WatchedPeer;
    for (let i = 0; i < 2; i++) detector.check(detector.nextCheckMs);
    expect(peer.status).toBe("failed");
    detector.heard(peer, 500);
    expect(peer.status).toBe("healthy");
  });

  it("has a bound, and refuses what makes no sense", () => {
    const { detector } = scenario({ maxPeers: 1 });
    detector.watch(1n, 0);
    expect(detector.watch(2n, 0)).toBeUndefined();
    expect(detector.stats()).toMatchObject({ watched: 1, refused: 1 });
    expect(() => detector.watch(3n, 0, 0)).toThrow(RoutingError);
    expect(() => scenario({ maxFailBeats: 1 })).toThrow(RoutingError);
    expect(() => scenario({ maxPeers: 0 })).toThrow(RoutingError);
  });
});

describe("a peer of which nothing is expected for a while", () => {
  it("does not fail, and what it says late teaches nothing", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    on.detector.pause(peer);
    wait(on, 10_000);
    on.detector.heard(peer, 10_000);
    expect(on.events).toEqual([]);
    on.detector.resume(peer, 10_000);
    expect(timeToFailure(on, peer)).toBeLessThanOrEqual(150);
    expect(on.events).toEqual(["suspicion 1", "failure 1"]);
  });

  it("is as patient with the path's losses afterwards as it was before", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    hear(on, peer, [50, 100, 150, 350, 400]);
    on.detector.pause(peer);
    wait(on, 600);
    on.detector.resume(peer, 600);
    expect(timeToFailure(on, peer)).toBeGreaterThan(200);
  });

  it("that failed is healthy again when it is expected over another path, and recovers nothing", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    timeToFailure(on, peer);
    on.detector.resume(peer, on.nowMs);
    expect(peer.status).toBe("healthy");
    on.detector.heard(peer, on.nowMs + 10);
    expect(on.events).toEqual(["suspicion 1", "failure 1"]);
  });

  it("stays forgotten when it is no longer watched", () => {
    const on = scenario();
    const peer = on.detector.watch(1n, 0, 50) as WatchedPeer;
    on.detector.unwatch(peer);
    on.detector.resume(peer, 1_000);
    wait(on, 10_000);
    expect(on.events).toEqual([]);
  });
});
