import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { FailureDetector, RoutingError } from "../src/index.ts";

const A = SocketAddress.parse("10.0.0.1:9001");
const B = SocketAddress.parse("10.0.0.2:9002");

describe("failure detector", () => {
  it("suspects after two timeouts of 5 s and fails after three, by default", () => {
    const detector = new FailureDetector({}, 0);
    detector.heartbeat(1n, A, 0);
    const seen = [5_000, 9_999, 10_000, 14_999, 15_000].map((nowMs) => {
      detector.checkAll(nowMs);
      return detector.status(1n);
    });
    expect(seen).toEqual(["healthy", "healthy", "suspected", "suspected", "failed"]);
  });

  it("fails a node at one late check, once", () => {
    const detector = new FailureDetector({}, 0);
    detector.heartbeat(1n, A, 0);
    expect(detector.checkAll(60_000)).toEqual([1n]);
    expect(detector.checkAll(60_000)).toEqual([]);
    expect(detector.stats()).toMatchObject({ failed: 1, totalFailures: 1 });
  });

  it("reports a recovery once, and lets callbacks call back", () => {
    const events: string[] = [];
    const detector: FailureDetector = new FailureDetector(
      {
        onFailure: (node) => events.push(`${node} ${detector.status(node)}`),
        onRecovery: (node) => {
          events.push(`${node} ${detector.status(node)}`);
          detector.heartbeat(node, A, 20_000);
        },
      },
      0,
    );
    detector.heartbeat(1n, A, 0);
    detector.checkAll(15_000);
    detector.heartbeat(1n, A, 20_000);
    detector.heartbeat(1n, A, 20_001);
    expect(events).toEqual(["1 failed", "1 healthy"]);
    expect(detector.stats()).toMatchObject({ totalFailures: 1, totalRecoveries: 1 });
  });

  it("recovers silently from a suspicion", () => {
    const detector = new FailureDetector({ onRecovery: () => expect.fail("recovered") }, 0);
    detector.heartbeat(1n, A, 0);
    detector.checkAll(10_000);
    detector.heartbeat(1n, A, 10_000);
    expect(detector.status(1n)).toBe("healthy");
  });

  it("lists nodes by status and knows nothing of others", () => {
    const detector = new FailureDetector({ timeoutMs: 100 }, 0);
    detector.heartbeat(1n, A, 0);
    detector.heartbeat(2n, A, 150);
    detector.heartbeat(3n, A, 350);
    detector.checkAll(350);
    expect(detector.nodesWith("failed")).toEqual([1n]);
    expect(detector.nodesWith("suspected")).toEqual([2n]);
    expect(detector.nodesWith("healthy")).toEqual([3n]);
    expect(detector.status(4n)).toBe("unknown");
    expect(detector.remove(3n)).toBe(true);
    expect(detector.remove(3n)).toBe(false);
    expect(detector.nodeCount).toBe(2);
  });

  it("forgets failed nodes after ten timeouts, and looks for them once per interval", () => {
    const detector = new FailureDetector({ timeoutMs: 100, cleanupIntervalMs: 1_000 }, 0);
    detector.heartbeat(1n, A, 0);
    detector.heartbeat(2n, A, 500);
    detector.checkAll(1_001);
    expect(detector.cleanup(999)).toBe(0);
    expect(detector.cleanup(1_001)).toBe(1);
    expect(detector.cleanup(1_999)).toBe(0);
    expect(detector.cleanup(2_001)).toBe(1);
    expect(detector.nodeCount).toBe(0);
  });

  it("knows the address of the last heartbeat (W19)", () => {
    const detector = new FailureDetector({}, 0);
    detector.heartbeat(1n, A, 0);
    detector.heartbeat(1n, B, 1);
    expect(detector.address(1n)).toBe(B);
    expect(detector.address(2n)).toBeUndefined();
  });

  it("tracks no more nodes than it may, and counts the others", () => {
    const detector = new FailureDetector({ maxNodes: 1 }, 0);
    detector.heartbeat(1n, A, 0);
    detector.heartbeat(2n, A, 0);
    expect(detector.stats()).toMatchObject({ tracked: 1, refused: 1 });
  });

  it("refuses parameters that make no sense", () => {
    for (const options of [
      { timeoutMs: 0 },
      { missThreshold: 0 },
      { suspicionThreshold: 1.5 },
      { maxNodes: -1 },
    ]) {
      expect(() => new FailureDetector(options, 0)).toThrow(RoutingError);
    }
  });
});
